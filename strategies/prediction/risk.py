"""The risk score as specified: five weights added up where their limits are breached.

At least three of the five factors must be over their limits for HIGH, four for CRITICAL, so it confirms an
outage rather than foresees one. It stands beside the forecast and is never mixed with it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from upright.strategies.prediction.actions import suggest
from upright.strategies.prediction.metrics import FACTORS, Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from upright.strategies.prediction.metrics import SystemMetrics

__all__ = ["POINTS", "RiskAssessment", "RiskLevel", "RiskScorer"]

POINTS: Mapping[str, int] = MappingProxyType(dict(zip(FACTORS, (30, 25, 20, 15, 10), strict=True)))
"""What each breached factor adds to the score, in points of 100.

Integers, since as floats 0.25 + 0.20 + 0.15 is 0.6 or 0.6000000000000001 depending on the order."""


class RiskLevel(enum.Enum):
    """How bad a score is: the first level whose bound the points exceed."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @staticmethod
    def of(points: int) -> RiskLevel:
        """Return the level of `points`: above 80 CRITICAL, above 60 HIGH, above 40 MEDIUM, else LOW.

        Examples:
            >>> RiskLevel.of(80).name, RiskLevel.of(60).name, RiskLevel.of(45).name, RiskLevel.of(40).name
            ('HIGH', 'MEDIUM', 'MEDIUM', 'LOW')
        """
        if points > 80:
            return RiskLevel.CRITICAL
        if points > 60:
            return RiskLevel.HIGH
        return RiskLevel.MEDIUM if points > 40 else RiskLevel.LOW


@dataclass(frozen=True, slots=True)
class RiskAssessment:
    """The score of one reading, and what it is made of.

    Attributes:
        points: 0 to 100; compare these where exactness matters.
        score: `points` / 100.
        level: The level of `points`.
        factors: The breached factors, heaviest first.
        unknown: The factors without a reading; each counts as not breached.
        actions: What to do about the breached factors, in the order of `factors`.
    """

    points: int
    score: float
    level: RiskLevel
    factors: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()

    @property
    def alerting(self) -> bool:
        """Whether the score is above 0.6."""
        return self.points > 60


@dataclass(frozen=True, slots=True)
class RiskScorer:
    """Scores one reading against `limits`; keeps nothing between calls.

    Examples:
        >>> from upright.strategies.prediction.metrics import SystemMetrics
        >>> RiskScorer().score(SystemMetrics(at=0.0, memory=0.9, response_ms=6000.0, error_rate=0.1)).score
        0.75
    """

    limits: Limits = field(default_factory=Limits)

    def score(self, metrics: SystemMetrics) -> RiskAssessment:
        """Return the exact score of `metrics`; a factor that is None adds nothing."""
        breached, unknown = [], []
        for factor in FACTORS:
            value = metrics.value(factor)
            if value is None:
                unknown.append(factor)
            elif value > self.limits.of(factor):
                breached.append(factor)
        points = sum(POINTS[factor] for factor in breached)
        return RiskAssessment(
            points=points,
            score=points / 100,
            level=RiskLevel.of(points),
            factors=tuple(breached),
            unknown=tuple(unknown),
            actions=suggest(breached),
        )
