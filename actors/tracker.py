"""The tracker: one incident per failure, told once, to Sentry and to the log.

Everything here happens beside the recovery and never in its way: events are told, the tracker decides by the rules of
upright.strategies.incidents, and the events are handed to Sentry in a worker, one at a time. A Sentry that hangs
keeps that one worker; up to 30 events wait for it, and what comes beyond them is counted.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from upright.actors.events import (
    AlertJudged,
    AlertRaised,
    CircuitChanged,
    HealingEnded,
    PredictionMade,
    RecoveryEscalated,
    RecoveryFinished,
    RecoveryStarted,
)
from upright.actors.log import get_logger
from upright.actors.messages import Answered
from upright.actors.reply import TellBack
from upright.actors.sentry import Draft, capture, ignore_own_log_lines, is_on
from upright.actors.sentry_drafts import Source, draft_of_alert, draft_of_incident
from upright.actors.sentry_metrics import send_duration, send_figures
from upright.actors.subscriber import Subscriber
from upright.strategies.clock import get_clock
from upright.strategies.event_redaction import EventRedactor
from upright.strategies.foreign import kind_of
from upright.strategies.incidents import Incidents, Outcome
from upright.strategies.rate_limit import RateLimit
from upright.strategies.redaction import redact_error, redact_text, type_name
from upright.strategies.report import RecoveryStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from upright.actors.board import Board
    from upright.actors.worker import WorkerPool
    from upright.strategies.incidents import Incident, Verdict
    from upright.strategies.metrics import ResilienceMetrics
    from upright.strategies.origin import Origin
    from upright.strategies.report import ErrorReport
    from upright.strategies.sentry_options import SentryOptions

__all__ = ["TrackerActor", "TrackerState"]

_MAX_WAITING: Final = 30  # events that wait for the one being sent; each may hold an exception with its frames
_PREDICTIONS: Final = 20  # breadcrumbs of an alert
_NOT_INCIDENTS: Final = (AlertJudged, CircuitChanged)  # the monitor's business
_HANGS: Final = 1.0  # seconds with one event after which Sentry is not given more while the tree stops
_LOG_LINES: Final = 120  # log lines about incidents in any minute; what is held back is counted


class TrackerState:
    """What the tracker knows; made once per tree, so that it survives the actor.

    Args:
        options: When incidents are reported, and how much of it.
    """

    def __init__(self, options: SentryOptions) -> None:
        self.options = options
        self.incidents = Incidents(options)
        self.limit = RateLimit(options.max_events, options.window)
        self.log_limit = RateLimit(_LOG_LINES, 60.0)
        # Events on their way to Sentry, oldest first, beside the one that is being sent.
        # Invariant: not longer than _MAX_WAITING. See test_hanging_sentry_does_not_grow_memory.
        self.waiting: deque[Draft] = deque()
        self.sending: Draft | None = None
        self.sending_since = 0.0
        self.unclaimed: list[Draft] = []  # the one being sent, until the worker that sends it has begun
        self.predictions: deque[tuple[float, str, bool]] = deque(maxlen=_PREDICTIONS)
        self.answers: Counter[str] = Counter()  # by status; every one that reached the tracker
        self.sent: Counter[str] = Counter()  # events that Sentry's client took, by kind
        self.told: dict[str, int] = {}  # counts as Sentry knows them, by metric

    def claim(self) -> bool:
        """Claim the event being sent, as its worker does; False if that has: it is sent once, or kept."""
        try:
            self.unclaimed.pop()
        except IndexError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class _Tick:
    """Time has passed; is something due?"""


@dataclass(frozen=True, slots=True)
class _MetricsDue:
    """The metrics are to be sent."""


class TrackerActor(Subscriber):
    """Receives: the events of upright.actors.events. Replies: nothing.

    Owns: every change of its TrackerState. Blocks on: nothing; without a `pool` on Sentry's client, which queues.

    Args:
        state: Made once per tree; it outlives this actor.
        board: Where the events come from.
        options: What is sent, and how much of it.
        pool: Workers that hand events to Sentry; None does it in this actor's thread.
        service: The tag `upright.service` where the options name none.
        metrics: Gives the figures that are sent; None sends recovery times alone.
    """

    def __init__(
        self,
        state: TrackerState,
        board: Board,
        options: SentryOptions,
        *,
        pool: WorkerPool | None = None,
        service: str = "upright",
        metrics: Callable[[], ResilienceMetrics] | None = None,
    ) -> None:
        super().__init__()
        self._state = state
        self._board = board
        self._options = options
        self._pool = pool
        self._metrics = metrics
        self._source = Source(options.service or service)
        self._redactor = EventRedactor(options.redact)
        self._clock = get_clock()
        self._ticking = False
        self._own_lines_ignored = False
        self._hangs = False  # Sentry, with the last event: it would do so in this thread as well

    def on_start(self) -> None:
        self._see_sentry()
        if len(self._state.incidents):
            self._tick_later()
        if self._options.enabled and self._options.metrics:
            self.send_after(self._options.metrics_interval, _MetricsDue())

    def on_receive(self, message: Any) -> Any:
        state, now = self._state, self._clock.now()
        incidents = state.incidents
        if not self._own_lines_ignored:
            self._see_sentry()
        if isinstance(message, RecoveryFinished):
            self._finished(message, now)
        elif isinstance(message, RecoveryStarted):
            self._carry_out(incidents.started(message.report, now), now)
        elif isinstance(message, HealingEnded):
            self._carry_out(
                incidents.healing_ended(
                    message.report, now, healed=message.healed, steps=message.steps, joined=message.joined
                ),
                now,
            )
        elif isinstance(message, RecoveryEscalated):
            verdicts = incidents.escalated(message.report, now, attempts=message.attempts, cooldown=message.cooldown)
            self._carry_out(verdicts, now, message.report)
        elif isinstance(message, PredictionMade):
            prediction = message.prediction
            risk = prediction.risk
            text = f"risk {risk.score:.2f} {risk.level.name}" + (f": {', '.join(risk.factors)}" if risk.factors else "")
            state.predictions.append((time.time(), text, prediction.alerting))
        elif isinstance(message, AlertRaised):
            self._alert(message, now)
        elif isinstance(message, _Tick):
            self._ticking = False
            self._carry_out(incidents.due(now), now)
            if state.sending is None and state.waiting:
                self._send_next()
        elif isinstance(message, _MetricsDue):
            self._send_metrics()
            self.send_after(self._options.metrics_interval, _MetricsDue())
        elif not isinstance(message, _NOT_INCIDENTS):
            return super().on_receive(message)
        if len(incidents) and not self._ticking:
            self._tick_later()
        return None

    def on_system_message(self, message: Any) -> None:
        if isinstance(message, Answered) and isinstance(message.key, Draft):
            if message.error is not None and self._state.claim():
                self._was_not_begun(message.key)
            else:
                self._was_sent(message.key, taken=message.value is True)
        else:
            super().on_system_message(message)

    def on_stop(self) -> None:
        super().on_stop()
        # The tree stops, and with it the workers: what waits is sent here, or counted as held back if Sentry hangs.
        self._pool = None
        state = self._state
        if state.sending is not None and state.claim():
            self._was_not_begun(state.sending)
        elif state.sending is not None:
            self._note_hang()
            state.limit.hold(state.sending.kind)  # whether Sentry took it nobody will hear
            state.sending = None
        while state.waiting:
            self._send_here(state.waiting.popleft())
        self._carry_out(state.incidents.give_up(), self._clock.now())
        if self._options.enabled and self._options.metrics and not self._hangs:
            self._send_metrics()  # what was counted since the last time would be lost

    def _see_sentry(self) -> None:
        if self._options.enabled:
            self._own_lines_ignored = ignore_own_log_lines()

    def _tick_later(self) -> None:
        self._ticking = True
        options = self._options
        shortest = min(options.settle or 1.0, options.cooldown, options.patience)
        self.send_after(min(1.0, max(0.02, shortest / 2)), _Tick())

    # Incidents.

    def _finished(self, message: RecoveryFinished, now: float) -> None:
        result, report = message.result, message.report
        self._state.answers[str(result.status)] += 1
        if (
            report is not None
            and report.permanent
            and result.status is RecoveryStatus.FAILED
            and not self._options.permanent_errors
        ):
            return
        self._carry_out(self._state.incidents.finished(result, now, report), now)
        if not result.joined and self._options.enabled and self._options.metrics and is_on():
            send_duration(result, self._source.service)

    def _carry_out(self, verdicts: Iterable[Verdict], now: float, report: ErrorReport | None = None) -> None:
        for verdict in verdicts:
            incident = verdict.incident
            if verdict.opened:
                self._log(logging.WARNING, "incident_opened", incident, now)
            if verdict.report is not None:
                self._report(incident, verdict.report, now, report)
            if verdict.closed is not None:
                self._log(logging.INFO, "incident_closed", incident, now, outcome=str(verdict.closed))

    def _report(self, incident: Incident, outcome: Outcome, now: float, report: ErrorReport | None) -> None:
        # An escalation comes with its own report, whose request is the one that suffered from it.
        report = report if outcome is Outcome.ESCALATED and report is not None else incident.report
        error = report.error if report is not None else incident.error
        if outcome is not Outcome.ESCALATED:  # that is logged by the healing actor, whose decision it is
            level = logging.ERROR if outcome.is_error else logging.WARNING
            self._log(level, f"incident_{outcome}", incident, now)
        self._send(str(outcome), now, lambda: draft_of_incident(incident, outcome, now, self._source, report, error))

    def _alert(self, message: AlertRaised, now: float) -> None:
        predictions = self._state.predictions
        self._send("alert", now, lambda: draft_of_alert(message.alert, message.host, self._source, predictions))

    # The log.

    def _log(self, level: int, name: str, incident: Incident, now: float, **more: Any) -> None:
        limit = self._state.log_limit
        if not limit.allows(name, now):
            return
        held = limit.take_held()
        if held:
            more["held_back_lines"] = sum(held.values())
        error = incident.error
        fields = {
            "recovery_id": redact_text(str(incident.recovery_id)),
            "operation": redact_text(incident.operation),
            "resource": None if incident.resource is None else redact_text(incident.resource),
            "code": str(incident.recovery_id.code),
            "reports": incident.reports,
            "attempts": incident.attempts,
            "duration": round(now - incident.opened_at, 3),
            "error": None if error is None else f"{type_name(error)}: {redact_error(error)}"[:500],
            **more,
        }
        _in_origin(incident.report, lambda: get_logger("tracker").log(level, name, **fields))

    # Sending.

    def _send(self, kind: str, now: float, draft: Callable[[], Draft]) -> None:
        """Send an event; it is drafted only if it is sent, for that costs more than everything else here."""
        state = self._state
        if not self._options.enabled or not is_on():
            return
        if not state.limit.allows(kind, now):
            return
        if self._pool is None:
            self._send_here(draft())
            return
        if len(state.waiting) >= _MAX_WAITING:
            state.limit.hold(kind)
            return
        state.waiting.append(draft())
        if state.sending is None:
            self._send_next()

    def _send_here(self, draft: Draft) -> None:
        """Send an event in this thread, unless Sentry hangs in a worker, and would here as well."""
        if self._hangs:
            self._state.limit.hold(draft.kind)
        else:
            self._count_sent(draft, taken=self._capture(draft))

    def _send_next(self) -> None:
        state = self._state
        if self._pool is None or not state.waiting:
            state.sending = None
            return
        draft = state.sending = state.waiting.popleft()
        state.sending_since = self._clock.now()
        state.unclaimed = [draft]
        self._pool.submit(lambda: state.claim() and self._capture(draft), TellBack(self.actor_ref, draft))

    def _was_sent(self, draft: Draft, *, taken: bool) -> None:
        if self._state.sending is not draft:
            return
        self._note_hang()
        self._count_sent(draft, taken=taken)
        self._send_next()

    def _was_not_begun(self, draft: Draft) -> None:
        """Keep an event that no worker came to: their supervisor is being restarted, or the tree stops."""
        state = self._state
        if state.sending is draft:
            state.sending = None
            state.waiting.appendleft(draft)
            if not self._ticking:
                self._tick_later()

    def _note_hang(self) -> None:
        self._hangs = self._clock.now() - self._state.sending_since > _HANGS

    def _capture(self, draft: Draft) -> bool:
        """Hand an event to Sentry: in a worker where there are any."""
        held = self._state.limit.take_held()
        if held:
            draft = _with_details(draft, held_back=held)
        try:
            return capture(draft, self._redactor, local_variables=self._options.local_variables)
        except Exception as error:  # of Sentry's client, its hooks or its transport
            get_logger("tracker").log(logging.WARNING, "sentry_failed", error=kind_of(error), kind=draft.kind)
            return False

    def _count_sent(self, draft: Draft, *, taken: bool) -> None:
        if taken:
            self._state.sent[draft.kind] += 1
        else:
            self._state.limit.hold(draft.kind)

    # Metrics.

    def _send_metrics(self) -> None:
        if not is_on():
            return
        state, risk = self._state, self._board.risk
        counts = {"upright.sentry.held_back": state.limit.held_ever, "upright.events.lost": self.lost_events}
        gauges = {"upright.incidents.open": float(len(state.incidents))}
        if risk is not None:
            gauges["upright.risk"] = risk
        figures = None if self._metrics is None else self._metrics()
        send_figures(figures, self._source.service, state.told, counts, gauges)

    @property
    def lost_events(self) -> int:
        """Events that this actor's full mailbox has refused."""
        name = self.actor_ref.name
        return sum(tally.value for key, tally in list(self._board.refused_events.items()) if key[0] == name)

    @property
    def answers(self) -> Counter[str]:
        """Every answer by status, also those that a full mailbox refused."""
        counted = Counter(self._state.answers)
        for (status, *_), number in self._board.refused(self.actor_ref.name, "RecoveryFinished").items():
            counted[status] += number
        return counted

    @property
    def status_details(self) -> dict[str, Any]:  # type: ignore[override]
        """Open incidents, what was sent and held back, and every answer counted, with those that were lost."""
        state, now = self._state, self._clock.now()
        waiting = state.sending is not None
        return {
            "sentry": ("on" if is_on() else "not initialised") if self._options.enabled else "switched off",
            "incidents": [
                {
                    "recovery_id": redact_text(str(incident.recovery_id)),
                    "for": round(now - incident.opened_at, 1),
                    "reports": incident.reports,
                    "worst": None if incident.worst is None else str(incident.worst),
                }
                for incident in list(state.incidents)[-20:]
            ],
            "incidents_opened": state.incidents.opened_ever,
            "answers": dict(self.answers),
            "sent": dict(state.sent),
            "held_back": state.limit.held_ever,
            "waiting": len(state.waiting),
            "sending_for": round(now - state.sending_since, 1) if waiting else 0.0,
            "lost": self.lost_events,
        }


def _with_details(draft: Draft, **more: Any) -> Draft:
    return replace(draft, details={**draft.details, **more})


def _in_origin(report: ErrorReport | None, function: Callable[[], object]) -> None:
    """Call a function with the context variables of the request that failed, structlog's among them."""
    origin: Origin | None = None if report is None else report.origin
    if origin is None:
        function()
    else:
        origin.context.copy().run(function)
