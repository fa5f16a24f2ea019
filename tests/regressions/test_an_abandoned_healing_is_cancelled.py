"""An asynchronous healing that had used up its time went on, beside the next attempt and after the tree was stopped."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import upright
from upright.strategies.healing.base import HealingStrategy

if TYPE_CHECKING:
    from upright.strategies.report import ErrorReport

CONFIG: dict[str, Any] = {
    "control": {"enabled": False},
    "healing": {"heal_wait": 20.0, "max_healing_attempts": 2},
    "retry": {"attempts": 1},
}


class Endless(HealingStrategy):
    """Notes when it begins and when it is cancelled."""

    name = "endless"

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.story: list[str] = []
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()

    def can_handle(self, report: ErrorReport) -> bool:
        return True

    async def heal(self, report: ErrorReport) -> None:
        self.story.append("begun")
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.story.append("cancelled")
            self.cancelled.set()
            raise

    async def verify(self, report: ErrorReport) -> None:
        self.story.append("verified")


async def fail() -> None:
    raise ConnectionError("down")


def test_when_its_time_is_over_before_the_next_begins() -> None:
    async def main() -> list[str]:
        strategy = Endless(0.01)
        with upright.boot(CONFIG, strategies=[strategy]) as tree:
            query = tree.protect("query")(fail)
            for _ in range(2):
                strategy.cancelled.clear()
                with pytest.raises(ConnectionError):
                    await query()
                await strategy.cancelled.wait()
        return strategy.story

    assert asyncio.run(main()) == ["begun", "cancelled"] * 2


def test_when_the_tree_is_stopped() -> None:
    async def main() -> list[str]:
        strategy = Endless(20.0)
        tree = upright.boot(CONFIG, strategies=[strategy])
        query = asyncio.create_task(tree.protect("query")(fail)())
        await strategy.begun.wait()
        await asyncio.to_thread(tree.stop)
        with pytest.raises(ConnectionError):
            await query
        await strategy.cancelled.wait()
        return strategy.story

    assert asyncio.run(main()) == ["begun", "cancelled"]


def test_on_a_loop_of_the_worker_too() -> None:
    strategy = Endless(0.01)
    with upright.boot(CONFIG, strategies=[strategy]) as tree:
        assert tree.recover(ConnectionError("down"), operation="query").status == "FAILED"
    assert strategy.story == ["begun", "cancelled"]
