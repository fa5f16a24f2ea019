"""`upright flags`: which stages act, and switching them while the service runs."""

from __future__ import annotations

from typing import Any, Final

import click

from upright.cli.app import Target, as_json, target

__all__ = ["flags_command"]

_NAMES: Final = (
    "self_healing",
    "error_predictor",
    "intelligent_fallback",
    "recovery_orchestrator",
    "observe_only",
)


def _complete(_context: Any, _parameter: Any, incomplete: str) -> list[str]:
    return [name for name in _NAMES if name.startswith(incomplete)]


@click.command("flags", short_help="Show the flags, or switch one.")
@click.argument("name", required=False, shell_complete=_complete)
@click.argument("value", required=False, type=click.Choice(["on", "off"]))
@target
@as_json
@click.option("--reload", "reload_file", is_flag=True, help="Read the feature-flags.json again.")
def flags_command(target: Target, *, name: str | None, value: str | None, as_json: bool, reload_file: bool) -> None:
    """Show the flags, or switch one. A stage that is off is skipped; nothing fails because of it.

    A switch lasts until the process ends; for longer set it in upright.toml or feature-flags.json.

    \b
    Examples:
      upright flags
      upright flags self_healing off
      upright flags observe_only on       decide and record, but do nothing
      upright flags --reload
    """
    from upright.cli.output import Output, print_json, styled

    if value is not None and reload_file:
        raise click.UsageError("--reload and a flag to switch exclude each other.")
    with target.connect() as client:
        if reload_file:
            answer = client.call("reload_flags")
        elif name is not None and value is not None:
            answer = client.call("set_flag", name=name, value=value == "on")
        else:
            answer = client.call("flags")
    flags = answer["flags"]
    if name is not None:
        if name not in flags:
            raise click.BadParameter(f"there is no flag {name!r}; there are {', '.join(flags)}")
        flags = {name: flags[name]}
    if as_json:
        print_json(answer if name is None else flags)
        return
    output = Output()
    output.table(("flag", "is"), [(one, styled("on" if is_on else "off")) for one, is_on in flags.items()])
    if name is None and answer.get("file"):
        output.line()
        output.line(f"file: {answer['file']}")
    if name is None and answer.get("last_error"):
        output.line(f"not taken over: {answer['last_error']}")
    output.print()
