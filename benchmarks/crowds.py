"""What the kernel costs beside many others: 10, 500 and 5 000 actors; memory, threads, growth, idleness."""

from __future__ import annotations

import gc
import statistics
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil
import pykka

from benchmarks.kernel import FOR_EVER, Ours, Stock, bare_thread, crash_to_ready
from benchmarks.measuring import Figure, Sides, at_most, interleave, p50_sides, shown, timed
from upright.supervisors.api import start_child, terminate_child, which_child
from upright.supervisors.dynamic import DynamicSupervisor
from upright.supervisors.spec import ChildSpec
from upright.supervisors.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["beside_many", "footprint", "growth", "idle"]

_FEW = 10


def _sizes(*, quick: bool) -> tuple[int, ...]:
    return (_FEW, 500) if quick else (_FEW, 500, 5_000)


def beside_many(*, quick: bool) -> list[Figure]:
    """Tell, ask, restart, start and stop beside 10, 500 and 5 000 siblings."""
    figures = []
    rounds = 5 if quick else 9
    for name, set_up in (
        ("ask", _asked),
        ("tell", _told),
        ("restart", _crashed),
        ("restart, with hang_timeout", partial(_crashed, hang_timeout=600.0)),
    ):
        figures += _compared(name, set_up, rounds, _sizes(quick=quick))
    for name, set_up in (("standalone start + stop", _standalone), ("child start + terminate", _dynamic)):
        figures += _in_threads(name, set_up, rounds, _sizes(quick=quick))
    figures.append(_stock_beside(_sizes(quick=quick)[-1]))
    figures += _whole_trees(_sizes(quick=quick))
    return figures


Setting = tuple["Callable[[], object]", "Callable[[], object]"]
"""What to measure, and what clears it away."""


def _supervised(count: int, **options: Any) -> tuple[Any, Any]:
    specs = [ChildSpec(n, Ours, **options) for n in range(count)]
    top = Supervisor.start(specs, intensity=FOR_EVER, period=1.0)
    return top, which_child(top, count // 2).address


def _asked(count: int) -> Setting:
    top, address = _supervised(count)
    return lambda: address.ask("x"), top.stop


def _told(count: int) -> Setting:
    top, address = _supervised(count)

    def work() -> None:
        for n in range(1_000):
            address.tell(n)
        address.ask("barrier")

    return work, top.stop


def _crashed(count: int, **options: Any) -> Setting:
    top, address = _supervised(count, **options)
    return crash_to_ready(address), top.stop


def _standalone(count: int) -> Setting:
    others = [Ours.start() for _ in range(count)]

    def clear() -> None:
        for other in reversed(others):
            other.stop()

    return lambda: Ours.start().stop(), clear


def _dynamic(count: int) -> Setting:
    top = DynamicSupervisor.start()
    for n in range(count):
        start_child(top, ChildSpec(n, Ours))
    spec = ChildSpec("one more", Ours)

    def work() -> None:
        address = start_child(top, spec)
        assert address is not None
        terminate_child(top, address)

    return work, top.stop


def _compared(name: str, set_up: Callable[[int], Setting], rounds: int, sizes: tuple[int, ...]) -> list[Figure]:
    """Compare the same work beside few and beside many, both there at the same time and taken in turns."""
    figures = []
    for count in sizes[1:]:
        few, clear_few = set_up(_FEW)
        many, clear_many = set_up(count)
        sides = p50_sides({f"beside {_FEW}": few, f"beside {count}": many}, 20, rounds)
        clear_many()
        clear_few()
        figures.append(sides.against(f"{name} beside {count}", f"beside {count}", sides.floor, 1.5))
    return figures


def _in_threads(name: str, set_up: Callable[[int], Setting], rounds: int, sizes: tuple[int, ...]) -> list[Figure]:
    # Starting a bare thread beside 5 000 others costs several times what it costs beside ten, which no library can
    # change. So the figure counts in bare thread starts of the same place.
    taken: dict[int, Sides] = {}
    for count in sizes:
        work, clear = set_up(count)
        taken[count] = p50_sides({"bare thread": bare_thread, "upright": work}, 10, rounds * 3)
        clear()
    few = taken[_FEW].best
    figures = []
    for count in sizes[1:]:
        sides, many = taken[count], taken[count].best
        value = (many["upright"] / many["bare thread"]) / (few["upright"] / few["bare thread"])
        raw = (
            f"{shown(many['upright'])} against {shown(few['upright'])} beside {_FEW}; "
            f"a bare thread {shown(many['bare thread'])} against {shown(few['bare thread'])}"
        )
        title = f"{name} beside {count}, in bare threads"
        figures.append(
            Figure(title, value, "x", "<= 1.5x", value <= 1.5, raw, "upright", sides.floor, many, noise=sides.noise)
        )
    return figures


def _stock_beside(count: int) -> Figure:
    """The same with stock pykka, whose registry is a list that is searched at each stop."""
    if type(pykka.ActorRegistry._actor_refs) is not list:  # noqa: SLF001 - ours has swapped it
        pykka.ActorRegistry._actor_refs = list(pykka.ActorRegistry._actor_refs)  # noqa: SLF001
    seconds = []
    for size in (_FEW, count):
        others = [Stock.start() for _ in range(size)]
        seconds.append(statistics.median(timed(lambda: Stock.start().stop()) for _ in range(100)))
        for other in others:
            other.stop()
    detail = f"{shown(seconds[1])} against {shown(seconds[0])} beside {_FEW}"
    return Figure(f"stock start + stop beside {count}", seconds[1] / seconds[0], "x", detail=detail)


def _whole_trees(sizes: tuple[int, ...]) -> list[Figure]:
    """Start and stop a supervisor with many children, beside as many bare threads that are started and joined."""
    figures = []
    for count in sizes:

        def tree(count: int = count) -> float:
            specs = [ChildSpec(n, Ours) for n in range(count)]
            return timed(lambda: Supervisor.start(specs).stop()) / count

        def threads(count: int = count) -> float:
            return timed(lambda: _threads(count)) / count

        def stock(count: int = count) -> float:
            return timed(lambda: _stock(count)) / count

        sides = interleave({"bare threads": threads, "stock pykka": stock, "upright": tree}, 9 if count < 1_000 else 3)
        figures.append(sides.against(f"tree of {count}: start + stop, per child", "upright", "stock pykka"))
    return figures


def _threads(count: int) -> None:
    gate = threading.Event()
    crowd = [threading.Thread(target=gate.wait, daemon=True) for _ in range(count)]
    for thread in crowd:
        thread.start()
    gate.set()
    for thread in crowd:
        thread.join()


def _stock(count: int) -> None:
    others = [Stock.start() for _ in range(count)]
    for other in others:
        other.stop()


def footprint(*, quick: bool) -> list[Figure]:
    """Memory and threads of one idle actor, beside a bare thread and stock pykka."""
    count = 500 if quick else 2_000
    gate = threading.Event()

    def threads() -> Callable[[], object]:
        crowd = [threading.Thread(target=gate.wait, daemon=True) for _ in range(count)]
        for thread in crowd:
            thread.start()
        return gate.set

    def stock() -> Callable[[], object]:
        others = [Stock.start() for _ in range(count)]
        return lambda: [other.stop() for other in others]

    def ours() -> Callable[[], object]:
        return Supervisor.start([ChildSpec(n, Ours) for n in range(count)]).stop

    taken = {"bare thread": _held(threads, count), "stock pykka": _held(stock, count), "upright": _held(ours, count)}
    detail = ", ".join(f"{name} {memory:.1f} kB" for name, (memory, _) in taken.items())
    return [
        Figure("memory of an idle actor, resident", taken["upright"][0], "kB", detail=detail),
        at_most("threads of an actor", round(taken["upright"][1], 2), "", 1.01, "and one of its supervisor"),
    ]


def _held(start: Callable[[], Callable[[], object]], count: int) -> tuple[float, float]:
    process = psutil.Process()
    gc.collect()
    memory, threads = process.memory_info().rss, threading.active_count()
    clear = start()
    gc.collect()
    more = (process.memory_info().rss - memory) / 1024 / count, (threading.active_count() - threads) / count
    clear()
    return more


def growth(*, quick: bool) -> list[Figure]:
    """Threads and memory after very many crashes and restarts."""
    times = 1_000 if quick else 10_000
    top = Supervisor.start([ChildSpec("o", Ours)], intensity=FOR_EVER, period=1.0)
    address = which_child(top, "o").address
    crash = crash_to_ready(address)
    process = psutil.Process()
    for _ in range(500):
        crash()
    address.ask("barrier")
    gc.collect()
    threads, memory = threading.active_count(), process.memory_info().rss
    for _ in range(times):
        crash()
    address.ask("barrier")
    time.sleep(0.05)
    gc.collect()
    more_threads = threading.active_count() - threads
    more_memory = (process.memory_info().rss - memory) / 2**20
    top.stop()
    what = f"after {times} crashes and restarts"
    return [
        at_most(f"threads more {what}", more_threads, "", 0),
        at_most(f"memory more {what}", more_memory, "MiB", 4),
    ]


def idle(*, quick: bool) -> list[Figure]:
    """What a tree costs in which nothing happens."""
    seconds = 2.0 if quick else 10.0
    specs = [ChildSpec(n, Ours, hang_timeout=30.0) for n in range(49)]
    top = Supervisor.start([ChildSpec("inner", Supervisor, args=(specs,))])
    before = time.process_time()
    time.sleep(seconds)
    share = (time.process_time() - before) / seconds * 100
    top.stop()
    name, limit = "idle tree of 50 actors", 0.2
    return [Figure(name, share, "% of a core", f"< {limit} %", share < limit, f"over {seconds:g} s")]
