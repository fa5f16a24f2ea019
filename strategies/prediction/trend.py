"""Robust trends: is a series growing steadily, and when would it reach a level?

Three rules keep a forecast honest, each against a kind of false alarm that plain extrapolation is known for
(Machida et al., ISSREW 2013; the threads about `predict_linear` in docs/predictor.md):

- **No further than seen.** A window is extrapolated at most 1.5 times its own length, a short one twice. A curve that
  saturates below the limit is, seen from any point, further from a straight-line crossing than its own time
  constant; a window long enough to reach that far has seen the curve bend.
- **Both halves agree.** The second half must keep up with the first, and the first must not be flat: a
  step, a plateau and a burst that is over all fail here.
- **Growth is spread.** No single block may carry most of it: one step is an event, three steps are a trend.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["BLOCKS", "Trend", "fit", "median", "reach", "theil_sen", "time_to"]

BLOCKS = 10
"""Into how many equal blocks a window is summarised before it is fitted."""
KEEPS_UP = 0.8
"""The second half's slope must be at least this part of the first half's, give or take its own error."""
STARTED = 0.6
"""The first half's slope must be at least this part of the second half's."""
SPREAD = 0.45
"""The largest part of the whole growth that one step between two blocks may carry."""
SIGNIFICANCE = 4.0
"""Growth over the window must be at least this many times the scatter around the line."""


@dataclass(frozen=True, slots=True)
class Trend:
    """A straight line, and how it bends, through the blocks of a window.

    Attributes:
        slope: Growth per second over the whole window (Theil-Sen).
        early: The same over its first half.
        late: The same over its second half.
        level: The line's value at the end of the window.
        scatter: Robust standard deviation of the blocks around the line.
        spread: Largest single step between two blocks, as a part of the whole growth.
        length: Seconds from the first to the last block.
    """

    slope: float
    early: float
    late: float
    level: float
    scatter: float
    spread: float
    length: float

    @property
    def slack(self) -> float:
        """Standard error of a half's slope (least squares through 5 equidistant points), with some to spare."""
        return 3.6 * self.scatter / self.length

    @property
    def steady(self) -> bool:
        """Whether it grows significantly, in both halves, and not by one step."""
        return (
            self.slope > 0
            and self.early > 0
            and self.late >= 0.5 * self.early
            and self.late + self.slack >= KEEPS_UP * self.early
            and self.early >= STARTED * self.late
            and self.spread <= SPREAD
            and self.slope * self.length >= SIGNIFICANCE * self.scatter
        )


def median(values: Iterable[float]) -> float:
    """Return the median, a good deal faster than `statistics.median` does for a few floats."""
    ranked = sorted(values)
    middle = len(ranked) // 2
    return ranked[middle] if len(ranked) % 2 else (ranked[middle - 1] + ranked[middle]) / 2


def theil_sen(times: Sequence[float], values: Sequence[float]) -> float:
    """Return the median of the slopes between all pairs of points: unmoved by up to 29 % of outliers.

    Examples:
        >>> theil_sen([0, 1, 2, 3, 4], [0, 2, 90, 6, 8])
        2.0
    """
    slopes = [
        (values[j] - values[i]) / (times[j] - times[i])
        for j in range(1, len(times))
        for i in range(j)
        if times[j] > times[i]
    ]
    return median(slopes) if slopes else 0.0


def fit(times: Sequence[float], values: Sequence[float], now: float) -> Trend:
    """Fit a trend to block values, oldest first; at least 6 of them, `level` extrapolated to `now`."""
    half = len(times) // 2
    slope = theil_sen(times, values)
    offsets = [v - slope * (t - now) for t, v in zip(times, values, strict=True)]
    level = median(offsets)
    scatter = 1.4826 * median(abs(o - level) for o in offsets)
    length = times[-1] - times[0]
    growth = slope * length
    biggest = max(b - a for a, b in pairwise(values))
    late = theil_sen(times[half:], values[half:])
    end = median(v - late * (t - now) for t, v in zip(times[half:], values[half:], strict=True))
    return Trend(
        slope=slope,
        early=theil_sen(times[: len(times) - half], values[: len(times) - half]),
        late=late,
        level=end,
        scatter=scatter,
        spread=biggest / growth if growth > 0 else math.inf,
        length=length,
    )


def time_to(trend: Trend, distance: float) -> float:
    """Return the seconds until the trend has grown by `distance`; infinite if it would level off before.

    A falling slope is continued as a curve that saturates (Aitken's extrapolation of the two halves); a growing one
    by the slope of its second half, as it mostly means that the trend began within the window. A bend within
    15 % counts as none.
    """
    if distance <= 0:
        return 0.0
    half = trend.length / 2
    ratio = trend.late / trend.early if trend.early > 0 else 1.0
    if ratio < 0.85:
        ratio /= 0.85
        decay = -half / math.log(ratio)
        speed = trend.late * math.sqrt(ratio)
        rest = 1 - distance / (speed * decay)
        return -decay * math.log(rest) if rest > 0 else math.inf
    if ratio > 1.15:
        return distance / trend.late
    return distance / trend.slope


def reach(window: float) -> float:
    """Return how far ahead a window may be extrapolated, in seconds.

    A short window reaches further for its length, since a fast ramp leaves no time for a longer one.
    """
    return 1.5 * window if window > 450 else 2 * window
