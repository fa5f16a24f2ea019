"""`upright history`: the newest recoveries, and what was done in each."""

from __future__ import annotations

from typing import Any, Final

import click

from upright.cli.app import Target, as_json, target

__all__ = ["history_command"]

_ALL: Final = 10_000  # entries to look for alike ones in; a service keeps limits.history, usually 1 000


@click.command("history", short_help="The newest recoveries, step by step.")
@target
@as_json
@click.option("--limit", "-n", type=click.IntRange(1), default=10, show_default=True, help="How many.")
@click.option("--steps/--no-steps", default=True, help="Whether to show every step of each.")
@click.option("--each", is_flag=True, help="Show each, also those that went alike.")
def history_command(target: Target, *, as_json: bool, limit: int, steps: bool, each: bool) -> None:
    """Show the newest recoveries, the newest last: what failed, what was tried, what came of it.

    Those of one operation that went alike are shown once, as the newest of them, with how many there were.

    \b
    Examples:
      upright history --limit 3
      upright history --no-steps
      upright history --each              every single one
      upright history --json | jq '.[] | select(.status == "FAILED")'
    """
    from upright.cli.output import Output, print_json

    with target.connect() as client:
        entries = client.call("history", limit=limit if each or as_json else _ALL)
    if as_json:
        print_json(entries)
        return
    groups = [[entry] for entry in entries] if each else _alike(entries)[-limit:]
    output = Output()
    if not entries:
        output.line("Nothing has had to be recovered yet.")
    elif steps:
        for number, group in enumerate(groups):
            if number:
                output.line()
            _entry(output, group)
    else:
        columns = ("at", "+times", "result", "by", "+took", "operation", "error*")
        output.table(columns, [_row(group) for group in groups])
    output.print()


def _alike(entries: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Put those together that differ only in their times, in the order of the newest of each."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for entry in entries:
        steps = tuple((step["stage"], step["strategy"], step["outcome"]) for step in entry["steps"])
        key = (entry["operation"], entry["resource"], entry["status"], entry["method"], entry["code"], steps)
        group = groups.pop(key, [])
        group.append(entry)
        groups[key] = group
    return list(groups.values())


def _row(group: list[dict[str, Any]]) -> list[Any]:
    from upright.cli.output import styled
    from upright.cli.words import clock, duration

    entry = group[-1]
    return [
        clock(entry["started_at"]),
        str(len(group)),
        styled(entry["status"]),
        (entry["method"] or "-").lower().replace("_", " "),
        duration(entry["duration"]),
        _place(entry),
        _error(entry),
    ]


def _place(entry: dict[str, Any]) -> str:
    resource = f" on {entry['resource']}" if entry["resource"] not in (None, entry["operation"]) else ""
    return f"{entry['operation']}{resource}"


def _error(entry: dict[str, Any]) -> str:
    error = entry["error"]
    return "" if error is None else f"{error['type']}: {error['message']}"


def _entry(output: Any, group: list[dict[str, Any]]) -> None:
    from rich.text import Text

    from upright.cli.output import styled
    from upright.cli.words import clock, count, duration

    entry = group[-1]
    times = f", {count(len(group), 'time')} since {clock(group[0]['started_at'])}" if len(group) > 1 else ""
    by = f" by {entry['method'].lower().replace('_', ' ')}" if entry["method"] else ""
    output.line(
        Text(clock(entry["started_at"]), "dim"),
        "  ",
        Text(_place(entry), "bold"),
        "  ",
        styled(entry["status"]),
        f"{by} in {duration(entry['duration'])}{times}",
        Text(f"  {entry['code']}" if entry["code"] else "", "dim"),
    )
    if entry["error"]:
        output.hanging(Text("    "), _error(entry))
    rows = [
        (
            step["stage"].lower(),
            styled(step["outcome"].lower()),
            duration(step["duration"]) if step["duration"] else "",
            step["strategy"] if step["strategy"] != step["stage"].lower() else "",
            step["detail"],
        )
        for step in entry["steps"]
    ]
    if rows:
        output.table(("stage", "outcome", "+took", "strategy", "detail*"), rows, indent=4)
