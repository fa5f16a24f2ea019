"""`upright status`: what is wrong, and the tree with the state of every actor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from time import sleep
from typing import TYPE_CHECKING, Any, Final

import click

from upright.cli.app import PROBLEM, Target, as_json, target
from upright.cli.findings import Finding, Level, findings, together
from upright.control_client import CommandRefused, ControlClient, ControlError, NotReachable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text

    from upright.cli.output import Output

__all__ = ["overview", "render", "status_command"]

_LIMIT: Final = 100  # recoveries that are looked at for what became of them
_SIGNS: Final = {Level.BAD: ("✖", "bold red"), Level.WARNING: ("▲", "yellow"), Level.INFO: ("·", "cyan")}


@click.command("status", short_help="What is wrong, since when, what happens next; and the tree.")
@target
@as_json
@click.option("--watch", "-w", is_flag=True, help="Show it again and again, until Ctrl-C.")
@click.option("--interval", type=click.FloatRange(0.1), default=2.0, show_default=True, help="Seconds between.")
@click.option("--check", is_flag=True, help="Exit with 1 if anything does not work.")
def status_command(target: Target, *, as_json: bool, watch: bool, interval: float, check: bool) -> None:
    """Show what is wrong, since when, what was done about it, and the tree.

    \b
    Examples:
      upright status                     the only tree of this user
      upright status --pid 4242 --watch
      upright status --json | jq .state
      upright status --check             for scripts and health checks
    """
    if watch:
        _watch(target, interval, as_json=as_json)
        return
    with target.connect() as client:
        view = overview(client)
    if as_json:
        click.echo(json.dumps(view["status"], indent=2))
    else:
        render(view).print()
    if check and any(finding.level is Level.BAD for finding in findings(view)):
        click.get_current_context().exit(PROBLEM)


def overview(client: ControlClient) -> dict[str, Any]:
    """Ask a tree for all that there is to show; a server that knows only `status` will do."""
    try:
        view = client.call("overview", limit=_LIMIT)
    except CommandRefused as error:
        if error.kind != "unknown_command":
            raise
        view = {"status": client.call("status"), "about": client.call("hello")}
    if not isinstance(view, Mapping) or not isinstance(view.get("status"), Mapping):
        raise NotReachable(f"{client.target} gave an answer of another kind than expected")
    return dict(view)


def _watch(target: Target, interval: float, *, as_json: bool) -> None:
    from rich.live import Live

    from upright.cli.output import console

    with suppress(KeyboardInterrupt):
        if as_json:
            for view in _views(target, interval):
                click.echo(json.dumps(view if "trouble" in view else view["status"]))
            return
        screen = console()
        if not screen.is_terminal:
            for view in _views(target, interval):
                _shown(view).print()
                click.echo()
            return
        with Live(console=screen, screen=True, auto_refresh=False) as live:
            for view in _views(target, interval):
                live.update(_group(_shown(view)), refresh=True)


def _group(shown: Output) -> Any:
    from rich.console import Group

    return Group(*shown.parts)


def _views(target: Target, interval: float) -> Iterator[dict[str, Any]]:
    """Yield what there is to show, at once and at every interval; where a tree is gone, say so and look again."""
    client = target.connect()  # the first time a tree that is not there is an error
    try:
        while True:
            try:
                if client is None:
                    client = target.connect()
                yield overview(client)
            except ControlError as error:
                if client is not None:
                    client.close()
                client = None  # type: ignore[assignment]
                yield {"trouble": str(error)}
            sleep(interval)
    finally:
        if client is not None:
            client.close()


def _shown(view: dict[str, Any]) -> Output:
    from upright.cli.output import Output
    from upright.cli.words import clean

    if "trouble" not in view:
        return render(view)
    from rich.text import Text

    output = Output()
    output.line(Text("✖ ", "bold red"), clean(view["trouble"]))
    return output


def render(view: Mapping[str, Any]) -> Output:
    """Return the whole status, ready to be printed."""
    from upright.cli.output import Output

    output = Output()
    found = findings(view)
    _headline(output, view, found)
    for finding in found:
        _finding(output, finding)
    output.line()
    rows = [_row(name, node) for name, node in _drawn(view["status"])]
    output.table(("", "state", "+restarts", "+mailbox", "+busy", "+up", "last exit*"), rows)
    return output


def _headline(output: Output, view: Mapping[str, Any], found: list[Finding]) -> None:
    from rich.text import Text

    from upright.cli.words import count, duration

    status, about = view["status"], view.get("about") or {}
    bad = sum(finding.level is Level.BAD for finding in found)
    warnings = sum(finding.level is Level.WARNING for finding in found)
    if bad:
        verdict = Text(f"{count(bad, 'problem')}", "bold red")
    elif warnings:
        verdict = Text(f"{count(warnings, 'warning')}", "yellow")
    else:
        verdict = Text("all is well", "green")
    pid = f"pid {about['pid']}" if about.get("pid") else ""
    said = [one for one in (pid, f"up {duration(status['uptime'])}") if one]
    output.line(Text(str(status["name"]), "bold"), f"  {', '.join(said)}: ", verdict)


def _finding(output: Output, finding: Finding) -> None:
    from rich.text import Text

    from upright.cli.words import clean

    sign, style = _SIGNS[finding.level]
    output.hanging(Text(f"{sign} ", style), finding.what)
    for label, text in (("because", finding.why), ("so far", finding.did), ("next", finding.next)):
        if text:
            output.hanging(Text(f"    {label:<8}", "dim"), Text(clean(text), "dim" if label == "because" else ""))


def _drawn(node: Mapping[str, Any], before: str = "", branch: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every node with its name behind the branches of the tree."""
    yield before + branch + str(node["name"]), node
    below = before + {"": "", "├── ": "│   ", "└── ": "    "}[branch]
    children = together(node.get("children") or ())
    for number, child in enumerate(children, 1):
        yield from _drawn(child, below, "└── " if number == len(children) else "├── ")


def _row(name: str, node: Mapping[str, Any]) -> list[str | Text]:
    from rich.text import Text

    from upright.cli.output import styled
    from upright.cli.words import duration

    busy = node.get("busy_for")
    zombies = f" (+{node['zombies']} hung)" if node.get("zombies") else ""
    restarts = str(node["restarts"])
    return [
        name,
        styled(str(node["state"]).upper() if node["state"] != "running" else "running"),
        Text(restarts, "yellow" if node["restarts"] else "dim"),
        Text(str(node["mailbox_depth"]), "" if node["mailbox_depth"] else "dim"),
        ("" if busy is None or busy < 0.1 else duration(busy)) + zombies,
        duration(node["uptime"]) if node["uptime"] else "-",
        str(node.get("last_exit") or ""),
    ]
