"""The figures of one tree: what resilience did, and how long it took."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from upright.strategies.options import require_count
from upright.strategies.window import copied

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BUCKETS", "RecoveryTimes", "ResilienceMetrics", "percentile"]

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds, in seconds, of the histogram of recovery times; Prometheus' own defaults, drawn out to minutes."""


@dataclass(frozen=True, slots=True)
class ResilienceMetrics:
    """The figures of one tree since it was booted; counts never fall, but for `zombies`.

    Attributes:
        healing_attempts: Healing strategies that were run, proven or not.
        healing_successes: Those that were proven.
        breaker_trips: Times that a circuit opened.
        fallback_activations: Values that a fallback chain gave.
        retries: Calls that were made again by the retry stage.
        joined_reports: Reports that shared the recovery of an earlier one.
        recovery_time_mean: Seconds from a failure to its successful answer, over the newest recoveries (4 096 unless
            configured); 0.0 without one.
        recovery_time_p99: The 99th percentile of the same.
        alerts_issued: Alerts of the predictor.
        alerts_true: Those that came true.
        restarts: Restarts of actors.
        zombies: Threads that were detached and have not ended yet.
        dead_letters: Messages that reached nobody, in this process.
    """

    healing_attempts: int = 0
    healing_successes: int = 0
    breaker_trips: int = 0
    fallback_activations: int = 0
    retries: int = 0
    joined_reports: int = 0
    recovery_time_mean: float = 0.0
    recovery_time_p99: float = 0.0
    alerts_issued: int = 0
    alerts_true: int = 0
    restarts: int = 0
    zombies: int = 0
    dead_letters: int = 0

    @property
    def healing_success_rate(self) -> float | None:
        """Share of the healing attempts that were proven, 0 to 1; None without attempts."""
        return self.healing_successes / self.healing_attempts if self.healing_attempts else None

    @property
    def alert_precision(self) -> float | None:
        """Share of the alerts that came true so far, 0 to 1; None without alerts."""
        return self.alerts_true / self.alerts_issued if self.alerts_issued else None

    def to_dict(self) -> dict[str, Any]:
        """The fields and the two rates, as JSON-safe data."""
        return {
            **asdict(self),
            "healing_success_rate": self.healing_success_rate,
            "alert_precision": self.alert_precision,
        }


class RecoveryTimes:
    """How long recoveries took: the newest in full, all of them in a histogram.

    One writer, any number of readers; neither waits.

    Args:
        limit: How many are kept in full, for the mean and the percentiles.

    Raises:
        ConfigError: If `limit` is below 1.

    Examples:
        >>> times = RecoveryTimes(limit=3)
        >>> for seconds in (9.0, 1.0, 2.0, 3.0):
        ...     times.add(seconds)
        >>> times.mean, times.percentile(0.99), times.count
        (2.0, 3.0, 4)
    """

    __slots__ = ("_buckets", "_newest", "count", "total")

    def __init__(self, limit: int = 4_096) -> None:
        require_count("RecoveryTimes.limit", limit, least=1)
        self._newest: deque[float] = deque(maxlen=limit)
        self._buckets = [0] * (len(BUCKETS) + 1)
        self.count = 0
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Take in one recovery; called by the one writer."""
        self._newest.append(seconds)
        place = next((i for i, bound in enumerate(BUCKETS) if seconds <= bound), len(BUCKETS))
        self._buckets[place] += 1
        self.count += 1
        self.total += seconds

    @property
    def mean(self) -> float:
        """Mean seconds of the newest; 0.0 without one."""
        newest = copied(self._newest)
        return math.fsum(newest) / len(newest) if newest else 0.0

    def percentile(self, share: float) -> float:
        """Seconds that `share` (0 to 1) of the newest did not exceed; 0.0 without one."""
        return percentile(sorted(copied(self._newest)), share)

    def buckets(self) -> list[tuple[float, int]]:
        """The histogram of all: (upper bound in seconds, how many took at most that long); the last is infinite."""
        return list(zip((*BUCKETS, math.inf), accumulate(self._buckets), strict=True))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the values that at least `share` of them do not exceed (nearest rank); 0.0 without any.

    Args:
        ordered: Values in ascending order.
        share: 0 to 1.

    Examples:
        >>> percentile([1.0, 2.0, 3.0, 4.0], 0.5)
        2.0
    """
    if not ordered:
        return 0.0
    return ordered[max(0, min(len(ordered), math.ceil(share * len(ordered))) - 1)]
