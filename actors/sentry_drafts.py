"""What an incident or an alert looks like in Sentry: message, level, group, tags, details and story."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from upright.actors.sentry import Draft
from upright.strategies.fingerprint import fingerprint
from upright.strategies.incidents import Outcome
from upright.strategies.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from upright.strategies.incidents import Incident
    from upright.strategies.prediction.alert import Alert
    from upright.strategies.report import ErrorReport

__all__ = ["Source", "draft_of_alert", "draft_of_incident"]

_TAG: int = 200  # Sentry's limit for the value of a tag


@dataclass(frozen=True, slots=True)
class Source:
    """Where events come from.

    Attributes:
        service: The tag `upright.service`.
        process: The process id.
        host: The host's name.
    """

    service: str
    process: int = field(default_factory=os.getpid)
    host: str = field(default_factory=socket.gethostname)


def draft_of_incident(
    incident: Incident,
    outcome: Outcome,
    now: float,
    source: Source,
    report: ErrorReport | None = None,
    error: BaseException | None = None,
) -> Draft:
    """The event of an incident.

    Args:
        incident: As it stands now; what it becomes later does not change the event.
        outcome: What it is reported as.
        now: On the clock of `incident.opened_at`.
        source: Where it happens.
        report: Whose request the event is sent under; None for no request.
        error: The exception to show; None if it was not kept.
    """
    recovery_id = incident.recovery_id
    code = str(recovery_id.code)
    opened = time.time() - (now - incident.opened_at)
    group = redact_text(f"{code}:{incident.operation}") if error is None else fingerprint(error, incident.operation)
    details: dict[str, Any] = {
        "outcome": str(outcome),
        "recovery_id": str(recovery_id),
        "operation": incident.operation,
        "resource": incident.resource,
        "code": code,
        "fingerprint": group,
        "opened_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(opened)),
        "duration": round(now - incident.opened_at, 3),
        "reports": incident.reports,
        "answers": ", ".join(f"{status} {number}" for status, number in incident.answers.items()) or "none yet",
        "attempts": incident.attempts,
        "escalations": incident.escalations,
        "process": source.process,
        "host": source.host,
    }
    if report is not None:
        details["reason"] = report.classification.reason
        details["report_context"] = dict(report.context)
    if incident.untold:
        details["untold_steps"] = incident.untold
    escalated = outcome is Outcome.ESCALATED
    return Draft(
        kind=str(outcome),
        level="error" if outcome.is_error else "warning",
        message=_sentence(incident, outcome, now),
        fingerprint=("upright", group, "escalated") if escalated else ("upright", group),
        tags={
            "upright.service": source.service[:_TAG],
            "upright.operation": incident.operation[:_TAG],
            "upright.outcome": str(outcome),
            "upright.code": code,
        },
        details=details,
        crumbs=tuple((opened + line.after, line.text, line.bad) for line in incident.story),
        error=error,
        origin=None if report is None else report.origin,
    )


def draft_of_alert(alert: Alert, host: str, source: Source, predictions: Iterable[tuple[float, str, bool]]) -> Draft:
    """The event of the predictor's alert; its fingerprint is stable, so that one factor of one host is one issue.

    Args:
        alert: What is foretold.
        host: Which host it is about.
        source: Where it happens.
        predictions: The newest predictions, as breadcrumbs: (Unix time, text, whether it is bad).
    """
    kind = alert.kind.value
    details: dict[str, Any] = {
        "outcome": "alert",
        "kind": kind,
        "factor": alert.factor,
        "reason": alert.reason,
        "actions": "; ".join(alert.actions),
        "confidence": alert.confidence,
        "process": source.process,
        "host": host,
    }
    if alert.eta_seconds is not None:
        details["eta_seconds"] = round(alert.eta_seconds, 1)
    if alert.eta_range is not None:
        details["eta_range"] = "{:.0f} to {:.0f} s".format(*alert.eta_range)
    return Draft(
        kind="alert",
        level="warning",
        message=f"alert: {alert.reason}",
        fingerprint=("upright", "predictor", host, alert.factor),
        tags={
            "upright.service": source.service[:_TAG],
            "upright.outcome": "alert",
            "upright.alert": kind,
            "upright.factor": alert.factor,
        },
        details=details,
        crumbs=tuple(predictions),
    )


def _sentence(incident: Incident, outcome: Outcome, now: float) -> str:
    took = f"{now - incident.opened_at:.3g} s"
    where = f" on {incident.resource}" if incident.resource else ""
    what = f"{incident.operation}{where}"
    return {
        Outcome.HEALED: f"healed: {what} works again, proven after {took}",
        Outcome.RECOVERED: f"recovered: {what} failed, and worked when tried again",
        Outcome.DEGRADED: f"degraded: {what} is answered by fallbacks",
        Outcome.FAILED: f"failed: {what} could not be recovered in {took}",
        Outcome.ESCALATED: f"escalated: {what} is not healed for now, {incident.attempts or 'all'} attempts failed",
    }[outcome]
