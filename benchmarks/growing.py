"""Costs that could grow: operations, resources and breakers from 1 to 10 000, history and outbox at their limits."""

from __future__ import annotations

import gc
import os
import statistics
import tempfile
import threading
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

import upright
from benchmarks.measuring import Figure, at_most, shown, sync_sides, timed
from benchmarks.parts import HEALABLE, bare, booted
from upright.strategies.fallback.offline_queue import OfflineQueue, QueueFullError

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.tree import Tree

__all__ = ["calls", "keys", "limits"]

_MANY = 10_000


def keys(*, quick: bool) -> list[Figure]:
    """Looking up one of 1 or 10 000 operations; the memory of each; what making room for another costs."""
    rounds = 15 if quick else 50
    with booted() as few, booted() as many:
        few.call("one", bare)
        fresh = _grown(many)
        hit = sync_sides(
            {"one of 1": lambda: few.call("one", bare), f"one of {_MANY}": lambda: many.call("op 5000", bare)}, rounds
        )
        breakers = sync_sides(
            {
                "one of 1": lambda: few.breakers["one"].state,
                f"one of {_MANY}": lambda: many.breakers["op 5000"].state,
            },
            rounds,
        )
        figures = [
            hit.against(f"call by name, one of {_MANY} operations", f"one of {_MANY}", "one of 1", 1.5),
            breakers.against(f"breaker by name, one of {_MANY}", f"one of {_MANY}", "one of 1", 1.5),
            at_most("memory of an operation with its breaker", fresh, "kB", 2, "allocated, called once"),
            Figure("memory of a full window of 100 outcomes", _window(many), "kB", detail="more, once it is full"),
        ]
        figures += _evicted(many)
    figures.append(_resources())
    return figures


def _allocated(work: Callable[[], object], count: int) -> float:
    """Return the kilobytes that are allocated afterwards more than before, each."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    work()
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return (after - before) / 1024 / count


def _grown(tree: Tree) -> float:
    def work() -> None:
        for n in range(_MANY):
            tree.call(f"op {n}", bare)

    return _allocated(work, _MANY)


def _window(tree: Tree) -> float:
    def work() -> None:
        for n in range(100):
            for _ in range(100):
                tree.call(f"op {n}", bare)

    return _allocated(work, 100)


def _evicted(tree: Tree) -> list[Figure]:
    """The cost of a new name while 10 000 are known: with idle ones to let go, and with open circuits only."""
    numbers = iter(range(10**9))

    def new() -> None:
        tree.call(f"new {next(numbers)}", bare)

    idle = statistics.median(timed(new) for _ in range(3_000)) * 1e6
    known = len(tree.breakers)
    for name in list(tree.breakers):
        operation = tree.edge.operations.find(name)
        assert operation is not None
        operation.breaker.force_open(0.0)
    full = statistics.median(timed(new) for _ in range(200)) * 1e6
    kept = len(tree.breakers)
    return [
        Figure("new operation at the limit, idle ones go", idle, "us", detail=f"p50; {known} known before and after"),
        Figure("new operation at the limit, all circuits open", full, "us", detail="p50; the oldest goes"),
        at_most("operations known at the limit", max(known, kept), "", _MANY),
    ]


def _resources() -> Figure:
    with booted() as tree:
        board = tree.edge.board

        def work() -> None:
            for n in range(_MANY):
                board.healed(f"resource {n}")

        memory = _allocated(work, _MANY)
    return at_most("memory of a resource that was healed", memory, "kB", 2, f"allocated, of {_MANY}")


def limits(*, quick: bool) -> list[Figure]:
    """History and outbox: what one more costs when they are empty and when they are full."""
    figures = []
    with booted() as tree:
        ask = _asker(tree)
        empty = statistics.median(timed(ask) for _ in range(200))
        for _ in range(tree.config.limits.history):
            ask()
        full = statistics.median(timed(ask) for _ in range(200))
        reading = statistics.median(timed(tree.history) for _ in range(50))
        detail = f"{shown(full)} against {shown(empty)} while there is room, p50"
        figures += [
            Figure("recovery with a full history", full / empty, "x", "<= 1.5x", full / empty <= 1.5, detail),
            Figure("read the full history", reading * 1e6, "us", detail=f"{len(tree.history())} entries, p50"),
        ]
    return figures + _outbox(1_000 if quick else _MANY)


def _asker(tree: Tree) -> Callable[[], Any]:
    return lambda: tree.orchestrator.ask(upright.ErrorReport(ConnectionError("down"), "op", HEALABLE))


def _outbox(limit: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        outbox = OfflineQueue(Path(folder) / "outbox.db", limit=limit)
        taken = [timed(lambda n=n: outbox.put({"number": n})) for n in range(limit)]  # type: ignore[misc]

        def refused() -> None:
            try:
                outbox.put({"number": -1})
            except QueueFullError:
                return
            raise AssertionError("a full outbox took one more")

        full = statistics.median(timed(refused) for _ in range(100))
    tenth = limit // 10
    first, last = statistics.median(taken[:tenth]), statistics.median(taken[-tenth:])
    detail = f"{shown(last)} against {shown(first)} for the first tenth, p50, each synced to the disk"
    return [
        Figure(
            f"put into an outbox that is nearly full ({limit})",
            last / first,
            "x",
            "<= 1.5x",
            last / first <= 1.5,
            detail,
        ),
        Figure("refusal of a full outbox", full * 1e6, "us", detail="p50"),
    ]


def calls(*, quick: bool) -> list[Figure]:
    """Memory and threads after very many protected calls."""
    count = 500_000 if quick else 10_000_000
    with booted() as tree:
        call = tree.protect("many")(bare)
        for _ in range(100_000):
            call()
        process = psutil.Process(os.getpid())
        before, threads = process.memory_info().rss, threading.active_count()
        for _ in range(count):
            call()
        more = (process.memory_info().rss - before) / 2**20
        more_threads = threading.active_count() - threads
    name = f"memory more after {count / 1e6:g} million calls"
    return [Figure(name, more, "MiB", "< 1 MiB", more < 1 and more_threads <= 0, f"{more_threads} threads more")]
