from __future__ import annotations

import asyncio
import queue
import threading
from typing import TYPE_CHECKING, Any

import pytest

from upright.actors import AskTimeout, Reply, SupervisedActor
from upright.actors.reply import ReplyFuture

if TYPE_CHECKING:
    from collections.abc import Callable


class Gated(SupervisedActor):
    """Answers nothing until its gate opens."""

    def __init__(self, gate: threading.Event) -> None:
        super().__init__()
        self.gate = gate

    def on_receive(self, message: Any) -> Any:
        self.gate.wait(20)
        if isinstance(message, BaseException):
            raise message
        return message


class NotNow(Reply):
    pass


@pytest.fixture
def gate() -> threading.Event:
    return threading.Event()


@pytest.fixture
def gated(keep: Callable[..., Any], gate: threading.Event) -> Any:
    return keep(Gated.start(gate))


def test_the_first_of_two_answers_wins() -> None:
    future: ReplyFuture[int] = ReplyFuture()
    assert future.answer(1) is True
    assert future.answer(2) is False
    assert future.fail(ValueError()) is False
    assert future.get() == 1
    with pytest.raises(queue.Full):
        future.set(3)


@pytest.mark.usefixtures("quick_switches")
def test_of_many_answers_at_once_exactly_one_wins() -> None:
    for _ in range(200):
        future: ReplyFuture[int] = ReplyFuture()
        go = threading.Barrier(4)
        won: list[int] = []

        def answer(n: int, future: Any = future, go: Any = go, won: Any = won) -> None:
            go.wait(5)
            if future.answer(n):
                won.append(n)

        threads = [threading.Thread(target=answer, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        go.wait(5)
        got = future.get(timeout=5)
        for thread in threads:
            thread.join(5)
        assert won == [got]


@pytest.mark.usefixtures("quick_switches")
def test_every_waiter_is_woken_however_it_races_with_the_answer() -> None:
    for _ in range(200):
        future: ReplyFuture[str] = ReplyFuture()
        got: list[str] = []
        threads = [threading.Thread(target=lambda f=future, g=got: g.append(f.get(timeout=10))) for _ in range(3)]
        for thread in threads:
            thread.start()
        future.answer("x")
        for thread in threads:
            thread.join(15)
        assert got == ["x"] * 3
        assert not future._waiters


def test_an_interrupt_between_claim_and_wake_up_loses_no_answer() -> None:
    # What an interrupt leaves behind in the worst case: the outcome is stored, and nobody was woken.
    future: ReplyFuture[int] = ReplyFuture()
    woken: list[bool] = []
    future.add_waiter(lambda: woken.append(True))
    future._outcomes["it"] = (1, None, None)
    assert future.fail(ValueError()) is False
    assert woken == [True]
    assert future.get(timeout=0) == 1


def test_a_waiter_that_raises_is_not_the_business_of_the_one_who_answers(caplog: pytest.LogCaptureFixture) -> None:
    future: ReplyFuture[int] = ReplyFuture()

    def broken() -> None:
        raise ValueError("mine")

    woken: list[int] = []
    future.add_waiter(broken)
    future.add_waiter(lambda: woken.append(1))
    assert future.answer(1) is True
    assert woken == [1]
    assert "A waiter of a reply raised" in caplog.text


def test_ask_async_returns_the_answer(keep: Callable[..., Any], gate: threading.Event) -> None:
    gate.set()
    address = keep(Gated.start(gate))
    assert asyncio.run(address.ask_async("x")) == "x"


def test_ask_async_raises_what_the_handler_raised(gated: Any, gate: threading.Event) -> None:
    gate.set()
    with pytest.raises(NotNow):
        asyncio.run(gated.ask_async(NotNow()))


def test_a_thousand_waits_hold_no_thread_and_do_not_block_the_loop(gated: Any, gate: threading.Event) -> None:
    async def main() -> list[Any]:
        before = threading.active_count()
        asks = [asyncio.ensure_future(gated.ask_async(n)) for n in range(1000)]
        for _ in range(200):
            await asyncio.sleep(0)
        assert threading.active_count() == before
        assert not any(ask.done() for ask in asks)
        gate.set()
        return await asyncio.gather(*asks)

    assert asyncio.run(main()) == list(range(1000))


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda ask: ask(3).map(lambda n: n + 1), 4),
        (lambda ask: ask([1, 2, 3]).filter(lambda n: n > 1), [2, 3]),
        (lambda ask: ask(1).join(ask(2), ask(3)), [1, 2, 3]),
        (lambda ask: ask([1, 2, 3]).reduce(lambda a, b: a + b, 10), 16),
        (lambda ask: ask([1, 2]).map(len).map(str), "2"),
    ],
    ids=["map", "filter", "join", "reduce", "map of a map"],
)
def test_awaiting_a_combined_future_does_not_block_the_loop(
    gated: Any, gate: threading.Event, build: Callable[..., Any], expected: Any
) -> None:
    async def main() -> Any:
        combined = build(lambda message: gated.ask(message, block=False))

        async def wait() -> Any:
            return await combined

        waiting = asyncio.ensure_future(wait())
        for _ in range(50):
            await asyncio.sleep(0)
        assert not waiting.done()
        gate.set()
        return await waiting

    assert asyncio.run(main()) == expected


def test_ask_async_times_out_and_leaves_no_waiter_behind(gated: Any, gate: threading.Event) -> None:
    future = gated.ask("x", block=False)

    async def main() -> None:
        with pytest.raises(AskTimeout, match=r"no answer within 0\.01 seconds"):
            await future.wait_async(0.01)

    asyncio.run(main())
    assert not future._waiters
    gate.set()


def test_a_timeout_error_from_the_handler_is_not_taken_for_a_timeout(gated: Any, gate: threading.Event) -> None:
    class Late(Reply, TimeoutError):
        pass

    gate.set()
    with pytest.raises(Late):
        asyncio.run(gated.ask_async(Late(), timeout=10))


def test_a_cancelled_ask_is_handled_all_the_same_and_leaves_no_waiter(gated: Any, gate: threading.Event) -> None:
    future = gated.ask("x", block=False)

    async def main() -> None:
        async def wait() -> Any:
            return await future

        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert not future._waiters
    gate.set()
    assert future.get(timeout=5) == "x"


def test_an_answer_to_a_loop_that_was_closed_disturbs_nobody(gated: Any, gate: threading.Event) -> None:
    future = gated.ask("x", block=False)
    loop = asyncio.new_event_loop()

    async def wait() -> Any:
        return await future

    task = loop.create_task(wait())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    gate.set()
    assert future.get(timeout=5) == "x"
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # its loop is gone on purpose
    assert gated.ask("still there") == "still there"
    task.get_coro().close()


def test_two_loops_may_wait_for_one_answer(gated: Any, gate: threading.Event) -> None:
    future = gated.ask("x", block=False)
    got: list[Any] = []

    async def wait() -> Any:
        return await future

    threads = [threading.Thread(target=lambda: got.append(asyncio.run(wait()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(10)
    assert got == ["x", "x"]


def test_an_async_proxy_call_can_be_awaited(keep: Callable[..., Any]) -> None:
    class Adder(SupervisedActor):
        def add(self, a: int, b: int) -> int:
            return a + b

    proxy = keep(Adder.start()).proxy()

    async def main() -> Any:
        return await proxy.add(1, 2)

    assert asyncio.run(main()) == 3
