"""Runs detectors over an episode, and adds up what they got right and wrong."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.incidents.baselines import BASELINES, alerts
from benchmarks.incidents.host import TICK
from benchmarks.incidents.variants import OTHER_LIMITS, make, rescale
from upright.strategies.prediction.engine import PredictionEngine

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.incidents.host import Episode
    from benchmarks.incidents.variants import Job

__all__ = ["UPRIGHT", "Outcome", "Score", "run", "wilson"]

UPRIGHT = "upright"


@dataclass(slots=True)
class Outcome:
    """What one detector did in one episode.

    Attributes:
        false: Alert onsets where nothing was wrong.
        days: Host-days in which nothing was wrong.
        lead: Minutes from the first true alert to the crossing (gradual); None if there was none.
        delay: Minutes from the onset to the first true alert (abrupt); None if there was none.
        seen: Whether it alerted before the failure.
        episodes: Stretches of alerting during the incident.
        messages: Alerts given during the incident.
    """

    detector: str
    group: str
    kind: str
    seed: int
    false: int = 0
    days: float = 0.0
    false_factors: list[str] = field(default_factory=list)
    lead: float | None = None
    delay: float | None = None
    seen: bool = False
    right_factor: bool = False
    eta_error: float | None = None
    eta_ratio: float | None = None
    covered: bool | None = None
    episodes: int = 0
    messages: int = 0
    timings: list[float] = field(default_factory=list)


def run(job: Job, *, baselines: bool) -> list[Outcome]:
    """Simulate one episode and run the detectors over it."""
    episode = make(job)
    outcomes = [_upright(episode, rescaled=job.variant.rescaled)]
    if baselines:
        for name, detector in BASELINES.items():
            outcome = Outcome(name, episode.group, episode.kind, episode.seed)
            onsets = [(episode.ticks[i], factor) for i, factor in alerts(detector(episode.readings))]
            _judge(outcome, episode, onsets)
            outcomes.append(outcome)
    return outcomes


def _upright(episode: Episode, *, rescaled: bool) -> Outcome:
    outcome = Outcome(UPRIGHT, episode.group, episode.kind, episode.seed)
    engine, onsets, messages, was = PredictionEngine(OTHER_LIMITS if rescaled else None), [], [], False
    first = None
    for tick, taken in zip(episode.ticks, episode.readings, strict=True):
        reading = rescale(taken) if rescaled else taken
        before = time.perf_counter()
        prediction = engine.observe(reading)
        outcome.timings.append(time.perf_counter() - before)
        if prediction.alert is not None:
            messages.append((tick, prediction.alert.factor))
        if prediction.alerting and not was:
            alert = prediction.alert
            onsets.append((tick, alert.factor if alert else "?"))
            if first is None and episode.onset is not None and tick >= episode.onset:
                first = (tick, alert)
        was = prediction.alerting
    _judge(outcome, episode, onsets)
    if episode.onset is None:
        outcome.messages = len(messages)
        outcome.false = len(messages)
        outcome.false_factors = [factor for _, factor in messages]
    else:
        outcome.messages = sum(1 for tick, _ in messages if tick >= episode.onset)
    if first is not None and first[1] is not None and first[1].eta_seconds is not None and episode.crossing is not None:
        truth = (episode.crossing - first[0]) * TICK
        if truth > 0 and first[1].factor == episode.factor:
            eta, (low, high) = first[1].eta_seconds, first[1].eta_range or (0.0, math.inf)
            outcome.eta_error = abs(eta - truth) / max(truth, 300.0)
            outcome.eta_ratio = truth / max(eta, 1.0)
            outcome.covered = low <= truth <= high
    outcome.timings = sorted(outcome.timings)[-len(outcome.timings) // 50 :]
    return outcome


def _judge(outcome: Outcome, episode: Episode, onsets: list[tuple[int, str]]) -> None:
    if episode.onset is None:
        outcome.false = len(onsets)
        outcome.days = (episode.ticks[-1] + 1) * TICK / 86_400
        outcome.false_factors = [factor for _, factor in onsets]
        return
    early = [(tick, factor) for tick, factor in onsets if tick < episode.onset]
    outcome.false, outcome.false_factors = len(early), [factor for _, factor in early]
    outcome.days = episode.onset * TICK / 86_400
    during = [(tick, factor) for tick, factor in onsets if tick >= episode.onset]
    outcome.episodes = len(during)
    if not during:
        return
    tick, factor = during[0]
    outcome.right_factor = factor == episode.factor
    outcome.delay = (tick - episode.onset) * TICK / 60
    outcome.seen = episode.failure is None or tick < episode.failure or episode.group == "abrupt"
    if episode.crossing is not None:
        outcome.lead = (episode.crossing - tick) * TICK / 60


def wilson(hits: int, of: int, z: float = 1.96) -> tuple[float, float, float]:
    """Return (rate, low, high) with Wilson's 95 % interval."""
    if of == 0:
        return (math.nan, math.nan, math.nan)
    rate = hits / of
    middle = (rate + z * z / (2 * of)) / (1 + z * z / of)
    spread = z * math.sqrt(rate * (1 - rate) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return rate, max(0.0, middle - spread), min(1.0, middle + spread)


class Score:
    """The figures of one detector over a run."""

    def __init__(self, outcomes: Iterable[Outcome]) -> None:
        every = list(outcomes)
        self.gradual = [o for o in every if o.group == "gradual"]
        self.abrupt = [o for o in every if o.group == "abrupt"]
        self.benign = [o for o in every if o.group == "benign"]
        self.plain = [o for o in every if o.group == "plain"]
        self.resident = [o for o in every if o.group == "resident"]

    def ahead(self, minutes: float, kind: str | None = None) -> tuple[float, float, float]:
        """Return the share of gradual incidents alerted at least `minutes` before the limit, with its interval."""
        of = [o for o in self.gradual if kind in (None, o.kind)]
        return wilson(sum(o.seen and o.lead is not None and o.lead >= minutes for o in of), len(of))

    def before_failure(self) -> tuple[float, float, float]:
        """Return the share of gradual incidents alerted before hard failure."""
        return wilson(sum(o.seen for o in self.gradual), len(self.gradual))

    def leads(self) -> list[float]:
        """Return the minutes of lead of the alerted incidents, sorted."""
        return sorted(o.lead for o in self.gradual if o.seen and o.lead is not None)

    def precision(self) -> tuple[float, float, float]:
        """Return true alerts over all, on the incidents and the look-alikes (not the plain days)."""
        true = sum(o.seen for o in self.gradual) + sum(o.delay is not None for o in self.abrupt)
        false = sum(o.false for o in (*self.gradual, *self.abrupt, *self.benign))
        return wilson(true, true + false)

    def false_a_day(self, group: str) -> float:
        """Return false alerts per host-day: of "lookalike" (benign and before onsets), "plain" or "resident"."""
        of = [*self.gradual, *self.abrupt, *self.benign] if group == "lookalike" else getattr(self, group)
        days = sum(o.days for o in of)
        return sum(o.false for o in of) / days if days else math.nan

    def abrupt_within(self, minutes: float, *, cpu: bool) -> tuple[float, float, float]:
        """Return the share of abrupt faults alerted within `minutes` of their onset."""
        of = [o for o in self.abrupt if (o.kind == "CPU saturation") is cpu]
        return wilson(sum(o.delay is not None and o.delay <= minutes for o in of), len(of))
