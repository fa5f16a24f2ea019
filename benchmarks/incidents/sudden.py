"""Abrupt faults, which can be detected but not foreseen, and benign look-alikes, on which any alert is false."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmarks.incidents.host import CLEAN, TICK, Host, Script, log_uniform

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    Fault = Callable[[Random, Host, Script], None]

__all__ = ["ABRUPT", "BENIGN", "EXTRA_BENIGN"]


def _minutes(minutes: float) -> float:
    return minutes * 60 / TICK


def _start(rng: Random, script: Script, room: int = 150) -> int:
    return rng.randint(CLEAN, script.ticks - room)


def error_burst(rng: Random, host: Host, script: Script) -> None:
    script.onset, script.factor = _start(rng, script), "error_rate"
    level = rng.uniform(0.1, 0.6)
    for t in range(script.onset, script.onset + rng.randint(20, 60)):
        script.errors[t] += level


def cpu_saturation(rng: Random, host: Host, script: Script) -> None:
    script.onset, script.factor = _start(rng, script), "cpu"
    level, times = rng.uniform(0.93, 0.99), rng.uniform(3, 8)
    for t in range(script.onset, script.onset + rng.randint(40, 120)):
        script.cpu[t] += level - host.cpu
        script.response_times[t] *= times


def dependency_stall(rng: Random, host: Host, script: Script) -> None:
    script.onset, script.factor = _start(rng, script), "response_time"
    stall = rng.uniform(6000, 20000)
    for t in range(script.onset, script.ticks):
        script.response_add[t] += stall
        script.connections[t] += host.connections * (min(9.0, 1.1 ** (t - script.onset)) - 1)


ABRUPT: dict[str, Fault] = {
    "error burst": error_burst,
    "CPU saturation": cpu_saturation,
    "dependency stall": dependency_stall,
}


def batch_job(rng: Random, host: Host, script: Script) -> None:
    for _ in range(rng.randint(1, 4)):
        start, length = _start(rng, script, 30), rng.randint(4, 20)
        level, memory = rng.uniform(0.85, 0.98), rng.uniform(0.03, 0.10)
        for t in range(start, start + length):
            script.cpu[t] = level - host.cpu
            script.memory[t] = memory


def strong_day(rng: Random, host: Host, script: Script) -> None:
    host.amplitude = rng.uniform(0.6, 0.9)


def deploy_step(rng: Random, host: Host, script: Script) -> None:
    start = _start(rng, script, 60)
    step = min(rng.uniform(0.08, 0.20), 0.80 - host.memory)
    for t in range(start, script.ticks):
        script.memory[t] += step
        if t < start + 10:
            script.response_times[t] *= 1.3


def gc_sawtooth(rng: Random, host: Host, script: Script) -> None:
    amplitude, period = rng.uniform(0.10, 0.30), _minutes(rng.uniform(10, 60))
    amplitude, start = min(amplitude, 0.81 - host.memory), rng.uniform(0, period)
    for t in range(script.ticks):
        script.memory[t] += amplitude * (((t + start) / period) % 1)


def cache_warm_up(rng: Random, host: Host, script: Script) -> None:
    start, tau = _start(rng, script), _minutes(rng.uniform(20, 60))
    span = rng.uniform(0.70, 0.81) - host.memory
    for t in range(start, script.ticks):
        script.memory[t] += span * (1 - math.exp(-(t - start) / tau))


def flash_crowd(rng: Random, host: Host, script: Script) -> None:
    up = _minutes(rng.uniform(10, 30))
    start = _start(rng, script, int(2 * up) + 5)
    connections, cpu = rng.uniform(500, 800), rng.uniform(0.5, 0.8)
    response, requests = rng.uniform(500, 2000), rng.uniform(2.5, 5)
    for t in range(start, min(script.ticks, start + int(2 * up))):
        x = max(0.0, 1 - abs(t - start - up) / up)
        times = 1 + (requests - 1) * x
        script.requests_times[t] *= times
        # The load itself already raises these; what is added makes up the announced peak.
        script.connections[t] += (connections - host.connections * requests) * x
        script.cpu[t] += (cpu - host.cpu * requests) * x
        script.memory[t] -= 0.05 * (times - 1) * 0.8
        script.response_add[t] += response * x


def gap_and_restart(rng: Random, host: Host, script: Script) -> None:
    start, gone = _start(rng, script), rng.randint(5, 20)
    script.missing.update(range(start, start + gone))
    drop, tau = rng.uniform(0.3, 0.7) * host.memory, _minutes(rng.uniform(10, 40))
    for t in range(start, script.ticks):
        script.memory[t] -= drop * math.exp(-(t - start - gone) / tau) if t >= start + gone else drop


def heavy_tails(rng: Random, host: Host, script: Script) -> None:
    script.heavy_tails = True


def low_traffic(rng: Random, host: Host, script: Script) -> None:
    host.rate = log_uniform(rng, 0.02, 0.2)


BENIGN: dict[str, Fault] = {
    "batch job": batch_job,
    "strong day": strong_day,
    "deploy step": deploy_step,
    "GC sawtooth": gc_sawtooth,
    "cache warm-up": cache_warm_up,
    "flash crowd": flash_crowd,
    "gap and restart": gap_and_restart,
    "heavy tails": heavy_tails,
    "low traffic": low_traffic,
}


# Shapes that the specification of the benchmark does not list. Used by the held-out variants only.


def growth_logarithmic(rng: Random, host: Host, script: Script) -> None:
    """Fragmentation: memory grows with the logarithm of time and stays below the limit."""
    start, k = rng.randint(60, 400), _minutes(rng.uniform(3, 15))
    span = rng.uniform(0.70, 0.80) - host.memory
    whole = math.log1p((script.ticks - start) / k)
    for t in range(start, script.ticks):
        script.memory[t] += span * math.log1p((t - start) / k) / whole


def weekly_batch(rng: Random, host: Host, script: Script) -> None:
    """A report: memory filled in steady steps for up to an hour, then released; CPU high, below its limit."""
    start, length = _start(rng, script, 140), int(_minutes(rng.uniform(20, 60)))
    memory, cpu = min(rng.uniform(0.10, 0.30), 0.72 - host.memory), rng.uniform(0.5, 0.8)
    for t in range(start, min(script.ticks, start + length)):
        script.memory[t] += max(0.0, memory) * min(1.0, (t - start) / (0.5 * length))
        script.cpu[t] = cpu - host.cpu


def plateaus(rng: Random, host: Host, script: Script) -> None:
    """Workers are added one by one: up to four steps, then it stays."""
    at = [_start(rng, script, 60) for _ in range(rng.randint(2, 4))]
    span = rng.uniform(0.65, 0.79) - host.memory
    for start in at:
        for t in range(start, script.ticks):
            script.memory[t] += span / len(at)


def restarts_in_a_row(rng: Random, host: Host, script: Script) -> None:
    """A crash loop of a neighbour process: memory falls and warms up again and again."""
    start, period, tau = _start(rng, script, 200), int(_minutes(rng.uniform(5, 15))), _minutes(rng.uniform(2, 6))
    drop = rng.uniform(0.2, 0.5) * host.memory
    for n in range(rng.randint(3, 8)):
        for t in range(start + n * period, min(script.ticks, start + (n + 1) * period)):
            script.memory[t] -= drop * math.exp(-(t - start - n * period) / tau)


def connection_churn(rng: Random, host: Host, script: Script) -> None:
    """Connections swing with reconnect storms, up to 700, within minutes."""
    period, top = _minutes(rng.uniform(4, 20)), rng.uniform(300, 700)
    for t in range(script.ticks):
        script.connections[t] += max(0.0, top - host.connections) * 0.5 * (1 + math.sin(math.tau * t / period))


def noisy_neighbour(rng: Random, host: Host, script: Script) -> None:
    """Stolen CPU: bursts of up to 6 minutes at random times, latency doubled."""
    for _ in range(rng.randint(3, 12)):
        start, level = rng.randint(60, script.ticks - 20), rng.uniform(0.5, 0.9)
        for t in range(start, start + rng.randint(2, 12)):
            script.cpu[t] = level - host.cpu
            script.response_times[t] = 2.0


def linear_fill(rng: Random, host: Host, script: Script) -> None:
    """A buffer pool that fills at a steady pace to its configured size, and stays there."""
    start, length = _start(rng, script, 150), _minutes(rng.uniform(20, 120))
    span = rng.uniform(0.60, 0.76) - host.memory
    for t in range(start, script.ticks):
        script.memory[t] += span * min(1.0, (t - start) / length)


def slow_release(rng: Random, host: Host, script: Script) -> None:
    """A burst of latency and errors below the limits that dies away slowly."""
    start, tau = _start(rng, script), _minutes(rng.uniform(5, 20))
    response, errors = rng.uniform(800, 3000), rng.uniform(0.005, 0.025)
    for t in range(start, script.ticks):
        fade = math.exp(-(t - start) / tau)
        script.response_add[t] += response * fade
        script.errors[t] += errors * fade


EXTRA_BENIGN: dict[str, Fault] = {
    "growth, logarithmic": growth_logarithmic,
    "weekly batch": weekly_batch,
    "step plateaus": plateaus,
    "restarts in a row": restarts_in_a_row,
    "connection churn": connection_churn,
    "noisy neighbour": noisy_neighbour,
    "linear fill": linear_fill,
    "slow release": slow_release,
}
