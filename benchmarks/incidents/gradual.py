"""Gradual incidents: each writes into a script how a resource runs out, from onset to limit in `length` ticks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmarks.incidents.host import LIMIT, TICK, Host, Script, log_uniform

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

__all__ = ["EXTRA_GRADUAL", "GRADUAL", "Incident"]

if TYPE_CHECKING:
    Incident = Callable[[Random, Host, Script, int, int], None]
else:
    Incident = object


def _minutes(minutes: float) -> float:
    return minutes * 60 / TICK


def _along(script: Script, onset: int, length: int) -> list[tuple[int, float]]:
    script.onset = onset
    return [(t, (t - onset) / length) for t in range(onset, script.ticks)]


def _memory(
    script: Script, host: Host, onset: int, length: int, shape: Callable[[float], float], top: float = 0.0
) -> None:
    script.factor = "memory"
    span = LIMIT["memory"] - host.memory - top
    for t, s in _along(script, onset, length):
        script.memory[t] += span * shape(s)


def leak_linear(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    _memory(script, host, onset, length, lambda s: s)


def leak_exponential(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    k = rng.uniform(1.5, 3)
    _memory(script, host, onset, length, lambda s: (math.exp(min(k * s, 20)) - 1) / (math.exp(k) - 1))


def leak_gc_floor(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    amplitude, period = rng.uniform(0.06, 0.15), _minutes(rng.uniform(8, 40))
    start = rng.uniform(0, period)
    for t in range(script.ticks):
        script.memory[t] += amplitude * (((t + start) / period) % 1)
    _memory(script, host, onset, length, lambda s: s, amplitude)


def leak_stairs(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    step = _minutes(rng.uniform(5, 20))
    _memory(script, host, onset, length, lambda s: math.floor(s * length / step) * step / length)


def leak_with_load(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    script.factor = "memory"
    span, grown = LIMIT["memory"] - host.memory, 0.0
    for t, _ in _along(script, onset, length):
        load = 1 + host.amplitude * math.sin(host.phase + math.tau * t / 2880)
        if rng.random() < 0.7:
            grown += span / length / 0.7 * max(0.05, load)
        script.memory[t] += grown


def connection_pile_up(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    script.factor, script.pile_up = "connections", True
    span = LIMIT["connections"] - host.connections
    k = rng.choice((0.0, rng.uniform(1.5, 3)))
    for t, s in _along(script, onset, length):
        script.connections[t] += span * ((math.exp(min(k * s, 12)) - 1) / (math.exp(k) - 1) if k else s)


def latency_creep(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    script.factor = "response_time"
    geometric = rng.random() < 0.5
    for t, s in _along(script, onset, length):
        if geometric:
            script.response_times[t] *= (LIMIT["response_time"] / host.response) ** min(s, 3)
        else:
            script.response_add[t] += (LIMIT["response_time"] - host.response) * s


def error_creep(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    script.factor = "error_rate"
    for t, s in _along(script, onset, length):
        script.errors[t] += host.errors * ((LIMIT["error_rate"] / host.errors) ** min(s, 2) - 1)


def cpu_creep(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    script.factor = "cpu"
    for t, s in _along(script, onset, length):
        script.cpu[t] += (LIMIT["cpu"] - host.cpu) * s


def leak_thrash(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    script.thrash = True
    leak_linear(rng, host, script, onset, length)


GRADUAL: dict[str, Incident] = {
    "leak linear": leak_linear,
    "leak exponential": leak_exponential,
    "leak under GC": leak_gc_floor,
    "leak in stairs": leak_stairs,
    "leak with load": leak_with_load,
    "connection pile-up": connection_pile_up,
    "latency creep": latency_creep,
    "error creep": error_creep,
    "CPU creep": cpu_creep,
    "leak with thrash": leak_thrash,
}


# Shapes that the specification of the benchmark does not list. Used by the held-out variants only.


def leak_two_phase(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    knee, share = rng.uniform(0.4, 0.7), rng.uniform(0.15, 0.35)
    _memory(
        script,
        host,
        onset,
        length,
        lambda s: share * s / knee if s < knee else share + (1 - share) * (s - knee) / (1 - knee),
    )


def leak_logarithmic(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    k = rng.uniform(1.0, 3.0)
    _memory(script, host, onset, length, lambda s: math.log1p(k * s) / math.log1p(k))


def leak_with_pauses(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    script.factor = "memory"
    span, grown, busy = LIMIT["memory"] - host.memory, 0.0, True
    until = float(onset)
    for t, _ in _along(script, onset, length):
        if t >= until:
            busy = not busy
            until = t + _minutes(rng.uniform(3, 10) if busy else rng.uniform(1, 4))
        grown += span / length * 1.38 if busy else 0.0
        script.memory[t] += grown


def restart_loop(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    """Latency and errors rise in ever longer waves while a service is restarted again and again."""
    script.factor = "error_rate"
    period = _minutes(rng.uniform(3, 8))
    for t, s in _along(script, onset, length):
        wave = 0.75 + 0.25 * (((t - onset) % period) / period)
        script.errors[t] += max(0.0, LIMIT["error_rate"] * wave * s)


def connection_leak_churn(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    """Connections leak while the pool is recycled in part every few minutes."""
    script.factor, script.pile_up = "connections", True
    span, period = LIMIT["connections"] - host.connections, _minutes(rng.uniform(5, 15))
    cut = rng.uniform(0.05, 0.15)
    for t, s in _along(script, onset, length):
        script.connections[t] += span * s * (1 - cut * (1 - ((t - onset) % period) / period))


def latency_queueing(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    """The hockey stick of a queue: response = base / (1 - utilisation)."""
    script.factor = "response_time"
    top = 1 - host.response / LIMIT["response_time"]
    for t, s in _along(script, onset, length):
        script.response_times[t] *= 1 / (1 - min(top * s, 0.99))


def noisy_neighbour_growing(rng: Random, host: Host, script: Script, onset: int, length: int) -> None:
    """A neighbour on the same machine takes more and more CPU, in bursts."""
    script.factor = "cpu"
    period = _minutes(log_uniform(rng, 1.5, 6))
    for t, s in _along(script, onset, length):
        burst = 1.0 if ((t - onset) / period) % 1 < 0.7 else 0.8
        script.cpu[t] += (LIMIT["cpu"] - host.cpu) * s * burst


EXTRA_GRADUAL: dict[str, Incident] = {
    "leak in two phases": leak_two_phase,
    "leak logarithmic": leak_logarithmic,
    "leak with pauses": leak_with_pauses,
    "restart loop": restart_loop,
    "connection leak with churn": connection_leak_churn,
    "latency of a queue": latency_queueing,
    "noisy neighbour, growing": noisy_neighbour_growing,
}
