"""A tree of the recovery actors alone, with short times, and what recovery tests hang things up with."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from recovery_parts import Boot, Switch

import upright

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from upright.tree import Tree


@pytest.fixture
def boot() -> Iterator[Boot]:
    """Boot a tree: `boot(strategy, chain, healing={"heal_wait": 0.1})`; stopped after the test.

    Unless given, retries wait 1 to 2 ms, so that a test of what comes after them need not wait.
    """
    trees: list[Tree] = []

    def boot(*strategies: Any, **config: Mapping[str, Any]) -> Tree:
        retry = {"initial": 0.001, "maximum": 0.002, **config.get("retry", {})}
        tree = upright.boot({"control": {"enabled": False}, **config, "retry": retry}, strategies=strategies)
        trees.append(tree)
        return tree

    yield boot
    for tree in reversed(trees):
        tree.stop(timeout=10.0)


@pytest.fixture
def switch() -> Iterator[Switch]:
    """An event that hanging code waits for; opened after the test, so that no thread is left."""
    event = Switch()
    yield event
    event.set()


@pytest.fixture
def in_threads() -> Callable[[int, Callable[[int], Any]], list[Any]]:
    """Run `function(number)` in so many threads at once; what each returned or raised, by number."""

    def run(count: int, function: Callable[[int], Any]) -> list[Any]:
        outcomes: list[Any] = [None] * count
        barrier = threading.Barrier(count)

        def one(number: int) -> None:
            barrier.wait()
            try:
                outcomes[number] = function(number)
            except BaseException as error:
                outcomes[number] = error

        threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(25.0)
        return outcomes

    return run
