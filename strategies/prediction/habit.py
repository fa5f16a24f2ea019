"""What a host is used to: the level it lives at, and how high it has ever been.

On 109 production machines memory stood above 0.85 for 87 % of the time without any known failure, so a
fixed limit alone would alert for ever there. A level at which a host has spent an hour without harm is its
habit; the limit that counts is then moved up from it.
"""

from __future__ import annotations

import math
from collections import deque

__all__ = ["Habit", "Records"]

DAY = 86_400.0


class Habit:
    """Time spent per level, fading with a time constant of a day. Bounded: one number per bin.

    Args:
        low: Lowest level that is told apart.
        high: Highest level that is told apart.
        log: Whether the bins are equal factors (2 %) instead of equal steps (0.5 % of the range).
    """

    def __init__(self, low: float, high: float, *, log: bool) -> None:
        self._low, self._log = low, log
        self._step = math.log(1.05) if log else (high - low) / 200
        size = math.log(high / low) / self._step if log else (high - low) / self._step
        self._bins = [0.0] * (math.ceil(size) + 1)
        self.seen = 0.0

    def add(self, value: float, seconds: float) -> None:
        """Count `seconds` spent at `value`."""
        self._bins[self._index(value)] += seconds
        self.seen += seconds

    def fade(self, seconds: float) -> None:
        """Let `seconds` pass: what is older counts less."""
        keep = math.exp(-seconds / DAY)
        self._bins = [b * keep for b in self._bins]
        self.seen *= keep

    def exceeded_for(self, seconds: float) -> float:
        """Return the highest level at or above which at least `seconds` were spent; the lowest bin if none."""
        total = 0.0
        for index in range(len(self._bins) - 1, -1, -1):
            total += self._bins[index]
            if total >= seconds:
                return self._level(index)
        return self._level(0)

    def usual(self) -> float:
        """Return the median level."""
        return self.exceeded_for(self.seen / 2)

    def spread(self) -> float:
        """Return how far below the median the lower sixth begins: one standard deviation of a normal habit.

        Only the lower side counts, since a trend upwards would widen the upper one.
        """
        return self.usual() - self.exceeded_for(self.seen * 0.84)

    def _index(self, value: float) -> int:
        if self._log:
            place = math.log(value / self._low) / self._step if value > self._low else 0.0
        else:
            place = (value - self._low) / self._step
        return min(len(self._bins) - 1, max(0, int(place)))

    def _level(self, index: int) -> float:
        if self._log:
            return self._low * math.exp((index + 0.5) * self._step)
        return self._low + (index + 0.5) * self._step


class Records:
    """The highest level of each five minutes of the last 24 hours: 288 pairs at most."""

    def __init__(self) -> None:
        # (start of the five minutes, highest level in them), oldest first.
        self._slots: deque[tuple[float, float]] = deque(maxlen=288)

    def add(self, now: float, level: float) -> None:
        """Note `level` at `now`, which never runs backwards."""
        slots = self._slots
        if slots and now - slots[-1][0] < 300:
            if level > slots[-1][1]:
                slots[-1] = (slots[-1][0], level)
        else:
            slots.append((now, level))

    def highest_before(self, now: float, age: float) -> float:
        """Return the highest level of the last day that is at least `age` seconds old; minus infinity without any."""
        newest, oldest = now - age - 300, now - DAY
        return max((level for start, level in self._slots if oldest <= start <= newest), default=-math.inf)
