"""Threads do not survive a fork: in the child every address says so at once, and the parent goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import warnings
from typing import TYPE_CHECKING, Any

import pykka
import pytest

from upright.actors import ForkedActor, SupervisedActor
from upright.supervisors import ChildSpec, NodeState, Supervisor, status, which_child

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


class Gated(SupervisedActor):
    def __init__(self, gate: threading.Event) -> None:
        super().__init__()
        self.gate, self.busy = gate, threading.Event()

    def on_receive(self, message: Any) -> Any:
        if message == "block":
            self.busy.set()
            self.gate.wait(20)
        return message


def _in_child(check: Callable[[], None]) -> None:
    """Run `check` in a forked child; its failure, or a child that hangs, fails the test."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what is tested
        pid = os.fork()
    if pid == 0:
        code = b"0"
        try:
            signal.alarm(10)
            check()
        except BaseException as error:
            code = repr(error).encode()
        finally:
            os.write(write, code)
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    assert answer == b"0", answer.decode() or "the child hung"


@pytest.fixture
def tree(keep: Callable[..., Any]) -> tuple[Any, Any, threading.Event]:
    gate = threading.Event()
    top = keep(Supervisor.start([ChildSpec("g", Gated, args=(gate,))]))
    return top, which_child(top, "g").address, gate


def test_every_way_of_sending_says_that_the_actor_was_forked_away(tree: Any) -> None:
    top, address, _ = tree

    def check() -> None:
        for send in (
            lambda: address.tell("x"),
            lambda: address.ask("x"),
            lambda: address.ask("x", block=False).get(),
            lambda: asyncio.run(address.ask_async("x")),
            lambda: which_child(top, "g"),
            lambda: address.call("on_receive", "x"),
        ):
            with pytest.raises(ForkedActor, match="forked"):
                send()
        assert not address.is_alive()
        assert address.stop() is False
        assert status(top).state is NodeState.STOPPED

    _in_child(check)


def test_an_ask_that_was_waiting_at_the_fork_is_answered_in_the_child(tree: Any) -> None:
    _, address, gate = tree
    in_hand = address.ask("block", block=False)
    assert address.actor.busy.wait(5)
    queued = address.ask("queued", block=False)

    def check() -> None:
        for future in (in_hand, queued):
            with pytest.raises(ForkedActor):
                future.get(timeout=5)

    _in_child(check)
    gate.set()
    assert (in_hand.get(timeout=5), queued.get(timeout=5)) == ("block", "queued")


def test_the_child_can_start_actors_of_its_own(tree: Any) -> None:
    del tree

    def check() -> None:
        own = Gated.start(threading.Event())
        assert own.ask("x", timeout=5) == "x"
        assert pykka.ActorRegistry.get_all() == [own]
        assert pykka.ActorRegistry.stop_all() == [True]

    _in_child(check)


def test_the_parent_goes_on_as_if_nothing_had_happened(tree: Any) -> None:
    top, address, _ = tree
    _in_child(lambda: None)
    assert address.ask("x") == "x"
    assert status(top).children[0].state is NodeState.RUNNING


def test_a_child_forked_while_another_thread_starts_actors_is_not_stuck() -> None:
    done = threading.Event()

    def start_and_stop_once() -> None:
        Gated.start(threading.Event()).stop(timeout=5)

    def start_and_stop() -> None:
        while not done.is_set():
            start_and_stop_once()

    thread = threading.Thread(target=start_and_stop)
    thread.start()
    try:
        for _ in range(10):
            _in_child(start_and_stop_once)
    finally:
        done.set()
        thread.join(10)
