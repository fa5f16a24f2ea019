"""What a person sees of the demo: a live picture of the tree on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any

from upright.demo.campaign import RECOVERY_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from upright.demo.campaign import CampaignResult, FaultResult
    from upright.demo.faults import Fault
    from upright.demo.load import Counts

__all__ = ["View"]

_NOTES = (
    "MTTR: from the moment the part was whole again to the first fresh answer that needs it.",
    f"Not back: not within {RECOVERY_LIMIT:g} s; then it was repaired by hand.",
    "Degraded: answered from a cache, by a smaller model, in writing, ...; the answer says so.",
    "With upright a call may wait for a repair. One that fails at once leaves time for more calls, hence the numbers.",
)


class Stage:
    """One campaign on the screen."""

    def __init__(self, view: View, tree: Any) -> None:
        self._view = view
        self.tree = tree
        self.now = ""
        self.counts: Counts | None = None
        self.seconds = 0.0

    def fault(self, fault: Fault) -> None:
        """Show what is being done to the service."""
        self.now = f"{fault.part}: {fault.name}"

    def result(self, result: FaultResult) -> None:
        """Write down what came of it."""
        self.now = ""
        self._view.result(result)

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
        # FORCE_COLOR makes a terminal of anything, and a log is no place for a picture that moves.
        self.live = self._console.is_interactive and sys.stdout.isatty() and not quiet
        self._screen: Any = None
        self._shown = 0.0

    def say(self, text: str, style: str | None = None) -> None:
        """Write a line."""
        if not self._quiet:
            self._console.print(text, markup=False, style=style, soft_wrap=not self._console.is_terminal)
            sys.stdout.flush()

    def result(self, result: FaultResult) -> None:
        """Write a line about a fault that is over."""
        from rich.text import Text

        line = Text(f"{result.at:6.1f} s  {result.part:<9}{result.name:<36}")
        if result.mttr is None:
            line.append("NOT back", "bold red")
        else:
            line.append(f"back after {result.mttr:.2f} s", "green")
        self._console.print(line, soft_wrap=True)
        sys.stdout.flush()

    @contextlib.contextmanager
    def campaign(self, label: str, tree: Any) -> Iterator[Stage]:
        """Show a campaign while the block runs."""
        from rich.live import Live

        stage = Stage(self, tree)
        self.say(f"\n{label.capitalize()}:", "bold")
        if not self.live:
            yield stage
            return
        with Live(console=self._console, auto_refresh=False, transient=True) as self._screen:
            yield stage
        self._screen = None

    def refresh(self, stage: Stage) -> None:
        """Draw a campaign anew, a few times a second."""
        if self._screen is None or time.monotonic() - self._shown < 0.1:
            return
        self._shown = time.monotonic()
        self._screen.update(_picture(stage), refresh=True)

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
        for note in _NOTES:
            self.say(note, "dim")
        self._console.print()
        for text, style in _verdict(results[-1]):
            self.say(text, style)
        self.say(
            "What next: docs/quickstart.md, to protect your own service; `upright status` looks into it while it runs."
        )


def _verdict(result: CampaignResult) -> Iterator[tuple[str, str]]:
    lost = [f"{fault.part}: {fault.name}" for fault in result.faults if not fault.healed]
    if lost:
        yield f"With upright the service did not come back after: {'; '.join(lost)}", "bold red"
    else:
        yield "With upright the service came back by itself after every fault.", "bold green"
    if result.failed:
        yield f"{result.failed} of {result.calls} calls failed all the same.", "yellow"
    else:
        yield f"All {result.calls} calls were served.", "bold green"


def _picture(stage: Stage) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    lines: list[RenderableType] = []
    counts = stage.counts
    if counts is not None:
        line = Text(f"{stage.seconds:6.1f} s  ", no_wrap=True, overflow="ellipsis")
        line.append(f"{counts.served} served, {counts.degraded} of them degraded, ")
        line.append(f"{counts.failed} failed", "bold red" if counts.failed else "")
        line.append(f"  {stage.now}", "yellow")
        lines.append(line)
    if stage.tree is not None:
        lines.append(_tree_picture(stage.tree))
    return Group(*lines)


def _tree_picture(tree: Any) -> RenderableType:
    from rich.text import Text
    from rich.tree import Tree as Drawing

    def label(node: Any) -> Text:
        colour = {"running": "green", "restarting": "yellow"}.get(node.state, "red")
        text = Text(no_wrap=True, overflow="ellipsis").append("● ", colour).append(node.name)
        if node.restarts:
            text.append(f"  {node.restarts} restarts", "yellow")
        for words, style in _remarks(node):
            text.append(f"  {words}", style)
        return text

    def add(drawing: Drawing, node: Any) -> None:
        branch = drawing.add(label(node))
        for child in node.children:
            if child.name != "worker":  # they come and go, and have no story of their own
                add(branch, child)

    root = tree.status()
    drawing = Drawing(label(root))
    for child in root.children:
        add(drawing, child)
    return drawing


def _remarks(node: Any) -> Iterator[tuple[str, str]]:
    """Say in a few words what an actor is at."""
    details = node.details
    if node.name in ("healers", "steps"):
        workers = len(node.children)
        yield f"{workers} worker{'' if workers == 1 else 's'}", "dim"
    elif node.name == "orchestrator":
        yield f"{details.get('healed', 0)} healed, {details.get('joined', 0)} callers joined", "dim"
        for entry in details.get("active", ()):
            yield f"recovering {entry['recovery_id']} for {entry['for']:.1f} s", "bold yellow"
    elif node.name == "breaker":
        states = {name: shown["state"] for name, shown in details.get("circuits", {}).items()}
        for name, state in states.items():
            if state != "CLOSED":
                yield f"{name} {state}", "bold yellow"
        if closed := sum(state == "CLOSED" for state in states.values()):
            yield f"{closed} closed", "dim"
    elif node.name == "healing":
        known = details.get("strategies", {}).values()
        if attempts := sum(shown["attempts"] for shown in known):
            yield f"{sum(shown['proven'] for shown in known)} of {attempts} healings proven", "dim"


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f} s"


def _served(served: int, degraded: int, failed: int) -> str:
    share = f"{served / (served + failed):.1%}" if served + failed else "0"
    return f"{share} ({degraded} degraded)" if degraded else share


def _share(part: int, whole: int) -> str:
    return f"{part} ({part / whole:.1%})" if whole else "0"
