"""A simulated host: load, what is truly going on (latent), and what a collector would have read of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from upright.strategies.prediction.metrics import SystemMetrics

if TYPE_CHECKING:
    from random import Random

__all__ = ["CLEAN", "FAILURE", "LIMIT", "TICK", "TICKS", "Episode", "Host", "Script", "play"]

TICK = 30.0
"""Seconds between two readings."""
TICKS = 960
"""Readings of an episode: 8 hours."""
CLEAN = 240
"""Readings at the start in which nothing is injected: 2 hours."""

LIMIT = {"memory": 0.85, "response_time": 5000.0, "error_rate": 0.05, "connections": 1000.0, "cpu": 0.90}
FAILURE = {"memory": 0.97, "response_time": 8000.0, "error_rate": 0.15, "connections": 1200.0, "cpu": 0.97}


@dataclass(slots=True)
class Host:
    """What a host is like when nothing is wrong with it."""

    memory: float
    cpu: float
    connections: float
    response: float
    errors: float
    rate: float
    amplitude: float
    phase: float
    noise: float

    @staticmethod
    def draw(rng: Random, noise: float = 1.0) -> Host:
        """Draw a host; `noise` multiplies its noise level."""
        return Host(
            memory=rng.uniform(0.30, 0.65),
            cpu=rng.uniform(0.10, 0.35),
            connections=rng.uniform(40, 250),
            response=log_uniform(rng, 60, 500),
            errors=log_uniform(rng, 2e-4, 5e-3),
            rate=log_uniform(rng, 2, 200),
            amplitude=rng.uniform(0, 0.35),
            phase=rng.uniform(0, math.tau),
            noise=rng.choice((0.5, 1.0, 2.0)) * noise,
        )


@dataclass(slots=True)
class Script:
    """What is done to a host, tick by tick; neutral where a scenario leaves it alone.

    The additions to memory, CPU and errors are fractions, to the response time milliseconds.
    `couplings` see the latent values of a tick before they are final, and may change them.
    """

    ticks: int
    memory: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    connections: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    response_add: list[float] = field(default_factory=list)
    response_times: list[float] = field(default_factory=list)
    requests_times: list[float] = field(default_factory=list)
    missing: set[int] = field(default_factory=set)
    thrash: bool = False
    pile_up: bool = False
    heavy_tails: bool = False
    pressure: list[float] | None = None
    memory_caps: float = 1.0
    onset: int | None = None
    factor: str | None = None

    def __post_init__(self) -> None:
        for name in ("memory", "cpu", "connections", "errors", "response_add"):
            setattr(self, name, [0.0] * self.ticks)
        self.response_times = [1.0] * self.ticks
        self.requests_times = [1.0] * self.ticks


@dataclass(slots=True)
class Episode:
    """One host's readings and the truth about them.

    Attributes:
        group: "gradual", "abrupt", "benign", "plain" or "resident" (lives near its limit).
        onset: Tick at which the incident starts; None where nothing is wrong.
        crossing: First of two consecutive ticks at or above the limit; None if never.
        failure: First tick at the failure level, or the length of the episode.
    """

    kind: str
    group: str
    seed: int
    readings: list[SystemMetrics]
    ticks: list[int]
    latent: list[float]
    onset: int | None = None
    crossing: int | None = None
    failure: int | None = None
    factor: str | None = None


def log_uniform(rng: Random, low: float, high: float) -> float:
    """Draw between `low` and `high`, each octave equally likely."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def play(
    rng: Random, host: Host, script: Script, *, requests: bool, jitter: float = 0.0, jumps: int = 0
) -> tuple[list[SystemMetrics], list[int], dict[str, list[float]]]:
    """Run `script` on `host`: the readings, their tick numbers, and the latent series per factor."""
    latent: dict[str, list[float]] = {name: [] for name in LIMIT}
    readings: list[SystemMetrics] = []
    numbers: list[int] = []
    drift = memory_noise = 0.0
    nu = host.noise
    gauss = rng.gauss
    shift = 0.0
    jump_at = {rng.randrange(60, script.ticks) for _ in range(jumps)}
    for t in range(script.ticks):
        drift = 0.9 * drift + gauss(0, 0.04 * nu)
        load = max(0.05, 1 + host.amplitude * math.sin(host.phase + math.tau * t / 2880)) * math.exp(drift)
        load *= script.requests_times[t]
        cpu = min(1.0, max(0.0, host.cpu * load + script.cpu[t]))
        connections = host.connections * load + script.connections[t]
        memory = host.memory + 0.05 * (load - 1) + script.memory[t]
        errors = host.errors + script.errors[t]
        times = script.response_times[t]
        if script.thrash and memory > 0.75:
            x = (memory - 0.75) / 0.15
            times *= 1 + 20 * x * x
            cpu = min(1.0, cpu + 0.5 * x)
            errors += 0.04 * x * x
        if script.pile_up and connections > 700:
            x = (connections - 700) / 300
            times *= 1 + 6 * x
            errors += 0.02 * x * x
        response = host.response * times * (1 + 2 * max(0.0, cpu - 0.7) / (1.05 - cpu)) + script.response_add[t]
        errors = min(1.0, errors + 0.02 * max(0.0, response / 5000 - 1))
        memory = min(script.memory_caps, memory)
        for name, value in zip(LIMIT, (memory, response, errors, connections, cpu), strict=True):
            latent[name].append(value)
        memory_noise = 0.8 * memory_noise + gauss(0, 0.004 * nu)
        if t in jump_at:
            shift += rng.uniform(300, 7200)
        if t in script.missing:
            continue
        readings.append(
            _observe(
                rng,
                host,
                t * TICK + shift + (rng.uniform(-jitter, jitter) * TICK if jitter else 0.0),
                script,
                t,
                load,
                (memory + memory_noise, response, errors, connections, cpu),
                requests=requests,
            )
        )
        numbers.append(t)
    return readings, numbers, latent


def _observe(
    rng: Random,
    host: Host,
    at: float,
    script: Script,
    t: int,
    load: float,
    values: tuple[float, float, float, float, float],
    *,
    requests: bool,
) -> SystemMetrics:
    memory, response, errors, connections, cpu = values
    nu = host.noise

    def gauss(mu: float, sigma: float) -> float:
        return mu + sigma * student(rng) if script.heavy_tails else rng.gauss(mu, sigma)

    memory += gauss(0, 0.002 * nu)
    response *= math.exp(max(-3.0, min(3.0, gauss(0, 0.12 * nu))))
    if rng.random() < 0.01 * nu:
        response *= rng.uniform(1.5, 4)
    count = poisson(rng, 30 * host.rate * load)
    failed = binomial(rng, count, errors)
    connections += gauss(0, math.sqrt(connections) * 1.5 * nu)
    cpu += gauss(0, 0.03 * nu)
    if rng.random() < 0.01 * nu:
        cpu += rng.uniform(0.1, 0.4)
    return SystemMetrics(
        at=at,
        memory=min(1.0, max(0.0, memory)),
        response_ms=response if count else None,
        error_rate=failed / count if count else None,
        connections=max(0, round(connections)),
        cpu=min(1.0, max(0.0, cpu)),
        requests=count if requests else None,
        pressure=script.pressure[t] if script.pressure is not None else None,
    )


def student(rng: Random, freedom: float = 2.5) -> float:
    """Draw from Student's t, scaled to the middle of a normal distribution."""
    return rng.gauss(0, 1) / math.sqrt(rng.gammavariate(freedom / 2, 2) / freedom)


def poisson(rng: Random, mean: float) -> int:
    """Draw from a Poisson distribution; normal above 50."""
    if mean > 50:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count


def binomial(rng: Random, trials: int, chance: float) -> int:
    """Draw from a binomial distribution; Poisson or normal where trials are many."""
    if trials == 0 or chance <= 0:
        return 0
    if trials <= 40:
        return sum(rng.random() < chance for _ in range(trials))
    if trials * chance < 50 and chance < 0.1:
        return min(trials, poisson(rng, trials * chance))
    return max(0, min(trials, round(rng.gauss(trials * chance, math.sqrt(trials * chance * (1 - chance))))))
