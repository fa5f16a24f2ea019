"""Printing: colours and widths for people at a terminal, plain lines for everything else."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from upright.cli.words import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["STYLES", "Output", "console", "print_json", "styled"]

STYLES: Final = {
    "running": "green",
    "closed": "green",
    "on": "green",
    "healed": "green",
    "recovered": "green",
    "succeeded": "green",
    "starting": "yellow",
    "restarting": "yellow",
    "half_open": "yellow",
    "disabled": "yellow",
    "circuit_open": "yellow",
    "joined": "green",
    "skipped": "dim",
    "stopped": "red",
    "gave_up": "bold red",
    "open": "bold red",
    "forced_open": "bold red",
    "failed": "red",
    "off": "red",
}
"""Colours of states; each is also said in words, since colours may be off or not be seen."""

_UNLIMITED: Final = 10_000  # columns of what is no terminal: nothing is cut or wrapped there


def console() -> Console:
    """Return a console for stdout, which heeds NO_COLOR, TERM=dumb and the width of the terminal."""
    terminal = sys.stdout.isatty()
    return Console(
        highlight=False, markup=False, emoji=False, soft_wrap=not terminal, width=None if terminal else _UNLIMITED
    )


def styled(word: str) -> Text:
    """Return a state in its colour."""
    return Text(word, style=STYLES.get(word.lower(), ""))


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2))


class Output:
    """What a command prints, collected: so that it can be printed once or shown again and again.

    Every text that came from a tree must go through `clean`; `table` and `line` do that for plain strings.
    """

    def __init__(self) -> None:
        self.parts: list[Any] = []

    def line(self, *pieces: str | Text) -> None:
        """Add a line."""
        text = Text(overflow="fold")
        for piece in pieces:
            text.append_text(piece) if isinstance(piece, Text) else text.append(clean(piece))
        self.parts.append(text)

    def hanging(self, label: Text, text: str | Text) -> None:
        """Add a label and a text, whose further lines stay behind the label."""
        grid = Table.grid()
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row(label, text if isinstance(text, Text) else Text(clean(text)))
        self.parts.append(grid)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, indent: int = 0) -> None:
        """Add a table without rulers; columns whose name begins with a + are aligned to the right.

        A column that ends with a * is shortened where the terminal is too narrow, all others keep their width.
        """
        shown = [[cell if isinstance(cell, Text) else Text(clean(cell)) for cell in row] for row in rows]
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
        for place, name in enumerate(columns):
            widest = max((row[place].cell_len for row in shown), default=0) + (0 if place else indent)
            table.add_column(
                " " * (indent if not table.columns else 0) + name.strip("+*"),
                justify="right" if name.startswith("+") else "left",
                no_wrap=True,
                overflow="ellipsis",
                min_width=None if name.endswith("*") else max(widest, len(name.strip("+*"))),
            )
        for cells in shown:
            if indent:
                cells[0] = Text(" " * indent).append_text(cells[0])
            table.add_row(*cells)
        self.parts.append(table)

    def print(self, to: Console | None = None) -> None:
        """Print it all; what is no terminal gets no spaces at the ends of lines."""
        to = console() if to is None else to
        if to.is_terminal:
            for part in self.parts:
                to.print(part)
            return
        with to.capture() as captured:
            for part in self.parts:
                to.print(part)
        click.echo("\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n")))
