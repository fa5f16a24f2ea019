"""The predictor: what one reading costs with a day of history, and a whole tick beside 10 000 open sockets."""

from __future__ import annotations

import contextlib
import random
import resource
import socket
import statistics
from typing import TYPE_CHECKING

import psutil

from benchmarks.measuring import Figure, at_most, percentile, timed
from upright.strategies.prediction.collector import Collector
from upright.strategies.prediction.engine import PredictionEngine
from upright.strategies.prediction.metrics import SystemMetrics
from upright.strategies.prediction.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["observe", "tick"]

_INTERVAL = 30.0
_DAY = int(86_400 / _INTERVAL)


def _reading(number: int, chance: random.Random) -> SystemMetrics:
    """A host whose memory creeps up, and whose other factors are noisy: every channel has something to fit."""
    return SystemMetrics(
        at=number * _INTERVAL,
        memory=min(0.95, 0.4 + 0.4 * number / _DAY + chance.gauss(0, 0.01)),
        response_ms=abs(120 + chance.gauss(0, 20)),
        error_rate=abs(chance.gauss(0.005, 0.003)),
        connections=abs(400 + chance.gauss(0, 40)),
        cpu=min(1.0, abs(0.5 + chance.gauss(0, 0.1))),
        requests=abs(3_000 + chance.gauss(0, 200)),
        pressure=0.0,
    )


def _watched_for_a_day(chance: random.Random) -> Watch:
    watch = Watch(PredictionEngine(interval=_INTERVAL))
    for number in range(_DAY):
        watch.observe(_reading(number, chance))
    return watch


def observe(*, quick: bool) -> list[Figure]:
    """One reading, with 24 hours of history."""
    chance = random.Random(1)
    watch = _watched_for_a_day(chance)
    readings = [_reading(_DAY + number, chance) for number in range(300 if quick else 2_000)]
    taken = [timed(lambda reading=reading: watch.observe(reading)) for reading in readings]  # type: ignore[misc]
    p50, p99 = statistics.median(taken) * 1e3, percentile(taken, 99) * 1e3
    kept = timed(watch.snapshot) * 1e3
    return [
        at_most("observe with 24 h of history, p99", p99, "ms", 10, f"p50 {p50:.2f} ms, of {len(taken)}"),
        Figure("snapshot of 24 h of history", kept, "ms", detail=f"{len(watch.snapshot()) / 1024:.0f} kB"),
    ]


@contextlib.contextmanager
def _open_sockets(count: int) -> Iterator[int]:
    """Open so many TCP sockets over loopback, as far as the limit of open files allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 200
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, wanted), hard), hard))
    allowed = min(count, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200)
    held: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
        while len(held) < allowed - 1:
            held.append(stack.enter_context(socket.create_connection(server.getsockname())))
            held.append(stack.enter_context(server.accept()[0]))
        yield len(held)


def tick(*, quick: bool) -> list[Figure]:
    """Collecting, observing and keeping, beside what counting the sockets one by one would cost."""
    watch = _watched_for_a_day(random.Random(2))
    collector = Collector()
    start = _DAY * _INTERVAL
    with _open_sockets(1_000 if quick else 10_000) as count:

        def whole(number: int) -> None:
            watch.observe(collector.collect(start + number * _INTERVAL))
            watch.snapshot()

        taken = [timed(lambda number=number: whole(number)) for number in range(50 if quick else 200)]  # type: ignore[misc]
        naive = min(timed(lambda: psutil.net_connections("tcp")) for _ in range(3)) * 1e3
        seen = collector.collect(start * 2).connections
    worst, p50 = max(taken) * 1e3, statistics.median(taken) * 1e3
    seen_text = "unknown" if seen is None else f"{seen:.0f}"
    detail = (
        f"slowest of {len(taken)}, p50 {p50:.1f} ms; counts {seen_text}; psutil.net_connections alone {naive:.0f} ms"
    )
    return [at_most(f"whole tick at {count} sockets", worst, "ms", 50, detail)]
