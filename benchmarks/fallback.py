"""What a fallback step costs beyond its own work: `python -m benchmarks.fallback [--json]`.

Each step is timed bare, `step.provide(context)`, and through a protected call whose circuit is open, which goes
straight to the chain: everything that upright adds, from the rejected call to the value, its result and its telemetry
included. The overhead is the time of a protected call less what the step itself took within that very call, since the
time of a disk differs more between two calls than upright adds to one. The goal is 100 us a step. Where a step goes
to a worker (a timeout, or a step that would block an event loop) both changes of thread are in it.
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
        protected: Median through the protected call.
        overhead: Median of what a protected call took beyond the step itself, for one step.
        p99: The 99th percentile of the protected call.
        met: Whether the goal was met.
    """

    name: str
    bare: float
    protected: float
    overhead: float
    p99: float
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


def _overhead(name: str, alone: list[float], through: list[float], inside: list[float], steps: int = 1) -> Overhead:
    added = statistics.median(whole - own for whole, own in zip(through, inside, strict=True)) * 1e6 / steps
    p99 = statistics.quantiles(through, n=100)[98]
    bare, protected = statistics.median(alone) * 1e6, statistics.median(through) * 1e6
    return Overhead(name, bare, protected, added, p99 * 1e6, added <= GOAL)


def _compare(
    name: str,
    steps: list[FallbackStep],
    bare: Callable[[], object],
    protected: Callable[[], object],
    calls: int,
) -> Overhead:
    alone, through, inside = [], [], []
    watch = Stopwatch(steps)
    gc.collect()
    for number in range(calls + calls // 10):
        began = time.perf_counter()
        bare()
        between = time.perf_counter()
        watch.taken = 0.0
        again = time.perf_counter()
        protected()
        ended = time.perf_counter()
        if number >= calls // 10:  # warm by now
            alone.append(between - began)
            through.append(ended - again)
            inside.append(watch.taken)
    return _overhead(name, alone, through, inside, len(steps))


def _serve(tree: Tree, operation: str, steps: list[FallbackStep]) -> Callable[..., Any]:
    """Return a protected function whose calls the chain answers."""
    tree.register(FallbackChain(operation, steps))

    @tree.protect(operation)
    def call(*_args: Any, **_kwargs: Any) -> None:
        raise AssertionError("the circuit is open")

    tree.breakers[operation].force_open()
    return call


def _serve_async(tree: Tree, operation: str, steps: list[FallbackStep]) -> Callable[..., Any]:
    tree.register(FallbackChain(operation, steps))

    @tree.protect(operation)
    async def call(*_args: Any, **_kwargs: Any) -> None:
        raise AssertionError("the circuit is open")

    tree.breakers[operation].force_open()
    return call


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
    one, many = _serve(tree, "one", [plain]), _serve(tree, "many", steps)
    timed = FallbackStep("timed", give, timeout=5.0)
    worker = _serve(tree, "worker", [timed])
    return [
        _compare("a step that does nothing", [plain], lambda: give({}), one, calls),
        _compare(f"each of {MANY} steps, all but the last have nothing", steps, one_after_the_other, many, calls),
        _compare("a step with a timeout, in a worker", [timed], lambda: give({}), worker, calls // 4),
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
        call = _serve(tree, step.name, [step])
        context = {"operation": step.name, "args": args, "kwargs": kwargs}
        bare = functools.partial(step.provide, context)
        found.append(_compare(step.name, [step], bare, functools.partial(call, *args, **kwargs), count))
    return found


async def on_a_loop(tree: Tree, folder: Path, calls: int) -> list[Overhead]:
    """The same for coroutines."""

    async def give(_: Any) -> int:
        return 1

    async def compare(name: str, step: FallbackStep, bare: Callable[[], Any], protected: Callable[[], Any]) -> Overhead:
        alone, through, inside = [], [], []
        watch = Stopwatch([step])
        for number in range(calls + calls // 10):
            began = time.perf_counter()
            await bare()
            between = time.perf_counter()
            watch.taken = 0.0
            again = time.perf_counter()
            await protected()
            ended = time.perf_counter()
            if number >= calls // 10:
                alone.append(between - began)
                through.append(ended - again)
                inside.append(watch.taken)
        return _overhead(name, alone, through, inside)

    local = LocalStorage(folder / "async.db")
    local.remembering(len)("a")
    recall = local.provide
    nothing = FallbackStep("coroutine", give)
    coroutine = _serve_async(tree, "coroutine", [nothing])
    blocking = _serve_async(tree, "blocking", [local])

    async def bare_local() -> Any:
        return recall({"args": ("a",)})

    return [
        await compare("a coroutine that does nothing, on the loop", nothing, lambda: give({}), coroutine),
        await compare("local storage for a coroutine, in a worker", local, bare_local, lambda: blocking("a")),
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
        print(f"{'us':<52} {'bare':>9} {'protected':>10} {'overhead':>9} {'p99':>9}  goal <= {GOAL:g}")
        for it in found:
            verdict = "met" if it.met else "MISSED"
            print(f"{it.name:<52} {it.bare:>9.1f} {it.protected:>10.1f} {it.overhead:>9.1f} {it.p99:>9.1f}  {verdict}")
    return 0 if all(overhead.met for overhead in found) else 1


if __name__ == "__main__":
    sys.exit(main())
