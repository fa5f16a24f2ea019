"""A tree that is stopped while it makes up for what was put off: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from recovery_parts import Boot, Switch

from upright.strategies.fallback import FallbackChain, OfflineMode, OfflineQueue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[OfflineQueue]:
    queue = OfflineQueue(tmp_path / "outbox.db")
    for number in range(3):
        queue.put(number)
    yield queue
    queue.close()


class Handler:
    """Does one entry when it is let, and says when it has begun."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.let = Switch()
        self.done: list[int] = []

    def __call__(self, _key: str, payload: Any) -> None:
        self.begun.set()
        self.let.wait()
        self.done.append(payload)


class Halting(OfflineMode):
    """Lets the handler go on as soon as it is asked to end."""

    handler: Handler

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "halting" and value:
            self.handler.let.set()


def test_the_entry_in_hand_is_finished_and_the_rest_is_left(boot: Boot, queue: OfflineQueue) -> None:
    handler = Handler()
    step = Halting(queue, handler)
    step.handler = handler
    tree = boot(FallbackChain("mail", [step]))
    assert handler.begun.wait(10.0)
    tree.stop()
    assert handler.done == [0]
    assert len(queue) == 2

    boot(FallbackChain("mail", [step]))  # the same objects in a new tree
    while len(queue):
        handler.let.wait()
        threading.Event().wait(0.002)
    assert handler.done == [0, 1, 2]


def test_an_entry_that_takes_too_long_is_given_up_and_done_again(boot: Boot, queue: OfflineQueue) -> None:
    handler = Handler()
    tree = boot(FallbackChain("mail", [OfflineMode(queue, handler)]))
    assert handler.begun.wait(10.0)
    tree.stop()
    assert handler.done == []
    assert len(queue) == 3
    handler.let.set()
