"""Command line: python -m benchmarks.incidents --seed 1 --episodes 24 --variant base harder."""

from __future__ import annotations

import argparse
import multiprocessing
from functools import partial
from pathlib import Path

from benchmarks.incidents.report import report
from benchmarks.incidents.scoring import run
from benchmarks.incidents.traces import replay_folder
from benchmarks.incidents.variants import VARIANTS, jobs


def main() -> None:
    """Run the benchmark and print its report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.incidents", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same report (but for timings)")
    parser.add_argument("--episodes", type=int, default=24, help="episodes per gradual kind; the others in proportion")
    parser.add_argument("--variant", nargs="+", choices=VARIANTS, default=["base"], help="conditions to simulate")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--no-baselines", action="store_true", help="leave the other detectors out")
    parser.add_argument("--traces", type=Path, help="also replay a folder of recorded memory traces (CSV)")
    options = parser.parse_args()
    with multiprocessing.Pool(options.processes) as pool:
        for name in options.variant:
            every = list(jobs(VARIANTS[name], options.seed, options.episodes))
            done = pool.map(partial(run, baselines=not options.no_baselines), every, chunksize=4)
            print(report(name, [outcome for outcomes in done for outcome in outcomes]), end="\n\n")
    if options.traces is not None:
        print(replay_folder(options.traces))


if __name__ == "__main__":
    main()
