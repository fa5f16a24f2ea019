"""Nothing grows with the number of restarts."""

from __future__ import annotations

import gc
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from upright.actors import SupervisedActor
from upright.supervisors import (
    ChildSpec,
    DynamicSupervisor,
    Restart,
    Supervisor,
    count_children,
    start_child,
    which_child,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.actors import Address

pytestmark = [pytest.mark.actor_crash, pytest.mark.filterwarnings("ignore")]


class Fragile(SupervisedActor):
    def on_receive(self, message: Any) -> Any:
        if message == "boom":
            raise ValueError(message)
        return message


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(100, logger="upright")  # thousands of tracebacks, kept by pytest, would be all that grows


def _crash(address: Address[Any], times: int) -> None:
    for _ in range(times):
        with pytest.raises(ValueError, match="boom"):
            address.ask("boom")


def _memory() -> int:
    gc.collect()
    return int(psutil.Process(os.getpid()).memory_info().rss)


def _grows(keep: Callable[..., Any], times: int) -> tuple[int, int]:
    """How many threads and bytes are there more after so many crashes and restarts."""
    top = keep(Supervisor.start([ChildSpec("f", Fragile)], intensity=10**9, period=1.0))
    address = which_child(top, "f").address
    _crash(address, 300)
    address.ask("barrier")
    threads, memory = threading.active_count(), _memory()
    _crash(address, times)
    address.ask("barrier")
    deadline = time.monotonic() + 5
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert address.restarts == 300 + times
    return threading.active_count() - threads, _memory() - memory


def test_a_thousand_restarts_leave_no_thread_and_no_memory(keep: Callable[..., Any]) -> None:
    threads, memory = _grows(keep, 1000)
    assert threads <= 0
    assert memory < 4 * 1024 * 1024


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_thousand_restarts_leave_no_thread_and_no_memory(keep: Callable[..., Any]) -> None:
    threads, memory = _grows(keep, 10_000)
    assert threads <= 0
    assert memory < 4 * 1024 * 1024


def test_the_history_of_restarts_stays_bounded(keep: Callable[..., Any]) -> None:
    top = keep(Supervisor.start([ChildSpec("f", Fragile)], intensity=50, period=1e-6))
    _crash(which_child(top, "f").address, 200)
    assert top.actor is not None
    assert len(top.actor._history) <= 51


def test_children_that_come_and_go_leave_nothing_with_their_supervisor(keep: Callable[..., Any]) -> None:
    top = keep(DynamicSupervisor.start())
    for n in range(200):
        child = start_child(top, ChildSpec(n, Fragile, restart=Restart.TEMPORARY))
        assert child is not None
        child.stop()
    deadline = time.monotonic() + 5
    while count_children(top).specs and time.monotonic() < deadline:
        time.sleep(0.001)
    assert count_children(top).specs == 0
    assert top.children == {}
