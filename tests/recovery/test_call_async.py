"""`Tree.call_async`: everything that happened to a coroutine, on its own loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from recovery_parts import Boot, Resource, broken_healer, chain, trail

from upright.strategies.breaker import BreakerState
from upright.strategies.report import RecoveryMethod, RecoveryStatus

if TYPE_CHECKING:
    from upright.tree import Tree

NO_RETRY = {"retry": {"attempts": 1}}


async def give(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


async def refuse() -> None:
    raise ConnectionRefusedError(111, "refused")


def test_a_success_has_its_value_and_no_steps(boot: Boot) -> None:
    result = asyncio.run(boot().call_async("op", give, "value"))
    assert (result.status, result.method, result.value, result.steps) == (RecoveryStatus.SUCCEEDED, None, "value", ())


def test_a_healed_call_is_made_again_on_the_same_loop(boot: Boot) -> None:
    resource, loops = Resource(), []

    async def use() -> Any:
        loops.append(asyncio.get_running_loop())
        return await resource.use_async()

    result = asyncio.run(boot(resource.healer()).call_async("op", use))
    assert (result.status, result.method, result.value) == (RecoveryStatus.HEALED, RecoveryMethod.SELF_HEALING, "value")
    assert len(loops) == 2
    assert loops[0] is loops[1]


def test_a_fallback_may_be_a_coroutine_too(boot: Boot) -> None:
    async def provide(context: Any) -> str:
        return f"stale {context['args'][0]}"

    tree = boot(broken_healer(), chain("op", ("stale", provide)))

    async def fail(_: str) -> None:
        await refuse()

    result = asyncio.run(tree.call_async("op", fail, "answer"))
    assert (result.method, result.value, result.degraded) == (RecoveryMethod.FALLBACK, "stale answer", True)


def test_an_open_circuit_answers_with_the_chain(boot: Boot) -> None:
    tree = boot(chain("op", ("stale", lambda _: "stale")))
    tree.call("op", int)
    tree.breakers["op"].force_open()
    result = asyncio.run(tree.call_async("op", give, "fresh"))
    assert tree.breakers["op"].state is BreakerState.FORCED_OPEN
    assert (result.status, result.value) == (RecoveryStatus.CIRCUIT_OPEN, "stale")


def test_a_permanent_error_skips_every_stage(boot: Boot) -> None:
    tree, error = boot(chain("op", ("stale", lambda _: "stale"))), ValueError("bad")

    async def fail() -> None:
        raise error

    result = asyncio.run(tree.call_async("op", fail))
    assert (result.status, result.error, trail(result)) == (RecoveryStatus.FAILED, error, [])


def test_a_stopped_tree_makes_the_bare_call(boot: Boot) -> None:
    tree: Tree = boot(**NO_RETRY)
    tree.stop()
    assert asyncio.run(tree.call_async("op", give, 1)).value == 1
    failed = asyncio.run(tree.call_async("op", refuse))
    assert failed.status is RecoveryStatus.FAILED
    assert isinstance(failed.error, ConnectionRefusedError)


def test_a_cancellation_passes_through(boot: Boot) -> None:
    tree = boot()

    async def cancelled() -> None:
        task = asyncio.ensure_future(tree.call_async("op", asyncio.sleep, 60))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
