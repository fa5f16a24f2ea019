"""The benchmark suite: `python -m benchmarks`; see docs/performance.md.

Measures upright beside its floors and its peers in one run, prints each row with its goals, and exits with 1 if one
of them was missed (stretch goals apart).
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click

from benchmarks import showing, suite

__all__ = ["main"]

_NAMES = [row.name for row in suite.ROWS]
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="Few rounds and small crowds: to see that everything runs.")
@click.option("--only", multiple=True, type=click.Choice(_NAMES), metavar="ROW", help="Only this row; may be repeated.")
@click.option("--long", is_flag=True, help="Also 10 million protected calls.")
@click.option("--list", "names", is_flag=True, help="List the rows.")
@click.option("--json", "json_file", type=_FILE, help="Write the run, to be compared later.")
@click.option("--markdown", is_flag=True, help="Print the tables of docs/performance.md instead.")
@click.option("--into", type=_FILE, help="Write these tables into a page, such as docs/performance.md.")
@click.option("--pyperf", "pyperf_file", type=_FILE, help="Write every round for python -m pyperf.")
@click.option("--compare", nargs=2, type=_FILE, metavar="A B", help="Compare two runs written with --json.")
@click.option("--show", type=_FILE, help="Print a run written with --json instead of measuring.")
@click.option("--row", hidden=True, type=click.Choice(_NAMES), help="Measure one row in this process.")
def main(
    *,
    quick: bool,
    only: tuple[str, ...],
    long: bool,
    names: bool,
    json_file: Path | None,
    markdown: bool,
    into: Path | None,
    pyperf_file: Path | None,
    compare: tuple[Path, Path] | None,
    show: Path | None,
    row: str | None,
) -> None:
    """Measure, or show what was measured."""
    if row is not None:
        click.echo(suite.run_here(row, quick=quick))
        return
    if names:
        for one in suite.ROWS:
            click.echo(f"{one.name:<14} {one.title}{' (only with --long or by name)' if one.long else ''}")
        return
    if compare:
        text, worse = showing.compared(showing.load(compare[0]), showing.load(compare[1]))
        click.echo(text)
        sys.exit(1 if worse else 0)
    run = _measured(only, quick=quick, long=long, printed=not markdown) if show is None else showing.load(show)
    if json_file is not None:
        showing.save(run, json_file)
    if into is not None:
        showing.put_into(run, into)
    if pyperf_file is not None:
        showing.save_pyperf(run, pyperf_file)
    if markdown:
        click.echo(showing.markdown(run), nl=False)
    else:
        if show is not None:
            for one in run["rows"]:
                click.echo(showing.table(one))
        click.echo("\n" + showing.summary(run))
    figures = [figure for one in run["rows"] for figure in one["figures"]]
    sys.exit(1 if any(figure["met"] is False and not figure["stretch"] for figure in figures) else 0)


def _measured(only: tuple[str, ...], *, quick: bool, long: bool, printed: bool) -> showing.Run:
    chosen = [row for row in suite.ROWS if (row.name in only if only else long or not row.long)]
    where, began = suite.environment(), time.perf_counter()
    rows = []
    for row, figures, seconds in suite.measure(
        chosen, quick=quick, say=lambda title: click.echo(f"{title} ...", err=True)
    ):
        rows.append(showing.as_row(row.name, row.title, figures, seconds))
        if printed:
            click.echo(showing.table(rows[-1]))
    where["load_after"] = [round(load, 2) for load in os.getloadavg()]
    return {"environment": where, "quick": quick, "seconds": round(time.perf_counter() - began, 1), "rows": rows}


if __name__ == "__main__":
    main()
