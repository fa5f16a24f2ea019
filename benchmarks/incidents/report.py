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


_COLUMNS = (
    ("detector", 30),
    ("rec5", 18),
    ("rec10", 18),
    ("before failure", 18),
    ("lead med/p10", 14),
    ("precision", 18),
    ("FA/day", 8),
    ("plain", 7),
    ("near", 7),
    ("abrupt<2", 18),
)


def report(name: str, outcomes: Sequence[Outcome]) -> str:
    """Return the whole report of one run as text. Rates come with Wilson's 95 % interval."""
    detectors = list(dict.fromkeys(o.detector for o in outcomes))
    scores = {d: Score(o for o in outcomes if o.detector == d) for d in detectors}
    mine = scores[UPRIGHT]
    counts = (
        f"{len(mine.gradual)} gradual, {len(mine.abrupt)} abrupt, {len(mine.benign)} look-alike episodes of 8 h",
        f"{len(mine.plain)} plain days",
        f"{len(mine.resident)} episodes of hosts near their limit",
    )
    header = "".join(f"{title:<{width}}" if title == "detector" else f"{title:>{width}}" for title, width in _COLUMNS)
    rows = [_row(detector, score) for detector, score in scores.items()]
    return "\n".join([f"variant {name}: {', '.join(counts)}", "", header, *rows, "", *_goals(mine), *_details(mine)])


def _row(detector: str, score: Score) -> str:
    leads = score.leads()
    cells = (
        _rate(score.ahead(5)),
        _rate(score.ahead(10)),
        _rate(score.before_failure()),
        f"{median(leads):.1f}/{leads[len(leads) // 10]:.1f}" if leads else "-",
        _rate(score.precision()),
        f"{score.false_a_day('lookalike'):.2f}",
        f"{score.false_a_day('plain'):.3f}",
        f"{score.false_a_day('resident'):.2f}",
        _rate(score.abrupt_within(2, cpu=False)),
    )
    return f"{detector:30}" + "".join(f"{cell:>{width}}" for cell, (_, width) in zip(cells, _COLUMNS[1:], strict=True))


def _goals(score: Score) -> list[str]:
    leads = score.leads() or [0.0]
    errors = [o.eta_error for o in score.gradual if o.eta_error is not None]
    covered = [o.covered for o in score.gradual if o.covered is not None]
    seen = [o for o in score.gradual if o.seen]
    worst = min((score.ahead(5, kind)[0] for kind in {o.kind for o in score.gradual}), default=0.0)
    table = (
        ("alerted before hard failure", score.before_failure()[0], ">=", 0.95),
        ("5 min before the limit", score.ahead(5)[0], ">=", 0.85),
        ("precision", score.precision()[0], ">=", 0.88),
        ("false alerts a look-alike day", score.false_a_day("lookalike"), "<=", 0.35),
        ("false alerts a plain day", score.false_a_day("plain"), "<=", 0.03),
        ("false alerts a day near the limit", score.false_a_day("resident"), "<=", 0.1),
        ("median lead, minutes", median(leads), ">=", 18),
        ("10th percentile of leads, minutes", leads[len(leads) // 10], ">=", 2),
        ("worst gradual kind, 5 min before", worst, ">=", 0.65),
        ("abrupt faults within 2 min", score.abrupt_within(2, cpu=False)[0], ">=", 0.98),
        ("CPU saturation within 10.5 min", score.abrupt_within(10.5, cpu=True)[0], ">=", 0.98),
        ("right factor", sum(o.right_factor for o in seen) / max(1, len(seen)), ">=", 0.98),
        ("alerts per incident", mean(o.episodes for o in seen) if seen else 0.0, "<=", 1.1),
        ("ETA median relative error", median(errors) if errors else math.inf, "<=", 0.30),
        ("80 % interval coverage, at least", sum(covered) / max(1, len(covered)), ">=", 0.70),
        ("80 % interval coverage, at most", sum(covered) / max(1, len(covered)), "<=", 0.90),
    )
    lines = ["goals"]
    for name, value, sign, goal in table:
        met = value >= goal if sign == ">=" else value <= goal
        lines.append(f"  {name:36}{value:8.3f}  {sign} {goal:<6}{'' if met else 'MISSED'}".rstrip())
    return lines


def _details(score: Score) -> list[str]:
    seen = [o for o in score.gradual if o.seen]
    errors = sorted(o.eta_error for o in score.gradual if o.eta_error is not None)
    covered = [o.covered for o in score.gradual if o.covered is not None]
    ratios = sorted(o.eta_ratio for o in score.gradual if o.eta_ratio is not None)
    timings = sorted((t for o in (*score.gradual, *score.benign, *score.plain) for t in o.timings), reverse=True)
    lines = [
        "details",
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
