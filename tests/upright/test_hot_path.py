"""The success path stays as short as it is: counted in instructions, which no busy machine can change."""
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

import upright
from upright.strategies.errors import CircuitOpenError
from upright.strategies.fallback.chain import FallbackChain, FallbackStep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

pytestmark = pytest.mark.skipif(
    sys.implementation.name != "cpython" or sys.gettrace() is not None,
    reason="counts CPython's bytecode, which a debugger or a tracing coverage run does as well",
)

# Other versions of CPython compile the same lines to a few instructions more or fewer.
SLACK = 0 if sys.version_info[:2] == (3, 11) else 15

SUCCESS = 45
SUCCESS_ASYNC = 48
REJECTION = 152
OUTAGE = 258


@pytest.fixture
def tree() -> Iterator[upright.Tree]:
    chain = FallbackChain("served", [FallbackStep("cache", lambda _: 1)])
    with upright.boot({"control": {"enabled": False}}, strategies=[chain]) as tree:
        yield tree


def counted(work: Callable[[], Any]) -> tuple[int, list[str]]:
    """Run `work`, and return how many instructions of upright it took, and the C functions that those called."""
    instructions = 0
    called: list[str] = []

    def is_ours(frame: FrameType) -> bool:
        return str(frame.f_globals.get("__name__", "")).startswith("upright.")

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal instructions
        if not is_ours(frame):
            return None
        frame.f_trace_opcodes = True
        instructions += event == "opcode"
        return trace

    def profile(frame: FrameType, event: str, function: Any) -> None:
        if event == "c_call" and is_ours(frame):
            called.append(function.__name__)

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return instructions, called


def step(coroutine: Any) -> None:
    """Run a coroutine that never suspends, without a loop."""
    with pytest.raises(StopIteration):
        coroutine.send(None)


def test_successful_call_takes_no_more_instructions_than_before(tree: upright.Tree) -> None:
    call = tree.protect("op", resource="db")(lambda: 1)
    call()
    instructions, called = counted(call)
    assert instructions <= SUCCESS + SLACK
    assert called == ["monotonic", "monotonic", "append"]


def test_successful_coroutine_takes_no_more_instructions_than_before(tree: upright.Tree) -> None:
    async def work() -> int:
        return 1

    call = tree.protect("op", resource="db")(work)
    instructions, called = counted(lambda: step(call()))
    assert instructions <= SUCCESS_ASYNC + SLACK
    assert called == ["monotonic", "monotonic", "append"]
    assert asyncio.run(call()) == 1


def test_rejected_call_takes_no_more_instructions_than_before(tree: upright.Tree) -> None:
    call = tree.protect("op")(lambda: 1)
    tree.breakers["op"].force_open()

    def rejected() -> None:
        with pytest.raises(CircuitOpenError):
            call()

    rejected()
    assert counted(rejected)[0] <= REJECTION + 2 * SLACK


def test_answer_in_an_outage_takes_no_more_instructions_than_before(tree: upright.Tree) -> None:
    call = tree.protect("served")(lambda: 2)
    tree.breakers["served"].force_open()
    operation = tree.edge.operations.find("served")
    assert operation is not None
    operation.listed_from = float("inf")  # so that no second begins in which calls are listed one by one
    operation.listed = 1_000
    assert call() == 1
    assert counted(call)[0] <= OUTAGE + 3 * SLACK
