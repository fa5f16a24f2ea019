"""Recoveries: ask to HEALED, joining a healing, reports by tell, and a burst of duplicates."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import statistics
import sys
import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import upright
from benchmarks.kernel import Stock
from benchmarks.measuring import Figure, at_most, interleave, p50_sides, percentile, sync_sides, timed
from benchmarks.parts import HEALABLE, Nothing, bare_async, booted, down
from benchmarks.peers import failing_peers
from upright.strategies.fallback.chain import FallbackChain, FallbackStep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from upright.tree import Tree

__all__ = ["burst", "failing", "healed", "joining", "reports"]

_MIB = 2**20
_HOPS = 5  # caller, orchestrator, healing actor, worker, orchestrator, caller


class Held(Nothing):
    """A healing that takes as long as it is told to."""

    name = "held"

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.over = threading.Event()
        self.healings = 0

    def heal(self, report: Any) -> None:
        self.healings += 1
        self.begun.set()
        self.over.wait()


def healed(*, quick: bool) -> list[Figure]:
    """Ask the orchestrator until HEALED, with a strategy that does nothing: all that is not the repair.

    Twice: as the system places the threads, which makes a recovery five times that one processor wakes another from
    sleep; and with all of them on one, where that costs nothing. No two of them work at the same time in either case.
    """
    figures = _healed("", quick=quick)
    with _on_one_processor() as is_so:
        return figures + _healed(", on one processor", quick=quick) if is_so else figures


@contextlib.contextmanager
def _on_one_processor() -> Iterator[bool]:
    """Have this thread, and those that it starts, run on one processor; False where the system has no way to say so."""
    if not hasattr(os, "sched_setaffinity"):
        yield False
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield True
    finally:
        os.sched_setaffinity(0, before)


def _healed(where: str, *, quick: bool) -> list[Figure]:
    times = 500 if quick else 5_000
    stock, ring = Stock.start(), Ring(_HOPS)
    with booted() as tree:

        def ask() -> None:
            result = tree.orchestrator.ask(upright.ErrorReport(ConnectionError("down"), "op", HEALABLE))
            assert result.status == upright.RecoveryStatus.HEALED
            assert not result.joined

        attempts = tree.metrics().healing_attempts
        sides = p50_sides(
            {
                f"{_HOPS} bare queues and threads in a ring": ring.ask,
                "stock pykka, one ask": lambda: stock.ask("x"),
                "upright": ask,
            },
            20,
            5 if quick else 25,
        )
        taken = [timed(ask) for _ in range(times)]
        assert tree.metrics().healing_attempts - attempts >= times
        stock_p50 = statistics.median(timed(lambda: stock.ask("x")) for _ in range(times)) * 1e6
    ring.stop()
    stock.stop()
    p50, p99 = statistics.median(taken) * 1e6, percentile(taken, 99) * 1e3
    beside = f"of {times} in a row; a stock ask {stock_p50:.1f} us, {p50 / stock_p50:.1f} of which are as long"
    return [
        Figure(f"ask to HEALED, p50{where}", p50, "us", "<= 150 us", p50 <= 150, beside),
        Figure(f"ask to HEALED, p99{where}", p99, "ms", "<= 1 ms", p99 <= 1, f"of {times} in a row"),
        sides.against(f"ask to HEALED, best round, against the threads alone{where}", "upright", sides.floor),
    ]


class Ring:
    """The floor of a recovery: a message that is passed on by so many threads, and comes back."""

    def __init__(self, hops: int) -> None:
        self._queues: list[SimpleQueue[Any]] = [SimpleQueue() for _ in range(hops)]
        self._threads = [threading.Thread(target=self._pass_on, args=(n,)) for n in range(hops - 1)]
        for thread in self._threads:
            thread.start()

    def _pass_on(self, number: int) -> None:
        take, give = self._queues[number], self._queues[number + 1]
        while (message := take.get()) is not None:
            give.put(message)
        give.put(None)

    def ask(self) -> None:
        """Send a message round and wait for it."""
        self._queues[0].put("x")
        self._queues[-1].get()

    def stop(self) -> None:
        """End its threads."""
        self._queues[0].put(None)
        for thread in self._threads:
            thread.join()


def failing(*, quick: bool) -> list[Figure]:
    """A failing call while the circuit lets calls pass: nothing heals it, its chain answers."""
    chain = FallbackChain("op", [FallbackStep("cache", lambda _: 1)])
    with booted(chain) as tree:
        ours = tree.protect("op")(down)
        tree.breakers["op"].force_close()  # or the circuit would be open after ten calls
        functions = {"except, value": _by_hand, **failing_peers(down, lambda: 1), "upright": ours}
        sides = sync_sides(functions, 5 if quick else 50)
        assert ours() == 1
    other = "nopanic fallback" if "nopanic fallback" in sides.rounds else sides.floor
    return [sides.against("failing call, circuit closed, fallback", "upright", other)]


def _by_hand() -> Any:
    try:
        return down()
    except Exception:
        return 1


def joining(*, quick: bool) -> list[Figure]:
    """Failing calls that join a running healing: what each costs from its failure to its own answer."""
    count, rounds = (200, 3) if quick else (1_000, 15)
    sides = interleave(
        {"tasks that wait for an asyncio.Event": lambda: _waiting(count), "upright": lambda: _joined(count)}, rounds
    )
    return [
        sides.against(f"{count} tasks fail together and join one healing, per call", "upright", sides.floor),
        _slowest(count, rounds),
    ]


def _waiting(count: int) -> float:
    async def main() -> float:
        over = asyncio.Event()

        async def work() -> int:
            try:
                await bare_async()
                raise ConnectionError("down")
            except ConnectionError:
                await over.wait()
            return await bare_async()

        before = time.perf_counter()
        tasks = [asyncio.create_task(work()) for _ in range(count)]
        await asyncio.sleep(0)
        over.set()
        await asyncio.gather(*tasks)
        return (time.perf_counter() - before) / count

    return asyncio.run(main())


def _failing_together(count: int) -> tuple[float, float, int]:
    """Have so many tasks fail while one healing is held until all have joined.

    Returns:
        Seconds from the first call to the last answer; seconds from the end of the healing to that; healings.
    """
    held = Held()
    up = False

    async def use() -> int:
        if not up:
            raise ConnectionError("down")
        return 1

    with upright.boot({"control": {"enabled": False}, "healing": {"heal_wait": 30.0}}, strategies=[held]) as tree:
        call = tree.protect("op", resource=HEALABLE)(use)
        tree.breakers["op"].force_close()  # or those who fail last would wait before they fail, at an open circuit

        async def main() -> tuple[float, float]:
            nonlocal up
            before = time.perf_counter()
            tasks = [asyncio.create_task(call()) for _ in range(count)]
            while tree.edge.board.joined_reports.value < count - 1:  # noqa: ASYNC110 - a counter, no event
                await asyncio.sleep(0.001)
            up = True
            released = time.perf_counter()
            held.over.set()
            assert await asyncio.gather(*tasks) == [1] * count
            after = time.perf_counter()
            return after - before, after - released

        whole, after = asyncio.run(main())
    return whole, after, held.healings


def _joined(count: int) -> float:
    whole, _, healings = _failing_together(count)
    assert healings == 1
    return whole / count


def _slowest(count: int, rounds: int) -> Figure:
    taken = [_failing_together(count) for _ in range(min(rounds, 5))]
    value = min(after for _, after, _ in taken) * 1e3
    healings = max(healings for _, _, healings in taken)
    detail = f"reruns are spread on purpose; at most {healings} healing"
    return Figure(f"from the end of a healing to the last of {count} answers", value, "ms", detail=detail)


def reports(*, quick: bool) -> list[Figure]:
    """A report by tell that is merged into a running recovery, beside a stock tell."""
    stock = Stock.start()
    held = Held()
    error = ConnectionError("down")
    with upright.boot({"control": {"enabled": False}}, strategies=[held]) as tree:
        tree.report(error, operation="op", resource=HEALABLE)
        held.begun.wait()
        functions = {
            "upright.ErrorReport(...)": lambda: upright.ErrorReport(error, "op", HEALABLE),
            "stock pykka, tell": lambda: stock.tell("x"),
            "upright": lambda: tree.report(error, operation="op", resource=HEALABLE),
        }
        sides = sync_sides(functions, 15 if quick else 100)
        held.over.set()
    stock.stop()
    return [sides.against("report by tell that joins a recovery", "upright", "stock pykka, tell")]


def burst(*, quick: bool) -> list[Figure]:
    """100 000 duplicates told at once, while their healing is under way, beside a stock actor told as often."""
    count, rounds = (20_000, 3) if quick else (100_000, 7)
    statuses: list[float] = []
    memory: list[float] = []
    healings: list[int] = []
    sides = interleave(
        {
            "stock pykka, tell": lambda: _stock_burst(count),
            "upright, orchestrator.tell": lambda: _told(count, (statuses, memory, healings), _tell_all),
            "upright, tree.report": lambda: _told(count, (statuses, memory, healings), _report_all),
        },
        rounds,
    )
    figures = []
    for name in ("upright, orchestrator.tell", "upright, tree.report"):
        rate = sides.best["stock pykka, tell"] / sides.best[name]
        per_second = f"{1e-3 / sides.best[name]:.0f} k/s against {1e-3 / sides.best['stock pykka, tell']:.0f} k/s"
        paired = 1 / sides.paired(name, "stock pykka, tell")
        figures.append(
            Figure(f"burst of {count} duplicates, {name.split(', ')[1]}", rate, "x", ">= 0.5x", rate >= 0.5,
                   f"{per_second}, stock pykka, tell", name, sides.floor, sides.best, sides.rounds, paired, sides.noise)
        )  # fmt: skip
    worst = max(statuses) * 1e3
    detail = f"slowest of {rounds * 2} bursts; {min(statuses) * 1e3:.1f} ms in the best of them"
    figures += [
        Figure("memory more at the height of a burst", max(memory), "MiB", "< 32 MiB", max(memory) < 32),
        Figure("status() meanwhile", worst, "ms", "<= 50 ms", worst <= 50, detail),
        at_most("healings of a burst", max(healings), "", 1, f"the most of {rounds * 2} bursts"),
    ]
    return figures


def _stock_burst(count: int) -> float:
    stock = Stock.start()

    def work() -> None:
        for n in range(count):
            stock.tell(n)
        stock.ask("barrier")

    seconds = timed(work)
    stock.stop()
    return seconds / count


def _tell_all(tree: Tree, error: Exception, count: int) -> None:
    report, orchestrator = upright.ErrorReport(error, "op", HEALABLE), tree.orchestrator
    for _ in range(count):
        orchestrator.tell(report)


def _report_all(tree: Tree, error: Exception, count: int) -> None:
    for _ in range(count):
        tree.report(error, operation="op", resource=HEALABLE)


def _told(
    count: int,
    seen: tuple[list[float], list[float], list[int]],
    tell: Callable[[Tree, Exception, int], None],
) -> float:
    held = Held()
    over = threading.Event()
    slowest = [0.0]

    def look(tree: Tree) -> None:
        while True:
            slowest[0] = max(slowest[0], timed(tree.status))
            if over.wait(0.005):
                return

    with upright.boot({"control": {"enabled": False}}, strategies=[held]) as tree:
        error = ConnectionError("down")
        tree.report(error, operation="op", resource=HEALABLE)
        held.begun.wait()
        before = tree.edge.board.joined_reports.value
        gc.collect()
        floor = _peak()

        def work() -> None:
            tell(tree, error, count)
            while tree.edge.board.joined_reports.value < before + count:
                time.sleep(0.0005)

        seconds = timed(work)
        # What is asked of the tree meanwhile takes the processor from it, so that is another burst.
        watcher = threading.Thread(target=look, args=(tree,))
        watcher.start()
        tell(tree, error, count)
        while tree.edge.board.joined_reports.value < before + 2 * count:
            time.sleep(0.0005)
        over.set()
        watcher.join()
        held.over.set()
    for kept, value in zip(seen, (slowest[0], _peak() - floor, held.healings), strict=True):
        kept.append(value)  # type: ignore[attr-defined]
    return seconds / count


def _peak() -> float:
    """The most memory that this process ever had, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / _MIB if sys.platform == "darwin" else peak / 1024
