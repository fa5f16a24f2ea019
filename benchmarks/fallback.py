"""What a fallback step costs beyond its own work: `python -m benchmarks.fallback [--json]`.

Each step is timed bare, `step.provide(context)`, and through `tree.call`, which takes the whole way of a call that an
open circuit keeps away: flow, chain, result and telemetry. Two visits to a disk differ by more than upright adds to
one, so what upright adds is reckoned within each call:

    step    what trying one step took (its RecoveryStep) less what the step itself did; the goal is 100 us
    call    all that the call took less what its steps did, shared by its steps

Where a step goes to a worker (a timeout, or one that would block an event loop) both changes of thread are in it.
The last line is the short way that a protected call takes in a steady outage.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import gc
import inspect
import json
import logging
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import upright
from upright.strategies.fallback import (
    AudioFormat,
    AudioRecording,
    CachedData,
    CachedResponse,
    FallbackChain,
    FallbackStep,
    LocalStorage,
    NothingToOfferError,
    OfflineMode,
    OfflineQueue,
    ReadOnlyMode,
    TextChat,
    TextOnly,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.tree import Tree

__all__ = ["Overhead", "main"]

GOAL = 100.0  # us
MANY = 16  # steps of the long chain


@dataclass(frozen=True)
class Overhead:
    """One comparison, in microseconds.

    Attributes:
        name: Which step, and how it was called.
        bare: Median of the step alone.
        protected: Median of the call.
        step: Median of what trying one step took beyond the step itself.
        call: Median of what the call took beyond its steps, for one step.
        met: Whether the goal was met.
    """

    name: str
    bare: float
    protected: float
    step: float
    call: float
    met: bool


class Stopwatch:
    """Adds up what the steps of a chain take by themselves."""

    def __init__(self, steps: list[FallbackStep]) -> None:
        self.taken = 0.0
        for step in steps:
            step.provide = self._timed(step.provide)

    def _timed(self, provide: Callable[[Any], Any]) -> Callable[[Any], Any]:
        if inspect.iscoroutinefunction(provide):

            async def time_async(context: Any) -> Any:
                began = time.perf_counter()
                try:
                    return await provide(context)
                finally:
                    self.taken += time.perf_counter() - began

            return time_async

        def time_it(context: Any) -> Any:
            began = time.perf_counter()
            try:
                return provide(context)
            finally:
                self.taken += time.perf_counter() - began

        return time_it


class Taken:
    """What the calls of one comparison took, in seconds."""

    def __init__(self, name: str, steps: list[FallbackStep]) -> None:
        self.name = name
        self.steps = len(steps)
        self.watch = Stopwatch(steps)
        self.bare: list[float] = []
        self.call: list[float] = []
        self.call_less: list[float] = []
        self.step_less: list[float] = []

    def add(self, bare: float, call: float, answer: Any) -> None:
        """Keep what one pair of calls took."""
        own = self.watch.taken
        tried = sum(step.duration for step in getattr(answer, "steps", ()) if step.stage == "FALLBACK")
        self.bare.append(bare)
        self.call.append(call)
        self.call_less.append((call - own) / self.steps)
        self.step_less.append(((tried or call) - own) / self.steps)

    def overhead(self) -> Overhead:
        """Sum it up."""
        bare, call, step_less, call_less = (
            statistics.median(taken) * 1e6 for taken in (self.bare, self.call, self.step_less, self.call_less)
        )
        return Overhead(self.name, bare, call, step_less, call_less, step_less <= GOAL)


def _compare(
    name: str,
    steps: list[FallbackStep],
    bare: Callable[[], object],
    protected: Callable[[], object],
    calls: int,
) -> Overhead:
    taken = Taken(name, steps)
    gc.collect()
    for number in range(calls + calls // 10):
        began = time.perf_counter()
        bare()
        between = time.perf_counter()
        taken.watch.taken = 0.0
        again = time.perf_counter()
        answer = protected()
        ended = time.perf_counter()
        if number >= calls // 10:  # warm by now
            taken.add(between - began, ended - again, answer)
    return taken.overhead()


def _kept_away(*_args: Any, **_kwargs: Any) -> None:
    raise AssertionError("the circuit is open")


async def _kept_away_async(*_args: Any, **_kwargs: Any) -> None:
    raise AssertionError("the circuit is open")


def _serve(tree: Tree, operation: str, steps: list[FallbackStep]) -> None:
    """Have a chain answer for an operation whose circuit is open."""
    tree.register(FallbackChain(operation, steps))
    tree.call(operation, int)
    tree.breakers[operation].force_open()


def machinery(tree: Tree, calls: int) -> list[Overhead]:
    """The chain itself, with steps that do nothing."""

    def give(_: Any) -> int:
        return 1

    def miss(_: Any) -> int:
        raise NothingToOfferError("nothing")

    def one_after_the_other() -> None:
        for provide in provides:
            try:
                provide({})
            except NothingToOfferError:
                continue

    plain = FallbackStep("plain", give)
    steps = [FallbackStep(f"miss {number}", miss) for number in range(MANY - 1)] + [FallbackStep("last", give)]
    provides = [step.provide for step in steps]
    timed, short = FallbackStep("timed", give, timeout=5.0), FallbackStep("short", give)
    for operation, chain in (("one", [plain]), ("many", steps), ("worker", [timed]), ("short", [short])):
        _serve(tree, operation, chain)
    one, many, worker = (functools.partial(tree.call, name, _kept_away) for name in ("one", "many", "worker"))
    protected = tree.protect("short")(_kept_away)
    return [
        _compare("a step that does nothing", [plain], lambda: give({}), one, calls),
        _compare(f"each of {MANY} steps, all but the last have nothing", steps, one_after_the_other, many, calls),
        _compare("a step with a timeout, in a worker", [timed], lambda: give({}), worker, calls // 4),
        _compare("a step that does nothing, in a steady outage", [short], lambda: give({}), protected, calls),
    ]


def ready_made(tree: Tree, folder: Path, stack: ExitStack, calls: int) -> list[Overhead]:
    """The steps of the standard chains that reach nobody else."""

    def answer(_number: int) -> str:
        return "answer"

    queue = stack.enter_context(closing(OfflineQueue(folder / "queue.db", limit=10**6)))
    response, data, local = CachedResponse(), CachedData(), LocalStorage(folder / "copies.db")
    for recalled in (response, data, local):
        recalled.remembering(answer)(7)
    disk = max(calls // 10, 20)
    cases: list[tuple[FallbackStep, tuple[Any, ...], dict[str, Any], int]] = [
        (response, (7,), {}, calls),
        (data, (7,), {}, calls),
        (local, (7,), {}, calls),
        (TextOnly("Please read chapter 3."), (), {}, calls),
        (TextChat(lambda _: "hello"), (), {}, calls),
        (ReadOnlyMode(lambda _: 1), ("SELECT 1",), {}, calls),
        (OfflineMode(queue), ("turn",), {}, disk),
        (
            AudioRecording(folder / "voice", format=AudioFormat(), max_seconds=36_000.0),
            (b"\0" * 640,),
            {"session_id": "s"},
            disk,
        ),
    ]
    found = []
    for step, args, kwargs, count in cases:
        _serve(tree, step.name, [step])
        context = {"operation": step.name, "args": args, "kwargs": kwargs}
        bare = functools.partial(step.provide, context)
        call = functools.partial(tree.call, step.name, _kept_away, *args, **kwargs)
        found.append(_compare(step.name, [step], bare, call, count))
    return found


async def on_a_loop(tree: Tree, folder: Path, calls: int) -> list[Overhead]:
    """The same for coroutines."""

    async def give(_: Any) -> int:
        return 1

    async def compare(name: str, step: FallbackStep, bare: Callable[[], Any], protected: Callable[[], Any]) -> Overhead:
        taken = Taken(name, [step])
        for number in range(calls + calls // 10):
            began = time.perf_counter()
            await bare()
            between = time.perf_counter()
            taken.watch.taken = 0.0
            again = time.perf_counter()
            answer = await protected()
            ended = time.perf_counter()
            if number >= calls // 10:
                taken.add(between - began, ended - again, answer)
        return taken.overhead()

    local = LocalStorage(folder / "async.db")
    local.remembering(len)("a")
    recall = local.provide
    nothing = FallbackStep("coroutine", give)
    _serve(tree, "coroutine", [nothing])
    _serve(tree, "blocking", [local])
    coroutine = functools.partial(tree.call_async, "coroutine", _kept_away_async)
    blocking = functools.partial(tree.call_async, "blocking", _kept_away_async, "a")

    async def bare_local() -> Any:
        return recall({"args": ("a",)})

    return [
        await compare("a coroutine that does nothing, on the loop", nothing, lambda: give({}), coroutine),
        await compare("local storage for a coroutine, in a worker", local, bare_local, blocking),
    ]


def measure(calls: int) -> list[Overhead]:
    """All comparisons, each with so many calls (steps that wait for the disk: a tenth of that)."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        tree = stack.enter_context(upright.boot({"control": {"enabled": False}}))
        folder = Path(name)
        found = [*machinery(tree, calls), *ready_made(tree, folder, stack, calls)]
        return [*found, *asyncio.run(on_a_loop(tree, folder, calls // 4))]


def main(arguments: list[str] | None = None) -> int:
    """Measure everything and print it; 1 if a goal was missed."""
    parser = argparse.ArgumentParser(description="What a fallback step costs beyond its own work.")
    parser.add_argument("--calls", type=int, default=2_000, help="calls of each step (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(arguments)
    logging.getLogger("upright").setLevel(logging.CRITICAL)
    found = measure(options.calls)
    if options.json:
        print(json.dumps([asdict(overhead) for overhead in found], indent=2))
    else:
        print(f"{'us':<50} {'bare':>9} {'call':>9} {'+ step':>8} {'+ call':>8}  + step <= {GOAL:g}")
        for it in found:
            verdict = "met" if it.met else "MISSED"
            print(f"{it.name:<50} {it.bare:>9.1f} {it.protected:>9.1f} {it.step:>8.1f} {it.call:>8.1f}  {verdict}")
    return 0 if all(overhead.met for overhead in found) else 1


if __name__ == "__main__":
    sys.exit(main())
