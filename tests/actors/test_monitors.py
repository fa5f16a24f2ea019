from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from upright.actors import NORMAL, Crashed, Down, SupervisedActor
from upright.actors.monitors import Monitors
from upright.supervisors import ChildSpec, Restart, Supervisor, terminate_child, which_child

if TYPE_CHECKING:
    from collections.abc import Callable


class Target(SupervisedActor):
    def on_receive(self, message: Any) -> Any:
        if message == "boom":
            raise ValueError(message)
        return message


class Watcher(SupervisedActor):
    def __init__(self) -> None:
        super().__init__()
        self.downs: list[Down] = []
        self.arrived = threading.Semaphore(0)

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, Down):
            self.downs.append(message)
            self.arrived.release()
        return len(self.downs)


def _settled(watcher: Any) -> list[Down]:
    """The Downs so far: whatever was posted before this call has been handled when it returns."""
    watcher.ask("barrier")
    actor = watcher.actor
    assert isinstance(actor, Watcher)
    return actor.downs


def test_a_watcher_is_told_once_with_address_and_reason(keep: Callable[..., Any]) -> None:
    watcher, target = keep(Watcher.start()), Target.start()
    target.monitor(watcher)
    target.stop()
    assert _settled(watcher) == [Down(target, NORMAL)]


def test_a_watcher_of_one_that_is_down_already_is_told_at_once(keep: Callable[..., Any]) -> None:
    watcher, target = keep(Watcher.start()), Target.start()
    target.stop()
    target.monitor(watcher)
    assert _settled(watcher) == [Down(target, NORMAL)]


@pytest.mark.actor_crash
def test_a_crash_without_a_supervisor_is_a_down_with_the_exception(keep: Callable[..., Any]) -> None:
    watcher, target = keep(Watcher.start()), Target.start()
    target.monitor(watcher)
    with pytest.raises(ValueError, match="boom") as caught:
        target.ask("boom")
    assert _settled(watcher) == [Down(target, Crashed(caught.value))]


def test_every_monitor_call_brings_one_down(keep: Callable[..., Any]) -> None:
    watcher, target = keep(Watcher.start()), Target.start()
    for _ in range(3):
        target.monitor(watcher)
    target.stop()
    assert len(_settled(watcher)) == 3


def test_a_cancelled_monitor_brings_none(keep: Callable[..., Any]) -> None:
    watcher, target = keep(Watcher.start()), Target.start()
    ref = target.monitor(watcher)
    assert ref.cancel() is True
    assert ref.cancel() is False
    target.stop()
    assert _settled(watcher) == []


def test_cancel_says_that_it_came_too_late(keep: Callable[..., Any]) -> None:
    watcher, target = keep(Watcher.start()), Target.start()
    ref = target.monitor(watcher)
    target.stop()
    assert ref.cancel() is False


@pytest.mark.actor_crash
def test_a_restart_is_no_down(keep: Callable[..., Any]) -> None:
    watcher = keep(Watcher.start())
    top = keep(Supervisor.start([ChildSpec("target", Target)], intensity=10))
    target = which_child(top, "target").address
    target.monitor(watcher)
    with pytest.raises(ValueError, match="boom"):
        target.ask("boom")
    assert target.ask("alive") == "alive"
    assert _settled(watcher) == []
    terminate_child(top, "target")
    assert len(_settled(watcher)) == 1


@pytest.mark.actor_crash
def test_a_temporary_child_that_crashes_is_a_down(keep: Callable[..., Any]) -> None:
    watcher = keep(Watcher.start())
    top = keep(Supervisor.start([ChildSpec("target", Target, restart=Restart.TEMPORARY)]))
    target = which_child(top, "target").address
    target.monitor(watcher)
    target.tell("boom")
    assert watcher.actor.arrived.acquire(timeout=5)
    assert isinstance(_settled(watcher)[0].reason, Crashed)


@pytest.mark.usefixtures("quick_switches")
def test_monitors_that_race_with_the_end_bring_exactly_one_down_each(keep: Callable[..., Any]) -> None:
    watcher = keep(Watcher.start())
    expected = 0
    for _ in range(30):
        target = Target.start()
        go = threading.Barrier(4)

        def watch(target: Any = target, go: threading.Barrier = go) -> None:
            go.wait(5)
            for _ in range(20):
                target.monitor(watcher)

        threads = [threading.Thread(target=watch) for _ in range(3)]
        for thread in threads:
            thread.start()
        go.wait(5)
        target.stop()
        for thread in threads:
            thread.join(10)
        expected += 60
        assert len(_settled(watcher)) == expected


def test_only_an_address_can_watch(keep: Callable[..., Any]) -> None:
    target = keep(Target.start())
    with pytest.raises(TypeError, match="watcher must be the Address of a SupervisedActor, got 'me'"):
        target.monitor("me")


def test_watchers_that_have_ended_are_dropped_and_many_living_ones_stay_cheap(keep: Callable[..., Any]) -> None:
    watcher, dead, target = keep(Watcher.start()), Watcher.start(), keep(Target.start())
    monitors = Monitors()
    for _ in range(1000):
        monitors.add(target, dead)
    dead.stop()
    for _ in range(5000):
        monitors.add(target, watcher)
    assert len(monitors._watching) == 5000
    assert monitors._prune_at >= 2048
