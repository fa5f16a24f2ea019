"""What telemetry adds to a failing call, and to a successful one."""

from __future__ import annotations

import random
import statistics
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import upright
from benchmarks.telemetry.figure import Figure
from upright.strategies.origin import take_origin
from upright.testing import SentryRecorder

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["measure"]

_GOAL = 20.0  # us
_QUIET: dict[str, Any] = {
    "control": {"enabled": False},
    "flags": {"error_predictor": False, "self_healing": False},
    "breaker": {"minimum_number_of_calls": 10_000, "window_size": 10_000},
    "retry": {"attempts": 1},
}


class _Ears:
    """A subscriber that counts what it is told."""

    name = "ears"

    def __init__(self) -> None:
        self.heard = 0

    def tell(self, _event: Any) -> None:
        self.heard += 1


class _Clocked:
    """A subscriber that takes the time of what telling it costs whoever tells."""

    def __init__(self, subscriber: Any) -> None:
        self.name = subscriber.name
        self.took = 0.0
        self._tell = subscriber.tell

    def tell(self, event: Any) -> None:
        began = time.perf_counter()
        self._tell(event)
        self.took += time.perf_counter() - began


def measure(times: int) -> list[Figure]:
    """Make so many calls of each kind, with Sentry initialised, with telemetry and without."""
    with SentryRecorder(), upright.boot(_QUIET, name="cost") as tree:
        board = tree.parts.board
        subscribers = board.subscribers

        @tree.protect("failing")
        def failing() -> None:
            raise ConnectionError("refused")

        @tree.protect("working")
        def working() -> None:
            pass

        def settled() -> None:
            """Let the actors do what the last call gave them to do: they are not in its way, nor it in theirs."""
            while any(one.depth or tree.status_of(one.name).busy_for is not None for one in subscribers):
                time.sleep(0.0001)

        def fail() -> None:
            with suppress(ConnectionError):
                failing()

        heard: list[float] = []
        silent: list[float] = []
        told: list[float] = []
        clocked: Any = tuple(_Clocked(one) for one in subscribers)
        for _ in range(times):
            for listening in random.sample([True, False], 2):  # so that what else the machine does falls on both alike
                board.subscribers = subscribers if listening else ()
                (heard if listening else silent).append(_timed(fail))
                settled()
            board.subscribers = clocked
            fail()
            told.append(sum(one.took for one in clocked))
            for one in clocked:
                one.took = 0.0
            settled()
        origin = statistics.median(_timed(take_origin) for _ in range(times))
        # What is added is known to a microsecond only where it is added: the whole call changes threads, and varies by
        # more than that from one to the next.
        added = (statistics.median(told) + origin) * 1e6

        _loop(working, 20_000)
        with_it, without = float("inf"), float("inf")
        for _ in range(7):
            board.subscribers = subscribers
            with_it = min(with_it, _loop(working, 20_000))
            board.subscribers = ()
            without = min(without, _loop(working, 20_000))
        ears: Any = _Ears()
        board.subscribers = (ears,)
        _loop(working, 100_000)
        board.subscribers = subscribers
    note = (
        f"medians of {times} calls; the whole call: {statistics.median(heard) * 1e6:.0f} us with telemetry, "
        f"{statistics.median(silent) * 1e6:.0f} us without"
    )
    return [
        Figure("telemetry adds to a failing call", added, "us", _GOAL, note),
        Figure(
            "messages that 100 000 successful calls send to telemetry",
            ears.heard,
            "",
            0,
            f"{with_it:.0f} ns a call with telemetry, {without:.0f} ns without",
        ),
    ]


def _timed(function: Callable[[], Any]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def _loop(function: Callable[[], Any], times: int) -> float:
    began = time.perf_counter_ns()
    for _ in range(times):
        function()
    return (time.perf_counter_ns() - began) / times
