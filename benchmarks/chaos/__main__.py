"""`python -m benchmarks.chaos`: random faults into every actor while a service works, and what survives, in figures.

    python -m benchmarks.chaos --quick     about 20 seconds; part of the tests
    python -m benchmarks.chaos             at most two minutes
    python -m benchmarks.chaos --long      100 000 faults, about 25 minutes

Exit status 1 if anything happened that must not happen. docs/reliability.md says what the figures mean.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import sys
from collections import Counter
from dataclasses import asdict
from time import monotonic
from typing import TYPE_CHECKING, Any

from benchmarks.chaos.storm import Storm
from upright.actors.letters import dead_letters

if TYPE_CHECKING:
    from collections.abc import Iterable

_GROWN = "threads, descriptors or memory grown"
# What must not happen, as the workload and the checks call it, under the invariant that it violates.
INVARIANTS: dict[str, tuple[str, ...]] = {
    "asks not answered exactly once": (
        "an ask without an answer",
        "a second answer",
        "an odd answer",
        "a caller hangs",
        "an actor does not answer",
        "the control socket does not answer",
    ),
    "failures healed more than once": ("a failure healed twice", "two healings at the same time"),
    "recoveries lost": ("a recovery was lost", "a recovery never ended", "hardly anything was healed"),
    "outbox entries lost, set aside or out of order": (
        "an outbox entry was lost",
        "an outbox entry was set aside",
        "the outbox was delivered out of order",
    ),
    "application exceptions changed": (
        "an exception changed",
        "a call gave what its function did not",
        "a rejection without its cause",
        "report raised",
        "the workload broke",
        "a forked child hangs or errs",
    ),
    _GROWN: ("growth",),
    "status not answered": ("status raised", "status did not answer in time"),
    "trees dead or unlike their specs": (
        "the tree did not recover",
        "a tree unlike its specs",
        "a root that gave up did not end",
        "a root that gave up does not say so",
        "a boot failed in an odd way",
        "a boot went on without an actor",
    ),
    "stops not clean or not in time": (
        "a stop failed",
        "a stop took too long",
        "something survived the stop",
        "a stopped tree is not out of the way",
    ),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the storm and print the figures."""
    options = _options(arguments)
    began = monotonic()
    faulthandler.enable()
    faulthandler.dump_traceback_later(options.duration + 120, exit=True)
    storm = Storm(options.seed)
    storm.prepare()
    rounds = trees = 1
    tree = storm.boot()
    while True:
        left = options.faults - storm.injector.total
        storm.round(tree, min(options.round, left), options.duration - (monotonic() - began))
        if not options.json:
            _print_round(storm, rounds, monotonic() - began)
        if storm.injector.total >= options.faults or monotonic() - began >= options.duration:
            break
        rounds += 1
        if storm.random.random() < 0.3:
            storm.end(tree)
            tree = storm.boot()
            trees += 1
    storm.stop(tree, under_fire=False)
    for what in storm.levels.growth():
        storm.load.fault("growth", what)
    healings = storm.resources
    if healings.healings < storm.injector.total / 50 or healings.proofs < healings.healings / 2:
        what = f"{healings.healings} healings, {healings.proofs} proven, {storm.injector.total} faults"
        storm.load.fault("hardly anything was healed", what)
    figures = {**_collect(storm, monotonic() - began), "rounds": rounds, "trees": trees, "seed": options.seed}
    storm.surroundings.close()
    faulthandler.cancel_dump_traceback_later()
    _print(figures, as_json=options.json)
    for example in storm.load.examples:
        print(example, file=sys.stderr)
    return 1 if storm.load.wrong else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1, help="of everything random (thread timing stays free)")
    parser.add_argument("--faults", type=int, help="how many faults")
    parser.add_argument("--duration", type=float, help="at most so many seconds of them")
    parser.add_argument("--round", type=int, help="faults between two looks at the quiet tree")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="1 000 faults in 20 seconds")
    length.add_argument("--long", action="store_true", help="100 000 faults in at most an hour")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    options = parser.parse_args(arguments)
    faults, duration, size = (
        (1_000, 20.0, 250) if options.quick else (100_000, 3_600.0, 500) if options.long else (10_000, 110.0, 500)
    )
    options.faults = faults if options.faults is None else options.faults
    options.duration = duration if options.duration is None else options.duration
    options.round = size if options.round is None else options.round
    if options.faults < 1 or not options.duration > 0 or options.round < 1:
        parser.error("--faults, --duration and --round must be above 0")
    return options


def _print_round(storm: Storm, rounds: int, seconds: float) -> None:
    level = storm.levels.all[-1]
    print(
        f"round {rounds}: {storm.injector.total} faults, {seconds:.0f} s, {level.threads} threads, "
        f"{level.zombies} zombies, {level.descriptors} descriptors, {level.objects} objects, {level.rss} MiB, "
        f"wrong: {sum(storm.load.wrong.values())}",
        flush=True,
    )


def _collect(storm: Storm, seconds: float) -> dict[str, Any]:
    load, resources = storm.load, storm.resources
    kinds: Counter[str] = Counter()
    points: Counter[str] = Counter()
    for (kind, point), count in storm.injector.fired.items():
        kinds[kind] += count
        points[point] += count
    before, after = storm.levels.quarters()
    return {
        "faults": storm.injector.total,
        "seconds": round(seconds, 1),
        "by kind": dict(kinds.most_common()),
        "by point": dict(points.most_common()),
        "by actor": dict(storm.injector.by_actor.most_common()),
        "work": dict(load.done.most_common()),
        "healings": {"begun": resources.healings, "proven": resources.proofs, "in vain": resources.failed_on_purpose},
        "outbox": {"delivered": storm.outbox.delivered, "refused by a full disk": storm.outbox.refused},
        "dead letters": dead_letters.count,
        "ask s": _percentiles(load.waits),
        "status ms": _percentiles([1_000 * seconds for seconds in load.status_wall], load.status_max * 1_000),
        "stop s max": round(max(storm.stops), 3),
        "settle s max": round(max(storm.settles, default=-1.0), 3),
        "levels": {"second quarter": before, "last quarter": after, "last": asdict(storm.levels.all[-1])},
        "must be zero": {
            invariant: sum(load.wrong[kind] for kind in kinds_of)
            if invariant != _GROWN or storm.levels.is_judged
            else "not judged: too few rounds"
            for invariant, kinds_of in INVARIANTS.items()
        },
        "wrong": dict(load.wrong),
    }


def _percentiles(values: Iterable[float], highest: float = 0.0) -> dict[str, float]:
    inorder = sorted(values) or [0.0]
    last = len(inorder) - 1
    found = {"p50": inorder[last // 2], "p99": inorder[int(0.99 * last)], "max": max(inorder[last], highest)}
    return {name: round(value, 3) for name, value in found.items()}


def _print(figures: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        if isinstance(value, dict):
            print(f"{name}:")
            for key, one in value.items():
                print(f"    {key}: {one}")
        else:
            print(f"{name}: {value}")


if __name__ == "__main__":
    sys.exit(main())
