"""Which episodes make up a run, and under which conditions they are simulated.

The detector was developed on `base`, `harder`, `ragged`, `foreign` and `disguised`, and checked on `elsewhere`.
`hostile`, `unseen` and `unlike` were held out until it was finished: their figures are the ones to quote.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from benchmarks.incidents.disguised import (
    KNOWN_BENIGN,
    KNOWN_GRADUAL,
    UNSEEN_BENIGN,
    UNSEEN_GRADUAL,
    another_host,
    coarsen,
    reside,
)
from benchmarks.incidents.gradual import EXTRA_GRADUAL, GRADUAL
from benchmarks.incidents.host import CLEAN, FAILURE, LIMIT, TICK, TICKS, Episode, Host, Script, log_uniform, play
from benchmarks.incidents.sudden import ABRUPT, BENIGN, EXTRA_BENIGN
from upright.strategies.prediction.metrics import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upright.strategies.prediction.metrics import SystemMetrics

Scenario = TypeVar("Scenario")

__all__ = ["OTHER_LIMITS", "VARIANTS", "Job", "Variant", "jobs", "make", "rescale"]


@dataclass(frozen=True, slots=True)
class Variant:
    """The conditions of a run.

    Attributes:
        noise: Multiplies every host's noise level.
        ramp: Shortest and longest time from onset to limit, in minutes.
        jitter: Largest shift of a reading's time, in ticks.
        gaps: Stretches of 2 to 12 missing readings per episode, on average.
        jumps: Clock jumps (suspends) of 5 minutes to 2 hours per episode, on average.
        shapes: Which scenarios: "listed" by the specification of the benchmark, "foreign" to it, "known" and "unseen"
            disguises.
        requests: Whether the detector sees request counts.
        drops: Share of the readings that are lost one by one.
        unknown: Share of the values that are None one by one.
        elsewhere: Hosts of other sizes, and other ways to live near the limit.
        coarse: Values in whole percent.
        every: Of so many readings one is taken.
        rescaled: Other limits, and values in proportion to them; see `rescale`.
    """

    name: str
    noise: float = 1.0
    ramp: tuple[float, float] = (15.0, 180.0)
    jitter: float = 0.0
    gaps: float = 0.0
    jumps: float = 0.0
    shapes: tuple[str, ...] = ("listed",)
    requests: bool = True
    drops: float = 0.0
    unknown: float = 0.0
    elsewhere: bool = False
    coarse: bool = False
    every: int = 1
    rescaled: bool = False

    def kinds(self) -> dict[str, list[str]]:
        """Return the scenario names of each group."""
        return {
            "gradual": [kind for shapes in self.shapes for kind in _GRADUAL[shapes]],
            "abrupt": list(ABRUPT),
            "benign": [kind for shapes in self.shapes for kind in _BENIGN[shapes]],
        }


_GRADUAL = {"listed": GRADUAL, "foreign": EXTRA_GRADUAL, "known": KNOWN_GRADUAL, "unseen": UNSEEN_GRADUAL}
_BENIGN = {"listed": BENIGN, "foreign": EXTRA_BENIGN, "known": KNOWN_BENIGN, "unseen": UNSEEN_BENIGN}


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("base"),
        Variant("blind", requests=False),
        Variant("harder", noise=1.5, ramp=(8.0, 240.0)),
        Variant("ragged", noise=1.2, jitter=0.4, gaps=3.0, jumps=0.5),
        Variant("foreign", shapes=("foreign",), noise=1.2, ramp=(12.0, 200.0), jitter=0.3, gaps=1.0),
        Variant(
            "disguised",
            shapes=("known",),
            noise=1.3,
            ramp=(10.0, 240.0),
            jitter=0.35,
            gaps=1.5,
            jumps=0.5,
            drops=0.03,
            unknown=0.01,
            elsewhere=True,
        ),
        Variant(
            "elsewhere",
            shapes=("listed", "known"),
            noise=1.2,
            ramp=(12.0, 200.0),
            jitter=0.1,
            gaps=1.0,
            elsewhere=True,
            every=2,
            rescaled=True,
        ),
        Variant("hostile", shapes=("listed", "foreign"), noise=1.5, ramp=(8.0, 240.0), jitter=0.4, gaps=2.0, jumps=0.3),
        Variant("unseen", shapes=("listed", "unseen"), noise=1.25, ramp=(12.0, 240.0), jitter=0.3, gaps=1.0, jumps=0.5),
        Variant(
            "unlike",
            shapes=("unseen",),
            ramp=(20.0, 300.0),
            jitter=0.45,
            gaps=2.0,
            jumps=1.0,
            requests=False,
            drops=0.05,
            unknown=0.02,
            elsewhere=True,
            coarse=True,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Job:
    """One episode to be made: everything needed to make it again."""

    variant: Variant
    group: str
    kind: str
    seed: int


def make(job: Job) -> Episode:
    """Simulate one episode; the same job always gives the same episode."""
    rng, variant = Random(job.seed), job.variant
    host = Host.draw(rng, variant.noise)
    if variant.elsewhere:
        host = another_host(rng, host)
    script = Script(TICKS * 3 if job.group == "plain" else TICKS)
    if job.group == "gradual":
        length = max(4, round(log_uniform(rng, *variant.ramp) * 60 / TICK))
        onset = rng.randint(CLEAN, script.ticks - length - 60)
        _scenario(_GRADUAL, job.kind)(rng, host, script, onset, length)
    elif job.group == "abrupt":
        ABRUPT[job.kind](rng, host, script)
    elif job.group == "benign":
        _scenario(_BENIGN, job.kind)(rng, host, script)
    elif job.group == "resident":
        (reside if variant.elsewhere else _reside)(rng, host, script)
    for _ in range(_count(rng, variant.gaps)):
        start = rng.randint(CLEAN // 4, script.ticks - 20)
        script.missing.update(range(start, start + rng.randint(2, 12)))
    readings, ticks, latent = play(
        rng, host, script, requests=variant.requests, jitter=variant.jitter, jumps=_count(rng, variant.jumps)
    )
    if variant.drops or variant.unknown or variant.coarse or variant.every > 1:
        readings, ticks = _spoil(rng, variant, readings, ticks)
    factor = script.factor
    episode = Episode(job.kind, job.group, job.seed, readings, ticks, latent[factor] if factor else [], factor=factor)
    if script.onset is not None and factor is not None:
        series, limit = latent[factor], LIMIT[factor]
        onset = episode.onset = script.onset
        episode.crossing = next(
            (t for t in range(onset, script.ticks - 1) if series[t] >= limit and series[t + 1] >= limit), None
        )
        episode.failure = next((t for t in range(onset, script.ticks) if series[t] >= FAILURE[factor]), script.ticks)
    return episode


def _scenario(shapes: dict[str, dict[str, Scenario]], kind: str) -> Scenario:
    return next(scenarios[kind] for scenarios in shapes.values() if kind in scenarios)


def _spoil(
    rng: Random, variant: Variant, readings: list[SystemMetrics], ticks: list[int]
) -> tuple[list[SystemMetrics], list[int]]:
    """Lose readings and values, and read coarsely, as the variant says."""
    kept = [n for n in range(len(ticks)) if ticks[n] % variant.every == 0 and rng.random() >= variant.drops]
    spoiled = []
    for n in kept:
        reading = coarsen(readings[n]) if variant.coarse else readings[n]
        if variant.every > 1 and reading.requests is not None:
            reading = replace(reading, requests=reading.requests * variant.every)
        lost: dict[str, Any] = {name: None for name in _VALUES if rng.random() < variant.unknown}
        spoiled.append(replace(reading, **lost) if lost else reading)
    return spoiled, [ticks[n] for n in kept]


OTHER_LIMITS = Limits(memory=0.68, response_ms=250.0, error_rate=0.01, connections=40_000.0, cpu=0.72)


def rescale(reading: SystemMetrics) -> SystemMetrics:
    """Return a reading in the same proportion to `OTHER_LIMITS` as it was to the usual ones."""
    values: dict[str, Any] = {}
    for name in _VALUES:
        value = getattr(reading, name)
        if value is not None:
            values[name] = value * getattr(OTHER_LIMITS, name) / getattr(Limits(), name)
    return replace(reading, **values)


_VALUES = ("memory", "response_ms", "error_rate", "connections", "cpu")


def _count(rng: Random, mean: float) -> int:
    return int(mean) + (rng.random() < mean - int(mean))


def _reside(rng: Random, host: Host, script: Script) -> None:
    """A host that lives at 80 to 92 % of its memory: it wanders, is trimmed by reclaim, and nothing fails."""
    host.memory = rng.uniform(0.80, 0.92)
    host.amplitude = rng.uniform(0, 0.35)
    period, swing = rng.uniform(1, 6) * 3600 / TICK, rng.uniform(0, 0.02)
    phase = rng.uniform(0, math.tau)
    script.memory_caps = 0.985
    script.pressure = [max(0.0, rng.gauss(0, 0.002)) for _ in range(script.ticks)] if rng.random() < 0.5 else None
    for t in range(script.ticks):
        script.memory[t] += swing * math.sin(phase + math.tau * t / period)


def jobs(variant: Variant, seed: int, episodes: int) -> Iterator[Job]:
    """Yield the jobs of a run: `episodes` per gradual kind, the others in proportion."""
    rng = Random(seed)
    kinds = variant.kinds()
    for group, share in (("gradual", 1.0), ("abrupt", 20 / 24), ("benign", 1.0)):
        for kind in kinds[group]:
            for _ in range(max(1, round(episodes * share))):
                yield Job(variant, group, kind, rng.getrandbits(48))
    for _ in range(round(episodes * 400 / 24 / 6)):
        yield Job(variant, "plain", "plain day", rng.getrandbits(48))
    for _ in range(round(episodes * 2)):
        yield Job(variant, "resident", "lives near its limit", rng.getrandbits(48))
