"""Protected calls: success, a steady outage, a rejection; every stage on."""

from __future__ import annotations

import threading
import time
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from benchmarks.measuring import Figure, Sides, async_sides, interleave, shown, sync_sides
from benchmarks.parts import HEALABLE, bare, bare_async, booted, down, down_async, wrapped, wrapped_async
from benchmarks.peers import async_peers, failing_peers, rejecting_peers, sync_peers
from upright.strategies.fallback.cached_response import CachedResponse
from upright.strategies.fallback.chain import FallbackChain, FallbackStep

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.tree import Tree

__all__ = ["outage", "rejection", "success", "success_async", "threads", "where"]

FLOOR = "try/except"
OURS = "upright, all stages"
CIRCUIT = "circuitbreaker"
_OPEN = {"minimum_number_of_calls": 2, "wait_duration_in_open": 86_400, "max_wait_duration_in_open": 86_400}


def _rounds(*, quick: bool) -> int:
    return 15 if quick else 100


def success(*, quick: bool) -> list[Figure]:
    """A successful call, beside a try/except wrapper and every peer."""
    rounds = _rounds(quick=quick)
    chain = FallbackChain("success", [FallbackStep("never", lambda _: None)])
    with booted(chain) as tree:
        ours = tree.protect("success", resource=HEALABLE)(bare)
        functions = {FLOOR: wrapped(bare), "bare call": bare, OURS: ours, **sync_peers(bare)}
        sides = sync_sides(functions, rounds)
    figures = []
    if CIRCUIT in sides.best:
        figures.append(sides.against("success, sync", OURS, CIRCUIT, 0.7))
    if "nopanic fallback+retry+breaker" in sides.best:
        figures.append(
            sides.against("success, sync, against three stages", OURS, "nopanic fallback+retry+breaker", 0.25)
        )
    figures.append(sides.against("success, sync, against the floor", OURS, FLOOR, 2.5, stretch=True))
    return figures


def success_async(*, quick: bool) -> list[Figure]:
    """The same for `async def`."""
    rounds = _rounds(quick=quick)
    with booted(FallbackChain("success", [FallbackStep("never", lambda _: None)])) as tree:
        ours = tree.protect("success", resource=HEALABLE)(bare_async)
        functions = {FLOOR: wrapped_async(bare_async), "bare await": bare_async, OURS: ours, **async_peers(bare_async)}
        sides = async_sides(functions, rounds)
    figures = [sides.against("success, async, against the floor", OURS, FLOOR, 2.5, stretch=True)]
    if CIRCUIT in sides.best:
        figures.insert(0, sides.against("success, async", OURS, CIRCUIT, 1.0))
        figures.insert(1, sides.against("success, async, stretch", OURS, CIRCUIT, 0.7, stretch=True))
    return figures


def _side_by_side(function: Callable[[], Any], workers: int, count: int) -> Callable[[], float]:
    """Return what measures the seconds per call of `workers` threads that call together: `count` calls in all."""

    def run() -> float:
        gate = threading.Barrier(workers + 1)
        each = range(count // workers)

        def work() -> None:
            gate.wait()
            for _ in each:
                function()
            gate.wait()

        crowd = [threading.Thread(target=work) for _ in range(workers)]
        for thread in crowd:
            thread.start()
        gate.wait()
        before = time.perf_counter()
        gate.wait()
        took = time.perf_counter() - before
        for thread in crowd:
            thread.join()
        return took / (len(each) * workers)

    return run


def where(*, quick: bool) -> list[Figure]:
    """Where a successful call spends its time: a wrapper to which one part after another is added."""
    log: deque[Any] = deque(maxlen=100)

    def two_readings(*args: Any, **kwargs: Any) -> Any:
        began = monotonic()
        try:
            value = bare(*args, **kwargs) if kwargs else bare(*args)
        except Exception:  # noqa: TRY203 - as in the floor
            raise
        if monotonic() - began > 60.0:
            log.clear()
        return value

    def logged(*args: Any, **kwargs: Any) -> Any:
        began = monotonic()
        try:
            value = bare(*args, **kwargs) if kwargs else bare(*args)
        except Exception:  # noqa: TRY203 - as in the floor
            raise
        ended = monotonic()
        took = ended - began
        log.append((ended, took, False))
        if took > 60.0:
            log.clear()
        return value

    with booted() as tree:
        functions = {
            FLOOR: wrapped(bare),
            "and two readings of the clock": two_readings,
            "and the outcome in a log": logged,
            OURS: tree.protect("where", resource=HEALABLE)(bare),
        }
        sides = sync_sides(functions, _rounds(quick=quick))
    best = list(sides.best.values())
    rest = (best[-1] - best[-2]) * 1e9
    detail = f"{shown(best[-2])} without them"
    return [Figure("snapshot of the circuit, binding, threshold", rest, "ns", detail=detail, ours=OURS,
                   floor=FLOOR, sides=sides.best, rounds=sides.rounds, noise=sides.noise)]  # fmt: skip


def threads(*, quick: bool) -> list[Figure]:
    """Sixteen threads in one operation, beside one thread, and the same for a try/except wrapper."""
    count, rounds = (64_000, 5) if quick else (320_000, 15)
    with booted() as tree:
        ours, floor = tree.protect("threads")(bare), wrapped(bare)
        sides = interleave(
            {
                "floor, 1 thread": _side_by_side(floor, 1, count),
                "floor, 16 threads": _side_by_side(floor, 16, count),
                "ours, 1 thread": _side_by_side(ours, 1, count),
                "ours, 16 threads": _side_by_side(ours, 16, count),
            },
            rounds,
        )
        blocking = tree.protect("parallel")(time.sleep)
        slept = min(_side_by_side(lambda: blocking(0.05), 16, 16)() for _ in range(3)) * 16
    best = sides.best
    interpreter = best["floor, 16 threads"] / best["floor, 1 thread"]
    value = best["ours, 16 threads"] / best["ours, 1 thread"] / interpreter
    detail = (
        f"{shown(best['ours, 16 threads'])} against {shown(best['ours, 1 thread'])} in one; "
        f"the interpreter alone costs {interpreter:.2f}x"
    )
    return [
        Figure(
            "success, 16 threads, per call beyond the interpreter's own",
            value,
            "x",
            "<= 1.15x",
            value <= 1.15,
            detail,
            "ours, 16 threads",
            sides.floor,
            best,
            sides.rounds,
            noise=sides.noise,
        ),
        Figure(
            "16 calls of 50 ms in 16 threads",
            slept * 1e3,
            "ms",
            "< 200 ms",
            slept < 0.2,
            "800 ms if anything serialised them",
        ),
    ]


def _opened(tree: Tree, name: str) -> None:
    call = tree.protect(name, retry_attempts=1)(down)
    deadline = time.monotonic() + 10
    while tree.breakers[name].state != "OPEN":
        try:
            call()
        except Exception:
            time.sleep(0.001)
        assert time.monotonic() < deadline, "the circuit did not open"


def _caught(function: Callable[[], Any]) -> Callable[[], None]:
    def call() -> None:
        try:
            function()
        except Exception:
            return

    return call


def outage(*, quick: bool) -> list[Figure]:
    """A steady outage: the circuit is open, the answer comes from a cache."""
    rounds = _rounds(quick=quick)
    cache = {"answer": 1}
    step = CachedResponse()
    step.store.put(step.store.key("what is pi?"), 3.14)
    chains = (
        FallbackChain("plain", [FallbackStep("dict", lambda _: cache["answer"])]),
        FallbackChain("remembered", [step]),
    )
    with booted(*chains, breaker=_OPEN) as tree:
        for name in ("plain", "remembered"):
            _opened(tree, name)
        plain = tree.protect("plain")(down)
        remembered = tree.protect("remembered")(down)
        functions: dict[str, Any] = {
            "except, dict": _by_hand(cache),
            "upright": plain,
            "upright, CachedResponse": lambda: remembered("what is pi?"),
            **failing_peers(down, lambda: cache["answer"]),
        }
        sides = sync_sides(functions, rounds)
        figures = _outage_figures("steady outage, sync", sides)
        plain_async, remembered_async = tree.protect("plain")(down_async), tree.protect("remembered")(down_async)

        async def ask_remembered() -> Any:
            return await remembered_async("what is pi?")

        asynchronous: dict[str, Any] = {
            "except, dict": _by_hand_async(cache),
            "upright": plain_async,
            "upright, CachedResponse": ask_remembered,
            **failing_peers(down_async, lambda: cache["answer"]),
        }
        figures += _outage_figures("steady outage, async", async_sides(asynchronous, rounds))
        assert plain() == 1
        assert remembered("what is pi?") == 3.14
    return figures


def _outage_figures(name: str, sides: Sides) -> list[Figure]:
    if "nopanic fallback" not in sides.best:
        return [sides.against(name, "upright", "except, dict")]
    return [
        sides.against(name, "upright", "nopanic fallback", 2.0),
        sides.against(f"{name}, standard cached step", "upright, CachedResponse", "nopanic fallback", 2.0),
    ]


def _by_hand(cache: dict[str, int]) -> Callable[[], int]:
    def call() -> int:
        try:
            return int(down())
        except Exception:
            return cache["answer"]

    return call


def _by_hand_async(cache: dict[str, int]) -> Callable[[], Any]:
    async def call() -> int:
        try:
            return int(await down_async())
        except Exception:
            return cache["answer"]

    return call


def rejection(*, quick: bool) -> list[Figure]:
    """A call that an open circuit rejects, without a chain."""
    rounds = _rounds(quick=quick)
    with booted(breaker=_OPEN) as tree:
        _opened(tree, "rejected")
        ours = tree.protect("rejected")(down)
        functions = {"raise and catch": _caught(down), "upright": _caught(ours)}
        for name, peer in rejecting_peers(down).items():
            _caught(peer)()  # opens it
            functions[name] = _caught(peer)
        sides = sync_sides(functions, rounds)
    if CIRCUIT not in sides.best:
        return [sides.against("rejection without a chain", "upright", "raise and catch")]
    return [sides.against("rejection without a chain", "upright", CIRCUIT, 1.0)]
