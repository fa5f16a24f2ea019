from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from upright.actors import (
    NORMAL,
    ActorStopped,
    Down,
    MailboxFull,
    SupervisedActor,
    dead_letters,
)
from upright.actors.reply import ReplyFuture

if TYPE_CHECKING:
    from collections.abc import Callable


class Gated(SupervisedActor):
    """Takes one message and waits at a gate before it takes the next."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.at_gate = threading.Event(), threading.Event()
        self.handled: list[Any] = []

    def on_receive(self, message: Any) -> Any:
        if message == "gate":
            self.at_gate.set()
            self.gate.wait(10)
        elif message == "stop":
            self.stop()
        else:
            self.handled.append(message)
        return message


class Small(Gated):
    mailbox_limit = 3


def _at_gate(address: Any) -> Gated:
    actor = address.actor
    assert isinstance(actor, Gated)
    address.tell("gate")
    assert actor.at_gate.wait(5)
    return actor


def test_a_full_mailbox_refuses_and_says_whose_it_is_and_what_fits(keep: Callable[..., Any]) -> None:
    address = keep(Small.start())
    actor = _at_gate(address)
    for n in range(3):
        address.tell(n)
    with pytest.raises(MailboxFull) as caught:
        address.tell("one too many")
    assert (caught.value.name, caught.value.limit) == (address.name, 3)
    assert address.depth == 3
    actor.gate.set()
    assert address.stop() is True
    assert actor.handled in ([0, 1, 2], [0, 1], [0], [])  # stop() overtakes, the refused one never comes


def test_a_refused_ask_gets_mailbox_full_as_its_answer(keep: Callable[..., Any]) -> None:
    address = keep(Small.start())
    actor = _at_gate(address)
    futures = [address.ask(n, block=False) for n in range(5)]
    for future in futures[3:]:
        with pytest.raises(MailboxFull):
            future.get(timeout=0)
    actor.gate.set()
    assert [future.get(timeout=5) for future in futures[:3]] == [0, 1, 2]


def test_a_sender_never_blocks_on_a_full_mailbox(keep: Callable[..., Any]) -> None:
    address = keep(Small.start())
    actor = _at_gate(address)
    before, refused = monotonic(), 0
    for n in range(1000):
        try:
            address.tell(n)
        except MailboxFull:
            refused += 1
    assert refused == 997
    assert monotonic() - before < 2
    actor.gate.set()


def test_a_refused_message_is_counted_as_a_dead_letter(keep: Callable[..., Any]) -> None:
    address = keep(Small.start())
    actor = _at_gate(address)
    before = dead_letters.count
    for n in range(5):
        try:
            address.tell(n)
        except MailboxFull:
            continue
    assert dead_letters.count == before + 2
    assert [letter.message for letter in dead_letters.recent(2)] == [3, 4]
    assert dead_letters.recent(1)[0].reason == "mailbox full"
    actor.gate.set()


def test_a_request_to_stop_fits_into_a_full_mailbox() -> None:
    address = Small.start()
    actor = _at_gate(address)
    for n in range(3):
        address.tell(n)
    future = address.stop(block=False)
    actor.gate.set()
    assert future.get(timeout=5) is True


def test_address_stop_overtakes_what_is_queued() -> None:
    address = Gated.start()
    actor = _at_gate(address)
    queued = [address.ask(n, block=False) for n in range(5)]
    stopping = address.stop(block=False)
    actor.gate.set()
    assert stopping.get(timeout=5) is True
    assert actor.handled == []
    for future in queued:
        with pytest.raises(ActorStopped, match="stopped"):
            future.get(timeout=5)
    assert address.exit_reason == NORMAL


def test_self_stop_handles_what_was_queued_before_it() -> None:
    address = Gated.start()
    actor = _at_gate(address)
    address.tell("a")
    address.tell("stop")
    address.tell("b")  # was sent before the actor came to "stop", so it is queued before its stop()
    actor.gate.set()
    incarnation = address.incarnation
    assert incarnation is not None
    assert incarnation.wait_ended(5)
    assert actor.handled == ["a", "b"]


def test_the_system_lane_overtakes_queued_messages(keep: Callable[..., Any]) -> None:
    watched = Gated.start()
    address = keep(Gated.start())
    actor = _at_gate(address)
    watched.monitor(address)
    for n in range(3):
        address.tell(n)
    watched.stop()
    actor.gate.set()
    address.ask("barrier")
    assert [type(message) for message in actor.handled] == [Down, int, int, int, str]


def test_messages_keep_the_order_in_which_one_thread_sent_them(keep: Callable[..., Any]) -> None:
    address = keep(Gated.start())
    for n in range(2000):
        address.tell(n)
    address.ask("barrier")
    assert address.actor.handled[:-1] == list(range(2000))


def test_the_depth_counts_messages_and_not_wake_ups(keep: Callable[..., Any]) -> None:
    address = keep(Gated.start())
    actor = _at_gate(address)
    address.lane.wake()
    assert address.depth == 0
    address.tell("x")
    assert address.depth == 1
    actor.gate.set()
    address.ask("barrier")
    assert address.depth == 0


def test_a_message_to_a_stopped_actor_is_refused_and_counted() -> None:
    address = Gated.start()
    address.stop()
    before = dead_letters.count
    with pytest.raises(ActorStopped, match="not found"):
        address.tell("x")
    with pytest.raises(ActorStopped):
        address.ask("x")
    assert dead_letters.count == before + 2


def test_stop_says_whether_there_was_something_to_stop() -> None:
    address = Gated.start()
    assert address.stop() is True
    assert address.stop() is False
    assert address.stop(block=False).get(timeout=0) is False


def test_a_second_stop_waits_for_on_stop_as_the_first_does() -> None:
    in_on_stop, go_on, done = threading.Event(), threading.Event(), threading.Event()

    class SlowEnd(SupervisedActor):
        def on_stop(self) -> None:
            in_on_stop.set()
            go_on.wait(10)
            done.set()

    address = SlowEnd.start()
    first = address.stop(block=False)
    in_on_stop.wait(5)
    second = address.stop(block=False)
    assert isinstance(second, ReplyFuture)
    assert not second.done
    go_on.set()
    assert second.get(timeout=5) is True
    assert done.is_set()
    assert first.get(timeout=5) is True


def test_dead_letters_are_bounded_and_counted() -> None:
    from upright.actors import DeadLetters

    letters = DeadLetters(limit=3)
    for n in range(10):
        letters.add("somebody", n, "nobody there")
    assert letters.count == 10
    assert [letter.message for letter in letters.recent()] == [7, 8, 9]
    assert [letter.message for letter in letters.recent(1)] == [9]
    assert letters.recent(0) == []
    letters.clear()
    assert (letters.recent(), letters.count) == ([], 10)
