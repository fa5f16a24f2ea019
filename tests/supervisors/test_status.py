from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from upright.actors import SupervisedActor
from upright.supervisors import ChildSpec, NodeState, Supervisor, status, which_child

if TYPE_CHECKING:
    from collections.abc import Callable


class Worker(SupervisedActor):
    def __init__(self, gate: threading.Event | None = None) -> None:
        super().__init__()
        self.gate, self.busy = gate, threading.Event()

    def on_receive(self, message: Any) -> Any:
        if message == "block" and self.gate is not None:
            self.busy.set()
            self.gate.wait(20)
        elif message == "boom":
            raise ValueError(message)
        elif message == "details":
            self.status_details = {"queue": 3}
        return message


def test_the_status_of_a_tree_shows_every_node(keep: Callable[..., Any]) -> None:
    inner = ChildSpec("inner", Supervisor, args=([ChildSpec("w", Worker)],))
    top = keep(Supervisor.start([inner, ChildSpec("v", Worker)], name="top"))
    which_child(top, "v").address.ask("details")
    node = status(top)
    assert (node.name, node.kind, node.actor, node.state) == ("top", "supervisor", "Supervisor", NodeState.RUNNING)
    assert [child.name for child in node.children] == ["inner", "v"]
    assert [child.kind for child in node.children] == ["supervisor", "worker"]
    assert [child.name for child in node.children[0].children] == ["w"]
    assert node.children[1].details == {"queue": 3}
    assert node.children[1].busy_for is None
    assert node.children[1].uptime >= 0
    assert json.loads(json.dumps(node.to_dict()))["children"][0]["children"][0]["state"] == "running"


@pytest.mark.actor_crash
def test_the_status_counts_restarts_and_remembers_the_last_exit(keep: Callable[..., Any]) -> None:
    top = keep(Supervisor.start([ChildSpec("w", Worker)]))
    with pytest.raises(ValueError, match="boom"):
        which_child(top, "w").address.ask("boom")
    which_child(top, "w")
    node = status(top).children[0]
    assert (node.restarts, node.last_exit, node.state) == (1, "crashed: ValueError: boom", NodeState.RUNNING)


@pytest.mark.actor_crash
def test_the_status_tells_no_secret(keep: Callable[..., Any]) -> None:
    class Worker(SupervisedActor):
        def on_receive(self, message: Any) -> Any:
            self.status_details = {
                "circuits": {"GET ://a:s3cret@db": {"state": "OPEN"}, "GET ://a:s3cr3t@db": {"state": "CLOSED"}},
                "password": "s3cret",
                "tokens": 3,
                "last": ("token=s3cret", 1.5, None),
            }
            if message == "boom":
                raise OSError("postgresql://app:s3cret@db is gone")

    top = keep(Supervisor.start([ChildSpec("w", Worker), ChildSpec("v", Worker)]))
    which_child(top, "v").address.ask("details")
    with pytest.raises(OSError, match="s3cret"):
        which_child(top, "w").address.ask("boom")
    which_child(top, "w")
    crashed, told = status(top).children
    assert crashed.last_exit == "crashed: OSError: postgresql://app:[redacted]@db is gone"
    assert told.details == {
        "circuits": {"GET ://a:[redacted]@db": {"state": "OPEN"}, "GET ://a:[redacted]@db (1)": {"state": "CLOSED"}},
        "password": "[redacted]",
        "tokens": 3,
        "last": ("token=[redacted]", 1.5, None),
    }


def test_the_status_comes_at_once_while_every_actor_is_stuck(keep: Callable[..., Any]) -> None:
    gate = threading.Event()
    specs = [ChildSpec(n, Worker, args=(gate,)) for n in range(20)]
    top = keep(Supervisor.start([ChildSpec("inner", Supervisor, args=(specs,))]))
    inner = which_child(top, "inner").address
    for child in list(inner.children.values()):
        child.tell("block")
        child.tell("waits")
        assert isinstance(child.actor, Worker)
        assert child.actor.busy.wait(5)
    before = time.monotonic()
    node = status(top)
    assert time.monotonic() - before < 1
    assert [child.mailbox_depth for child in node.children[0].children] == [1] * 20
    assert all(child.busy_for is not None for child in node.children[0].children)
    gate.set()


@pytest.mark.actor_crash
def test_a_supervisor_past_its_intensity_says_that_it_gave_up() -> None:
    top = Supervisor.start([ChildSpec("w", Worker)], intensity=0)
    child = which_child(top, "w").address
    child.tell("boom")
    assert top.incarnation is not None
    assert top.incarnation.wait_ended(5)
    node = status(top)
    assert node.state is NodeState.GAVE_UP
    assert node.last_exit == "shutdown: restart intensity reached"
    assert node.children[0].state is NodeState.STOPPED


def test_an_actor_in_on_start_is_shown_as_starting() -> None:
    seen: list[NodeState] = []

    class LooksAtItself(SupervisedActor):
        def on_start(self) -> None:
            seen.append(status(self.actor_ref).state)

    LooksAtItself.start().stop()
    assert seen == [NodeState.STARTING]


def test_a_stopped_tree_is_shown_as_stopped() -> None:
    top = Supervisor.start([ChildSpec("w", Worker)])
    top.stop()
    assert status(top).state is NodeState.STOPPED
    assert [child.state for child in status(top).children] == [NodeState.STOPPED]
