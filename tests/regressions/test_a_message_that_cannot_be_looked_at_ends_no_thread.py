"""A message that raised on a look at its class ended the thread that it crashed: its asker and its watchers hung."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest

from upright.actors import SupervisedActor
from upright.actors.errors import ActorStopped
from upright.actors.exits import Crashed
from upright.actors.letters import dead_letters

pytestmark = pytest.mark.actor_crash


class _Unreadable:
    def __getattribute__(self, name: str) -> NoReturn:
        raise RuntimeError(f"no {name}")


class _Looking(SupervisedActor):
    def on_receive(self, message: Any) -> Any:
        if isinstance(message, int):
            return message
        return super().on_receive(message)


def test_the_asker_gets_the_exception_and_the_actor_ends_crashed() -> None:
    address, message = _Looking.start(), _Unreadable()
    with pytest.raises(RuntimeError, match="no __class__"):
        address.ask(message, timeout=10.0)
    assert address.actor_stopped.wait(10.0)
    assert isinstance(address.exit_reason, Crashed)
    assert dead_letters.recent(1)[0].message is message


def test_one_that_comes_too_late_is_answered_so() -> None:
    address = _Looking.start()
    address.stop()
    with pytest.raises(ActorStopped):
        address.ask(_Unreadable(), timeout=10.0)


def test_an_exception_that_hides_its_traceback_is_an_answer_as_well() -> None:
    def refuse(_: object) -> NoReturn:
        raise RuntimeError("hidden")

    error: Any = type("Hiding", (Exception,), {"__traceback__": property(refuse), "__class__": property(refuse)})()

    class Raising(SupervisedActor):
        def on_receive(self, message: Any) -> Any:
            raise error

    address = Raising.start()
    with pytest.raises(type(error)) as raised:
        address.ask("x", timeout=10.0)
    assert raised.value is error
    assert address.actor_stopped.wait(10.0)
