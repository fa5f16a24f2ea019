"""An interrupt between taking an idle worker and giving it the job left a worker that nobody knew of, for ever."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from upright.actors import SupervisedActor
from upright.actors.errors import ActorKilled
from upright.actors.exits import Killed
from upright.actors.reply import ReplyFuture

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.tree import Tree

pytestmark = pytest.mark.actor_crash


class _Submitting(SupervisedActor):
    def on_receive(self, message: Any) -> Any:
        message()
        return "submitted"


def test_the_worker_does_the_job_and_the_next_one(boot: Callable[..., Tree], monkeypatch: pytest.MonkeyPatch) -> None:
    pool = boot()._parts.steps
    first: ReplyFuture[Any] = ReplyFuture()
    pool.submit(lambda: "first", first)
    assert first.get(timeout=10.0) == "first"
    (worker,) = pool._idle
    address = _Submitting.start()
    incarnation, send = address.incarnation, worker.send
    assert incarnation is not None

    def detached_meanwhile(message: Any, reply: Any) -> None:
        killer = threading.Thread(target=incarnation.detach, args=(Killed(),))
        killer.start()
        killer.join(10.0)
        send(message, reply)

    second: ReplyFuture[Any] = ReplyFuture()
    monkeypatch.setattr(worker, "send", detached_meanwhile)
    asked = address.ask(lambda: _in_the_actor(pool, second), block=False)
    with pytest.raises(ActorKilled):
        asked.get(timeout=10.0)
    address.close(Killed())
    assert second.get(timeout=10.0) == "second"
    monkeypatch.undo()
    third: ReplyFuture[Any] = ReplyFuture()
    pool.submit(lambda: "third", third)
    assert third.get(timeout=10.0) == "third"
    assert list(pool._idle) == [worker]


def _in_the_actor(pool: Any, reply: ReplyFuture[Any]) -> None:
    pool.submit(lambda: "second", reply)
