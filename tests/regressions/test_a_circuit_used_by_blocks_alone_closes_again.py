"""A block was no probe: the circuit of an operation that is used by `boundary` alone stayed half-open for ever."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import upright
from upright.strategies.breaker import BreakerState

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.tree import Tree

CONFIG: dict[str, Any] = {
    "control": {"enabled": False},
    "breaker": {
        "minimum_number_of_calls": 4,
        "permitted_calls_in_half_open": 2,
        "wait_duration_in_open": 0.01,
        "max_wait_duration_in_open": 0.01,
    },
}


def run(tree: Tree, error: BaseException | None = None) -> None:
    with tree.boundary("job"):
        if error is not None:
            raise error


def state_of(tree: Tree) -> BreakerState:
    return tree.edge.operations.get("job").breaker.state


def until(condition: Callable[[], bool], step: Callable[[], None]) -> None:
    for _ in range(4_000):
        if condition():
            return
        step()
        upright.history()  # lets the breaker come to its messages
    pytest.fail("waited in vain")


def opened(tree: Tree) -> None:
    def fail() -> None:
        with pytest.raises(ConnectionError):
            run(tree, ConnectionError("down"))

    until(lambda: state_of(tree) is not BreakerState.CLOSED, fail)


def test_good_blocks_close_it() -> None:
    with upright.boot(CONFIG) as tree:
        opened(tree)
        until(lambda: state_of(tree) is BreakerState.CLOSED, lambda: run(tree))


def test_good_blocks_of_a_task_close_it() -> None:
    with upright.boot(CONFIG) as tree:
        opened(tree)

        async def block() -> None:
            async with tree.boundary("job"):
                await asyncio.sleep(0)

        until(lambda: state_of(tree) is BreakerState.CLOSED, lambda: asyncio.run(block()))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("no failure of the resource")])
def test_a_probe_without_a_verdict_gives_its_permit_back(error: BaseException) -> None:
    with upright.boot(CONFIG) as tree:
        opened(tree)

        def end_without_verdict() -> None:
            with pytest.raises(type(error)):
                run(tree, error)

        until(lambda: state_of(tree) is BreakerState.HALF_OPEN, end_without_verdict)
        for _ in range(10):
            end_without_verdict()
        until(lambda: state_of(tree) is BreakerState.CLOSED, lambda: run(tree))


def test_a_failed_probe_opens_it_again() -> None:
    with upright.boot(CONFIG) as tree:
        opened(tree)
        trips = tree.metrics().breaker_trips

        def fail() -> None:
            with pytest.raises(ConnectionError):
                run(tree, ConnectionError("down"))

        until(lambda: tree.metrics().breaker_trips > trips, fail)


def test_nobody_is_rejected_between_the_last_probe_and_the_verdict() -> None:
    with upright.boot(CONFIG) as tree:
        opened(tree)

        @tree.protect("job")
        def job() -> int:
            return 5

        until(lambda: state_of(tree) is BreakerState.HALF_OPEN, lambda: None)
        assert [job() for _ in range(10)] == [5] * 10
