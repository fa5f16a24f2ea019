"""What the predictor says: forecasts, alerts, and the prediction that carries both."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upright.strategies.prediction.risk import RiskAssessment

__all__ = ["Alert", "AlertKind", "Forecast", "Prediction"]


class AlertKind(enum.Enum):
    """Which rule raised an alert."""

    FORECAST = "forecast"
    """A factor is on its way to its limit."""
    BREACH = "breach"
    """A factor is above its limit, and stays there."""
    RISK = "risk"
    """The risk score is above 0.6."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """A factor that is on its way to its limit, as seen at one reading. Alerting needs several in a row.

    Attributes:
        factor: One of `FACTORS`.
        eta_seconds: Time until the limit is crossed, by all trends in view, each believed as far as it has been right.
        eta_range: Seconds (low, high) that hold the truth about 80 % of the time.
        confidence: 0 to 1: how far the forecast is to be trusted, from the fit, the windows that agree and its reach.
        value: The present level, smoothed.
        limit: The level that is forecast to be crossed: the configured one, or the host's own if it lives near it.
        slope: Growth per minute at present, in the factor's own unit.
        window: Seconds of history that the trend was fitted to.
        reason: All of this in words.
    """

    factor: str
    eta_seconds: float
    eta_range: tuple[float, float]
    confidence: float
    value: float
    limit: float
    slope: float
    window: float
    reason: str


@dataclass(frozen=True, slots=True)
class Alert:
    """Something to act on, given once: on the tick on which it begins.

    Attributes:
        kind: Which rule raised it.
        factor: The factor it is about; of a RISK alert the one with most points.
        eta_seconds: Time until the limit is crossed; None where it is crossed already.
        eta_range: Seconds (low, high) that hold the truth about 80 % of the time; None with `eta_seconds`.
        reason: Why, in words and numbers.
        actions: Suggested preventive actions, the most useful first.
        confidence: 0 to 1; 1 where nothing was extrapolated.
    """

    kind: AlertKind
    factor: str
    eta_seconds: float | None
    eta_range: tuple[float, float] | None
    reason: str
    actions: tuple[str, ...]
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one reading led to.

    Attributes:
        at: The reading's own time.
        risk: The exact score of this reading alone.
        forecasts: Factors on their way to a limit, the most urgent first; shown before they alert.
        alerting: Whether an alert is active: True from the tick on which one begins until the last one clears.
        alert: The alert that begins on this tick, or None.
        active: The factors with an active alert.
    """

    at: float
    risk: RiskAssessment
    forecasts: tuple[Forecast, ...]
    alerting: bool
    alert: Alert | None
    active: tuple[str, ...] = ()
