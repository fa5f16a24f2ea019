"""The report: one table of all detectors, then what is known of upright alone."""

from __future__ import annotations

import math
from collections import Counter
from statistics import mean, median
from typing import TYPE_CHECKING

from benchmarks.incidents.scoring import UPRIGHT, Outcome, Score, wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["report"]


def report(name: str, outcomes: Sequence[Outcome]) -> str:
    """Return the whole report of one run as text."""
    detectors = list(dict.fromkeys(o.detector for o in outcomes))
    scores = {d: Score(o for o in outcomes if o.detector == d) for d in detectors}
    mine = scores[UPRIGHT]
    lines = [
        f"variant {name}: {len(mine.gradual)} gradual, {len(mine.abrupt)} abrupt, {len(mine.benign)} look-alike episodes of 8 h, "
        f"{len(mine.plain)} plain days, {len(mine.resident)} episodes of hosts near their limit",
        "",
        f"{'detector':30}{'rec5':>18}{'rec10':>18}{'before failure':>18}{'lead med/p10':>14}{'precision':>18}"
        f"{'FA/day':>8}{'plain':>7}{'near':>7}{'abrupt<2':>18}",
    ]
    for detector, score in scores.items():
        leads = score.leads()
        lead = f"{median(leads):.1f}/{leads[len(leads) // 10]:.1f}" if leads else "-"
        lines.append(
            f"{detector:30}{_rate(score.ahead(5)):>18}{_rate(score.ahead(10)):>18}{_rate(score.before_failure()):>18}{lead:>14}"
            f"{_rate(score.precision()):>18}{score.false_a_day('lookalike'):8.2f}{score.false_a_day('plain'):7.3f}"
            f"{score.false_a_day('resident'):7.2f}{_rate(score.abrupt_within(2, cpu=False)):>18}"
        )
    lines += ["", *_details(mine)]
    return "\n".join(lines)


def _details(score: Score) -> list[str]:
    seen = [o for o in score.gradual if o.seen]
    errors = sorted(o.eta_error for o in score.gradual if o.eta_error is not None)
    covered = [o.covered for o in score.gradual if o.covered is not None]
    ratios = sorted(o.eta_ratio for o in score.gradual if o.eta_ratio is not None)
    timings = sorted((t for o in (*score.gradual, *score.benign, *score.plain) for t in o.timings), reverse=True)
    lines = [
        "upright alone",
        f"  CPU saturation within 10.5 min      {_rate(score.abrupt_within(10.5, cpu=True))}",
        f"  right factor at the first alert     {_rate(wilson(sum(o.right_factor for o in seen), len(seen)))}",
        f"  stretches of alerting per incident  {mean(o.episodes for o in seen):.2f}" if seen else "",
        f"  alerts (with second factors)        {mean(o.messages for o in seen):.2f}" if seen else "",
    ]
    if errors:
        lines += [
            f"  ETA median relative error           {median(errors):.2f} (n={len(errors)})",
            f"  80 % interval holds the truth in    {_rate(wilson(sum(covered), len(covered)))}",
            "  truth / ETA at 10, 50, 90 %         "
            + " ".join(f"{ratios[int(len(ratios) * q)]:.2f}" for q in (0.1, 0.5, 0.9)),
        ]
    if timings:
        # Each episode reports its slowest 2 %, so the 99th percentile of all is their middle.
        lines.append(f"  observe(), 99th percentile          {timings[len(timings) // 2] * 1000:.2f} ms")
    lines.append("  at least 5 min ahead, by kind")
    for kind in sorted({o.kind for o in score.gradual}):
        lines.append(f"    {kind:34}{_rate(score.ahead(5, kind))}")
    lines.append("  false alerts by kind")
    false = Counter[str]()
    for o in (*score.gradual, *score.abrupt, *score.benign, *score.plain, *score.resident):
        where = f"before {o.kind}" if o.group in {"gradual", "abrupt"} else o.kind
        for factor in o.false_factors:
            false[f"{where}: {factor}"] += 1
    lines += [f"    {where:44}{count:4}" for where, count in sorted(false.items())] or ["    none"]
    return lines


def _rate(rate: tuple[float, float, float]) -> str:
    return "-" if math.isnan(rate[0]) else f"{rate[0]:.2f} ({rate[1]:.2f}-{rate[2]:.2f})"
