"""`upright demo`: the same faults without upright and with it."""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from upright.cli.app import Failure, as_json

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["demo_command"]

# What the service and its users import; PostgreSQL and Redis themselves may come from the system as well, and are
# looked for when they are started.
_NEEDED: Final = ("fastapi", "httpx", "psycopg", "redis", "sqlalchemy", "uvicorn", "websockets")


@click.command("demo", short_help="Break a real service, without upright and with it.")
@click.option(
    "--duration",
    type=click.FloatRange(7),
    default=36.0,
    show_default=True,
    help="Seconds of each half, about: one fault every 2.5 s. All twelve kinds need 34; with less time every part has "
    "its turn first.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the order and the times of the faults.")
@click.option("--users", type=click.IntRange(1, 64), default=8, show_default=True, help="Threads that call.")
@as_json
def demo_command(*, duration: float, seed: int, users: int, as_json: bool) -> None:
    """Break a real service on purpose, without upright and with it, and compare.

    Starts a PostgreSQL and a Redis of its own, stand-ins for a language model and a speech service, and the tutoring
    service of the examples on them; breaks each of them in several ways, and shows what the callers notice. Nothing
    outside of a temporary folder is touched. Takes about 80 seconds unless told otherwise. Exits with 1 if with upright
    a fault was not healed.

    \b
    Examples:
      upright demo
      upright demo --duration 17      # one fault of each part
      upright demo --duration 60 --seed 7
      upright demo --json > report.json
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        install = f"{sys.executable} -m pip install 'upright[demo]'"
        raise Failure(f"the demo needs more libraries ({', '.join(missing)}); run: {install}")
    from upright.demo.main import DemoOptions, run_demo
    from upright.testing.servers.process import ServerError

    options = DemoOptions(duration=duration, seed=seed, users=users, as_json=as_json)
    try:
        with _ended_in_order():
            status = run_demo(options)
    except ServerError as error:
        raise Failure(str(error)) from error
    click.get_current_context().exit(status)


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let a request to end, or a terminal that is closed, too, close the servers and remove their folders."""

    def end(number: int, *_: Any) -> NoReturn:
        signal.signal(number, signal.SIG_IGN)  # asked twice, it is not quicker
        sys.exit(128 + number)

    with ExitStack() as stack:
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # not so under nohup
                signal.signal(number, end)
                stack.callback(signal.signal, number, signal.SIG_DFL)
        yield
