"""`python -m benchmarks.chaos --seed N --faults N --duration S [--json]`: what survives, in figures.

Exit status 1 if anything happened that must not happen.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import sys
from collections import Counter
from time import monotonic

from benchmarks.chaos.storm import Storm


def main() -> int:
    """Run the storm and print the figures."""
    faulthandler.enable()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of everything random (thread timing stays free)")
    parser.add_argument("--faults", type=int, default=2_000, help="how many faults")
    parser.add_argument("--duration", type=float, default=120.0, help="at most so many seconds")
    parser.add_argument("--round", type=int, default=500, help="faults between two looks at the quiet tree")
    parser.add_argument("--quick", action="store_true", help="300 faults in 20 seconds")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.faults, options.duration, options.round = 300, 20.0, 100
    began = monotonic()
    faulthandler.dump_traceback_later(options.duration + 45, exit=True)
    storm = Storm(options.seed)
    storm.prepare()
    rounds = 0
    tree = storm.boot()
    while storm.injector.total < options.faults and monotonic() - began < options.duration:
        left = options.faults - storm.injector.total
        storm.round(tree, min(options.round, left), options.duration - (monotonic() - began))
        rounds += 1
        if not options.json:
            level = storm.levels[-1]
            print(
                f"round {rounds}: {storm.injector.total} faults, {monotonic() - began:.0f} s, threads {level.threads}"
                f"+{level.zombies} zombies, fds {level.descriptors}, objects {level.objects}, rss {level.rss:.1f} MiB, "
                f"settled in {storm.settles[-1] if storm.settles else -1:.2f} s, wrong {dict(storm.load.wrong)}",
                flush=True,
            )
        if storm.random.random() < 0.3:
            storm.stop(tree, under_fire=True)
            tree = storm.boot()
    storm.stop(tree, under_fire=False)
    figures = collect(storm, rounds, monotonic() - began)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name}: {value}")
    for example in list(storm.load.examples)[-25:]:
        print(example, file=sys.stderr)
    return 1 if storm.load.wrong else 0


def collect(storm: Storm, rounds: int, seconds: float) -> dict[str, object]:
    """Put the figures together."""
    wall = sorted(storm.load.status_wall) or [0.0]
    kinds: Counter[str] = Counter()
    points: Counter[str] = Counter()
    for (kind, point), count in storm.injector.fired.items():
        kinds[kind] += count
        points[point] += count
    return {
        "faults": storm.injector.total,
        "seconds": round(seconds, 1),
        "rounds": rounds,
        "by kind": dict(kinds.most_common()),
        "by point": dict(points.most_common()),
        "by actor": dict(storm.injector.by_actor.most_common()),
        "work": dict(storm.load.done.most_common()),
        "healings": storm.resources.healings,
        "proofs": storm.resources.proofs,
        "dead letters": storm.dead_letters(),
        "status ms p50/p99/max": [round(1000 * wall[int(q * (len(wall) - 1))], 2) for q in (0.5, 0.99, 1.0)],
        "stop seconds max": round(max(storm.stops), 3),
        "settle seconds max": round(max(storm.settles, default=-1.0), 3),
        "must be zero": dict(storm.load.wrong),
    }


if __name__ == "__main__":
    sys.exit(main())
