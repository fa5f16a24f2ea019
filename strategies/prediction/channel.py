"""One factor of one host: its history, its adaptive limit, and what is to be said about it now."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from upright.strategies.prediction.alert import Forecast
from upright.strategies.prediction.habit import Habit, Records
from upright.strategies.prediction.metrics import FACTORS, Limits
from upright.strategies.prediction.outlook import agreed, foretell
from upright.strategies.prediction.series import Series
from upright.strategies.prediction.trend import BLOCKS, Trend, fit, reach, time_to
from upright.strategies.prediction.words import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Channel", "Kind"]

HOUR = 3600.0
WINDOWS = (9600.0, 6800.0, 4800.0, 3400.0, 2400.0, 1700.0, 1200.0, 850.0, 600.0, 420.0, 300.0, 210.0)
"""Lengths of history that a trend is looked for in, in seconds, longest first."""
UNHURRIED = 45.0
"""Readings further apart than this, in seconds, are so few that two of them must be enough for a breach."""
RESTLESS = 2.5
"""Growth over a window must be at least this many times what the level does by itself over the same time."""
FILLED = 0.4
"""The part of the readings of such a time that must be there, for it to be judged."""
RANGE = (0.6, 2.2, 180.0)
"""About 80 % of the crossings lie between the first times the ETA and the second times it plus the third, in seconds:
measured on simulated incidents, `truth / ETA` of `python -m benchmarks.incidents`."""
ENVELOPES = (9600.0, 6800.0, 4800.0, 3400.0, 2400.0, 1700.0)
"""Those in which also the record highs are looked at, which see through a sawtooth and stairs."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A way to grow, as the transformation that makes a straight line of it.

    Attributes:
        straight: The transformation; rises with the value.
        rate: Growth of the value per growth of the straight line, at a value.
    """

    straight: Callable[[float], float]
    rate: Callable[[float], float]


LINE = Shape(lambda value: value, lambda _: 1.0)
GEOMETRIC = Shape(math.log, lambda value: value)
QUEUE = Shape(lambda value: -1 / value, lambda value: value * value)
"""A queue's waiting time is proportional to 1 / (1 - utilisation): its reciprocal falls in a straight line."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How one factor behaves.

    Attributes:
        low, high: Range of levels that are told apart.
        log: Whether it grows by factors (a time, a rate) rather than by amounts.
        pooled: Whether it is a rate over requests.
        own: How far above its habit the host's own limit lies: as a part of the rest to `high`, or, where the
            factor has no top, as a part of the habit.
        dwell: Seconds without harm after which a level is a habit.
        from_start: Whether half of the time seen so far is enough instead, for hosts just started.
        steady: Seconds above the limit before it counts as a breach; 0: three of four readings.
        shortest: The shortest window that is looked at, in seconds.
        shapes: In which ways it grows.
    """

    low: float
    high: float
    log: bool
    pooled: bool
    own: float
    dwell: float
    from_start: bool
    steady: float = 0.0
    shortest: float = 0.0
    shapes: tuple[Shape, ...] = (LINE,)


KINDS = {
    "memory": Kind(0.0, 1.0, log=False, pooled=False, own=0.35, dwell=HOUR, from_start=True),
    "response_time": Kind(
        1.0, 1e6, log=True, pooled=False, own=0.5, dwell=6 * HOUR, from_start=False, shapes=(LINE, GEOMETRIC, QUEUE)
    ),
    "error_rate": Kind(
        1e-5, 1.0, log=True, pooled=True, own=0.5, dwell=6 * HOUR, from_start=False, shapes=(LINE, GEOMETRIC)
    ),
    "connections": Kind(1.0, 1e6, log=False, pooled=False, own=0.25, dwell=HOUR, from_start=True),
    "cpu": Kind(0.0, 1.0, log=False, pooled=False, own=0.5, dwell=HOUR, from_start=True, steady=600.0, shortest=420.0),
}


class Channel:
    """Follows one factor. The caller brings the time, which never runs backwards and leaves suspends out.

    Bounded: four hours of readings, 24 hours of five-minute highs, one histogram.
    """

    def __init__(self, factor: str, limit: float, interval: float, horizon: float) -> None:
        self.factor, self.limit = factor, limit
        self.interval, self.horizon = interval, horizon
        self.series = Series(self.readings(interval), pooled=self.kind.pooled)
        self.habit = Habit(self.kind.low, self.kind.high, log=self.kind.log or self.kind.high > 1)
        self.records = Records()
        self.level: float | None = None
        self.target = limit
        self.usual = self.spread = 0.0
        # Trends and counts reach no further back than this: the end of the last suspend.
        self.since = -math.inf
        # Readings of the newest uninterrupted stretch, for the rules that count readings.
        self.stretch = 0
        self._smallest = math.inf
        self._ticks = 0
        # How much the level moves by itself over the length of each window, as a standard deviation.
        self._restless: dict[float, float] = {}

    @staticmethod
    def readings(interval: float) -> int:
        """Return how many readings are kept: four hours, at least 64 and at most 1440 of them."""
        return min(1440, max(64, math.ceil(4 * HOUR / interval)))

    @property
    def kind(self) -> Kind:
        """How this factor behaves; looked up, since a snapshot cannot hold functions."""
        return KINDS[self.factor]

    def observe(self, now: float, elapsed: float, value: float, requests: float | None, *, harmless: bool) -> None:
        """Take a reading in: `elapsed` seconds after the last, `harmless` if no user was hurt meanwhile."""
        value = min(max(value, 0.0), self.kind.high)
        self.series.add(now, value, self._weight(value, requests))
        self.stretch += 1
        self.level = self._level()
        self.records.add(now, self.level)
        if harmless or self.kind.log:
            self.habit.add(self.level, elapsed)
        self._ticks += 1
        # Each factor in another reading, so that no reading has to do the work of five.
        if self._ticks <= 20 or self._ticks % 10 == 2 * FACTORS.index(self.factor):
            self._adapt(now)

    def fade(self, seconds: float) -> None:
        """Let the habit fade by `seconds`."""
        self.habit.fade(seconds)

    def interrupt(self, *, since: float | None = None) -> None:
        """Start counting readings anew, after a gap; trends too if `since` is given.

        What is judged by its duration goes on over a gap: only a suspend starts that anew.
        """
        if since is not None or not self.kind.steady:
            self.stretch = 0
        if since is not None:
            self.since = since

    def _weight(self, value: float, requests: float | None) -> float:
        if not self.kind.pooled or requests is not None:
            return requests or 0.0
        # Without request counts: one failed request moved the rate by at least the smallest rate ever seen.
        if value > 0:
            self._smallest = min(self._smallest, value)
        return 1 / min(1.0, self._smallest) if self._smallest < math.inf else 100.0

    def _level(self) -> float:
        return self.series.pool(20, 50.0)[0] if self.kind.pooled else self.series.smooth()

    def _adapt(self, now: float) -> None:
        self._restless = (
            {} if self.kind.pooled else {w: self.series.restlessness(w, now, log=self.kind.log) for w in WINDOWS}
        )
        habit, kind = self.habit, self.kind
        self.usual, self.spread = habit.usual(), habit.spread()
        dwell = min(kind.dwell, habit.seen / 2) if kind.from_start else kind.dwell
        if habit.seen < dwell:
            self.target = self.limit
            return
        lived = habit.exceeded_for(dwell)
        if kind.high == 1.0 and not kind.pooled:
            # A limit below the usual one leaves as much room in proportion, or a host at 60 % would count as near 0.7.
            usual_limit = getattr(Limits(), self.factor)
            top = min(kind.high, self.limit / usual_limit) if lived < self.limit else kind.high
            rest = top - lived
        else:
            rest = lived
        own = lived + kind.own * rest
        if own <= self.limit:
            self.target = self.limit
            return
        record = self.records.highest_before(now, HOUR / 2)
        if lived > 0.95 * self.limit:
            own = max(own, lived + 0.5 * rest if kind.high == 1.0 else own, record + 0.25 * (own - lived))
        self.target = min(own, max(self.limit, 0.985)) if kind.high == 1.0 else own

    # Is it over its limit?

    def breached(self, now: float, target: float) -> bool:
        """Whether the factor is above `target` for good: not by a spike, nor by one failed request of three."""
        if self.kind.steady:
            return self._steadily_above(now, target)
        if target > self.limit:
            of, needed = 12, 10
        else:
            # Three readings of four tell a fault from a spike; a minute apart, two of three have to do.
            of, needed = (4, 3) if self.interval < UNHURRIED else (3, 2)
        recent = self.series.last(min(of, self.stretch))
        if sum(value > target for value in recent) < needed or recent[-1] <= target:
            return False
        if not self.kind.pooled:
            return True
        rate, weight = self.series.pool(20, 100.0)
        return wilson_low(rate, weight) > target

    def _steadily_above(self, now: float, target: float) -> bool:
        times = self.series.times
        began = now - self.kind.steady + self.interval / 2
        first = bisect_right(times, began) - 1
        missing = 0 <= first < len(times) - 1 and times[first + 1] - times[first] > 1.5 * self.interval
        if missing and times[first + 1] - self.interval <= began and self.series.values[first] <= target:
            first += 1  # a reading is missing in between: what it would have shown is not held against the rest
        count = len(times) - first
        if first < 0 or count > self.stretch or count < max(3, FILLED * self.kind.steady / self.interval):
            return False
        values = self.series.last(count)
        slack = 0.1 * target
        edges = min((values[0] + values[1]) / 2, (values[-1] + values[-2]) / 2)
        low = sum(value < target - 1.5 * slack for value in values)
        return edges > target - slack and low <= 0.1 * count and sorted(values)[count // 2] > target

    # Will it be?

    def forecast(self, now: float) -> Forecast | None:
        """Return when the factor will cross its limit; None if it is not clearly on its way there."""
        level, target = self.level, self.target
        if level is None or level >= target:
            return None
        progress = self._progress(level)
        if progress <= 0:
            return None
        oldest = max(self.since, self.series.times[0]) - 2 * self.interval
        # The further ahead, the more of the way must lie behind: an alert half an hour early needs two thirds of it.
        horizon = min(self.horizon, 4 / 3 * progress * self.horizon)
        # A host near its limit wanders; only a long trend means something there.
        shortest = self.kind.shortest if target <= self.limit else 2400.0
        for window in WINDOWS:
            start = now - window
            if window < shortest:
                break
            if start < oldest:
                continue
            record = max(self.records.highest_before(now, window), self.series.highest(start - 900, start))
            if level < record + 0.05 * (target - self.usual):
                continue
            found = self._trend(start, now, min(horizon, reach(window)), window)
            if found is not None:
                trend, eta, shape = found
                return self._describe(trend, eta, self._outlook(now, oldest, eta), shape, window)
        return None

    def _progress(self, level: float) -> float:
        """Return how much of the way from its usual level to the limit lies behind, 0 if not enough to speak of."""
        usual, target = self.usual, self.target
        if self.kind.log:
            usual = max(usual, self.kind.low)
            progress = math.log(level / usual) / math.log(target / usual) if level > usual else 0.0
            return progress if progress >= 0.5 else 0.0
        room = target - usual
        if target > self.limit:
            needed = max(0.3 * room, 5 * self.spread)
        else:
            # A host that has grown ever since it started has a wide spread too, so that may not ask for too much.
            needed = max(0.3 * room, min(3 * self.spread, 0.6 * room))
        return (level - usual) / room if level - usual >= needed else 0.0

    def _trend(self, start: float, now: float, within: float, window: float) -> tuple[Trend, float, Shape] | None:
        """Return the trend of one window, the seconds to the limit and the shape; the latest crossing of several."""
        times, values = self._blocks(start, now)
        fits = [self._judge(times, values, now, within, shape, window) for shape in self.kind.shapes]
        if not any(fits) and window in ENVELOPES:
            fits = [self._judge(*self.series.peaks(start, now, BLOCKS), now, within, LINE, window)]
        return max((found for found in fits if found is not None), key=lambda found: found[1], default=None)

    def _blocks(self, start: float, now: float) -> tuple[list[float], list[float]]:
        # Half an error among as many requests as would bring it at a twentieth of the limit.
        prior = (self.limit / 20, 10 / self.limit) if self.kind.pooled else (0.0, 0.0)
        return self.series.blocks(start, now, BLOCKS, prior)

    def _outlook(self, now: float, oldest: float, otherwise: float) -> float:
        """Return the time to the limit that all windows and shapes agree on, `otherwise` if none has one.

        That a forecast is due is decided by the first trend that is steady enough, which favours those that noise has
        just made steep: its own crossing would come too early more often than not.
        """
        outlooks = []
        for window in WINDOWS:
            start = now - window
            if start < oldest:
                continue
            looks = [(self._blocks(start, now), shape) for shape in self.kind.shapes]
            if window in ENVELOPES and not self.kind.pooled:
                looks.append((self.series.peaks(start, now, BLOCKS), LINE))
            for (times, values), shape in looks:
                straight, least = shape.straight, self.kind.low
                straightened = values if shape is LINE else [straight(max(value, least)) for value in values]
                level = straight(max(self.level or 0.0, least))
                outlook = foretell(times, straightened, now, straight(self.target), level, 2 * self.interval)
                if outlook is not None:
                    outlooks.append(outlook)
        found = agreed(outlooks)
        return otherwise if found is None else found

    def _judge(
        self, times: Sequence[float], values: Sequence[float], now: float, within: float, shape: Shape, window: float
    ) -> tuple[Trend, float, Shape] | None:
        if len(times) < 6 or values[-1] <= values[0] or self.level is None:
            return None
        straight, least = shape.straight, self.kind.low
        if shape is not LINE:
            values = [straight(max(value, least)) for value in values]
        target = straight(self.target)
        # Cheap first: even the fastest growth of these blocks must come near enough.
        if (target - values[-1]) * (now - times[0]) > 3 * (values[-1] - values[0]) * within:
            return None
        trend = fit(times, values, now)
        if not trend.steady:
            return None
        moves = self._restless.get(window, 0.0)
        if moves:
            grown = values[-1] - values[0] if (shape is GEOMETRIC) == self.kind.log else math.inf
            if min(grown, trend.slope * trend.length) < RESTLESS * moves and grown < math.inf:
                return None
        # The smoothed level lags by two readings; a fitted one that runs ahead of that is overshooting.
        reached = straight(max(self.level, least)) + 2 * self.interval * trend.late
        eta = time_to(trend, target - min(trend.level, reached))
        return (trend, eta, shape) if eta <= within else None

    def _describe(self, trend: Trend, nearest: float, eta: float, shape: Shape, window: float) -> Forecast:
        level = self.level or 0.0
        slope = trend.late * shape.rate(level) * 60
        agreement = min(trend.late / trend.early, trend.early / trend.late)
        confidence = (0.5 + 0.5 * agreement) * (1 - 0.4 * nearest / reach(window))
        low, high = RANGE[0] * eta, RANGE[1] * eta + RANGE[2]
        return Forecast(
            factor=self.factor,
            eta_seconds=eta,
            eta_range=(low, high),
            confidence=round(confidence, 3),
            value=level,
            limit=self.target,
            slope=slope,
            window=window,
            reason=describe(self.factor, level, self.target, self.limit, slope, window, eta, (low, high)),
        )


def wilson_low(rate: float, count: float, z: float = 1.64) -> float:
    """Return the lower end of Wilson's interval of a rate over `count` trials; `z` 1.64 is one-sided 95 %."""
    if count <= 0:
        return 0.0
    middle = rate + z * z / (2 * count)
    spread = z * math.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    return (middle - spread) / (1 + z * z / count)
