"""One healing under way: what is asked for, what is kept of it on the board, and how its end is told."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from upright.actors.healing_job import HealingAttempt, Progress
from upright.actors.interrupt import shielded
from upright.actors.ledger import Carried
from upright.actors.messages import Answered
from upright.strategies.report import RecoveryStep, Stage, StepOutcome

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from upright.actors.ledger import Ticket
    from upright.actors.reply import TellBack
    from upright.actors.timers import Timer
    from upright.actors.worker import Job
    from upright.strategies.healing.base import HealingStrategy
    from upright.strategies.report import ErrorReport

__all__ = ["ELSEWHERE", "Failures", "Heal", "Healing", "HealingReport", "Shortcut", "given_up", "not_tried"]

ELSEWHERE: Final = object()
"""What a job gives that may not begin any more, or has been begun before."""


@dataclass(frozen=True, slots=True)
class Heal:
    """Try to heal what a report is about.

    From: the orchestrator. To: the healing actor. Reply: one HealingReport.

    Attributes:
        report: What failed.
        loop: The event loop that the failed call ran on, for strategies that are asynchronous; None if on none.
        epoch: Of the resource when it failed: a later one says that it has been healed since.
    """

    report: ErrorReport
    loop: asyncio.AbstractEventLoop | None
    epoch: int


@dataclass(frozen=True, slots=True)
class HealingReport:
    """What became of a healing.

    Attributes:
        proven: A strategy healed the resource and proved it.
        steps: What was tried or skipped, in order.
        skipped: Nothing was tried, and the only step says why.
    """

    proven: bool
    steps: tuple[RecoveryStep, ...]
    skipped: bool = False


@dataclass(slots=True, eq=False)
class Healing(Carried):
    """One healing under way: kept on the board, where the next incarnation finds it."""

    report: ErrorReport
    loop: asyncio.AbstractEventLoop | None
    strategies: tuple[HealingStrategy, ...]
    started_at: float
    tickets: list[Ticket] = field(default_factory=list)
    steps: list[RecoveryStep] = field(default_factory=list)
    index: int = 0
    job: Job | None = None
    sending: Job | None = None  # the newest job, which may not have been sent
    job_started_at: float = 0.0
    outcome: Answered | None = None  # of the job, kept until it is dealt with: a crash in between must not lose it
    progress: Progress = field(default_factory=Progress)
    timer: Timer | None = None
    overdue: bool = False

    @property
    def is_proven(self) -> bool:
        """Whether the strategy at work has proven what it did."""
        attempt = None if self.outcome is None else self.outcome.value
        return isinstance(attempt, HealingAttempt) and attempt.proven

    @property
    def is_at_work(self) -> bool:
        """Whether a strategy has begun and has not been heard of since."""
        return self.outcome is None and self.progress.begun


@dataclass(slots=True)
class Failures:
    """The failed attempts of one recovery id within the window, and until when it is left alone."""

    times: deque[float] = field(default_factory=deque)
    cooling_until: float = 0.0
    escalated_after: int = 0
    last: str = ""  # what was tried last, and why that failed


class Shortcut:
    """Tells this actor how a job came out, and a proven healing also to who asked for it, from the worker's thread.

    That saves the asker two changes of threads. Everything but a proof takes the way through the actor. The actor is
    told first: so a failure that is reported after the proof finds the healing ended.
    """

    __slots__ = ("_back", "_healing", "_progress", "_publish")

    def __init__(self, back: TellBack, publish: Callable[[str], None], healing: Healing, progress: Progress) -> None:
        self._back = back
        self._publish = publish
        self._healing = healing
        self._progress = progress

    def answer(self, value: Any) -> bool:
        if value is ELSEWHERE:
            return False
        healing = self._healing
        began, steps = healing.job_started_at, tuple(healing.steps)
        proven = isinstance(value, HealingAttempt) and value.proven
        with shielded():
            if proven:
                self._publish(healing.report.target)
            self._keep(Answered(self._back.key, value))
        first = self._back.answer(value)
        if first and proven and value.index is not None:
            name = healing.strategies[value.index].name
            step = RecoveryStep(Stage.HEALING, name, StepOutcome.SUCCEEDED, monotonic() - began, value.detail)
            for ticket in healing.tickets[:1]:
                ticket.answer(HealingReport(proven=True, steps=(*steps, step)))
        return first

    def fail(self, error: BaseException) -> bool:
        self._keep(Answered(self._back.key, error=error))
        return self._back.fail(error)

    def _keep(self, outcome: Answered) -> None:
        healing = self._healing
        if healing.progress is self._progress and healing.outcome is None:
            healing.outcome = outcome


def given_up(healing: Healing | None) -> HealingReport:
    """What becomes of a healing on which this actor failed again and again: not even a proof is thrown away."""
    outcome = None if healing is None or healing.outcome is None else healing.outcome.value
    if healing is not None and isinstance(outcome, HealingAttempt) and outcome.proven and outcome.index is not None:
        step = RecoveryStep(Stage.HEALING, healing.strategies[outcome.index].name, StepOutcome.SUCCEEDED)
        return HealingReport(proven=True, steps=(*healing.steps, step))
    return not_tried("healing", "given up: its healing actor failed repeatedly")


def not_tried(name: str, why: str) -> HealingReport:
    """What becomes of a healing in which nothing was done, and why."""
    return HealingReport(
        proven=False, skipped=True, steps=(RecoveryStep(Stage.HEALING, name, StepOutcome.SKIPPED, 0.0, why),)
    )
