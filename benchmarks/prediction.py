"""What a look at the host costs: `python -m benchmarks.prediction`.

Prints how long a reading, an analysis with 24 hours of history, and a whole tick take, the last at 10 000 open
sockets: the reading, the analysis, the judging of earlier alerts, and the snapshot that a successor would get.
Figures are wall-clock, so quote them from a quiet machine.
"""

from __future__ import annotations

import argparse
import random
import resource
import socket
from contextlib import ExitStack
from time import perf_counter
from typing import TYPE_CHECKING

import psutil

from upright.strategies.prediction.collector import Collector
from upright.strategies.prediction.engine import PredictionEngine
from upright.strategies.prediction.metrics import SystemMetrics
from upright.strategies.prediction.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

TICK = 30.0
DAY = 2880  # readings


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prediction", description=__doc__)
    parser.add_argument("--sockets", type=int, default=10_000, help="open while a whole tick is measured")
    parser.add_argument("--ticks", type=int, default=1000, help="measured, after a day that is not")
    options = parser.parse_args()
    rng = random.Random(1)
    watch = Watch(PredictionEngine())
    for n in range(DAY):
        watch.observe(_reading(rng, n))
    analyses = []
    for n in range(DAY, DAY + options.ticks):
        # A leak all the way, which is what takes longest: every window is fitted.
        reading = _reading(rng, n, grown=0.35 * (n - DAY) / options.ticks)
        analyses.append(_took(lambda reading=reading: watch.observe(reading)))  # type: ignore[misc]
    _print("analysis with 24 h of history", analyses, "<= 10 ms")
    print(f"{'state of 24 h, as handed over':44}{len(watch.snapshot()) / 1024:8.0f} KiB")
    with ExitStack() as stack:
        opened = _open(stack, options.sockets)
        collector = Collector()
        at = (DAY + options.ticks) * TICK

        def tick(n: int) -> None:
            metrics = collector.collect(at + n * TICK, response_ms=200.0, error_rate=0.001, requests=900)
            watch.observe(metrics)
            watch.snapshot()

        counted = collector.collect(at).connections
        print(f"{'TCP sockets open, and counted':44}{opened:8} {counted or 0:.0f}")
        readings = [_took(lambda: collector.collect(at)) for _ in range(200)]
        _print(f"reading at {opened} sockets", readings)
        _print(f"whole tick at {opened} sockets", [_took(lambda n=n: tick(n)) for n in range(200)], "<= 50 ms")  # type: ignore[misc]
        others = [_took(lambda: psutil.net_connections("tcp")) for _ in range(10)]
        _print("for comparison: psutil.net_connections", others)


def _reading(rng: random.Random, n: int, grown: float = 0.0) -> SystemMetrics:
    return SystemMetrics(
        n * TICK,
        memory=0.5 + grown + rng.gauss(0, 0.004),
        response_ms=200 * (1 + abs(rng.gauss(0, 0.1))),
        error_rate=0.002,
        connections=round(100 + rng.gauss(0, 8)),
        cpu=abs(0.2 + rng.gauss(0, 0.02)),
        requests=900,
    )


def _open(stack: ExitStack, wanted: int) -> int:
    """Open as many TCP sockets as wanted and allowed, two for each connection; how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted + 200:
        soft = wanted + 200 if hard == resource.RLIM_INFINITY else min(hard, wanted + 200)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))
    count = 1
    while count + 2 <= min(wanted, soft - 200) + 1:
        stack.enter_context(socket.create_connection(listener.getsockname()))
        stack.enter_context(listener.accept()[0])
        count += 2
    return count


def _took(function: Callable[[], object]) -> float:
    before = perf_counter()
    function()
    return perf_counter() - before


def _print(what: str, seconds: list[float], goal: str = "") -> None:
    ranked = sorted(seconds)
    middle, high = ranked[len(ranked) // 2] * 1000, ranked[min(len(ranked) - 1, int(len(ranked) * 0.99))] * 1000
    print(f"{what:44}{middle:8.2f} ms median {high:8.2f} ms p99  {goal}".rstrip())


if __name__ == "__main__":
    main()
