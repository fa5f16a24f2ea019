"""Nothing waits and little is tried under instant(), and what is decided stays what it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import upright
from upright.strategies import pace
from upright.strategies.errors import ConfigError
from upright.testing import instant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upright.tree import Tree

HOURS = {"initial": 7200.0, "maximum": 7200.0, "attempts": 50}  # a test that waited would meet its time limit


@pytest.fixture
def patient() -> Iterator[Tree]:
    with upright.boot(
        {"control": {"enabled": False}, "retry": HOURS, "breaker": {"minimum_number_of_calls": 90}}
    ) as tree:
        yield tree


def failing(times: int) -> tuple[list[int], type]:
    calls: list[int] = []

    class Failing:
        def __new__(cls) -> int:  # type: ignore[misc]
            calls.append(1)
            if len(calls) <= times:
                raise ConnectionError("not yet")
            return 42

    return calls, Failing


def test_retries_of_hours_are_made_at_once(patient: Tree) -> None:
    calls, function = failing(2)
    with instant():
        assert patient.call("price", function).value == 42
    assert len(calls) == 3


def test_attempts_are_capped(patient: Tree) -> None:
    calls, function = failing(100)
    with instant(attempts=2):
        assert patient.call("price", function).status is upright.RecoveryStatus.FAILED
    assert len(calls) == 2


def test_the_cap_raises_no_limit() -> None:
    with instant(attempts=9):
        assert pace.attempts(2) == 2


def test_permanent_errors_are_not_retried_here_either(patient: Tree) -> None:
    def price() -> None:
        calls.append(1)
        raise ValueError("no such plan")

    calls: list[int] = []
    with instant():
        assert isinstance(patient.call("price", price).error, ValueError)
    assert len(calls) == 1


def test_blocks_may_be_within_one_another_and_end_in_turn() -> None:
    with instant(attempts=5):
        with instant(attempts=1):
            assert pace.attempts(10) == 1
        assert pace.attempts(10) == 5
        assert pace.seconds(3.0) == 0.0
    assert (pace.attempts(10), pace.seconds(3.0)) == (10, 3.0)


def test_it_may_be_called_once_for_a_whole_run() -> None:
    made = instant()
    assert pace.seconds(3.0) == 0.0
    made.stop()
    made.stop()
    assert pace.seconds(3.0) == 3.0


@pytest.mark.parametrize("attempts", [0, -1, 1.5, True, "3"])
def test_a_wrong_number_of_attempts_is_refused(attempts: object) -> None:
    with pytest.raises(ConfigError, match=r"instant\.attempts"):
        instant(attempts)  # type: ignore[arg-type]
