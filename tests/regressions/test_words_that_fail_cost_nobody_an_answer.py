"""A failure in finding the words of a refusal lost the message just taken out, or left an actor half killed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from upright.actors import ActorKilled, ActorStopped, SupervisedActor
from upright.actors.address import Address
from upright.actors.exits import Hung, Killed

if TYPE_CHECKING:
    from upright.actors.ledger import Ticket


class _Deferring(SupervisedActor):
    """Answers nothing, ever."""

    def on_receive(self, message: Any) -> Ticket:
        return self.defer()


def _no_words(*_: Any) -> str:
    raise MemoryError("no words")


@pytest.mark.parametrize("kind", [MemoryError, KeyboardInterrupt])
def test_what_waited_and_what_was_accepted_is_answered(
    monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]
) -> None:
    def no_words(_: Address[Any]) -> str:
        raise kind("no words")

    address = _Deferring.start()
    accepted = address.ask("accepted", block=False)
    address.stop()
    with pytest.raises(ActorStopped):
        accepted.get(timeout=10)
    address.reopen()
    ticket = address.ledger.open("accepted", waits := address.ask("waits", block=False))
    monkeypatch.setattr(Address, "_gone", no_words)
    with pytest.raises(kind):
        address.refuse_messages()
    assert waits.done
    assert not ticket.answer("too late")


def test_a_killed_actor_is_killed_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    address = _Deferring.start()
    incarnation = address.incarnation
    assert incarnation is not None
    reply = address.ask("accepted", block=False)
    with monkeypatch.context() as patch:
        patch.setattr(Hung, "__str__", _no_words)
        with pytest.raises(MemoryError):
            incarnation.detach(Hung(1.0))
    assert not incarnation.detached
    assert incarnation.detach(Killed())
    address.close(Killed())
    with pytest.raises((ActorKilled, ActorStopped)):
        reply.get(timeout=10)
