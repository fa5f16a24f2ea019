"""`upright config`: what is set, and where each value comes from."""

from __future__ import annotations

from typing import Any

import click

from upright.cli.app import Target, as_json, target

__all__ = ["config_command"]


@click.command("config", short_help="What is set, and where it comes from.")
@target
@as_json
@click.option("--explain", is_flag=True, help="Show every setting, with where it comes from.")
@click.option("--file", "file", type=click.Path(), help="Check this file instead of ./upright.toml.")
def config_command(target: Target, *, as_json: bool, explain: bool, file: str | None) -> None:
    """Show the configuration that a service started here would get; with --pid or --name, a running one's.

    Without --explain only what differs from the defaults is shown. Exits with 1 if anything is wrong, and names
    every wrong key and value.

    \b
    Examples:
      upright config                         what is set in this folder and environment
      upright config --explain --pid 4242    all that holds in a running service
      upright config --file prod.toml        check a file before it is rolled out
    """
    from upright.cli.output import Output, print_json

    if target.is_given and file is not None:
        raise click.UsageError("--file and a running tree exclude each other.")
    rows = _running(target) if target.is_given else _local(file)
    if not explain:
        rows = [row for row in rows if row["origin"] != "default"]
    if as_json:
        print_json(rows)
        return
    output = Output()
    if rows:
        shown = [(row["path"], _value(row["value"]), row["origin"]) for row in rows]
        output.table(("setting", "value", "from"), shown)
    else:
        output.line("All settings have their defaults; `upright config --explain` lists them.")
    if not target.is_given and file is None:
        _mention_running(output)
    output.print()


def _mention_running(output: Any) -> None:
    """Say that a running service has a configuration of its own: what was given to boot() is known to it alone."""
    from upright.control_client import ControlError, find_all

    try:
        running = find_all()
    except ControlError:
        return
    if running:
        output.line()
        output.line("This is what a service started here would get. What holds in one that runs:")
        for one in running[:5]:
            output.line(f"  upright config --pid {one.pid}" + (f"    {one.name}" if one.name else ""))


def _running(target: Target) -> list[dict[str, Any]]:
    with target.connect() as client:
        rows: list[dict[str, Any]] = client.call("config")
        return rows


def _local(file: str | None) -> list[dict[str, Any]]:
    from upright.actors.control_wire import plain
    from upright.config import explain, load_config

    config = load_config(file)
    return [{"path": row.path, "value": plain(row.value), "origin": row.origin} for row in explain(config)]


def _value(value: Any) -> str:
    """Say a value as upright.toml would."""
    if value is None:
        return "off"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
