"""What a person sees of the demo: a live picture of the tree on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from upright.demo.campaign import CampaignResult
    from upright.demo.load import Counts

__all__ = ["View"]

_EVENTS = 8


class Stage:
    """One campaign on the screen."""

    def __init__(self, view: View, label: str, tree: Any) -> None:
        self._view = view
        self.label = label
        self.tree = tree
        self.events: list[tuple[float, str]] = []
        self.counts: Counts | None = None
        self.seconds = 0.0

    def fault(self, text: str) -> None:
        """Show something that happened."""
        self.events = [*self.events, (self.seconds, text)][-_EVENTS:]
        if not self._view.live:
            self._view.say(f"  {self.seconds:5.1f} s  {text}")

    def tick(self, counts: Counts, seconds: float) -> None:
        """Show the state of things."""
        self.counts, self.seconds = counts, seconds
        self._view.refresh(self)


class View:
    """Writes to standard output, or nothing at all if `quiet`."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console

        self._quiet = quiet
        self._console = Console(quiet=quiet, highlight=False)
        self.live = self._console.is_terminal and not quiet
        self._screen: Any = None
        self._shown = 0.0

    def say(self, text: str) -> None:
        """Write a line."""
        if not self._quiet:
            self._console.print(text, markup=False)
            sys.stdout.flush()

    @contextlib.contextmanager
    def campaign(self, label: str, tree: Any) -> Iterator[Stage]:
        """Show a campaign while the block runs."""
        from rich.live import Live

        stage = Stage(self, label, tree)
        self.say(f"\n{label}:")
        if not self.live:
            yield stage
            return
        with Live(console=self._console, refresh_per_second=8, transient=True) as self._screen:
            yield stage
        self._screen = None
        for seconds, text in stage.events:
            self.say(f"  {seconds:5.1f} s  {text}")

    def refresh(self, stage: Stage) -> None:
        """Draw a campaign anew, a few times a second."""
        if self._screen is None or time.monotonic() - self._shown < 0.1:
            return
        self._shown = time.monotonic()
        self._screen.update(_picture(stage))

    def table(self, results: list[CampaignResult]) -> None:
        """Show what came of it, side by side."""
        from rich.table import Table

        table = Table(title="What became of the same faults", title_justify="left")
        table.add_column("")
        for result in results:
            table.add_column(result.label, justify="right")
        rows = {
            "faults injected": [str(len(r.faults)) for r in results],
            "service came back": [f"{r.healed} of {len(r.faults)}" for r in results],
            "proven healings": ["-" if not r.healings else str(r.healings) for r in results],
            "MTTR p50": [_seconds(r.mttr(0.5)) for r in results],
            "MTTR p99": [_seconds(r.mttr(0.99)) for r in results],
            "calls": [f"{r.calls}" for r in results],
            "served": [_share(r.served, r.calls) for r in results],
            "  of these degraded": [_share(r.degraded, r.calls) for r in results],
            "failed": [_share(r.failed, r.calls) for r in results],
            "slowest call": [_seconds(r.worst) for r in results],
        }
        for name, cells in rows.items():
            table.add_row(name, *cells)
        table.add_section()
        for part in results[0].parts:
            table.add_row(f"served, {part}", *(_served(*result.parts[part]) for result in results))
        self._console.print()
        self._console.print(table)
        self._console.print("MTTR: from the moment the part was whole again to the first fresh answer.", style="dim")


def _picture(stage: Stage) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    counts = stage.counts
    lines: list[RenderableType] = []
    if counts is not None:
        failed = Text(f"{counts.failed} failed", style="bold red" if counts.failed else "")
        line = Text(f"{stage.seconds:5.1f} s   {counts.served} served ({counts.degraded} degraded)   ")
        lines.append(line.append(failed))
    if stage.tree is not None:
        lines.append(_tree_picture(stage.tree))
    lines.extend(Text(f"  {seconds:5.1f} s  {text}", style="dim") for seconds, text in stage.events)
    return Group(*lines)


def _tree_picture(tree: Any) -> RenderableType:
    from rich.tree import Tree as Drawing

    def add(drawing: Drawing, node: Any) -> None:
        colour = {"running": "green", "restarting": "yellow"}.get(node.state, "red")
        label = f"[{colour}]●[/] {node.name}"
        if node.restarts:
            label += f"  [yellow]{node.restarts} restarts[/]"
        label += _remark(node)
        branch = drawing.add(label)
        for child in node.children:
            add(branch, child)

    root = tree.status()
    drawing = Drawing(f"[bold]{root.name}[/] {root.state}")
    for child in root.children:
        add(drawing, child)
    return drawing


def _remark(node: Any) -> str:
    """Say in a few words what an actor is at."""
    details = node.details
    if node.name == "orchestrator":
        active = "".join(
            f"  [bold yellow]recovering {entry['recovery_id']} for {entry['for']:.1f} s, {entry['joined']} joined[/]"
            for entry in details.get("active", ())
        )
        return active or f"  [dim]{details.get('healed', 0)} healed, {details.get('joined', 0)} joined[/]"
    if node.name == "breaker":
        circuits = details.get("circuits", {})
        return "".join(f"  {name} [bold]{shown['state']}[/]" for name, shown in circuits.items())
    if node.name == "healing":
        return "".join(
            f"  [dim]{name}: {shown['proven']} of {shown['attempts']} proven[/]"
            for name, shown in details.get("strategies", {}).items()
        )
    return ""


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f} s"


def _served(served: int, degraded: int, failed: int) -> str:
    share = f"{served / (served + failed):.1%}" if served + failed else "0"
    return f"{share} ({degraded} degraded)" if degraded else share


def _share(part: int, whole: int) -> str:
    return f"{part} ({part / whole:.1%})" if whole else "0"
