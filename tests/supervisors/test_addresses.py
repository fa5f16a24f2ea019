"""Addresses and queued messages outlive incarnations."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from upright.actors import SupervisedActor
from upright.supervisors import ChildSpec, RestartStrategy, Supervisor, which_child

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.actor_crash


class Bad(Exception):
    pass


class Recorder(SupervisedActor):
    """Writes every message, with its incarnation, into a list that outlives it; waits when told to."""

    def __init__(self, log: list[Any], gate: threading.Event | None = None) -> None:
        super().__init__()
        self.log, self.gate = log, gate
        self.log.append("start")

    def on_receive(self, message: Any) -> Any:
        if message == "gate" and self.gate is not None:
            self.gate.wait(10)
        elif message == "boom":
            raise Bad
        else:
            self.log.append(message)
        return message


def test_the_address_and_the_proxy_work_across_restarts(keep: Callable[..., Any]) -> None:
    top = keep(Supervisor.start([ChildSpec("r", Recorder, args=([],))], intensity=10))
    address = which_child(top, "r").address
    proxy = address.proxy()
    for _ in range(3):
        with pytest.raises(Bad):
            address.ask("boom")
        assert address.ask("hello") == "hello"
        assert proxy.on_receive("by proxy").get() == "by proxy"
    assert which_child(top, "r").address is address
    assert address.restarts == 3


def test_queued_messages_wait_for_the_next_incarnation_in_their_order(keep: Callable[..., Any]) -> None:
    log: list[Any] = []
    gate = threading.Event()
    top = keep(Supervisor.start([ChildSpec("r", Recorder, args=(log, gate))]))
    address = which_child(top, "r").address
    address.tell("gate")
    crash = address.ask("boom", block=False)
    for n in range(100):
        address.tell(n)
    last = address.ask("last", block=False)
    gate.set()
    with pytest.raises(Bad):
        crash.get(timeout=5)
    assert last.get(timeout=5) == "last"
    assert log == ["start", "start", *range(100), "last"]


def test_messages_sent_while_nobody_runs_wait(keep: Callable[..., Any]) -> None:
    log: list[Any] = []
    allow, starting = threading.Event(), threading.Event()

    class SlowSecondStart(Recorder):
        def on_start(self) -> None:
            if self.log.count("start") > 1:
                starting.set()
                allow.wait(10)

    top = keep(Supervisor.start([ChildSpec("r", SlowSecondStart, args=(log,))]))
    address = which_child(top, "r").address
    address.tell("boom")
    assert starting.wait(5)
    assert address.is_alive()
    for n in range(10):
        address.tell(n)
    last = address.ask("last", block=False)
    allow.set()
    assert last.get(timeout=5) == "last"
    assert log == ["start", "start", *range(10), "last"]


def test_the_siblings_of_one_for_all_keep_addresses_and_messages(keep: Callable[..., Any]) -> None:
    log: list[Any] = []
    gate = threading.Event()
    top = keep(
        Supervisor.start(
            [ChildSpec("a", Recorder, args=([],)), ChildSpec("b", Recorder, args=(log, gate))],
            strategy=RestartStrategy.ONE_FOR_ALL,
        )
    )
    a, b = which_child(top, "a").address, which_child(top, "b").address
    b.tell("gate")
    for n in range(20):
        b.tell(n)
    a.tell("boom")
    gate.set()
    assert b.ask("last", timeout=5) == "last"
    assert [n for n in log if n != "start"] == [*range(20), "last"]
    assert which_child(top, "b").address is b


def test_a_restart_of_the_supervisor_above_keeps_the_addresses_of_its_children(keep: Callable[..., Any]) -> None:
    log: list[Any] = []
    gate = threading.Event()
    children = [ChildSpec("r", Recorder, args=(log, gate)), ChildSpec("trouble", Recorder, args=([],))]
    middle = ChildSpec("middle", Supervisor, args=(children,), kwargs={"intensity": 0})
    top = keep(Supervisor.start([middle], intensity=5))
    inner = which_child(top, "middle").address
    address, trouble = which_child(inner, "r").address, which_child(inner, "trouble").address
    address.tell("gate")
    for n in range(20):
        address.tell(n)
    first = inner.incarnation
    assert first is not None
    trouble.tell("boom")  # over the intensity of the one in the middle, which ends and is started again
    gate.set()
    assert first.wait_ended(10)
    assert address.ask("last", timeout=5) == "last"
    assert [n for n in log if n != "start"] == [*range(20), "last"]
    assert which_child(inner, "r").address is address
    assert inner.restarts == 1


def test_a_child_that_was_terminated_and_restarted_by_hand_has_its_old_address(keep: Callable[..., Any]) -> None:
    from upright.actors import ActorStopped
    from upright.supervisors import restart_child, terminate_child

    top = keep(Supervisor.start([ChildSpec("r", Recorder, args=([],))]))
    address = which_child(top, "r").address
    terminate_child(top, "r")
    with pytest.raises(ActorStopped):
        address.tell("x")
    assert restart_child(top, "r") is address
    assert address.ask("x") == "x"


def test_only_the_message_in_hand_is_lost_in_a_crash(keep: Callable[..., Any]) -> None:
    log: list[Any] = []
    top = keep(Supervisor.start([ChildSpec("r", Recorder, args=(log,))], intensity=1000))
    address = which_child(top, "r").address
    for n in range(300):
        address.tell("boom" if n % 3 == 0 else n)
    assert address.ask("last", timeout=20) == "last"
    assert [n for n in log if n != "start"] == [n for n in range(300) if n % 3] + ["last"]
    assert log.count("start") == 101


def test_the_arguments_of_a_temporary_child_are_not_kept(keep: Callable[..., Any]) -> None:
    import gc
    import weakref

    from upright.supervisors import Restart, get_childspec, start_child

    class Load:
        pass

    class Forgets(SupervisedActor):
        def __init__(self, load: Load) -> None:
            super().__init__()
            del load

    top = keep(Supervisor.start())
    load = Load()
    seen = weakref.ref(load)
    start_child(top, ChildSpec("t", Forgets, args=(load,), restart=Restart.TEMPORARY))
    del load
    assert get_childspec(top, "t").args == ()
    gc.collect()
    assert seen() is None
