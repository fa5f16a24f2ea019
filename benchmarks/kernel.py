"""What the supervision kernel costs, beside stock pykka in the same run: `python -m benchmarks.kernel [--json]`.

Each comparison interleaves the two sides and takes the median of several rounds, so a machine that slows down slows
both. Every line has its goal and whether it was met; exit status 1 if one was missed. mode-streaming, where it is
installed, is shown for comparison and has no goal.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil
import pykka

from upright.actors.actor import SupervisedActor
from upright.supervisors.api import start_child, terminate_child, which_child
from upright.supervisors.dynamic import DynamicSupervisor
from upright.supervisors.spec import ChildSpec
from upright.supervisors.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Figure", "main"]

ROUNDS = 7
MANY = 5000
FOR_EVER = 10**9  # a restart intensity that is never reached


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
    """

    name: str
    value: float
    unit: str
    goal: str
    met: bool | None
    detail: str


class Stock(pykka.ThreadingActor):
    """The same actor on stock pykka."""

    use_daemon_thread = True

    def on_receive(self, message: Any) -> Any:
        return message


class Ours(SupervisedActor):
    """Answers what it is sent; crashes when told to, and says when it is up again."""

    up = threading.Semaphore(0)

    def on_start(self) -> None:
        self.up.release()

    def on_receive(self, message: Any) -> Any:
        if message == "boom":
            raise ValueError(message)
        return message


def _timed(work: Callable[[], object]) -> float:
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


def _alternate(*sides: Callable[[], float], rounds: int = ROUNDS) -> list[float]:
    """The median of each side's measurements, taken in turns; the garbage of one is not the other's to collect."""
    taken: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for kept, side in zip(taken, sides, strict=True):
            gc.collect()
            kept.append(side())
    return [statistics.median(kept) for kept in taken]


def _p50(count: int, work: Callable[[], object]) -> float:
    return statistics.median(_timed(work) for _ in range(count))


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} us"


def _ratio(name: str, ours: float, stock: float, limit: float, what: str = "stock") -> Figure:
    value = ours / stock
    detail = f"{_us(ours)} against {_us(stock)}, {what}"
    return Figure(name, value, "x", f"<= {limit:g}x", value <= limit, detail)


def tell() -> Figure:
    """Messages per second from one sender, handled ones."""
    count = 9_000  # below the mailbox limit, so that nothing is refused

    def burst(cls: Any) -> Callable[[], float]:
        def run() -> float:
            ref = cls.start()
            ref.ask("warm")

            def work() -> None:
                for n in range(count):
                    ref.tell(n)
                ref.ask("barrier")

            seconds = min(_timed(work) for _ in range(3))
            ref.stop()
            return seconds

        return run

    stock, ours = _alternate(burst(Stock), burst(Ours))
    detail = f"{count / ours / 1e3:.0f} k/s against {count / stock / 1e3:.0f} k/s"
    return Figure("tell throughput", stock / ours, "x", ">= 1x", stock / ours >= 1, detail)


def ask() -> Figure:
    """One question and its answer."""

    def round_trip(cls: Any) -> Callable[[], float]:
        def run() -> float:
            ref = cls.start()
            _p50(200, lambda: ref.ask("x"))
            seconds = _p50(1500, lambda: ref.ask("x"))
            ref.stop()
            return seconds

        return run

    stock, ours = _alternate(round_trip(Stock), round_trip(Ours))
    return _ratio("ask round trip, p50", ours, stock, 1.3)


def _start_and_stop(cls: Any) -> float:
    return _p50(150, lambda: cls.start().stop())


def start_stop() -> Figure:
    """A start and a stop; ours waits for on_start, which pykka does not."""
    stock, ours = _alternate(lambda: _start_and_stop(Stock), lambda: _start_and_stop(Ours))
    return _ratio("start + stop, p50", ours, stock, 2.0)


def _crash_to_ready(address: Any, count: int) -> float:
    while Ours.up.acquire(blocking=False):
        pass

    def crash() -> None:
        address.tell("boom")
        Ours.up.acquire()

    return _p50(count, crash)


def restart() -> list[Figure]:
    """From the message that crashes a child to its replacement's on_start."""
    top = Supervisor.start([ChildSpec("o", Ours)], intensity=FOR_EVER, period=1.0)
    address = which_child(top, "o").address
    _crash_to_ready(address, 50)
    stock, ours = _alternate(lambda: _start_and_stop(Stock), lambda: _crash_to_ready(address, 150))
    top.stop()
    return [
        _ratio("crash to replacement, p50", ours, stock, 2.5, "stock start + stop"),
        Figure("crash to replacement, p50", ours * 1e3, "ms", "< 1 ms", ours < 1e-3, ""),
    ]


def _with_siblings(count: int, **options: Any) -> tuple[Any, Any]:
    specs = [ChildSpec(n, Ours, **options) for n in range(count)]
    top = Supervisor.start(specs, intensity=FOR_EVER, period=1.0)
    return top, which_child(top, count // 2).address


def siblings() -> list[Figure]:
    """What a restart, a start and a stop cost beside many actors, compared with few."""
    figures = []
    for name, options in (("", {}), (" with hang_timeout", {"hang_timeout": 600.0})):
        few, one = _with_siblings(10, **options)
        many, other = _with_siblings(MANY, **options)
        small, large = _alternate(partial(_crash_to_ready, one, 60), partial(_crash_to_ready, other, 60))
        figures.append(_ratio(f"restart beside {MANY}{name}", large, small, 1.5, "beside 10"))
        many.stop()
        few.stop()
    for name, set_up in (("standalone start + stop", _standalone), ("child start + terminate", _dynamic)):
        figures.append(_beside(name, set_up))
    figures.append(stock_beside())
    return figures


def _standalone(count: int) -> tuple[Callable[[], object], Callable[[], object]]:
    others = [Ours.start() for _ in range(count)]

    def clear() -> None:
        for other in reversed(others):
            other.stop()

    return lambda: Ours.start().stop(), clear


def _dynamic(count: int) -> tuple[Callable[[], object], Callable[[], object]]:
    top = DynamicSupervisor.start()
    for n in range(count):
        start_child(top, ChildSpec(n, Ours))
    spec = ChildSpec("one more", Ours)

    def work() -> None:
        address = start_child(top, spec)
        assert address is not None
        terminate_child(top, address)

    return work, top.stop


def _bare_thread() -> None:
    gate = threading.Event()
    thread = threading.Thread(target=gate.wait, daemon=True)
    thread.start()
    gate.set()
    thread.join()


def _beside(name: str, set_up: Any) -> Figure:
    # Starting a bare thread beside 5 000 others costs several times what it costs beside ten, which no library can
    # change. So the figure counts in bare thread starts of the same place.
    seconds, bare = [], []
    for count in (10, MANY):
        work, clear = set_up(count)
        one, thread = _alternate(partial(_p50, 60, work), partial(_p50, 60, _bare_thread))
        seconds.append(one)
        bare.append(thread)
        clear()
    value = (seconds[1] / bare[1]) / (seconds[0] / bare[0])
    raw = f"{_us(seconds[1])} against {_us(seconds[0])} beside 10; a bare thread {_us(bare[1])} against {_us(bare[0])}"
    return Figure(f"{name} beside {MANY}, in bare threads", value, "x", "<= 1.5x", value <= 1.5, raw)


def stock_beside() -> Figure:
    """The same with stock pykka, whose registry is a list that is searched at each stop."""
    if type(pykka.ActorRegistry._actor_refs) is not list:  # noqa: SLF001 - ours has swapped it
        pykka.ActorRegistry._actor_refs = list(pykka.ActorRegistry._actor_refs)  # noqa: SLF001
    seconds = []
    for count in (10, MANY):
        others = [Stock.start() for _ in range(count)]
        seconds.append(_p50(100, lambda: Stock.start().stop()))
        for other in others:
            other.stop()
    detail = f"{_us(seconds[1])} against {_us(seconds[0])} beside 10"
    return Figure(f"stock start + stop beside {MANY}", seconds[1] / seconds[0], "x", "", None, detail)


def growth(times: int = 10_000) -> list[Figure]:
    """Threads and memory after very many crashes and restarts."""
    top = Supervisor.start([ChildSpec("o", Ours)], intensity=FOR_EVER, period=1.0)
    address = which_child(top, "o").address
    process = psutil.Process()

    def crash(count: int) -> None:
        for _ in range(count):
            address.tell("boom")
            Ours.up.acquire()
        address.ask("barrier")

    Ours.up = threading.Semaphore(0)
    crash(500)
    gc.collect()
    threads, memory = threading.active_count(), process.memory_info().rss
    crash(times)
    time.sleep(0.05)
    gc.collect()
    more_threads = threading.active_count() - threads
    more_memory = (process.memory_info().rss - memory) / 2**20
    top.stop()
    what = f"after {times} crashes and restarts"
    return [
        Figure(f"threads more {what}", more_threads, "", "<= 0", more_threads <= 0, ""),
        Figure(f"memory more {what}", more_memory, "MiB", "< 4 MiB", more_memory < 4, ""),
    ]


def idle(seconds: float = 5.0) -> Figure:
    """What a tree costs in which nothing happens."""
    specs = [ChildSpec(n, Ours, hang_timeout=30.0) for n in range(49)]
    top = Supervisor.start([ChildSpec("inner", Supervisor, args=(specs,))])
    before = time.process_time()
    time.sleep(seconds)
    share = (time.process_time() - before) / seconds * 100
    top.stop()
    return Figure("idle tree of 50 actors", share, "% of a core", "< 0.2 %", share < 0.2, f"over {seconds:g} s")


def imports() -> list[Figure]:
    """What `import upright`, and what the kernel, costs on top of the dependencies."""
    code = (
        "import time, sys\n"
        "import pykka, structlog, psutil, tenacity, asyncio, ctypes, uuid, logging, random\n"
        "before = time.perf_counter()\n"
        "import {module}\n"
        "print(time.perf_counter() - before)\n"
    )
    figures = []
    for module in ("upright", "upright.supervisors"):
        runs = [
            float(
                subprocess.run(
                    [sys.executable, "-c", code.format(module=module)], capture_output=True, check=True
                ).stdout
            )
            for _ in range(ROUNDS)
        ]
        took = statistics.median(runs) * 1e3
        goal, met = ("< 60 ms", took < 60) if module == "upright" else ("", None)
        figures.append(Figure(f"import {module}", took, "ms", goal, met, "on top of its dependencies"))
    return figures


def mode_restart() -> Figure:
    """The same crash under mode-streaming's supervisor, if it is there."""
    name = "crash to replacement, mode-streaming"
    try:
        import mode  # noqa: PLC0415 - optional
    except ImportError:
        return Figure(name, float("nan"), "ms", "", None, "skipped: mode-streaming is not installed")
    import asyncio  # noqa: PLC0415 - only for this

    async def measure() -> float:
        up = asyncio.Event()

        class Crashing(mode.Service):
            async def on_start(self) -> None:
                up.set()

        service = Crashing()
        supervisor = mode.OneForOneSupervisor(max_restarts=1e6, over=1.0)
        supervisor.add(service)
        await supervisor.start()
        taken = []
        for _ in range(30):
            await asyncio.sleep(0.01)  # its supervisor loses a crash that comes before it waits for one
            up.clear()
            before = time.perf_counter()
            await service.crash(ValueError("boom"))
            await asyncio.wait_for(up.wait(), 10)
            taken.append(time.perf_counter() - before)
        await supervisor.stop()
        return statistics.median(taken)

    try:
        return Figure(name, asyncio.run(measure()) * 1e3, "ms", "", None, "p50")
    except Exception as error:
        return Figure(name, float("nan"), "ms", "", None, f"failed: {error!r}")


def main(arguments: list[str] | None = None) -> int:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description="What the supervision kernel costs, beside stock pykka.")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--quick", action="store_true", help="leave out what needs thousands of threads or restarts")
    options = parser.parse_args(arguments)
    for name in ("pykka", "upright", "mode"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    figures = [*imports(), tell(), ask(), start_stop(), *restart(), idle(), mode_restart()]
    if not options.quick:
        figures += [*siblings(), *growth()]
    if options.json:
        print(json.dumps([asdict(figure) for figure in figures], indent=2))
    else:
        for figure in figures:
            verdict = {True: "met", False: "MISSED", None: ""}[figure.met]
            goal = f"{figure.goal:<9} {verdict:<7}"
            print(f"{figure.name:<52} {figure.value:>9.2f} {figure.unit:<11} {goal} {figure.detail}")
    return 0 if all(figure.met is not False for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
