from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from upright.actors import life
from upright.actors.letters import dead_letters
from upright.actors.subscriber import Subscriber
from upright.supervisors import ChildSpec, Restart, Supervisor, which_child

if TYPE_CHECKING:
    from collections.abc import Callable


class Told(Subscriber):
    got: list[Any]

    def on_start(self) -> None:
        Told.got = []

    def on_receive(self, message: Any) -> Any:
        Told.got.append(message)
        return len(Told.got)


def test_what_was_told_before_a_stop_is_taken_in(keep: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The request to stop overtook the last events of a tree, and they were lost."""
    gathering, go = threading.Event(), threading.Event()

    def sleep(_: float) -> None:
        gathering.set()
        go.wait(10.0)

    monkeypatch.setattr(life, "sleep", sleep)
    supervisor = keep(Supervisor.start([ChildSpec("told", Told, restart=Restart.TEMPORARY)]))
    address = which_child(supervisor, "told").address
    assert address is not None
    for number in range(3):
        address.tell(number)
    assert gathering.wait(10.0)
    asked = address.ask("late", block=False)
    stopped = address.stop(block=False)
    go.set()
    assert stopped.get(timeout=10.0)
    assert asked.get(timeout=10.0) == 4
    assert Told.got == [0, 1, 2, "late"]


def test_what_fails_while_it_stops_costs_the_others_nothing_and_is_told_to_who_asked(
    keep: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ask that failed there was never answered, and what was told was lost."""
    gathering, go = threading.Event(), threading.Event()

    def sleep(_: float) -> None:
        gathering.set()
        go.wait(10.0)

    monkeypatch.setattr(life, "sleep", sleep)
    supervisor = keep(Supervisor.start([ChildSpec("told", Failing, restart=Restart.TEMPORARY)]))
    address = which_child(supervisor, "told").address
    assert address is not None
    address.tell("first")
    assert gathering.wait(10.0)
    address.tell("bad")
    asked = [address.ask(message, block=False) for message in ("bad", SystemExit(5), "good")]
    proxied = address.proxy().twice(4)
    stopped = address.stop(block=False)
    go.set()
    assert stopped.get(timeout=10.0)
    with pytest.raises(ValueError, match="bad"):
        asked[0].get(timeout=10.0)
    with pytest.raises(SystemExit):
        asked[1].get(timeout=10.0)
    assert asked[2].get(timeout=10.0) == "good"
    assert proxied.get(timeout=10.0) == 8
    assert [letter.message for letter in dead_letters.recent()] == ["bad"]


class Failing(Subscriber):
    def on_receive(self, message: Any) -> Any:
        if isinstance(message, BaseException):
            raise message
        if message == "bad":
            raise ValueError(message)
        return message

    def twice(self, number: int) -> int:
        return 2 * number


def test_who_lets_events_gather_is_not_busy_and_answers_at_once(
    keep: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that was moved by more than the hang limit meanwhile had it replaced."""
    address = keep(Told.start())
    in_hand: list[Any] = []
    gathered = threading.Event()

    def sleep(_: float) -> None:
        in_hand.append(address.incarnation.current)
        gathered.set()

    monkeypatch.setattr(life, "sleep", sleep)
    assert address.ask("asked", timeout=10.0) == 1
    assert not in_hand
    address.tell("told")
    assert gathered.wait(10.0)
    assert in_hand == [None]
