"""Exactly one answer to every ask, whatever becomes of the actor."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from upright.actors import NORMAL, ActorKilled, ActorStopped, AskTimeout, Killed, MailboxFull, SelfAsk, SupervisedActor
from upright.supervisors import (
    BRUTAL_KILL,
    ChildSpec,
    RestartStrategy,
    Supervisor,
    restart_child,
    terminate_child,
    which_child,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.actors import Address
    from upright.actors.reply import ReplyFuture


class Boom(Exception):
    pass


class Echo(SupervisedActor):
    def on_receive(self, message: Any) -> Any:
        if message == "boom":
            raise Boom
        return message


class Sender(threading.Thread):
    """Asks as fast as it can until the address refuses for good; keeps every future."""

    def __init__(self, address: Address[Any], until: Callable[[], bool]) -> None:
        super().__init__()
        self.address, self.until = address, until
        self.futures: list[ReplyFuture[Any]] = []
        self.begun = threading.Event()

    def run(self) -> None:
        n = 0
        while not self.until():
            self.futures.append(self.address.ask(n, block=False))
            n += 1
            if n == 20:
                self.begun.set()
            if n >= 20_000:
                break
        self.begun.set()


def _outcomes(senders: list[Sender]) -> tuple[int, int]:
    """How many asks were answered, and how many of them by the actor itself; one that is not fails the test."""
    handled = total = 0
    for sender in senders:
        for n, future in enumerate(sender.futures):
            total += 1
            try:
                assert future.get(timeout=10) == n
                handled += 1
            except (ActorStopped, MailboxFull, Boom):
                continue
    return total, handled


def _is_down(address: Address[Any]) -> bool:
    return not address.is_alive()


def _race_with(end: Callable[[Address[Any]], object], asks: int) -> int:
    total = 0
    while total < asks:
        address = Echo.start()
        senders = [Sender(address, partial(_is_down, address)) for _ in range(3)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.begun.wait(10)
        end(address)
        for sender in senders:
            sender.join(20)
        total += _outcomes(senders)[0]
    return total


def _crash(address: Address[Any]) -> None:
    address.send_unbounded("boom")


@pytest.mark.usefixtures("quick_switches")
@pytest.mark.actor_crash
@pytest.mark.parametrize("end", [lambda address: address.stop(), _crash], ids=["stop", "crash"])
def test_every_ask_that_races_with_an_end_is_answered(end: Callable[[Address[Any]], object]) -> None:
    assert _race_with(end, 5_000) >= 5_000


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("quick_switches")
@pytest.mark.actor_crash
@pytest.mark.parametrize("end", [lambda address: address.stop(), _crash], ids=["stop", "crash"])
def test_every_ask_of_very_many_that_race_with_an_end_is_answered(end: Callable[[Address[Any]], object]) -> None:
    assert _race_with(end, 100_000) >= 100_000


def _kill(top: Address[Any]) -> None:
    terminate_child(top, "echo")
    restart_child(top, "echo")


def _restart(top: Address[Any]) -> None:
    which_child(top, "echo").address.send_unbounded("boom")


@pytest.mark.usefixtures("quick_switches")
@pytest.mark.actor_crash
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # an interrupt may hit a finalizer
@pytest.mark.parametrize("disturb", [_kill, _restart], ids=["kill", "crash and restart"])
def test_every_ask_is_answered_once_while_a_child_is_replaced(disturb: Callable[[Address[Any]], object]) -> None:
    top = Supervisor.start(
        [ChildSpec("echo", Echo, shutdown=BRUTAL_KILL)], intensity=1000, strategy=RestartStrategy.ONE_FOR_ALL
    )
    address = which_child(top, "echo").address
    done = threading.Event()
    senders = [Sender(address, done.is_set) for _ in range(2)]
    for sender in senders:
        sender.start()
    for _ in range(20):
        disturb(top)
    done.set()
    for sender in senders:
        sender.join(20)
    # While the slot is open an ask is either handled or fails with what ended the actor; at the end nothing hangs.
    top.stop(timeout=20)
    total, _ = _outcomes(senders)
    assert total > 100


@pytest.mark.usefixtures("quick_switches")
@pytest.mark.actor_crash
def test_every_ask_is_answered_when_the_supervisor_gives_up() -> None:
    for _ in range(5):
        top = Supervisor.start([ChildSpec("echo", Echo)], intensity=2)
        address = which_child(top, "echo").address
        senders = [Sender(address, partial(_is_down, address)) for _ in range(2)]
        for sender in senders:
            sender.start()
        for _ in range(5):
            address.send_unbounded("boom")
        for sender in senders:
            sender.join(20)
        assert _outcomes(senders)[0] > 0
        assert not address.is_alive()


@pytest.mark.usefixtures("quick_switches")
def test_every_request_to_stop_is_answered_however_many_there_are() -> None:
    for _ in range(30):
        address = Echo.start()
        stops: list[Any] = []
        threads = [threading.Thread(target=lambda: stops.append(address.stop(timeout=10))) for _ in range(6)]  # noqa: B023
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(15)
        assert len(stops) == 6
        assert True in stops


@pytest.mark.usefixtures("quick_switches")
@pytest.mark.actor_crash  # a permanent child that ends normally while it is being stopped is reported, as in OTP
def test_every_request_to_stop_is_answered_while_the_child_is_killed_and_started_again() -> None:
    top = Supervisor.start([ChildSpec("echo", Echo, shutdown=BRUTAL_KILL)], intensity=100_000, period=1.0)
    address = which_child(top, "echo").address
    done = threading.Event()
    answers: list[Any] = []

    def stop_it() -> None:
        while not done.is_set():
            answers.append(address.stop(block=False).get(timeout=10))

    threads = [threading.Thread(target=stop_it) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(40):
        _kill(top)
    done.set()
    for thread in threads:
        thread.join(20)
    top.stop(timeout=20)
    assert not any(thread.is_alive() for thread in threads)
    assert len(answers) > 40


def test_a_stop_that_bounced_off_a_closed_mailbox_does_not_wait_for_the_next_incarnation() -> None:
    from upright.actors.messages import Stop
    from upright.actors.reply import ReplyFuture

    top = Supervisor.start([ChildSpec("echo", Echo)])
    address = which_child(top, "echo").address
    old = address.lane
    terminate_child(top, "echo")
    restart_child(top, "echo")
    reply: ReplyFuture[bool] = ReplyFuture()
    old.post(Stop(NORMAL, reply_to=reply))  # a sender that held the old mailbox all the while
    address.bounce(old)
    assert reply.get(timeout=1) is True
    assert address.ask("still here") == "still here"
    top.stop()


def test_the_answer_of_an_actor_that_was_killed_meanwhile_is_discarded() -> None:
    taken, go_on = threading.Event(), threading.Event()

    class Slow(SupervisedActor):
        def on_receive(self, message: Any) -> Any:
            taken.set()
            try:
                go_on.wait(10)
            except BaseException:  # the interrupt: a handler that swallows it is the worst case
                return "late"
            return "late"

    top = Supervisor.start([ChildSpec("slow", Slow, shutdown=BRUTAL_KILL)])
    address = which_child(top, "slow").address
    future = address.ask("work", block=False)
    taken.wait(5)
    terminate_child(top, "slow")
    with pytest.raises(ActorKilled):
        future.get(timeout=5)
    go_on.set()
    with pytest.raises(ActorKilled):
        future.get(timeout=5)
    assert address.exit_reason == Killed()
    top.stop()


def test_an_actor_that_asks_itself_is_told_instead_of_waiting_for_ever(keep: Callable[..., Any]) -> None:
    class Narcissus(SupervisedActor):
        def on_receive(self, message: Any) -> Any:
            try:
                return self.actor_ref.ask(message)
            except SelfAsk as error:
                return error

        def stop_waiting(self) -> Any:
            try:
                return self.actor_ref.stop()
            except SelfAsk as error:
                return error

    address = keep(Narcissus.start())
    assert isinstance(address.ask("mirror", timeout=5), SelfAsk)
    assert isinstance(address.call("stop_waiting"), SelfAsk)


def test_an_ask_that_takes_too_long_says_so_and_can_be_waited_for_again(keep: Callable[..., Any]) -> None:
    import pykka

    go_on = threading.Event()

    class Slow(SupervisedActor):
        def on_receive(self, message: Any) -> Any:
            go_on.wait(10)
            return message

    address = keep(Slow.start())
    future = address.ask("x", block=False)
    with pytest.raises(AskTimeout) as caught:
        future.get(timeout=0.01)
    assert isinstance(caught.value, pykka.Timeout)
    assert isinstance(caught.value, TimeoutError)
    go_on.set()
    assert future.get(timeout=5) == "x"
    assert not future._waiters
