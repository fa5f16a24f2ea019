"""How things are measured here: sides taken in turns within one run, and ratios of their best rounds.

Seconds depend on the machine and on what else it does, ratios hardly do: a slow moment slows every side of a round.
Rounds are short (a few milliseconds), so that some of each side fall between whatever else the machine is doing; the
best round of a side is the one that was disturbed least, and ratios are of best rounds. The median of the ratios
within each round is kept beside them: where the two differ, the machine was too busy for the figure.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = [
    "Figure",
    "Sides",
    "async_sides",
    "at_most",
    "interleave",
    "p50_sides",
    "percentile",
    "shown",
    "sync_sides",
    "timed",
]

_ROUND = 0.002  # seconds that a round of one side takes, about
_WARM = 100  # calls before anything is measured


@dataclass(frozen=True)
class Figure:
    """One measured value with its goal.

    Attributes:
        name: What was measured.
        value: The figure that the goal is about.
        unit: Of `value`: a ratio has "x".
        goal: In words, or "" where there is none.
        met: Whether the goal was met; None without a goal.
        detail: What the figure was computed from.
        ours: Which of the sides is upright; "" where nothing was measured side by side.
        floor: Which of the sides is the floor.
        sides: Seconds per call of everything measured side by side, by name: the best round.
        rounds: Seconds per call of every round, for pyperf.
        paired: The median of the ratios within each round; None where `value` is none.
        noise: The floor's median round over its best one: what the machine added on its own; None if not taken.
        stretch: The goal is beyond what is promised; missing it is no failure.
    """

    name: str
    value: float
    unit: str
    goal: str = ""
    met: bool | None = None
    detail: str = ""
    ours: str = ""
    floor: str = ""
    sides: dict[str, float] = field(default_factory=dict)
    rounds: dict[str, list[float]] = field(default_factory=dict)
    paired: float | None = None
    noise: float | None = None
    stretch: bool = False


@dataclass(frozen=True)
class Sides:
    """What was measured side by side: seconds per call of every round, by name; the first name is the floor."""

    rounds: dict[str, list[float]]

    @property
    def best(self) -> dict[str, float]:
        """Seconds per call in the best round."""
        return {name: min(taken) for name, taken in self.rounds.items()}

    @property
    def floor(self) -> str:
        """The name of the floor."""
        return next(iter(self.rounds))

    @property
    def noise(self) -> float:
        """The floor's median round over its best."""
        taken = self.rounds[self.floor]
        return statistics.median(taken) / min(taken)

    def paired(self, ours: str, other: str) -> float:
        """The median of the ratios within each round."""
        return statistics.median(a / b for a, b in zip(self.rounds[ours], self.rounds[other], strict=True))

    def against(self, name: str, ours: str, other: str, limit: float | None = None, *, stretch: bool = False) -> Figure:
        """Return the ratio of two sides as a figure, with the goal `<= limit` if there is one."""
        best = self.best
        value = best[ours] / best[other]
        return Figure(
            name,
            value,
            "x",
            "" if limit is None else f"<= {limit:g}x",
            None if limit is None else value <= limit,
            f"{shown(best[ours])} against {shown(best[other])}, {other}",
            ours,
            self.floor,
            best,
            self.rounds,
            self.paired(ours, other),
            self.noise,
            stretch,
        )


def shown(seconds: float) -> str:
    """A duration as people read it.

    Example:
        >>> shown(2.5e-7), shown(1.234e-5), shown(0.0123)
        ('250 ns', '12.3 us', '12.3 ms')
    """
    for unit, length, digits in (("ns", 1e-6, 0), ("us", 1e-3, 1), ("ms", 1.0, 1)):
        if seconds < length:
            return f"{seconds / length * 1e3:.{digits}f} {unit}"
    return f"{seconds:.2f} s"


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that one call takes."""
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


def percentile(taken: list[float], percent: int) -> float:
    """Return a percentile of many measurements."""
    return statistics.quantiles(taken, n=100, method="inclusive")[percent - 1]


def at_most(name: str, value: float, unit: str, limit: float, detail: str = "", **more: Any) -> Figure:
    """Return a figure with the goal `<= limit`."""
    return Figure(name, value, unit, f"<= {limit:g} {unit}".rstrip(), value <= limit, detail, **more)


def interleave(sides: Mapping[str, Callable[[], float]], rounds: int) -> Sides:
    """Take each side in turns; the garbage of one is not the next one's to collect."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    gc.collect()
    gc.freeze()  # what is there already is not looked through again before each round
    try:
        for _ in range(rounds):
            for name, side in sides.items():
                gc.collect()
                taken[name].append(side())
    finally:
        gc.unfreeze()
    return Sides(taken)


def p50_sides(functions: Mapping[str, Callable[[], object]], count: int, rounds: int) -> Sides:
    """Measure calls of tens of microseconds and more one by one: each round is the median of `count`."""

    def side(function: Callable[[], object]) -> Callable[[], float]:
        return lambda: statistics.median(timed(function) for _ in range(count))

    for function in functions.values():
        for _ in range(10):
            function()
    return interleave({name: side(function) for name, function in functions.items()}, rounds)


def sync_sides(functions: Mapping[str, Callable[[], object]], rounds: int) -> Sides:
    """Measure plain functions side by side, each in a loop of about the same duration."""
    return interleave({name: _loop(function) for name, function in functions.items()}, rounds)


def _loop(function: Callable[[], object]) -> Callable[[], float]:
    """Return what measures one call in a loop; the loop's own cost is in it, on every side."""

    def run(count: int) -> float:
        numbers = range(count)
        before = time.perf_counter()
        for _ in numbers:
            function()
        return (time.perf_counter() - before) / count

    run(_WARM)
    count = _enough(min(run(20) for _ in range(5)))
    return lambda: run(count)


def async_sides(functions: Mapping[str, Callable[[], Awaitable[object]]], rounds: int) -> Sides:
    """The same for coroutine functions, on one event loop."""
    with asyncio.Runner() as runner:
        sides = {name: _async_loop(function, runner) for name, function in functions.items()}
        return interleave(sides, rounds)


def _async_loop(function: Callable[[], Awaitable[object]], runner: asyncio.Runner) -> Callable[[], float]:
    async def main(count: int) -> float:
        numbers = range(count)
        before = time.perf_counter()
        for _ in numbers:
            await function()
        return (time.perf_counter() - before) / count

    runner.run(main(_WARM))
    count = _enough(min(runner.run(main(20)) for _ in range(5)))
    return lambda: runner.run(main(count))


def _enough(once: float) -> int:
    return max(10, int(_ROUND / once))
