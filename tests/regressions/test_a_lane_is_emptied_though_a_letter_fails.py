"""Ctrl-C while a closed mailbox was emptied left the asks behind the message in hand without an answer."""

from __future__ import annotations

from typing import Any

import pytest

from upright.actors.mailbox import Lane
from upright.actors.reply import ReplyFuture


def test_the_messages_behind_the_one_that_failed_are_taken() -> None:
    lane = Lane()
    replies: list[ReplyFuture[Any]] = [ReplyFuture() for _ in range(3)]
    for reply in replies:
        lane.put(("message", reply))
    raised: list[bool] = []

    def take(_message: Any, reply: Any) -> None:
        reply.fail(ValueError("closed"))
        if not raised:
            raised.append(True)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lane.drain(take)
    assert all(reply.done for reply in replies)
