"""What the supervision kernel costs, beside stock pykka: messages, starts, crashes and restarts."""

from __future__ import annotations

import asyncio
import queue
import statistics
import threading
import time
from typing import TYPE_CHECKING, Any

import pykka

from benchmarks.measuring import Figure, Sides, async_sides, interleave, p50_sides, timed
from upright.actors.actor import SupervisedActor
from upright.supervisors.api import which_child
from upright.supervisors.spec import ChildSpec
from upright.supervisors.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FOR_EVER", "Ours", "Stock", "crash_to_ready", "lives", "messages", "mode_restart", "ray_ask", "restart"]

FOR_EVER = 10**9  # a restart intensity that is never reached


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


def _burst(cls: Any, count: int) -> Callable[[], float]:
    def run() -> float:
        ref = cls.start()
        ref.ask("warm")

        def work() -> None:
            for n in range(count):
                ref.tell(n)
            ref.ask("barrier")

        seconds = timed(work)
        ref.stop()
        return seconds / count

    return run


def _queue_burst(count: int) -> float:
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    over = threading.Event()

    def take() -> None:
        while inbox.get() is not None:
            pass
        over.set()

    thread = threading.Thread(target=take)
    thread.start()

    def work() -> None:
        for n in range(count):
            inbox.put(n)
        inbox.put(None)
        over.wait()

    seconds = timed(work)
    thread.join()
    return seconds / count


def messages(*, quick: bool) -> list[Figure]:
    """Tell, ask and ask_async, beside a bare queue and stock pykka."""
    rounds, count = (5, 3_000) if quick else (25, 9_000)  # below the mailbox limit, so that nothing is refused
    tells = interleave(
        {
            "bare queue and thread": lambda: _queue_burst(count),
            "stock pykka": _burst(Stock, count),
            "upright": _burst(Ours, count),
        },
        rounds,
    )
    rate = tells.best["stock pykka"] / tells.best["upright"]
    per_second = {name: f"{1e-3 / seconds:.0f} k/s" for name, seconds in tells.best.items()}
    figures = [
        Figure(
            "tell, messages handled per second",
            rate,
            "x",
            ">= 1x",
            rate >= 1,
            f"{per_second['upright']} against {per_second['stock pykka']}, stock pykka",
            "upright",
            tells.floor,
            tells.best,
            tells.rounds,
            1 / tells.paired("upright", "stock pykka"),
            tells.noise,
        )
    ]
    stock, ours, echo = Stock.start(), Ours.start(), _Echo()
    try:
        asks = p50_sides(
            {
                "two queues and a thread": echo.ask,
                "stock pykka": lambda: stock.ask("x"),
                "upright": lambda: ours.ask("x"),
            },
            100,
            rounds,
        )
        figures.append(asks.against("ask, round trip, p50", "upright", "stock pykka", 1.3))
        figures.append(_awaited(stock, ours, rounds).against("ask_async, round trip", "upright", "stock pykka"))
    finally:
        stock.stop()
        ours.stop()
        echo.stop()
    return figures


class _Echo:
    """The floor of a question: one queue to a thread, one back."""

    def __init__(self) -> None:
        self._there: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._back: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while (message := self._there.get()) is not None:
            self._back.put(message)

    def ask(self) -> Any:
        self._there.put("x")
        return self._back.get()

    def stop(self) -> None:
        self._there.put(None)
        self._thread.join()


def _awaited(stock: Any, ours: Any, rounds: int) -> Sides:
    async def to_thread() -> Any:
        return await asyncio.to_thread(_nothing)

    async def stock_ask() -> Any:
        return await asyncio.to_thread(stock.ask, "x")  # awaiting pykka's own future blocks the loop

    async def our_ask() -> Any:
        return await ours.ask_async("x")

    return async_sides({"asyncio.to_thread": to_thread, "stock pykka": stock_ask, "upright": our_ask}, rounds)


def _nothing() -> None:
    pass


def lives(*, quick: bool) -> list[Figure]:
    """A start and a stop; ours waits for on_start, which pykka does not."""
    sides = p50_sides(
        {
            "bare thread": bare_thread,
            "stock pykka": lambda: Stock.start().stop(),
            "upright": lambda: Ours.start().stop(),
        },
        30,
        5 if quick else 25,
    )
    return [sides.against("start + stop, p50", "upright", "stock pykka", 2.0)]


def bare_thread() -> None:
    """Start a thread and have it end: the floor of every start and stop."""
    gate = threading.Event()
    thread = threading.Thread(target=gate.wait, daemon=True)
    thread.start()
    gate.set()
    thread.join()


def crash_to_ready(address: Any) -> Callable[[], None]:
    """Return what sends a message that crashes a child and waits for its replacement's on_start."""
    while Ours.up.acquire(blocking=False):
        pass

    def crash() -> None:
        address.tell("boom")
        Ours.up.acquire()

    return crash


def restart(*, quick: bool) -> list[Figure]:
    """From the message that crashes a child to its replacement's on_start."""
    top = Supervisor.start([ChildSpec("o", Ours)], intensity=FOR_EVER, period=1.0)
    crash = crash_to_ready(which_child(top, "o").address)
    sides = p50_sides(
        {"bare thread": bare_thread, "stock start + stop": lambda: Stock.start().stop(), "upright": crash},
        30,
        5 if quick else 25,
    )
    top.stop()
    ours = statistics.median(sides.rounds["upright"]) * 1e3
    return [
        sides.against("crash to replacement, p50", "upright", "stock start + stop", 2.5),
        Figure("crash to replacement, p50 of all rounds", ours, "ms", "< 1 ms", ours < 1),
    ]


def mode_restart(*, quick: bool) -> list[Figure]:
    """The same crash under mode-streaming's supervisor, if it is there."""
    name = "crash to replacement, mode-streaming"
    try:
        import mode
    except ImportError:
        return [Figure(name, float("nan"), "ms", detail="skipped: mode-streaming is not installed")]

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
        for _ in range(10 if quick else 30):
            await asyncio.sleep(0.01)  # its supervisor loses a crash that comes before it waits for one
            up.clear()
            before = time.perf_counter()
            await service.crash(ValueError("boom"))
            await asyncio.wait_for(up.wait(), 10)
            taken.append(time.perf_counter() - before)
        await supervisor.stop()
        return statistics.median(taken)

    try:
        return [Figure(name, asyncio.run(measure()) * 1e3, "ms", detail="p50, for comparison")]
    except Exception as error:
        return [Figure(name, float("nan"), "ms", detail=f"failed: {error!r}")]


def ray_ask(*, quick: bool) -> list[Figure]:
    """A question to an actor of Ray, in its own process, if it is there."""
    name = "ask, round trip, Ray"
    try:
        import ray
    except ImportError:
        return [Figure(name, float("nan"), "us", detail="skipped: ray is not installed")]
    ray.init(num_cpus=1, include_dashboard=False, logging_level="ERROR")
    try:
        actor = ray.remote(_Remote).remote()
        ray.get(actor.echo.remote("x"))
        taken = [timed(lambda: ray.get(actor.echo.remote("x"))) for _ in range(100 if quick else 1_000)]
        return [Figure(name, statistics.median(taken) * 1e6, "us", detail="p50, for comparison")]
    finally:
        ray.shutdown()


class _Remote:
    def echo(self, message: Any) -> Any:
        return message
