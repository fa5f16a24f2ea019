"""A value whose class raises, lies or is not hashable came out of boot() as what it raised, without a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from upright.config import load_config
from upright.strategies.breaker_options import BreakerOptions
from upright.strategies.errors import ConfigError
from upright.strategies.healing_options import HealingOptions
from upright.strategies.limit_options import LimitOptions

if TYPE_CHECKING:
    from collections.abc import Callable


class _Incomparable(float):
    def __lt__(self, other: object) -> NoReturn:
        raise RuntimeError("not comparable")


def _unreadable() -> Any:
    def refuse(_: object) -> NoReturn:
        raise RuntimeError("no class")

    return type("Unreadable", (), {"__class__": property(refuse)})()


@pytest.mark.parametrize("make", [_unreadable, lambda: _Incomparable(3.0), list, dict])
@pytest.mark.parametrize("key", ["healing.timeout", "sentry.enabled", "control.path", "breaker.window_type"])
def test_it_is_refused_by_name_in_the_code(key: str, make: Callable[[], Any]) -> None:
    group, _, name = key.partition(".")
    with pytest.raises(ConfigError, match=name):
        load_config({group: {name: make()}}, environ={}, cwd="/nonexistent")


def test_it_is_refused_by_name_in_an_option_class() -> None:
    with pytest.raises(ConfigError, match=r"HealingOptions\.timeout"):
        HealingOptions(timeout=_Incomparable(3.0))
    with pytest.raises(ConfigError, match=r"BreakerOptions\.window_type"):
        BreakerOptions(window_type=[])  # type: ignore[arg-type]


def test_a_count_beyond_every_counter_is_refused_where_it_is_given() -> None:
    with pytest.raises(ConfigError, match=r"LimitOptions\.history must be an int from 1 to"):
        LimitOptions(history=10**30)
    assert LimitOptions(history=2**62).history == 2**62
