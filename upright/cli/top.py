"""`upright top`: the live view of one tree."""

from __future__ import annotations

import sys

import click

from upright.cli.app import Target, target

__all__ = ["top_command"]


@click.command("top", short_help="Live view: tree, recoveries, circuits, risk, events.")
@target
@click.option("--interval", type=click.FloatRange(0.1), default=1.0, show_default=True, help="Seconds between looks.")
def top_command(target: Target, *, interval: float) -> None:
    """Watch a tree live: its actors, recoveries in flight, circuits, risk and the last events.

    \b
    Keys:
      tab          next pane            arrows  move in it
      enter        look into an actor or a circuit, esc goes back
      p            pause and go on
      o  c  a      force the chosen circuit open, closed, or free it (asks first)
      q            quit

    \b
    Examples:
      upright top
      upright top --pid 4242 --interval 0.5
    """
    if not (sys.stdout.isatty() and sys.stdin.isatty()):
        raise click.UsageError("top needs a terminal; elsewhere use `upright status --watch` or --json.")
    with target.connect():  # a tree that is not there is said here, not in the view
        pass
    from upright.cli.top_app import TopApp

    TopApp(target, interval).run()
