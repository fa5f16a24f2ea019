"""Which episodes make up a run, and under which conditions they are simulated.

The detector was developed on `base` and `harder`. `foreign` and `hostile` were held out: their figures
are the ones to quote.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from benchmarks.incidents.gradual import EXTRA_GRADUAL, GRADUAL
from benchmarks.incidents.host import CLEAN, FAILURE, LIMIT, TICK, TICKS, Episode, Host, Script, log_uniform, play
from benchmarks.incidents.sudden import ABRUPT, BENIGN, EXTRA_BENIGN

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["VARIANTS", "Job", "Variant", "make"]


@dataclass(frozen=True, slots=True)
class Variant:
    """The conditions of a run.

    Attributes:
        noise: Multiplies every host's noise level.
        ramp: Shortest and longest time from onset to limit, in minutes.
        jitter: Largest shift of a reading's time, in ticks.
        gaps: Stretches of 2 to 12 missing readings per episode, on average.
        jumps: Clock jumps (suspends) of 5 minutes to 2 hours per episode, on average.
        foreign: Adds the shapes that the specification of the benchmark does not list.
        only_foreign: Leaves out those that it does list.
        requests: Whether the detector sees request counts.
    """

    name: str
    noise: float = 1.0
    ramp: tuple[float, float] = (15.0, 180.0)
    jitter: float = 0.0
    gaps: float = 0.0
    jumps: float = 0.0
    foreign: bool = False
    only_foreign: bool = False
    requests: bool = True

    def kinds(self) -> dict[str, list[str]]:
        """Return the scenario names of each group."""
        listed = not self.only_foreign
        return {
            "gradual": [*(GRADUAL if listed else ()), *(EXTRA_GRADUAL if self.foreign else ())],
            "abrupt": list(ABRUPT),
            "benign": [*(BENIGN if listed else ()), *(EXTRA_BENIGN if self.foreign else ())],
        }


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("base"),
        Variant("blind", requests=False),
        Variant("harder", noise=1.5, ramp=(8.0, 240.0)),
        Variant("ragged", noise=1.2, jitter=0.4, gaps=3.0, jumps=0.5),
        Variant("foreign", foreign=True, only_foreign=True, noise=1.2, ramp=(12.0, 200.0), jitter=0.3, gaps=1.0),
        Variant("hostile", foreign=True, noise=1.5, ramp=(8.0, 240.0), jitter=0.4, gaps=2.0, jumps=0.3),
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
    script = Script(TICKS * 3 if job.group == "plain" else TICKS)
    if job.group == "gradual":
        length = max(4, round(log_uniform(rng, *variant.ramp) * 60 / TICK))
        onset = rng.randint(CLEAN, script.ticks - length - 60)
        (GRADUAL | EXTRA_GRADUAL)[job.kind](rng, host, script, onset, length)
    elif job.group == "abrupt":
        ABRUPT[job.kind](rng, host, script)
    elif job.group == "benign":
        (BENIGN | EXTRA_BENIGN)[job.kind](rng, host, script)
    elif job.group == "resident":
        _reside(rng, host, script)
    for _ in range(_count(rng, variant.gaps)):
        start = rng.randint(CLEAN // 4, script.ticks - 20)
        script.missing.update(range(start, start + rng.randint(2, 12)))
    readings, ticks, latent = play(
        rng, host, script, requests=variant.requests, jitter=variant.jitter, jumps=_count(rng, variant.jumps)
    )
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
