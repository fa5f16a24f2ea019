"""A recovery takes no more than it did: instructions, messages, locks and timers, which no busy machine can change.

They are counted in the threads that a recovery passes through: caller, orchestrator, healing actor, worker,
orchestrator, caller. All of them share one interpreter, so what each of them does is time that somebody waits.
"""
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

import upright
from upright.actors.counsel import Inquire
from upright.strategies.healing.base import HealingStrategy
from upright.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

pytestmark = pytest.mark.skipif(
    sys.implementation.name != "cpython" or sys.gettrace() is not None,
    reason="counts CPython's bytecode, which a debugger or a tracing coverage run does as well",
)

# Other versions of CPython compile the same lines to other instructions.
SLACK = 1.0 if sys.version_info[:2] == (3, 11) else 1.3

INSTRUCTIONS = {"caller": 600, "OrchestratorActor": 1_970, "HealingActor": 1_245, "Worker": 1_010}
RECOVERIES = 20


class Nothing(HealingStrategy):
    """Repairs nothing, and says it did."""

    name = "nothing"

    def can_handle(self, report: Any) -> bool:
        return True

    def heal(self, report: Any) -> None:
        pass

    def verify(self, report: Any) -> None:
        pass


class Count:
    """What the threads do that were started under it, by the names of their actors, while it is on."""

    def __init__(self) -> None:
        self.on = False
        self.seen: Counter[tuple[str, str]] = Counter()

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        """Count instructions."""
        if not self._is_ours(frame):
            return None
        frame.f_trace_opcodes = True
        if self.on and event == "opcode":
            self.seen[self._who(), "instruction"] += 1
        return self.trace

    def profile(self, frame: FrameType, event: str, function: Any) -> None:
        """Count calls of C functions, and how often messages to oneself are set."""
        if not self.on or not self._is_ours(frame):
            return
        if event == "c_call":
            self.seen[self._who(), function.__name__] += 1
        elif event == "call" and frame.f_code.co_name == "send_after":
            self.seen[self._who(), "send_after"] += 1

    @staticmethod
    def _is_ours(frame: FrameType) -> bool:
        name = str(frame.f_globals.get("__name__", ""))
        return name.startswith("upright.") and not name.startswith("upright.testing.")

    @staticmethod
    def _who() -> str:
        thread = threading.current_thread()
        return "caller" if thread is threading.main_thread() else thread.name.rpartition("-")[0]

    def per_recovery(self, what: str) -> dict[str, float]:
        """Return how often it was seen in one recovery, by thread, in those that a recovery passes through."""
        return {who: self.seen[who, what] / RECOVERIES for who in INSTRUCTIONS}


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    with FakeClock() as clock:  # so that no timer comes in between
        yield clock


def counted(count: Count, install: Callable[[Any], None], install_here: Callable[[Any], None], hook: Any) -> None:
    """Have a tree heal one failure after another, and count in all its threads."""
    install(hook)
    try:
        with upright.boot({"control": {"enabled": False}}, strategies=[Nothing()]) as tree:

            def recover() -> None:
                result = tree.orchestrator.ask(upright.ErrorReport(ConnectionError("down"), "op", "db"), timeout=30.0)
                assert result.status == upright.RecoveryStatus.HEALED
                assert not result.joined

            for _ in range(5):
                recover()
            tree.orchestrator.ask(Inquire(), timeout=30.0)
            count.on = True
            install_here(hook)
            try:
                for _ in range(RECOVERIES):
                    recover()
            finally:
                install_here(None)
                count.on = False
    finally:
        install(None)


@pytest.mark.usefixtures("clock")
def test_a_recovery_takes_no_more_instructions_than_before() -> None:
    count = Count()
    counted(count, threading.settrace, sys.settrace, count.trace)
    taken = count.per_recovery("instruction")
    assert {who: number for who, number in taken.items() if number > INSTRUCTIONS[who] * SLACK} == {}


@pytest.mark.usefixtures("clock")
def test_a_recovery_sends_no_more_messages_makes_no_more_locks_and_sets_no_timers() -> None:
    count = Count()
    counted(count, threading.setprofile, sys.setprofile, count.profile)
    messages = {who: round(number) for who, number in count.per_recovery("put").items()}
    # The orchestrator's are the request to the healing actor, and three events for each of two subscribers. The worker
    # wakes the orchestrator, and the healing actor not at all.
    assert messages == {"caller": 1, "OrchestratorActor": 7, "HealingActor": 1, "Worker": 1}
    locks = {who: round(number) for who, number in count.per_recovery("allocate_lock").items()}
    assert locks == {"caller": 1, "OrchestratorActor": 0, "HealingActor": 0, "Worker": 0}
    # Those that are left ring once for many.
    assert sum(count.per_recovery("send_after").values()) < 0.2
