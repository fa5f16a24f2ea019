"""What happened, as the recovery actors tell it to the monitor and the tracker: facts, never requests.

They are told, never asked, and a subscriber that cannot keep up loses them (counted); no recovery ever waits for
its own story.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from upright.strategies.prediction.alert import Alert, Prediction
    from upright.strategies.prediction.metrics import SystemMetrics
    from upright.strategies.report import ErrorReport, RecoveryId, RecoveryResult, RecoveryStep

__all__ = [
    "AlertJudged",
    "AlertRaised",
    "CircuitChanged",
    "HealingEnded",
    "PredictionMade",
    "RecoveryEscalated",
    "RecoveryFinished",
    "RecoveryStarted",
]


class RecoveryStarted(NamedTuple):
    """A failure was reported that nobody was recovering from.

    From: the orchestrator.
    """

    recovery_id: RecoveryId
    report: ErrorReport


class HealingEnded(NamedTuple):
    """The healing of a recovery came to an end.

    From: the orchestrator.

    Attributes:
        recovery_id: Of which recovery.
        report: The report that started it.
        healed: It was proven.
        skipped: There was nothing to try: switched off, no strategy, or out of attempts.
        steps: What was tried.
        duration: Seconds since the first report.
        joined: How many reports shared it, the first not counted.
    """

    recovery_id: RecoveryId
    report: ErrorReport
    healed: bool
    skipped: bool
    steps: tuple[RecoveryStep, ...]
    duration: float
    joined: int


class RecoveryEscalated(NamedTuple):
    """A recovery id used up its healing attempts; healing is skipped until the cool-down ends.

    From: the healing actor, once per cool-down.

    Attributes:
        recovery_id: Of which recovery.
        report: The report whose healing failed last.
        attempts: How many healings failed within the window.
        cooldown: Seconds until healing is tried again.
    """

    recovery_id: RecoveryId
    report: ErrorReport
    attempts: int
    cooldown: float


class RecoveryFinished(NamedTuple):
    """A failing call, or a report, has got its final answer.

    From: whoever gave it: the caller's side, or the orchestrator.

    Attributes:
        result: The answer.
        report: What it answers; None for a call that an open circuit kept away.
    """

    result: RecoveryResult
    report: ErrorReport | None = None

    @property
    def counted_as(self) -> tuple[str, str]:
        """Status and method: what is counted of it even where a full mailbox refused it."""
        return str(self.result.status), str(self.result.method or "")


class CircuitChanged(NamedTuple):
    """The circuit of an operation changed its state.

    From: the breaker.
    """

    operation: str
    old: str
    new: str
    reason: str


class PredictionMade(NamedTuple):
    """The predictor has looked at the host once more.

    From: the predictor, every interval.

    Attributes:
        host: Which host.
        metrics: What was read.
        prediction: What that means.
    """

    host: str
    metrics: SystemMetrics
    prediction: Prediction


class AlertRaised(NamedTuple):
    """Something is about to go wrong, or has.

    From: the predictor, on the tick on which the alert begins.
    """

    host: str
    alert: Alert


class AlertJudged(NamedTuple):
    """It is known by now whether an alert came true, or a breach had been foretold.

    From: the predictor.

    Attributes:
        host: Which host.
        factor: What the alert was about.
        came_true: The limit was crossed in time; False: it was not.
        missed: There was no alert before the limit was crossed.
    """

    host: str
    factor: str
    came_true: bool
    missed: bool = False
