"""What a failing call and the orchestrator say to each other, and how a recovery is put into a result."""

from __future__ import annotations

import time
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from upright.actors.worker import JobFailed
from upright.strategies.foreign import is_of, kind_of
from upright.strategies.report import RecoveryMethod, RecoveryResult, RecoveryStatus, RecoveryStep, Stage, StepOutcome

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from upright.actors.gate import Gate
    from upright.actors.ledger import Ticket
    from upright.strategies.report import ErrorReport

__all__ = ["Consult", "Counsel", "HandedOn", "Inquire", "result_of", "skipped", "still_healing"]

_ELSEWHERE: Final = object()  # what a job gives that had been begun elsewhere


class Consult(NamedTuple):
    """What a failing call wants to know before it goes on by itself: is it healed?

    From: the edge, in the caller's thread. To: the orchestrator. Reply: one Counsel, within `heal_wait`.

    Attributes:
        report: What failed.
        heal_wait: Seconds that the caller is ready to wait for a healing.
        loop: The event loop that it runs on, or None.
    """

    report: ErrorReport
    heal_wait: float
    loop: asyncio.AbstractEventLoop | None = None


class Counsel(NamedTuple):
    """What the orchestrator knows about a failure.

    Attributes:
        healed: The resource works again, and that was proven.
        joined: The healing is or was that of an earlier report.
        steps: What was tried.
        gate: Limits how many calls are made again at once after a shared healing; None if there is no need.
        spread: Seconds over which they spread themselves.
    """

    healed: bool
    joined: bool = False
    steps: tuple[RecoveryStep, ...] = ()
    gate: Gate | None = None
    spread: float = 0.0


@dataclass(frozen=True, slots=True)
class Inquire:
    """Has a healing of this resource been begun?

    Whoever is rejected by a circuit that has just opened asks it, since the failure that opened the circuit was
    reported before: once this is answered, the board tells whether the resource is being healed.

    From: the edge. To: the orchestrator. Reply: None.
    """


class HandedOn:
    """What a worker has been given to do for a ticket: noted on it, and the reply of the job.

    A worker that gives no result is answered with the failure itself.

    Attributes:
        sent: The job is on its way. Without, an incarnation that finds this on a ticket sends the job again; if it was
            on its way all the same, the second does nothing.
    """

    __slots__ = ("_begun", "_counsel", "_report", "_ticket", "sent")

    def __init__(self, ticket: Ticket, report: ErrorReport, counsel: Counsel) -> None:
        self._ticket = ticket
        self._report = report
        self._counsel = counsel
        self._begun = [True]
        self.sent = False

    def job(self, finish: Callable[[ErrorReport, Counsel], RecoveryResult]) -> Any:
        """Do it, unless that was begun elsewhere; in the worker."""
        try:
            self._begun.pop()
        except IndexError:
            return _ELSEWHERE
        return finish(self._report, self._counsel)

    def answer(self, result: Any) -> bool:
        if result is _ELSEWHERE:
            return False
        return self._ticket.answer(result)

    def fail(self, error: BaseException) -> bool:
        cause = error.error if is_of(error, JobFailed) else error
        step = RecoveryStep(Stage.FALLBACK, "worker", StepOutcome.FAILED, 0.0, kind_of(cause))
        counsel = Counsel(healed=False, joined=self._counsel.joined, steps=(*self._counsel.steps, step))
        return self._ticket.answer(result_of(self._report, counsel))


def result_of(report: ErrorReport, counsel: Counsel) -> RecoveryResult:
    """Return the result of a report with which nothing was done but healing."""
    took = monotonic() - report.created_at
    return RecoveryResult(
        recovery_id=report.recovery_id,
        status=RecoveryStatus.HEALED if counsel.healed else RecoveryStatus.FAILED,
        method=RecoveryMethod.SELF_HEALING if counsel.healed else None,
        error=report.error,
        duration=took,
        joined=counsel.joined,
        steps=counsel.steps,
        operation=report.operation,
        resource=report.resource,
        code=report.code,
        started_at=time.time() - took,
    )


def skipped(why: str) -> RecoveryStep:
    """Return the step that says why nothing was healed."""
    return RecoveryStep(Stage.HEALING, "none", StepOutcome.SKIPPED, 0.0, why)


def still_healing(so_far: float) -> RecoveryStep:
    """Return the step of one that has waited for a healing as long as it wanted to."""
    return RecoveryStep(
        Stage.HEALING, "healing", StepOutcome.SKIPPED, so_far, "still under way; it goes on in the background"
    )
