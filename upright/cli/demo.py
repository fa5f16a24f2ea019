"""`upright demo`: the same faults without upright and with it."""

from __future__ import annotations

import click

from upright.cli.app import Failure, as_json

__all__ = ["demo_command"]


@click.command("demo", short_help="Break a real service, without upright and with it.")
@click.option("--duration", type=click.FloatRange(34), default=36.0, show_default=True, help="Seconds of each half.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the order and the times of the faults.")
@click.option("--users", type=click.IntRange(1, 64), default=8, show_default=True, help="Threads that call.")
@as_json
def demo_command(*, duration: float, seed: int, users: int, as_json: bool) -> None:
    """Break a real service on purpose, without upright and with it, and compare.

    Starts a PostgreSQL and a Redis of its own, stand-ins for a language model and a speech service, and the tutoring
    service of the examples on them; breaks each of them in several ways, and shows what the callers notice. Nothing
    outside of a temporary folder is touched. Exits with 1 if a fault was not healed.

    \b
    Examples:
      upright demo
      upright demo --duration 60 --seed 7
      upright demo --json > report.json
    """
    try:
        from upright.demo.main import DemoOptions, run_demo
    except ImportError as error:
        text = f"the demo needs more libraries ({error}); run: pip install 'upright[demo]'"
        raise Failure(text) from error
    options = DemoOptions(duration=duration, seed=seed, users=users, as_json=as_json)
    click.get_current_context().exit(run_demo(options))
