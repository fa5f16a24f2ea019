"""A run as people and programs read it: table, markdown, JSON, pyperf, and two runs compared."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from benchmarks.measuring import Figure, shown

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Run", "as_row", "compared", "load", "markdown", "put_into", "save", "save_pyperf", "summary", "table"]

_BEGIN, _END = "<!-- figures -->", "<!-- end of the figures -->"
_NOISY = 1.25  # median over best of the floor above which a figure is marked
_WORSE = 1.10  # a figure of the second run that is worse by more than this and by more than the noise is said to be


Run = dict[str, Any]
"""`environment`, `seconds`, and `rows`: [{"name", "title", "seconds", "figures": [Figure as a dict]}]."""


def _value(figure: Figure) -> str:
    if math.isnan(figure.value):
        return "-"
    number = f"{figure.value:.3g}" if abs(figure.value) < 100 else f"{figure.value:.0f}"
    return f"{number} {figure.unit}".strip() if figure.unit != "x" else f"{number}x"


def _verdict(figure: Figure) -> str:
    if figure.met is None:
        return ""
    if figure.met:
        return "met"
    return "missed (stretch)" if figure.stretch else "MISSED"


def _noise(figure: Figure) -> str:
    if figure.noise is None:
        return ""
    mark = " !" if figure.noise > _NOISY else ""
    return f"{figure.noise:.2f}{mark}"


def _beside(figure: Figure) -> str:
    """Everything that was measured side by side, with its ratio to the floor."""
    if not figure.sides or not figure.floor:
        return ""
    floor = figure.sides[figure.floor]
    return "; ".join(
        f"{'**' if name == figure.ours else ''}{name}{'**' if name == figure.ours else ''} {shown(seconds)}"
        + ("" if name == figure.floor else f" ({seconds / floor:.1f}x)")
        for name, seconds in figure.sides.items()
    )


def _figures(row: dict[str, Any]) -> list[Figure]:
    return [Figure(**figure) for figure in row["figures"]]


def table(row: dict[str, Any]) -> str:
    """One row as lines of text: its figures, then its sides, the floor first."""
    lines = [row["title"]]
    sides = ""
    for figure in _figures(row):
        noise = f"noise {_noise(figure)}" if figure.noise else ""
        lines.append(
            f"  {figure.name:<58} {_value(figure):>12}  {figure.goal:<10} {_verdict(figure):<16} "
            f"{figure.detail}  {noise}".rstrip()
        )
        if sides and _beside(figure) != sides:
            lines.insert(-1, f"      {sides.replace('**', '')}")
        sides = _beside(figure)
    if sides:
        lines.append(f"      {sides.replace('**', '')}")
    return "\n".join(lines)


def summary(run: Run) -> str:
    """The machine, and how many goals were met."""
    figures = [figure for row in run["rows"] for figure in _figures(row)]
    goals = [figure for figure in figures if figure.met is not None and not figure.stretch]
    stretch = [figure for figure in figures if figure.met is not None and figure.stretch]
    noises = [figure.noise for figure in figures if figure.noise is not None]
    where = run["environment"]
    stolen = "" if where["stolen"] is None else f", {where['stolen']:.1%} stolen since its boot"
    lines = [
        (
            f"{sum(bool(goal.met) for goal in goals)} of {len(goals)} goals met, "
            f"{sum(bool(goal.met) for goal in stretch)} of {len(stretch)} stretch goals, in {run['seconds']:.0f} s."
        ),
        (
            f"Python {where['python']}, {where['machine']}, {where['cores']} cores, load "
            f"{where['load_average'][0]:g} at the start and {where['load_after'][0]:g} at the end{stolen}."
        ),
        (
            f"Peers: {', '.join(f'{name} {number}' for name, number in where['peers'].items())}. "
            f"Skipped, not installed: {', '.join(where['not_installed']) or 'none'}."
        ),
    ]
    if noises:
        noises.sort()
        lines.append(
            f"Noise (median round of the floor over its best one): median {noises[len(noises) // 2]:.2f}, "
            f"worst {noises[-1]:.2f}; rows above {_NOISY:g} are marked with !."
        )
    return "\n".join(lines)


def markdown(run: Run) -> str:
    """The tables of docs/performance.md."""
    lines = [*summary(run).split("\n"), ""]
    lines = [f"{line}  " if line else line for line in lines]
    for row in run["rows"]:
        lines += [
            f"### {row['title']}",
            "",
            "| Figure | Measured | Goal | | From | Noise |",
            "|---|---|---|---|---|---|",
        ]
        figures = _figures(row)
        for figure in figures:
            cells = (figure.name, _value(figure), figure.goal, _verdict(figure), figure.detail, _noise(figure))
            lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
        for sides in dict.fromkeys(_beside(figure) for figure in figures):
            if sides:
                lines += ["", f"Side by side, floor first: {sides}."]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def put_into(run: Run, page: Path) -> None:
    """Replace the tables of a page, between its two marks.

    Raises:
        ValueError: The page has no such marks.
    """
    before, begin, rest = page.read_text().partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{page} has no place for the figures: {_BEGIN} ... {_END}")
    page.write_text(f"{before}{begin}\n\n{markdown(run)}\n{end}{after}")


def save(run: Run, path: Path) -> None:
    """Write a run as JSON."""
    path.write_text(json.dumps(run, indent=1))


def load(path: Path) -> Run:
    """Read what `save` wrote."""
    run: Run = json.loads(path.read_text())
    return run


def save_pyperf(run: Run, path: Path) -> None:
    """Write every side with all its rounds as a pyperf suite, for `python -m pyperf stats`, `hist`, `compare_to`.

    Raises:
        ImportError: pyperf is not installed.
    """
    import pyperf

    benchmarks = []
    for row in run["rows"]:
        taken: dict[str, list[float]] = {}
        for figure in _figures(row):
            for name, rounds in figure.rounds.items():
                taken.setdefault(
                    f"{row['name']} ({len(taken)}): {name}" if name in taken else f"{row['name']}: {name}", rounds
                )
        for name, rounds in taken.items():
            once = pyperf.Run(rounds, metadata={"name": name, "unit": "second"}, collect_metadata=False)
            benchmarks.append(pyperf.Benchmark([once]))
    if benchmarks:
        pyperf.BenchmarkSuite(benchmarks).dump(str(path), replace=True)


def compared(before: Run, after: Run) -> tuple[str, int]:
    """Two runs beside each other, and how many figures are worse in the second beyond noise.

    Ratios are compared where a figure is one; others depend on the machine, and are shown without a judgement. Where
    the goal is to be above a limit, lower is worse.
    """
    old = {figure.name: figure for row in before["rows"] for figure in _figures(row)}
    lines, worse = [f"{'figure':<58} {'before':>12} {'after':>12} {'change':>8}"], 0
    for row in after["rows"]:
        for figure in _figures(row):
            known = old.pop(figure.name, None)
            if known is None or math.isnan(known.value) or math.isnan(figure.value) or not known.value:
                lines.append(f"{figure.name:<58} {'-' if known is None else _value(known):>12} {_value(figure):>12}")
                continue
            change = figure.value / known.value
            loss = 1 / change if figure.goal.startswith(">") and change else change
            noise = max(_WORSE, known.noise or 1.0, figure.noise or 1.0)
            judged = figure.unit == "x" and loss > noise
            worse += judged
            lines.append(
                f"{figure.name:<58} {_value(known):>12} {_value(figure):>12} {change:>7.2f}x"
                f"{'  WORSE' if judged else ''}"
            )
    lines += [f"{name:<58} {_value(figure):>12} {'gone':>12}" for name, figure in old.items()]
    lines.append(f"{worse} ratios worse by more than {_WORSE - 1:.0%} and by more than the noise")
    return "\n".join(lines), worse


def as_row(name: str, title: str, figures: list[Figure], seconds: float) -> dict[str, Any]:
    """A row of a run."""
    return {"name": name, "title": title, "seconds": round(seconds, 1), "figures": [asdict(one) for one in figures]}
