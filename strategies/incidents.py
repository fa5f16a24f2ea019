"""What an incident is, when it begins and ends, and which reports it is worth.

An incident is everything that goes wrong with one recovery id from its first failure until that is proven healed,
or has been quiet for the cool-down. It is worth one report, and one more for each escalation:

    healed      a healing was proven                                    warning, at once
    recovered   every call got its value by a retry                     warning, after `patience` or when it is over
    degraded    every call got an answer, some of them a fallback's     warning, after `patience` or when it is over
    failed      a call, or a report without one, ended with its error   error, after `settle`
    escalated   the healing attempts are used up                        error, at once, besides the one above

An incident that was reported as recovered or degraded and then fails is reported again, as failed: nobody would look
for a failure behind a warning. One that was reported as failed and is healed later is not; its end is a log line.

Pure: facts and readings of one monotonic clock in, verdicts out; what carries them out is upright.actors.tracker.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from upright.strategies.report import RecoveryMethod, RecoveryStatus, StepOutcome

if TYPE_CHECKING:
    from upright.strategies.report import ErrorReport, RecoveryId, RecoveryResult, RecoveryStep
    from upright.strategies.sentry_options import SentryOptions

__all__ = ["Incident", "Incidents", "Outcome", "StoryLine", "Verdict"]

_MAX_TRACEBACKS: Final = 100
"""Open incidents whose exception is kept, and with it its frames and all that these refer to."""


class Outcome(StrEnum):
    """What an incident is reported as; the later in this list the worse."""

    HEALED = "healed"
    RECOVERED = "recovered"
    DEGRADED = "degraded"
    FAILED = "failed"
    ESCALATED = "escalated"

    @property
    def is_error(self) -> bool:
        """Whether somebody has to do something: an error event, else a warning."""
        return self in (Outcome.FAILED, Outcome.ESCALATED)


_BADNESS: Final = {outcome: place for place, outcome in enumerate(Outcome)}


class StoryLine(NamedTuple):
    """One thing that happened during an incident.

    Attributes:
        after: Seconds since the incident began.
        text: For people; not redacted yet.
        bad: Something failed.
    """

    after: float
    text: str
    bad: bool


@dataclass(slots=True, eq=False)
class Incident:
    """One incident, as far as it is known.

    Attributes:
        recovery_id: Of what.
        operation: What failed first.
        resource: What it failed on.
        opened_at: Monotonic seconds of the first failure.
        report: The first failure's report; None if it came without one, or was let go to save memory.
        error: The first failure; None if it was let go to save memory.
        last_at: Monotonic seconds of the latest failure.
        reports: Failures that were reported, with those that were merged into others.
        answers: How many calls and reports got which status.
        attempts: Healing strategies that were tried.
        escalations: How often the attempts were used up.
        healing: A healing is under way, as far as is known.
        worst: The worst outcome that a caller has seen; None as long as nobody got an answer.
        failed_at: Monotonic seconds of the first failed answer.
        reported: What the incident has been reported as.
        story: What happened, oldest first: the beginning and the newest.
        untold: Lines that were dropped between the two.
    """

    recovery_id: RecoveryId
    operation: str
    resource: str | None
    opened_at: float
    report: ErrorReport | None
    error: BaseException | None
    last_at: float
    reports: int = 1
    answers: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    escalations: int = 0
    healing: bool = False
    worst: Outcome | None = None
    failed_at: float = 0.0
    reported: set[Outcome] = field(default_factory=set)
    story: deque[StoryLine] = field(default_factory=deque)
    untold: int = 0

    def tell(self, now: float, text: str, *, bad: bool, limit: int) -> None:
        """Add a line to the story; at the limit a line of the middle goes."""
        if len(self.story) >= limit:
            del self.story[limit // 2]
            self.untold += 1
        self.story.append(StoryLine(now - self.opened_at, text, bad))

    def tell_steps(self, now: float, steps: tuple[RecoveryStep, ...], limit: int) -> None:
        """Add the steps of a healing, or of an answer, to the story."""
        for step in steps:
            detail = f": {step.detail}" if step.detail else ""
            text = f"{step.stage} {step.strategy} {step.outcome} ({step.duration:.3g} s){detail}"
            self.tell(now, text, bad=step.outcome is StepOutcome.FAILED, limit=limit)


class Verdict(NamedTuple):
    """What is to be done about an incident.

    Attributes:
        incident: Which one.
        report: Report it as this; None if it is not to be reported.
        opened: It begins here.
        closed: It is over, with this outcome; None if it goes on.
    """

    incident: Incident
    report: Outcome | None = None
    opened: bool = False
    closed: Outcome | None = None


class Incidents:
    """The open incidents of one tree.

    Not safe for several threads at once: its owner is one actor. It outlives that actor's crashes.

    Args:
        options: When incidents end and are reported, and how many may be open.
    """

    def __init__(self, options: SentryOptions) -> None:
        self.options = options
        # By recovery id, the one with the latest news last.
        # Invariant: not longer than options.max_incidents. See test_open_incidents_stay_bounded.
        self._open: OrderedDict[RecoveryId, Incident] = OrderedDict()
        # When recovery ids were healed last, oldest first; bounded likewise.
        self._healed: OrderedDict[RecoveryId, float] = OrderedDict()
        self.opened_ever = 0

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Any:
        return iter(list(self._open.values()))

    def get(self, recovery_id: RecoveryId) -> Incident | None:
        """Return the open incident of a recovery id, or None."""
        return self._open.get(recovery_id)

    # Facts.

    def started(self, report: ErrorReport, now: float) -> list[Verdict]:
        """A failure was reported that nobody was recovering from."""
        incident, verdicts = self._touch(report.recovery_id, now)
        if incident is None:
            incident, verdicts = self._begin(
                report.recovery_id, report.operation, report.resource, now, report, report.error
            )
        else:
            incident.reports += 1
            incident.tell(now, "failed again", bad=True, limit=self.options.max_breadcrumbs)
        incident.healing = True
        return verdicts

    def healing_ended(
        self,
        report: ErrorReport,
        now: float,
        *,
        healed: bool,
        steps: tuple[RecoveryStep, ...] = (),
        joined: int = 0,
    ) -> list[Verdict]:
        """A healing came to its end, shared by `joined` further reports."""
        recovery_id = report.recovery_id
        incident, verdicts = self._touch(recovery_id, now)
        if incident is None:
            incident, verdicts = self._begin(recovery_id, report.operation, report.resource, now, report, report.error)
        incident.healing = False
        incident.reports += joined
        incident.attempts += sum(1 for step in steps if step.outcome is not StepOutcome.SKIPPED)
        incident.tell_steps(now, steps, self.options.max_breadcrumbs)
        if not healed:
            return verdicts
        if self._healed.pop(recovery_id, None) is None and len(self._healed) >= self.options.max_incidents:
            self._healed.popitem(last=False)
        self._healed[recovery_id] = now
        return [*verdicts, self._close(incident, Outcome.HEALED)]

    def escalated(self, report: ErrorReport, now: float, *, attempts: int, cooldown: float) -> list[Verdict]:
        """The healing attempts of a recovery id are used up for `cooldown` seconds."""
        incident, verdicts = self._touch(report.recovery_id, now)
        if incident is None:
            incident, verdicts = self._begin(
                report.recovery_id, report.operation, report.resource, now, report, report.error
            )
        incident.escalations += 1
        text = f"escalated: {attempts} healings failed, the next is tried in {cooldown:g} s"
        incident.tell(now, text, bad=True, limit=self.options.max_breadcrumbs)
        incident.reported.add(Outcome.ESCALATED)
        return [*verdicts, Verdict(incident, Outcome.ESCALATED)]

    def finished(self, result: RecoveryResult, now: float, report: ErrorReport | None = None) -> list[Verdict]:
        """A failing call, or a report, got its answer."""
        recovery_id = result.recovery_id
        if recovery_id is None:
            return []  # kept away by an open circuit: a consequence, and no failure of its own
        seen = _outcome_of(result)
        if seen is Outcome.HEALED:
            incident = self._open.get(recovery_id)
            if incident is not None:
                incident.answers[str(result.status)] += 1
            return []
        incident, verdicts = self._touch(recovery_id, now)
        if incident is None:
            if self._was_healed_since(result, now):
                return []
            incident, verdicts = self._begin(recovery_id, result.operation, result.resource, now, report, result.error)
        incident.answers[str(result.status)] += 1
        if incident.worst is None or _BADNESS[seen] > _BADNESS[incident.worst]:
            incident.worst = seen
            if seen is Outcome.FAILED:
                incident.failed_at = now
            if not result.joined:
                incident.tell_steps(now, result.steps, self.options.max_breadcrumbs)
        if self.options.settle == 0:
            verdicts = [*verdicts, *self._judge(incident, now)]
        return verdicts

    def due(self, now: float) -> list[Verdict]:
        """Return what has become due by the passing of time."""
        return [verdict for incident in self for verdict in self._judge(incident, now)]

    def give_up(self) -> list[Verdict]:
        """Close all incidents as they stand: the tree stops."""
        return [self._close(incident, _as_it_stands(incident)) for incident in self]

    # Judging.

    def _judge(self, incident: Incident, now: float) -> list[Verdict]:
        options, worst = self.options, incident.worst
        quiet = now - incident.last_at
        if quiet >= options.cooldown and (not incident.healing or quiet >= options.patience):
            return [self._close(incident, _as_it_stands(incident))]
        if worst is None or worst in incident.reported or Outcome.FAILED in incident.reported:
            return []
        waited = now - incident.opened_at >= options.patience
        settled = not incident.healing and worst is Outcome.FAILED and now - incident.failed_at >= options.settle
        if not waited and not settled:
            return []
        incident.reported.add(worst)
        return [Verdict(incident, worst)]

    def _close(self, incident: Incident, outcome: Outcome) -> Verdict:
        self._open.pop(incident.recovery_id, None)
        told = incident.reported - {Outcome.ESCALATED}
        worse = all(_BADNESS[outcome] > _BADNESS[other] for other in told)
        report = outcome if worse and (not told or outcome is Outcome.FAILED) else None
        if report is not None:
            incident.reported.add(report)
        return Verdict(incident, report, closed=outcome)

    def _begin(
        self,
        recovery_id: RecoveryId,
        operation: str,
        resource: str | None,
        now: float,
        report: ErrorReport | None,
        error: BaseException | None,
    ) -> tuple[Incident, list[Verdict]]:
        verdicts: list[Verdict] = []
        while len(self._open) >= self.options.max_incidents:
            quietest = next(iter(self._open.values()))
            verdicts.append(self._close(quietest, _as_it_stands(quietest)))
        if len(self._open) >= _MAX_TRACEBACKS:
            report = error = None
        incident = Incident(recovery_id, operation, resource, now, report, error, last_at=now)
        self._open[recovery_id] = incident
        self.opened_ever += 1
        verdicts.append(Verdict(incident, opened=True))
        return incident, verdicts

    def _touch(self, recovery_id: RecoveryId, now: float) -> tuple[Incident | None, list[Verdict]]:
        """Return the open incident of an id, with the verdict on one that was over before `now`."""
        incident = self._open.get(recovery_id)
        if incident is None:
            return None, []
        if now - incident.last_at >= self.options.cooldown and not incident.healing:
            return None, [self._close(incident, _as_it_stands(incident))]
        incident.last_at = now
        self._open.move_to_end(recovery_id)
        return incident, []

    def _was_healed_since(self, result: RecoveryResult, now: float) -> bool:
        """Whether this answer is about a failure before the healing: late, and no new incident.

        Unless the call was made again after the healing, and failed again.
        """
        healed_at = self._healed.get(result.recovery_id) if result.recovery_id is not None else None
        if healed_at is None or now - result.duration > healed_at:
            return False
        return not any(step.strategy == "call again" and step.outcome is StepOutcome.FAILED for step in result.steps)


def _outcome_of(result: RecoveryResult) -> Outcome:
    if result.status in (RecoveryStatus.HEALED, RecoveryStatus.SUCCEEDED):
        return Outcome.HEALED
    if result.degraded or result.method is RecoveryMethod.FALLBACK:
        return Outcome.DEGRADED
    return Outcome.RECOVERED if result.status is RecoveryStatus.RECOVERED else Outcome.FAILED


def _as_it_stands(incident: Incident) -> Outcome:
    if incident.worst is not None:
        return incident.worst
    # Nobody got an answer, or it was lost; only if all that came was good it was healed.
    return Outcome.HEALED if incident.answers and not incident.healing else Outcome.FAILED
