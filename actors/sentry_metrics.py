"""The tree's figures as Sentry metrics; docs/telemetry.md lists the names, which are stable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from upright.actors.sentry import clean_scope
from upright.strategies.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from upright.strategies.metrics import ResilienceMetrics
    from upright.strategies.report import RecoveryResult

__all__ = ["COUNTERS", "GAUGES", "send_duration", "send_figures"]

COUNTERS: Final = {
    "healing_attempts": "upright.healing.attempts",
    "healing_successes": "upright.healing.successes",
    "breaker_trips": "upright.breaker.trips",
    "fallback_activations": "upright.fallback.activations",
    "retries": "upright.retries",
    "joined_reports": "upright.reports.joined",
    "alerts_issued": "upright.alerts.issued",
    "alerts_true": "upright.alerts.true",
    "restarts": "upright.restarts",
    "dead_letters": "upright.dead_letters",
}
"""Names of the counters, by the field of ResilienceMetrics."""

GAUGES: Final = {
    "recovery_time_mean": "upright.recovery.time.mean",
    "recovery_time_p99": "upright.recovery.time.p99",
    "zombies": "upright.zombies",
}
"""Names of the gauges, by the field of ResilienceMetrics."""


def send_duration(result: RecoveryResult, service: str) -> None:
    """Send how long one recovery took; Sentry must be on. Costs about 10 µs, and is queued by Sentry's client."""
    import sentry_sdk  # noqa: PLC0415 - imported by whoever initialised it

    attributes: dict[str, Any] = {
        "upright.service": redact_text(service),
        "upright.operation": redact_text(result.operation),
        "upright.outcome": str(result.status),
        "upright.method": str(result.method or "none"),
        "upright.code": str(result.code or "none"),
    }
    with clean_scope():
        sentry_sdk.metrics.distribution(
            "upright.recovery.duration", result.duration, unit="second", attributes=attributes
        )


def send_figures(
    figures: ResilienceMetrics | None,
    service: str,
    told: dict[str, int],
    counts: Mapping[str, int],
    gauges: Mapping[str, float],
) -> None:
    """Send the figures; of counts, what is new. Sentry must be on.

    Args:
        figures: The tree's figures; None sends the rest alone.
        service: The attribute `upright.service`.
        told: Counts as Sentry knows them, by metric; brought up to date.
        counts: Further counts, by metric.
        gauges: Further gauges, by metric.
    """
    import sentry_sdk  # noqa: PLC0415 - imported by whoever initialised it

    counts, gauges = dict(counts), dict(gauges)
    if figures is not None:
        counts |= {name: getattr(figures, field) for field, name in COUNTERS.items()}
        gauges |= {name: float(getattr(figures, field)) for field, name in GAUGES.items()}
    attributes = {"upright.service": redact_text(service)}
    with clean_scope():
        for name, number in counts.items():
            more = number - told.get(name, 0)
            if more > 0:
                sentry_sdk.metrics.count(name, more, attributes=attributes)
                told[name] = number
        for name, value in gauges.items():
            unit = "second" if ".time." in name else None
            sentry_sdk.metrics.gauge(name, value, unit=unit, attributes=attributes)
