"""How good the alerts have been so far, judged on the host itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from upright.strategies.prediction.alert import AlertKind

if TYPE_CHECKING:
    from upright.strategies.prediction.alert import Alert
    from upright.strategies.prediction.metrics import Limits, SystemMetrics

__all__ = ["Accuracy", "Verdict"]

_LEAST_WAIT: Final = 600.0  # seconds that a forecast gets at least to come true


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an alert, or of a breach that had none.

    Attributes:
        factor: Which factor.
        came_true: The limit was crossed within the time that the alert gave.
        missed: It was crossed without an alert before.
    """

    factor: str
    came_true: bool
    missed: bool = False


@dataclass(slots=True)
class Accuracy:
    """Follows the alerts of one host until it is known whether they came true. Bounded: one open alert per factor.

    A FORECAST comes true if its factor reaches its limit within twice the upper end of its `eta_range` (ten minutes
    at least); a BREACH or RISK alert speaks of what is so already and is true when it is raised.

    Attributes:
        alerts: Judged alerts.
        true: Those that came true.
        breaches: Times that a factor reached its limit.
        foretold: Those with a FORECAST before.
    """

    limits: Limits
    alerts: int = 0
    true: int = 0
    breaches: int = 0
    foretold: int = 0
    _open: dict[str, float] = field(default_factory=dict)  # factor -> until when its forecast may come true
    _above: set[str] = field(default_factory=set)

    @property
    def precision(self) -> float | None:
        """Share of the judged alerts that came true; None before the first."""
        return self.true / self.alerts if self.alerts else None

    @property
    def recall(self) -> float | None:
        """Share of the breaches that were foretold; None before the first."""
        return self.foretold / self.breaches if self.breaches else None

    def observe(self, metrics: SystemMetrics, alert: Alert | None, factors: tuple[str, ...]) -> list[Verdict]:
        """Take in one reading and the alert that began with it; returns what is known by it."""
        verdicts = []
        for factor in factors:
            value = metrics.value(factor)
            if value is None:
                continue
            above = value >= self.limits.of(factor)
            if above and factor not in self._above:
                verdicts.append(self._crossed(factor))
            if above:
                self._above.add(factor)
            else:
                self._above.discard(factor)
        for factor, until in list(self._open.items()):
            if metrics.at > until:
                del self._open[factor]
                self.alerts += 1
                verdicts.append(Verdict(factor, came_true=False))
        if alert is not None:
            verdicts.extend(self._raised(alert, metrics.at))
        return verdicts

    def _crossed(self, factor: str) -> Verdict:
        self.breaches += 1
        if self._open.pop(factor, None) is None:
            return Verdict(factor, came_true=False, missed=True)
        self.foretold += 1
        self.alerts += 1
        self.true += 1
        return Verdict(factor, came_true=True)

    def _raised(self, alert: Alert, now: float) -> list[Verdict]:
        if alert.kind is AlertKind.FORECAST and alert.eta_range is not None and alert.factor not in self._above:
            self._open[alert.factor] = now + max(_LEAST_WAIT, 2 * alert.eta_range[1])
            return []
        self.alerts += 1
        self.true += 1
        return [Verdict(alert.factor, came_true=True)]
