"""A sender that found a mailbox closed, and failed in looking at what lay in it, lost the answer to another's ask.

Three of twelve storms that struck between any two lines of the rules lost one.
"""

from __future__ import annotations

from typing import Any

import pytest

from upright.actors import SupervisedActor, address
from upright.actors.errors import ActorStopped
from upright.actors.reply import ReplyFuture
from upright.strategies.foreign import is_of


class Idle(SupervisedActor):
    """Answers None."""


def test_whoever_asked_gets_the_failure_and_the_next_one_its_own_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    idle = Idle.start()
    lane = idle.lane
    idle.stop()
    left = [True]

    def failing(value: Any, kind: type) -> bool:
        if left and value == "first":
            left.pop()
            raise MemoryError
        return is_of(value, kind)

    monkeypatch.setattr(address, "is_of", failing)
    replies: list[ReplyFuture[Any]] = [ReplyFuture(), ReplyFuture()]
    for message, reply in zip(("first", "second"), replies, strict=True):
        lane.put((message, reply))
    with pytest.raises(MemoryError):
        idle.bounce(lane)
    with pytest.raises(MemoryError):
        replies[0].get(timeout=10.0)
    with pytest.raises(ActorStopped):
        replies[1].get(timeout=10.0)
