"""Reports, steps and trees took names of any length; each stood in every entry of the history, status and log line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from upright.actors import SupervisedActor
from upright.strategies.errors import ConfigError
from upright.strategies.fallback.chain import FallbackStep
from upright.strategies.report import ErrorReport
from upright.supervisors import ChildSpec, DynamicSupervisor, start_child

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.tree import Tree

LONG = "x" * 1_001


def test_it_is_refused_by_name(boot: Callable[..., Tree]) -> None:
    with pytest.raises(ConfigError, match=r"ErrorReport\.operation must be a text of 1 to 1000 characters"):
        boot().report(ConnectionError("down"), operation=LONG)
    with pytest.raises(ConfigError, match=r"ErrorReport\.resource"):
        ErrorReport(ConnectionError("down"), "query", LONG)
    with pytest.raises(ConfigError, match=r"FallbackStep\.name"):
        FallbackStep(LONG, lambda _: 5)


def test_a_child_whose_id_has_no_text_starts_without_harm(keep: Callable[..., object]) -> None:
    class Id:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    supervisor = DynamicSupervisor.start()
    keep(supervisor)
    started = start_child(supervisor, ChildSpec(Id(), SupervisedActor))
    assert started is not None
    assert started.name == "<Id whose str() raised RuntimeError>"
