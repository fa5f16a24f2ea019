"""When will a level be reached? Many lines are asked, and each is believed as far as it has been right so far.

A trend looks different over ten minutes and over two hours, as a line and as a curve, in all readings and in the record
highs alone. No rule tells in advance which of them will go on, but each can be held against what is known already:
drawn through all blocks but the newest three, how far off would it have been on those? That is the forecaster's
ordinary test on held-out data (rolling origin, Tashman 2000), and it needs no constant per kind of growth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from upright.strategies.prediction.trend import median, theil_sen

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["agreed", "foretell"]

HELD_OUT = 3
"""The newest blocks, which a line has to foretell from the others."""
FORGIVEN = 0.02
"""Error, as a part of the whole growth, that is added to each one, so that no line is believed without bounds."""


def foretell(
    times: Sequence[float], values: Sequence[float], now: float, target: float, smoothed: float, lag: float
) -> tuple[float, float] | None:
    """Return the seconds from `now` until a line through the blocks reaches `target`, and how far it is believed.

    The belief is the inverse square of its error on the newest three blocks, as a part of the growth over all of them.

    Args:
        times: Of the blocks, oldest first.
        values: Of the blocks, transformed so that the growth looked for is a straight line.
        now: The time to count from.
        target: The level to be reached, transformed alike.
        smoothed: The smoothed level, transformed alike.
        lag: Seconds that the smoothed level lags behind: a line that runs ahead of that is overshooting.

    Returns:
        None where fewer than eight blocks are known or they do not grow.
    """
    if len(times) < 8 or values[-1] <= values[0]:
        return None
    slope = theil_sen(times, values)
    if slope <= 0:
        return None
    known = len(times) - HELD_OUT
    before = theil_sen(times[:known], values[:known])
    offset = median(v - before * t for t, v in zip(times[:known], values[:known], strict=True))
    missed = sum(abs(offset + before * t - v) for t, v in zip(times[known:], values[known:], strict=True)) / HELD_OUT
    error = missed / (slope * (times[-1] - times[0]))
    half = len(times) // 2
    late = theil_sen(times[half:], values[half:])
    level = median(v - late * (t - now) for t, v in zip(times[half:], values[half:], strict=True))
    return max(0.0, target - min(level, smoothed + lag * max(late, 0.0))) / slope, 1 / (error + FORGIVEN) ** 2


def agreed(outlooks: Sequence[tuple[float, float]]) -> float | None:
    """Return the median of several (seconds, belief) by belief: half of all belief lies at or below it.

    Examples:
        >>> agreed([(600.0, 1.0), (1800.0, 5.0), (900.0, 1.0)])
        1800.0
    """
    total = sum(belief for _, belief in outlooks)
    reached = 0.0
    for seconds, belief in sorted(outlooks):
        reached += belief
        if 2 * reached >= total:
            return seconds
    return None
