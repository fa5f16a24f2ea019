"""An asynchronous healing ended with the loop of the request that had asked for it, again and again.

Where each request has a loop of its own (Flask's async views, `asyncio.run` in threads), a healing that took longer
than `heal_wait` was never completed, and was escalated.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

import upright
from upright.actors import worker
from upright.strategies.healing.base import HealingStrategy

if TYPE_CHECKING:
    from upright.strategies.report import ErrorReport

PATIENCE = 20.0
CONFIG: dict[str, Any] = {
    "control": {"enabled": False},
    "healing": {"heal_wait": 0.05, "max_healing_attempts": 1},
    "retry": {"attempts": 1},
}


class Slow(HealingStrategy):
    """Is held until it is told to go on, wherever it runs, in `can_handle` or in `heal`."""

    name = "slow"

    def __init__(self, where: str) -> None:
        self.where = where
        self.loops: list[asyncio.AbstractEventLoop] = []
        self.go_on = threading.Event()
        self.healed = threading.Event()
        self.begun = asyncio.Event()

    async def hold(self) -> None:
        self.loops.append(asyncio.get_running_loop())
        self.begun.set()
        while not self.go_on.is_set():  # noqa: ASYNC110 - by another thread, and the loop may be gone by then
            await asyncio.sleep(0.001)

    async def can_handle(self, report: ErrorReport) -> bool:
        if self.where == "can_handle":
            await self.hold()
        return True

    async def heal(self, report: ErrorReport) -> None:
        if self.where == "heal":
            await self.hold()
        self.healed.set()

    async def verify(self, report: ErrorReport) -> None:
        assert self.healed.is_set()


@pytest.mark.parametrize("where", ["can_handle", "heal"])
def test_it_is_begun_again_on_a_loop_of_its_own_and_is_no_further_attempt(where: str) -> None:
    slow = Slow(where)
    with upright.boot(CONFIG, strategies=[slow]) as tree:

        @tree.protect("query", resource="db")
        async def query() -> int:
            if not slow.healed.is_set():
                raise ConnectionError("down")
            return 5

        async def request() -> None:
            with pytest.raises(ConnectionError):
                await query()
            await asyncio.wait_for(slow.begun.wait(), PATIENCE)

        asyncio.run(request())  # whose loop is gone now, and with it the healing
        slow.go_on.set()
        assert slow.healed.wait(PATIENCE)
        until = monotonic() + PATIENCE
        while not tree.metrics().healing_attempts:
            assert monotonic() < until
        assert asyncio.run(query()) == 5
        assert len(slow.loops) == 2
        assert slow.loops[0] is not slow.loops[1]
        assert tree.metrics().healing_attempts == 1


class Answer:
    """Can be awaited, and is no coroutine, which would complain that it never was."""

    def __await__(self) -> Any:
        yield

    __iter__ = __await__


@pytest.mark.filterwarnings("ignore:coroutine .*finish. was never awaited")
def test_nobody_waits_for_a_loop_that_was_closed_before_the_coroutine_began(monkeypatch: pytest.MonkeyPatch) -> None:
    """A callback for a loop that stops for good just then is never run, and nobody says so."""
    monkeypatch.setattr(worker, "_LOOK", 0.01)
    closed = asyncio.new_event_loop()
    closed.close()
    monkeypatch.setattr(closed, "is_running", lambda: True)  # as it was a moment ago
    monkeypatch.setattr(closed, "call_soon_threadsafe", lambda *_, **__: None)
    with pytest.raises(asyncio.CancelledError):
        worker.run_to_end(Answer, closed)
    gc.collect()


class CancelsItself(HealingStrategy):
    """Ends as if its loop had been stopped, on whichever it runs."""

    name = "cancels itself"
    heals = 0

    def can_handle(self, report: ErrorReport) -> bool:
        return True

    async def heal(self, report: ErrorReport) -> None:
        self.heals += 1
        raise asyncio.CancelledError

    def verify(self, report: ErrorReport) -> None:
        return None


def test_one_that_is_cut_off_on_a_loop_of_its_own_has_failed() -> None:
    strategy = CancelsItself()
    with upright.boot({**CONFIG, "healing": {"heal_wait": PATIENCE}}, strategies=[strategy]) as tree:

        async def fail() -> None:
            raise ConnectionError("down")

        with pytest.raises(ConnectionError):
            asyncio.run(tree.protect("query")(fail)())
        assert strategy.heals == 2
        assert tree.metrics().healing_attempts == 1
