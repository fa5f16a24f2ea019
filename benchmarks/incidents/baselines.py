"""What others do, in the same table: fixed thresholds, Holt's smoothing, Prometheus' `predict_linear`, the score alone.

Each is a function of the readings that yields, per reading, the factor that is positive or None; `alerts`
turns that into alert onsets by the benchmark's protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.incidents.host import LIMIT, TICK
from upright.strategies.prediction.risk import RiskScorer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from upright.strategies.prediction.metrics import SystemMetrics

    Detector = Callable[[list[SystemMetrics]], Iterator[str | None]]

__all__ = ["BASELINES", "alerts"]

OFF_AFTER = 20
"""Readings without a positive after which an alert is over."""


def alerts(positives: Iterator[str | None]) -> list[tuple[int, str]]:
    """Return the (index of the reading, factor) of each alert onset."""
    onsets, quiet = [], OFF_AFTER
    for index, factor in enumerate(positives):
        if factor is None:
            quiet += 1
            continue
        if quiet >= OFF_AFTER:
            onsets.append((index, factor))
        quiet = 0
    return onsets


def risk_score(readings: list[SystemMetrics]) -> Iterator[str | None]:
    """The specified rule alone: score > 0.6."""
    scorer = RiskScorer()
    for reading in readings:
        risk = scorer.score(reading)
        yield risk.factors[0] if risk.alerting else None


def near_limit(readings: list[SystemMetrics]) -> Iterator[str | None]:
    """Any factor above 80 % of its limit for three readings."""
    counts = dict.fromkeys(LIMIT, 0)
    for reading in readings:
        for factor, limit in LIMIT.items():
            value = reading.value(factor)
            counts[factor] = counts[factor] + 1 if value is not None and value > 0.8 * limit else 0
        yield next((factor for factor, count in counts.items() if count >= 3), None)


def holt(readings: list[SystemMetrics]) -> Iterator[str | None]:
    """Holt's linear smoothing reaches the limit within 30 minutes, for three readings."""
    level: dict[str, float] = {}
    slope = dict.fromkeys(LIMIT, 0.0)
    counts = dict.fromkeys(LIMIT, 0)
    for reading in readings:
        for factor, limit in LIMIT.items():
            value = reading.value(factor)
            if value is None:
                continue
            if factor not in level:
                level[factor] = value
                continue
            before = level[factor]
            level[factor] = 0.2 * value + 0.8 * (before + slope[factor])
            slope[factor] = 0.05 * (level[factor] - before) + 0.95 * slope[factor]
            ahead = level[factor] + slope[factor] * 60
            counts[factor] = counts[factor] + 1 if level[factor] >= limit or ahead >= limit else 0
        yield next((factor for factor, count in counts.items() if count >= 3), None)


def predict_linear(readings: list[SystemMetrics]) -> Iterator[str | None]:
    """Prometheus' rule as it is used: a 30-minute line reaches the limit in 30 minutes, above half of it, for 5."""
    window: dict[str, list[tuple[float, float]]] = {factor: [] for factor in LIMIT}
    counts = dict.fromkeys(LIMIT, 0)
    for reading in readings:
        for factor, limit in LIMIT.items():
            value = reading.value(factor)
            points = window[factor]
            if value is not None:
                points.append((reading.at, value))
            while points and points[0][0] < reading.at - 1800:
                points.pop(0)
            hit = False
            if len(points) >= 10 and value is not None and value > 0.5 * limit:
                n = len(points)
                mean_t = sum(t for t, _ in points) / n
                mean_v = sum(v for _, v in points) / n
                below = sum((t - mean_t) ** 2 for t, _ in points)
                rise = sum((t - mean_t) * (v - mean_v) for t, v in points) / below if below else 0.0
                hit = mean_v + rise * (reading.at + 1800 - mean_t) >= limit
            counts[factor] = counts[factor] + 1 if hit else 0
        yield next((factor for factor, count in counts.items() if count >= 300 / TICK), None)


BASELINES: dict[str, Detector] = {
    "risk score > 0.6": risk_score,
    "any > 80 % of limit, for 3": near_limit,
    "Holt, 30 min ahead, for 3": holt,
    "predict_linear + floor + for": predict_linear,
}
