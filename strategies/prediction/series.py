"""The last hours of one factor, and its summary in blocks."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING

from upright.strategies.prediction.trend import median

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Series"]


class Series:
    """Readings of one factor with their times and weights, oldest first.

    Bounded: at most `2 * limit` readings are kept, of which the newest `limit` are in use.

    Args:
        limit: How many readings are in use.
        pooled: Whether readings are averaged by weight (rates over few requests) rather than by median.
    """

    def __init__(self, limit: int, *, pooled: bool = False) -> None:
        self.limit, self.pooled = limit, pooled
        self.times: list[float] = []
        self.values: list[float] = []
        self.weights: list[float] = []
        # The median of each reading and the two before it: a spike is in none of them.
        self.threes: list[float] = []

    def add(self, time: float, value: float, weight: float = 1.0) -> None:
        """Append a reading; `time` must be later than the last one's."""
        self.times.append(time)
        self.values.append(value)
        self.threes.append(sorted(self.values[-3:])[len(self.values[-3:]) // 2])
        if self.pooled:
            self.weights.append(weight)
        if len(self.times) >= 2 * self.limit:
            for column in (self.times, self.values, self.weights, self.threes):
                del column[: -self.limit]

    def resize(self, limit: int) -> None:
        """Use another number of readings from now on; those that are there stay until they are old."""
        self.limit = limit

    def __len__(self) -> int:
        return len(self.times)

    def last(self, count: int) -> Sequence[float]:
        """Return the newest `count` readings, or as many as there are."""
        return self.values[-count:]

    def smooth(self) -> float:
        """Return the median of the newest five readings (their weighted mean where pooled)."""
        if self.pooled:
            return _mean(self.values[-5:], self.weights[-5:])
        return median(self.values[-5:])

    def pool(self, count: int, enough: float) -> tuple[float, float]:
        """Return the (weighted mean, weight) of the newest readings: at most `count`, or until `enough` weight."""
        weight = total = 0.0
        for value, w in zip(reversed(self.values[-count:]), reversed(self.weights[-count:]), strict=True):
            weight, total = weight + w, total + value * w
            if weight >= enough:
                break
        return (total / weight if weight else 0.0), weight

    def highest(self, start: float, end: float) -> float:
        """Return the highest level from `start` until before `end` (median of three); minus infinity without any."""
        first = bisect_left(self.times, start)
        return max(self.threes[first : bisect_left(self.times, end, first)], default=-math.inf)

    def restlessness(self, lag: float, now: float, *, log: bool) -> float:
        """Return how far the level moves by itself over `lag` seconds, as a standard deviation; 0 if unknown.

        Read from second differences before the newest `lag`, which a steady trend does not touch: x(t) - 2 x(t - lag)
        + x(t - 2 lag) has six times the variance of a reading. Needs three lags of history at least.
        """
        times = self.times
        last = bisect_left(times, now - lag)
        if last < 8 or times[last - 1] - times[0] < 2 * lag:
            return 0.0
        step = max(1, last // 60)
        moves = []
        for index in range(last - 1, 0, -step):
            middle = bisect_left(times, times[index] - lag)
            oldest = bisect_left(times, times[index] - 2 * lag)
            if oldest == 0 and times[0] > times[index] - 2 * lag:
                break
            a, b, c = self.threes[oldest], self.threes[middle], self.threes[index]
            if log:
                a, b, c = (math.log(max(x, 1e-6)) for x in (a, b, c))
            moves.append(abs(c - 2 * b + a))
        if len(moves) < 8:
            return 0.0
        moves.sort()
        # Three quarters of a normal distribution lie within 1.15 standard deviations.
        return moves[int(0.75 * len(moves))] / 1.15 / math.sqrt(6)

    def blocks(
        self, start: float, now: float, count: int, prior: tuple[float, float] = (0.0, 0.0)
    ) -> tuple[list[float], list[float]]:
        """Summarise the readings from `start` to `now` in `count` blocks of equal duration; empty ones are left out.

        Returns the blocks' times and values. `prior` is a (value, weight) that is mixed into each pooled block, so
        that one without errors is not zero.
        """
        first = bisect_left(self.times, start)
        width = (now - start) / count
        times, values = [], []
        for n in range(count):
            end = start + (n + 1) * width if n < count - 1 else now + 1e-6
            last = bisect_left(self.times, end, first)
            if last > first:
                times.append((self.times[first] + self.times[last - 1]) / 2)
                if self.pooled:
                    values.append(_mean(self.values[first:last], self.weights[first:last], prior))
                else:
                    values.append(median(self.values[first:last]))
            first = last
        return times, values

    def peaks(self, start: float, now: float, count: int) -> tuple[list[float], list[float]]:
        """Summarise as `blocks` does, by the highest level reached so far (of medians of three readings)."""
        first = bisect_left(self.times, start)
        width = (now - start) / count
        times, values = [], []
        top = -math.inf
        for n in range(count):
            end = start + (n + 1) * width if n < count - 1 else now + 1e-6
            last = bisect_left(self.times, end, first)
            if last > first:
                top = max(top, *self.threes[first:last])
                times.append((self.times[first] + self.times[last - 1]) / 2)
                values.append(top)
            first = last
        return times, values


def _mean(values: Sequence[float], weights: Sequence[float], prior: tuple[float, float] = (0.0, 0.0)) -> float:
    weight = prior[1] + sum(weights)
    total = prior[0] * prior[1] + sum(v * w for v, w in zip(values, weights, strict=True))
    return total / weight if weight else prior[0]
