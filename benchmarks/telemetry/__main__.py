"""Measure, print each figure beside its goal, and exit with 1 unless all are met."""

from __future__ import annotations

import argparse
import json
import logging
import sys

from benchmarks.telemetry import cost, flood, secrets, stuck

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run all of it; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.telemetry", description=sys.modules[__name__].__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, to see that it works")
    options = parser.parse_args(arguments)
    share = 10 if options.quick else 1
    logging.getLogger("upright").addHandler(logging.NullHandler())
    logging.getLogger("upright").propagate = False  # its lines would be the larger part of what is printed
    figures = []
    for measure, times in (
        (stuck.measure, 1_000),
        (secrets.measure, 10_000),
        (cost.measure, 3_000),
        (flood.measure, 100_000),
    ):
        for figure in measure(times // share):
            figures.append(figure)
            if not options.json:
                sign = "ok  " if figure.met else "MISS"
                number = f"{figure.value:.1f} {figure.unit}".strip()
                print(f"{sign} {figure.what}: {number}, goal <= {figure.goal:g} {figure.unit}".rstrip(), flush=True)
                if figure.note:
                    print(f"       {figure.note}", flush=True)
    if options.json:
        print(json.dumps([figure.to_dict() for figure in figures], indent=2))
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
