"""A probe that is cancelled or interrupted gives its permit back, wherever in the flow it was made."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from recovery_parts import Boot, wait_until

from upright.actors.call import Call, Invoke
from upright.actors.counsel import Counsel
from upright.actors.drivers import guarded, guarded_async

if TYPE_CHECKING:
    from upright.actors.operation import Operation
    from upright.tree import Tree


@pytest.fixture
def tree(boot: Boot) -> Tree:
    return boot(
        retry={"attempts": 1},
        breaker={"minimum_number_of_calls": 1, "wait_duration_in_open": 0.001, "permitted_calls_in_half_open": 2},
    )


@pytest.fixture
def operation(tree: Tree) -> Operation:
    """Its circuit is open, and due for probes."""

    def fail() -> NoReturn:
        raise ConnectionError("down")

    tree.call("op", fail)
    found = tree.edge.operations.get("op")
    wait_until(lambda: not found.breaker.snapshot.passes and monotonic() >= found.breaker.snapshot.retry_at)
    return found


def free(operation: Operation) -> int:
    probation = operation.breaker.snapshot.probation
    assert probation is not None
    return probation.free


def test_of_a_retry_in_a_thread(tree: Tree, operation: Operation) -> None:
    def interrupted() -> NoReturn:
        assert free(operation) == 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guarded(tree.edge, operation, interrupted)
    assert free(operation) == 2


def test_of_a_retry_in_a_task(tree: Tree, operation: Operation) -> None:
    async def main() -> None:
        begun = asyncio.Event()

        async def endless() -> None:
            assert free(operation) == 1
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(guarded_async(tree.edge, operation, endless))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert free(operation) == 2


def test_of_the_call_after_a_healing(tree: Tree, operation: Operation) -> None:
    call = Call(operation, ConnectionError("down"), lambda: None, monotonic())
    counsel: Any = Counsel(healed=True)
    flow = tree.edge._rerun(call, counsel)
    assert isinstance(next(flow), Invoke)
    assert free(operation) == 1
    with pytest.raises(asyncio.CancelledError):
        flow.throw(asyncio.CancelledError())
    assert free(operation) == 2
