"""A mailbox and a model of it do the same things in any order; and what many threads do to one at once adds up."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from upright.actors import SupervisedActor
from upright.actors.errors import ActorStopped
from upright.actors.letters import dead_letters
from upright.actors.mailbox import WAKE, Lane

if TYPE_CHECKING:
    from collections.abc import Callable


class LaneMachine(RuleBasedStateMachine):
    """Puts, takes, hands back and closes, as senders, a reader and an owner do."""

    def __init__(self) -> None:
        super().__init__()
        self.lane = Lane()
        self.users: deque[int] = deque()
        self.systems: deque[int] = deque()
        self.in_hand: int | None = None
        self.numbers = iter(range(10**9))
        self.closed = False

    @precondition(lambda self: not self.closed)
    @rule()
    def put(self) -> None:
        number = next(self.numbers)
        self.lane.put((number, None))
        self.users.append(number)

    @precondition(lambda self: not self.closed)
    @rule()
    def post(self) -> None:
        number = next(self.numbers)
        self.lane.post(number)
        self.systems.append(number)

    @precondition(lambda self: self.users or self.systems)
    @rule()
    def take(self) -> None:
        """What the reader's loop does: system messages first, then what was handed back, then the queue."""
        if self.in_hand is not None:
            return
        while True:
            if self.lane.system:
                assert self.lane.system.popleft() == self.systems.popleft()
                return
            item = self.lane.head.popleft() if self.lane.head else self.lane.get_nowait()
            if item is WAKE:
                self.lane.woken = False
                if not self.lane.system and not self.lane.head and self.lane.empty():
                    return
                continue
            self.in_hand = item[0]
            assert self.in_hand == self.users.popleft()
            return

    @precondition(lambda self: self.in_hand is not None)
    @rule()
    def hand_back(self) -> None:
        assert self.in_hand is not None
        self.lane.hand_back((self.in_hand, None))
        self.users.appendleft(self.in_hand)
        self.in_hand = None

    @precondition(lambda self: self.in_hand is not None)
    @rule()
    def finish(self) -> None:
        self.in_hand = None

    @rule()
    def close(self) -> None:
        self.lane.closed = self.closed = True
        taken: list[Any] = []
        self.lane.drain(lambda message, _reply: taken.append(message))
        assert taken == [*self.systems, *self.users]
        self.users.clear()
        self.systems.clear()

    @invariant()
    def the_depth_is_that_of_the_model(self) -> None:
        assert self.lane.depth == len(self.users)

    @invariant()
    def a_reader_that_waits_is_woken_for_what_is_there(self) -> None:
        if self.lane.system or self.lane.head:
            assert not self.lane.empty()


TestLaneMachine = LaneMachine.TestCase
TestLaneMachine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


class _Noting(SupervisedActor):
    def __init__(self, noted: list[tuple[int, int]]) -> None:
        super().__init__()
        self._noted = noted

    def on_receive(self, message: Any) -> Any:
        self._noted.append(message)
        return message


@pytest.mark.usefixtures("quick_switches")
def test_what_six_threads_send_while_the_actor_is_stopped_is_handled_in_order_or_answered_so() -> None:
    """Each history must be one that a single thread could have produced: exactly one answer, order kept per sender."""
    for _ in range(20):
        noted: list[tuple[int, int]] = []
        address = _Noting.start(noted)
        answers: list[list[Any]] = [[] for _ in range(6)]
        ready = threading.Barrier(7)

        def send(sender: int, answers: Any = answers, address: Any = address, ready: Any = ready) -> None:
            ready.wait()
            for number in range(100):
                try:
                    answers[sender].append(address.ask((sender, number), block=False))
                except ActorStopped:
                    answers[sender].append(None)

        threads = [threading.Thread(target=send, args=(sender,)) for sender in range(6)]
        for thread in threads:
            thread.start()
        ready.wait()
        address.stop()
        for thread in threads:
            thread.join()
        for sender in range(6):
            handled = []
            for number, reply in enumerate(answers[sender]):
                try:
                    if reply is not None and reply.get(timeout=5.0) == (sender, number):
                        handled.append(number)
                except ActorStopped:
                    pass
            assert handled == [number for who, number in noted if who == sender]
            assert handled == list(range(len(handled))), "a message was overtaken by a later one of the same sender"


def test_the_count_of_dead_letters_is_that_of_the_messages_that_reached_nobody(
    keep: Callable[..., Any],
) -> None:
    before = dead_letters.count
    address = keep(_Noting.start([]))
    address.stop()
    refused = 0
    for number in range(50):
        try:
            address.tell((0, number))
        except ActorStopped:
            refused += 1
    assert refused == 50
    assert dead_letters.count - before == 50
