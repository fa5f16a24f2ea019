"""`python -m benchmarks.healing [--faults N] [--seed N] [--json]`: how much of what breaks is healed, and how soon.

Breaks real servers, 500 times unless told otherwise, and prints the share of the healable faults that were healed, how
many permanent ones were "healed" by mistake, and the time from the moment the resource was whole again, and a call had
failed, to the first call that worked. Exit status 1 if a goal was missed.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import logging
import sys
from time import monotonic
from typing import TYPE_CHECKING, Any

from benchmarks.healing import apis, caches, databases, sockets
from benchmarks.healing.campaign import Campaign
from benchmarks.healing.figures import missed_goals, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.healing.component import Component
    from benchmarks.healing.figures import Outcome

COMPONENTS: dict[str, Callable[[], Component]] = {
    "engine": databases.Engine,
    "pool": databases.Pool,
    "async-engine": databases.AsyncEngine,
    "sqlite": databases.LockedFile,
    "httpx": apis.Api,
    "async-httpx": apis.AsyncApi,
    "requests": apis.SessionApi,
    "name": apis.NamedApi,
    "redis": caches.Redis,
    "async-redis": caches.AsyncRedis,
    "standby": caches.FailoverRedis,
    "websocket": sockets.Socket,
    "async-websocket": sockets.AsyncSocket,
    "memory": caches.Memory,
}


def main() -> int:
    """Run the campaign and print the figures."""
    faulthandler.enable()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.healing", description=__doc__)
    parser.add_argument("--faults", type=int, default=500, help="how many, permanent ones included")
    parser.add_argument("--seed", type=int, default=1, help="of the faults and outages (thread timing stays free)")
    parser.add_argument("--only", nargs="+", choices=sorted(COMPONENTS), help="break only these")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    faulthandler.dump_traceback_later(120 + 4 * options.faults, exit=True)
    logging.getLogger("upright").addHandler(logging.NullHandler())  # escalations are wanted here, and counted
    logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())

    def show(outcome: Outcome) -> None:
        if not options.json and outcome.is_odd:
            print(f"odd: {outcome}", file=sys.stderr, flush=True)

    began = monotonic()
    summary = campaign(options.only or COMPONENTS, options.faults, options.seed, show)
    summary["seconds"] = round(monotonic() - began, 1)
    if options.json:
        print(json.dumps(summary, indent=2))
    else:
        print(table(summary))
        for name in ("kinds", "slowest", "slowest_with_detection", "unnoticed", "odd", "seed", "seconds"):
            print(f"{name}: {summary[name]}")
    missed = missed_goals(summary)
    for line in missed:
        print(f"MISSED: {line}", file=sys.stderr)
    return 1 if missed else 0


def campaign(
    names: Iterable[str], faults: int, seed: int, show: Callable[[Outcome], None] = lambda _outcome: None
) -> dict[str, Any]:
    """Start the components, break them, and return the figures."""
    components: list[Component] = []
    try:
        components.extend(COMPONENTS[name]() for name in names)
        run = Campaign(components, seed, show)
        run.run(faults)
        return run.summary()
    finally:
        for component in components:
            component.close()


if __name__ == "__main__":
    sys.exit(main())
