"""What crashed an actor reached the application: its call raised the actor's SystemExit instead of its own error."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from upright.actors.orchestrator import OrchestratorActor
from upright.actors.worker import Worker
from upright.strategies.fallback.chain import FallbackChain, FallbackStep
from upright.strategies.healing.base import HealingStrategy

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.strategies.report import ErrorReport
    from upright.tree import Tree

pytestmark = pytest.mark.actor_crash

STRAY = [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()]


@pytest.fixture(params=STRAY, ids=lambda error: type(error).__name__)
def stray(request: pytest.FixtureRequest) -> BaseException:
    """An exception that `except Exception` does not see."""
    error: BaseException = request.param
    return error


def _crash_on_receive(monkeypatch: pytest.MonkeyPatch, actor: type, error: BaseException) -> None:
    def on_receive(_self: Any, _message: Any) -> Any:
        raise error

    monkeypatch.setattr(actor, "on_receive", on_receive)


def test_a_call_gets_its_own_error_when_the_orchestrator_exits(
    boot: Callable[..., Tree], monkeypatch: pytest.MonkeyPatch, stray: BaseException
) -> None:
    _crash_on_receive(monkeypatch, OrchestratorActor, stray)
    mine = ConnectionError("mine")

    @boot().protect("query", retry_attempts=1)
    def query() -> None:
        raise mine

    with pytest.raises(ConnectionError) as caught:
        query()
    assert caught.value is mine


def test_a_task_gets_its_own_error_when_the_orchestrator_exits(
    boot: Callable[..., Tree], monkeypatch: pytest.MonkeyPatch, stray: BaseException
) -> None:
    _crash_on_receive(monkeypatch, OrchestratorActor, stray)
    mine = ConnectionError("mine")

    @boot().protect("query", retry_attempts=1)
    async def query() -> None:
        raise mine

    with pytest.raises(ConnectionError) as caught:
        asyncio.run(query())
    assert caught.value is mine


def test_the_next_step_is_tried_when_the_worker_of_one_exits(
    boot: Callable[..., Tree], monkeypatch: pytest.MonkeyPatch, stray: BaseException
) -> None:
    steps = [FallbackStep("bounded", lambda _: "never", timeout=1.0), FallbackStep("plain", lambda _: "substitute")]
    tree = boot(FallbackChain("query", steps))
    _crash_on_receive(monkeypatch, Worker, stray)

    @tree.protect("query")
    def query() -> str:
        raise ConnectionError("down")

    assert query() == "substitute"


class _Slow(HealingStrategy):
    """Says when it has begun, and goes on until it is told to end."""

    name = "slow"

    def __init__(self) -> None:
        self.begun, self.end = threading.Event(), threading.Event()

    def can_handle(self, report: ErrorReport) -> bool:
        return True

    def heal(self, report: ErrorReport) -> None:
        self.begun.set()
        self.end.wait(10.0)

    def verify(self, report: ErrorReport) -> None:
        return None


def test_a_cancellation_of_a_task_that_waits_for_its_healing_passes_through(boot: Callable[..., Tree]) -> None:
    slow = _Slow()
    tree = boot(slow, healing={"heal_wait": 30.0})

    @tree.protect("query")
    async def query() -> None:
        raise ConnectionError("down")

    async def main() -> None:
        task = asyncio.create_task(query())
        await asyncio.to_thread(slow.begun.wait, 10.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    try:
        asyncio.run(main())
    finally:
        slow.end.set()
