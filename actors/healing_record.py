"""One healing under way: what is asked for, what is kept of it on the board, and how its end is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

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
    from upright.actors.worker import Job
    from upright.strategies.healing.base import HealingStrategy
    from upright.strategies.report import ErrorReport

__all__ = ["ELSEWHERE", "Heal", "Healing", "HealingReport", "Shortcut", "given_up", "not_tried"]

ELSEWHERE: Final = object()
"""What a job gives that may not begin any more, or has been begun before."""


class Heal(NamedTuple):
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


class HealingReport(NamedTuple):
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
    look_at: float = inf  # when the strategy at work has used up its time, or who was to say how it came out
    overdue: bool = False
    young: bool = False  # its actor looks at it again in a moment, whether woken or not
    proof: HealingReport | None = None  # what everybody is told who asked, once there is a proof

    def proven_by(self, attempt: HealingAttempt) -> HealingReport:
        """Return what everybody is told of a proof."""
        if self.proof is None:
            assert attempt.index is not None  # a strategy proved it  # noqa: S101
            name, took = self.strategies[attempt.index].name, monotonic() - self.job_started_at
            step = RecoveryStep(Stage.HEALING, name, StepOutcome.SUCCEEDED, took, attempt.detail)
            self.proof = HealingReport(True, (*self.steps, step))
        return self.proof

    @property
    def is_proven(self) -> bool:
        """Whether the strategy at work has proven what it did."""
        attempt = None if self.outcome is None else self.outcome.value
        return isinstance(attempt, HealingAttempt) and attempt.proven

    @property
    def is_at_work(self) -> bool:
        """Whether a strategy has begun and has not been heard of since."""
        return self.outcome is None and self.progress.begun


class Shortcut:
    """Tells this actor how a job came out, and a proven healing also to who asked for it, from the worker's thread.

    That saves the asker two changes of threads. Everything but a proof takes the way through the actor. The actor is
    told first: so a failure that is reported after the proof finds the healing ended. It is woken last, if at all: it
    would take the interpreter from those who wait for the answer.

    Args:
        back: Where the actor is told.
        publish: Publishes a proof.
        wakes: Whether the actor is to be woken by it.
        healing: What the job is for.
        progress: Of that job: if the healing has another one by now, the job is no longer its own.
    """

    __slots__ = ("_back", "_healing", "_progress", "_publish", "_wakes")

    def __init__(
        self,
        back: TellBack,
        publish: Callable[[str], None],
        wakes: Callable[[Healing], bool],
        healing: Healing,
        progress: Progress,
    ) -> None:
        self._back = back
        self._publish = publish
        self._wakes = wakes
        self._healing = healing
        self._progress = progress

    def answer(self, value: Any) -> bool:
        if value is ELSEWHERE:
            return False
        healing, back = self._healing, self._back
        answered = Answered(back.key, value)
        if not (isinstance(value, HealingAttempt) and value.proven):
            self._keep(answered)
            return back.tell(answered)
        report = healing.proven_by(value)
        with shielded():
            self._publish(healing.report.target)
            self._keep(answered)
            if not back.tell(answered, wake=False):
                return False
            try:
                for ticket in healing.tickets[:1]:
                    ticket.answer(report)
            finally:
                if self._wakes(healing):
                    back.address.lane.wake()
        return True

    def fail(self, error: BaseException) -> bool:
        answered = Answered(self._back.key, error=error)
        self._keep(answered)
        return self._back.tell(answered)

    def _keep(self, outcome: Answered) -> None:
        healing = self._healing
        if healing.progress is self._progress and healing.outcome is None:
            healing.outcome = outcome


def given_up(healing: Healing | None) -> HealingReport:
    """What becomes of a healing on which this actor failed again and again: not even a proof is thrown away."""
    outcome = None if healing is None or healing.outcome is None else healing.outcome.value
    if healing is not None and isinstance(outcome, HealingAttempt) and outcome.proven:
        return healing.proven_by(outcome)
    return not_tried("healing", "given up: its healing actor failed repeatedly")


def not_tried(name: str, why: str) -> HealingReport:
    """What becomes of a healing in which nothing was done, and why."""
    return HealingReport(
        proven=False, skipped=True, steps=(RecoveryStep(Stage.HEALING, name, StepOutcome.SKIPPED, 0.0, why),)
    )
