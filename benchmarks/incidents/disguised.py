"""Shapes and conditions of a second kind, made after the detector: to see whether it learned its own benchmark.

Half of them (`KNOWN`) were looked at while the detector was improved. The other half (`UNSEEN`) was written at the same
time, and first run when the detector was finished.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.incidents.host import LIMIT, TICK, Host, Script, log_uniform

if TYPE_CHECKING:
    from random import Random

    from benchmarks.incidents.gradual import Incident
    from benchmarks.incidents.sudden import Fault
    from upright.strategies.prediction.metrics import SystemMetrics

__all__ = ["KNOWN_BENIGN", "KNOWN_GRADUAL", "UNSEEN_BENIGN", "UNSEEN_GRADUAL", "another_host", "coarsen", "reside"]


def _minutes(minutes: float) -> float:
    return minutes * 60 / TICK


def _start(rng: Random, script: Script, room: int = 200) -> int:
    return rng.randint(120, script.ticks - room)


# Gradual incidents, looked at.


def leak_logistic(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    """Slow, fast, and slow again above the limit."""
    script.onset, script.factor = onset, "memory"
    room, steep = LIMIT["memory"] - host.memory, rng.uniform(3, 6)
    top = 1.25 * room
    middle = 1 - math.log(room / (top - room)) / steep

    def at(s: float) -> float:
        return top / (1 + math.exp(-steep * (s - middle)))

    for t in range(onset, script.ticks):
        script.memory[t] += (at((t - onset) / length) - at(0)) * room / (room - at(0))


def leak_partly_reclaimed(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    """Every few minutes a reclaim takes back a part of what was lost since the last one."""
    script.onset, script.factor = onset, "memory"
    room, period, back = LIMIT["memory"] - host.memory, _minutes(rng.uniform(8, 30)), rng.uniform(0.3, 0.6)
    rate = room / length / (1 - back)
    kept = since = 0.0
    for t in range(onset, script.ticks):
        since += rate
        if (t - onset) % max(2, int(period)) == 0:
            kept, since = kept + since * (1 - back), 0.0
        script.memory[t] += kept + since


def leak_with_bursts(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    """Short large allocations on top, before the leak as well."""
    script.onset, script.factor = onset, "memory"
    room = LIMIT["memory"] - host.memory
    for t in range(onset, script.ticks):
        script.memory[t] += room * (t - onset) / length
    for _ in range(rng.randint(10, 40)):
        at, size = rng.randrange(script.ticks - 4), rng.uniform(0.02, 0.08)
        for t in range(at, at + rng.randint(1, 3)):
            script.memory[t] += size


def thread_leak(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    """Threads that never end keep connections, memory and CPU; the connections run out first."""
    script.onset, script.factor = onset, "connections"
    for t in range(onset, script.ticks):
        s = (t - onset) / length
        script.connections[t] += (LIMIT["connections"] - host.connections) * s
        script.memory[t] += 0.5 * (LIMIT["memory"] - host.memory) * min(1.5, s)
        script.cpu[t] += 0.4 * (LIMIT["cpu"] - host.cpu) * min(1.5, s)


def retry_storm(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    """Failures are retried: requests grow with the errors."""
    script.onset, script.factor = onset, "error_rate"
    for t in range(onset, script.ticks):
        s = (t - onset) / length
        script.errors[t] += (LIMIT["error_rate"] - host.errors) * s * s
        script.requests_times[t] *= 1 + min(1.0, s)


def latency_in_steps(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    """Replicas fall away one by one."""
    script.onset, script.factor = onset, "response_time"
    step = max(4.0, length / rng.randint(5, 10))
    for t in range(onset, script.ticks):
        s = math.floor((t - onset) / step + 1) * step / length
        script.response_times[t] *= (LIMIT["response_time"] / host.response) ** min(s, 2.0)


def cpu_exponential(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    script.onset, script.factor = onset, "cpu"
    k = rng.uniform(1.0, 2.5)
    for t in range(onset, script.ticks):
        s = min(2.0, (t - onset) / length)
        script.cpu[t] += (LIMIT["cpu"] - host.cpu) * (math.exp(k * s) - 1) / (math.exp(k) - 1)


def leak_on_a_full_host(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    """Little room is left from the start."""
    host.memory = rng.uniform(0.66, 0.76)
    script.onset, script.factor = onset, "memory"
    for t in range(onset, script.ticks):
        script.memory[t] += (LIMIT["memory"] - host.memory) * (t - onset) / length


KNOWN_GRADUAL: dict[str, Incident] = {
    "leak, logistic": leak_logistic,
    "leak, partly reclaimed": leak_partly_reclaimed,
    "leak with bursts": leak_with_bursts,
    "thread leak": thread_leak,
    "retry storm": retry_storm,
    "latency in steps": latency_in_steps,
    "CPU, exponential": cpu_exponential,
    "leak on a full host": leak_on_a_full_host,
}


# Gradual incidents, held out.


def leak_in_gears(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    """The rate doubles with every third of the way."""
    script.onset, script.factor = onset, "memory"
    unit = (LIMIT["memory"] - host.memory) / (length / 3 * 7)
    for t in range(onset, script.ticks):
        s = (t - onset) / (length / 3)
        grown = min(s, 1) + 2 * max(0.0, min(s - 1, 1)) + 4 * max(0.0, s - 2)
        script.memory[t] += unit * grown * length / 3


def leak_that_rests(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    """A pause in the middle, as over lunch."""
    script.onset, script.factor = onset, "memory"
    rest = (rng.uniform(0.3, 0.6), rng.uniform(0.15, 0.3))
    for t in range(onset, script.ticks):
        s = (t - onset) / length
        moved = min(s, rest[0]) + max(0.0, s - rest[0] - rest[1])
        script.memory[t] += (LIMIT["memory"] - host.memory) * moved / (1 - rest[1])


def leak_on_a_walk(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    """Memory wanders anyway."""
    script.onset, script.factor = onset, "memory"
    walk, size = 0.0, rng.uniform(0.001, 0.003)
    for t in range(script.ticks):
        walk = 0.995 * walk + rng.gauss(0, size)
        script.memory[t] += walk
    for t in range(onset, script.ticks):
        script.memory[t] += (LIMIT["memory"] - host.memory) * (t - onset) / length


def connections_with_load(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    """A share of all connections is never closed, so the leak is as fast as the load."""
    script.onset, script.factor, script.pile_up = onset, "connections", True
    grown = 0.0
    for t in range(onset, script.ticks):
        load = 1 + host.amplitude * math.sin(host.phase + math.tau * t / 2880)
        grown += (LIMIT["connections"] - host.connections) / length * max(0.1, load) * rng.uniform(0.3, 1.7)
        script.connections[t] += grown


def latency_ever_wilder(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    """The mean creeps up, and every reading strays further from it."""
    script.onset, script.factor = onset, "response_time"
    for t in range(onset, script.ticks):
        s = min(2.0, (t - onset) / length)
        wild = math.exp(rng.gauss(0, 0.25 * min(1.0, s)))
        script.response_times[t] *= (LIMIT["response_time"] / host.response) ** s * wild


def errors_in_bursts(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    """One shard after another fails its share of the requests, with better and worse minutes."""
    script.onset, script.factor = onset, "error_rate"
    period = _minutes(rng.uniform(2, 5))
    for t in range(onset, script.ticks):
        s = (t - onset) / length
        wave = 1 + 0.5 * math.sin(math.tau * (t - onset) / period)
        script.errors[t] += LIMIT["error_rate"] * s * wave


def cpu_floor(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    """Regular bursts stand on a rising floor."""
    script.onset, script.factor = onset, "cpu"
    period, burst = _minutes(rng.uniform(3, 12)), rng.uniform(0.05, 0.15)
    for t in range(script.ticks):
        script.cpu[t] += burst if (t / period) % 1 < 0.3 else 0.0
    for t in range(onset, script.ticks):
        script.cpu[t] += (LIMIT["cpu"] - host.cpu) * (t - onset) / length


UNSEEN_GRADUAL: dict[str, Incident] = {
    "leak in gears": leak_in_gears,
    "leak that rests": leak_that_rests,
    "leak on a walk": leak_on_a_walk,
    "connections with load": connections_with_load,
    "latency ever wilder": latency_ever_wilder,
    "errors in bursts": errors_in_bursts,
    "CPU on a rising floor": cpu_floor,
}


# Benign, looked at.


def hourly_jobs(rng: Random, host: Host, script: Script) -> None:
    """A job at every full hour takes memory and CPU for some minutes."""
    period, length, phase = int(_minutes(60)), int(_minutes(rng.uniform(5, 15))), rng.randrange(120)
    memory, cpu = min(rng.uniform(0.05, 0.20), 0.80 - host.memory), rng.uniform(0.1, 0.35)
    for t in range(script.ticks):
        if (t + phase) % period < length:
            script.memory[t] += memory * min(1.0, ((t + phase) % period + 1) / 6)
            script.cpu[t] += cpu


def traffic_moved_here(rng: Random, host: Host, script: Script) -> None:
    """Another zone is drained: more load within a quarter of an hour, and it stays."""
    start, times = _start(rng, script), rng.uniform(1.5, 2.2)
    host.cpu, host.connections = min(host.cpu, 0.25), min(host.connections, 250)
    ramp = _minutes(rng.uniform(3, 20))
    for t in range(start, script.ticks):
        script.requests_times[t] *= 1 + (times - 1) * min(1.0, (t - start) / ramp)


def pool_grows(rng: Random, host: Host, script: Script) -> None:
    """A pool opens connections up to its configured size."""
    start, length = _start(rng, script), _minutes(rng.uniform(10, 60))
    span = rng.uniform(250, 650) - host.connections
    for t in range(start, script.ticks):
        script.connections[t] += max(0.0, span) * min(1.0, (t - start) / length)


def memory_walks(rng: Random, host: Host, script: Script) -> None:
    """Memory wanders between bounds."""
    at, size = host.memory, rng.uniform(0.001, 0.006)
    for t in range(script.ticks):
        at = min(0.76, max(0.25, at + rng.gauss(0, size)))
        script.memory[t] += at - host.memory


def irregular_collections(rng: Random, host: Host, script: Script) -> None:
    """A collector that runs when it likes: every tooth has another height and length."""
    t = 0
    top = 0.80 - host.memory
    while t < script.ticks:
        length, height = int(_minutes(rng.uniform(5, 50))), rng.uniform(0.3, 1.0) * top
        for n in range(min(length, script.ticks - t)):
            script.memory[t + n] += height * n / length
        t += length


def error_blips(rng: Random, host: Host, script: Script) -> None:
    """A crawler: a minute of errors now and then."""
    for _ in range(rng.randint(4, 16)):
        at, level = rng.randrange(script.ticks - 3), rng.uniform(0.05, 0.3)
        for t in range(at, at + rng.randint(1, 2)):
            script.errors[t] += level


def cpu_bursts(rng: Random, host: Host, script: Script) -> None:
    """Builds: all CPU for up to eight minutes, again and again, with a rest between."""
    host.response = min(host.response, 400)
    at = rng.randint(10, 100)
    while at < script.ticks - 20:
        level, length = rng.uniform(0.9, 1.0), rng.randint(4, 16)
        for t in range(at, at + length):
            script.cpu[t] = level - host.cpu
        at += length + rng.randint(30, 200)


KNOWN_BENIGN: dict[str, Fault] = {
    "hourly jobs": hourly_jobs,
    "traffic moved here": traffic_moved_here,
    "pool grows": pool_grows,
    "memory walks": memory_walks,
    "irregular collections": irregular_collections,
    "error blips": error_blips,
    "CPU bursts": cpu_bursts,
}


# Benign, held out.


def preload(rng: Random, host: Host, script: Script) -> None:
    """Data is loaded in ever smaller parts, up to 0.6 to 0.78."""
    start, step = _start(rng, script), int(_minutes(rng.uniform(3, 12)))
    span, keep = rng.uniform(0.6, 0.78) - host.memory, rng.uniform(0.4, 0.7)
    for t in range(start, script.ticks):
        script.memory[t] += max(0.0, span) * (1 - keep ** ((t - start) // step + 1))


def memory_follows_load(rng: Random, host: Host, script: Script) -> None:
    """Sessions: memory follows the requests a while later, both come and go."""
    start, up = _start(rng, script, 400), _minutes(rng.uniform(40, 100))
    times, memory = rng.uniform(1.5, 3.0), min(0.25, 0.76 - host.memory)
    held = 0.0
    for t in range(start, script.ticks):
        x = max(0.0, 1 - abs(t - start - up) / up)
        script.requests_times[t] *= 1 + (times - 1) * x
        held += (x - held) / _minutes(15)
        script.memory[t] += memory * held - 0.05 * (times - 1) * x


def two_generations(rng: Random, host: Host, script: Script) -> None:
    """A small quick sawtooth on a large slow one."""
    top = 0.79 - host.memory
    young, old = _minutes(rng.uniform(3, 8)), _minutes(rng.uniform(40, 150))
    start = rng.uniform(0, old)
    for t in range(script.ticks):
        script.memory[t] += 0.25 * top * ((t / young) % 1) + 0.7 * top * (((t + start) / old) % 1)


def maintenance(rng: Random, host: Host, script: Script) -> None:
    """A vacuum: responses two to four times as slow and more CPU, for up to forty minutes."""
    start, length = _start(rng, script), int(_minutes(rng.uniform(15, 40)))
    times, cpu = rng.uniform(2, 4), rng.uniform(0.1, 0.3)
    for t in range(start, start + length):
        script.response_times[t] *= times
        script.cpu[t] += cpu


def cold_caches(rng: Random, host: Host, script: Script) -> None:
    """After a deployment responses are slow, and recover."""
    start, tau = _start(rng, script), _minutes(rng.uniform(3, 15))
    top = min(rng.uniform(3, 8), 4200 / host.response)
    for t in range(start, script.ticks):
        script.response_times[t] *= 1 + (top - 1) * math.exp(-(t - start) / tau)


def import_runs(rng: Random, host: Host, script: Script) -> None:
    """An import holds several hundred connections for hours."""
    start, length = _start(rng, script), int(_minutes(rng.uniform(60, 180)))
    level = rng.uniform(400, 750)
    for t in range(start, min(script.ticks, start + length)):
        script.connections[t] += max(0.0, level - host.connections) * min(1.0, (t - start + 1) / 8)


def slow_tide(rng: Random, host: Host, script: Script) -> None:
    """Memory rises for hours and falls again, as users come and go."""
    period, top = _minutes(rng.uniform(200, 420)), rng.uniform(0.60, 0.76) - host.memory
    phase = rng.uniform(0, math.tau)
    for t in range(script.ticks):
        script.memory[t] += max(0.0, top) * 0.5 * (1 + math.sin(phase + math.tau * t / period))


UNSEEN_BENIGN: dict[str, Fault] = {
    "preload": preload,
    "memory follows load": memory_follows_load,
    "two generations": two_generations,
    "maintenance": maintenance,
    "cold caches": cold_caches,
    "import runs": import_runs,
    "slow tide": slow_tide,
}


# Conditions.


def another_host(rng: Random, host: Host) -> Host:
    """Make it a host from elsewhere: other sizes, from a quiet intranet service to a busy front end."""
    return replace(
        host,
        memory=rng.uniform(0.20, 0.70),
        cpu=rng.uniform(0.03, 0.35),
        connections=log_uniform(rng, 10, 400),
        response=log_uniform(rng, 15, 800),
        errors=log_uniform(rng, 5e-5, 1e-2),
        rate=log_uniform(rng, 0.3, 1000),
        amplitude=rng.uniform(0, 0.4),
    )


def reside(rng: Random, host: Host, script: Script) -> None:
    """A host that lives at 80 to 92 % of its memory in one of five ways, and nothing fails."""
    host.memory = rng.uniform(0.80, 0.92)
    host.amplitude = rng.uniform(0, 0.3)
    script.memory_caps = rng.uniform(0.96, 0.99)
    script.pressure = [max(0.0, rng.gauss(0, 0.005)) for _ in range(script.ticks)] if rng.random() < 0.3 else None
    way, walk = rng.choice(("walk", "sawtooth", "steps", "jobs", "tide")), 0.0
    period, swing = _minutes(log_uniform(rng, 10, 240)), rng.uniform(0.01, 0.05)
    for t in range(script.ticks):
        if way == "walk":
            walk = 0.99 * walk + rng.gauss(0, 0.003)
        elif way == "sawtooth":
            walk = swing * ((t / period) % 1) - swing / 2
        elif way == "steps" and rng.random() < 1 / 150:
            walk = rng.uniform(-0.04, 0.03)
        elif way == "jobs":
            walk = swing if (t / period) % 1 < 0.15 else 0.0
        elif way == "tide":
            walk = swing * math.sin(math.tau * t / period / 2)
        script.memory[t] += walk


def coarsen(reading: SystemMetrics) -> SystemMetrics:
    """Read memory and CPU in whole percent, response times in whole milliseconds, as many exporters do."""
    return replace(
        reading,
        memory=None if reading.memory is None else round(reading.memory, 2),
        cpu=None if reading.cpu is None else round(reading.cpu, 2),
        response_ms=None if reading.response_ms is None else float(round(reading.response_ms)),
    )
