"""`upright history`: the newest recoveries, and what was done in each."""

from __future__ import annotations

from typing import Any

import click

from upright.cli.app import Target, as_json, target

__all__ = ["history_command"]


@click.command("history", short_help="The newest recoveries, step by step.")
@target
@as_json
@click.option("--limit", "-n", type=click.IntRange(1), default=10, show_default=True, help="How many.")
@click.option("--steps/--no-steps", default=True, help="Whether to show every step of each.")
def history_command(target: Target, *, as_json: bool, limit: int, steps: bool) -> None:
    """Show the newest recoveries, the newest last: what failed, what was tried, what came of it.

    \b
    Examples:
      upright history --limit 3
      upright history --no-steps
      upright history --json | jq '.[] | select(.status == "FAILED")'
    """
    from upright.cli.output import Output, print_json

    with target.connect() as client:
        entries = client.call("history", limit=limit)
    if as_json:
        print_json(entries)
        return
    output = Output()
    if not entries:
        output.line("Nothing has had to be recovered yet.")
    elif steps:
        for number, entry in enumerate(entries):
            if number:
                output.line()
            _entry(output, entry)
    else:
        output.table(("at", "result", "by", "took", "operation", "error*"), [_row(entry) for entry in entries])
    output.print()


def _row(entry: dict[str, Any]) -> list[Any]:
    from upright.cli.output import styled
    from upright.cli.words import clock, duration

    return [
        clock(entry["started_at"]),
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


def _entry(output: Any, entry: dict[str, Any]) -> None:
    from rich.text import Text

    from upright.cli.output import styled
    from upright.cli.words import clock, duration

    by = f" by {entry['method'].lower().replace('_', ' ')}" if entry["method"] else ""
    output.line(
        Text(clock(entry["started_at"]), "dim"),
        "  ",
        Text(_place(entry), "bold"),
        "  ",
        styled(entry["status"]),
        f"{by} in {duration(entry['duration'])}",
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
