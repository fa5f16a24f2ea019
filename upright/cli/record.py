"""`upright record`: this host's readings as CSV, for `upright replay`."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic, sleep
from typing import IO, TYPE_CHECKING, Any

import click

from upright.cli.app import Failure, Target, target
from upright.cli.findings import nodes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from upright.control_client import ControlClient
    from upright.strategies.prediction.metrics import SystemMetrics

__all__ = ["record_command"]


@click.command("record", short_help="Record this host's readings.")
@click.argument("file", type=click.File("w", encoding="utf-8", lazy=False))
@target
@click.option(
    "--interval", type=click.FloatRange(0.1), help="Seconds between; by default 30, or what the service is set to."
)
@click.option("--duration", type=click.FloatRange(0, min_open=True), help="Seconds; without it until Ctrl-C.")
def record_command(file: IO[str], target: Target, *, interval: float | None, duration: float | None) -> None:
    """Write readings of this host to FILE as CSV, one row per interval. "-" writes to standard output.

    With --pid or --name the readings are those of a running service's predictor, which also knows its response
    times, error rate and request count. Each is written once, with the time at which it was taken.

    \b
    Examples:
      upright record monday.csv --duration 86400
      upright record - --interval 5 | tee now.csv
    """
    from upright.strategies.prediction.recording import write_metrics

    client: ControlClient | None = target.connect() if target.is_given else None
    if client is None:
        take, pause = _of_host(), 30.0 if interval is None else interval
    else:
        take = _of_tree(client)
        # Twice as often as there is something new, so that nothing is missed.
        pause = (_interval_of(client) if interval is None else interval) / 2

    def rows() -> Iterator[SystemMetrics]:
        end = None if duration is None else monotonic() + duration
        following = monotonic()
        while end is None or monotonic() <= end:
            reading = take()
            if reading is not None:
                yield reading
                file.flush()
            following += pause
            sleep(max(0.0, following - monotonic()))

    try:
        with suppress(KeyboardInterrupt):
            write_metrics(file, rows())
    finally:
        file.flush()
        if client is not None:
            client.close()


def _of_host() -> Callable[[], SystemMetrics | None]:
    from upright.strategies.prediction.collector import Collector

    collector = Collector()
    return lambda: collector.collect(monotonic())


def _of_tree(client: ControlClient) -> Callable[[], SystemMetrics | None]:
    """Return a function that returns the newest reading of a tree's predictor; None if there is no new one."""
    from upright.strategies.prediction.metrics import SystemMetrics

    last: float | None = None

    def take() -> SystemMetrics | None:
        nonlocal last
        details = _details(client, "predictor")
        metrics: dict[str, Any] | None = details.get("metrics")
        if metrics is None or details["at"] == last:
            return None
        last = details["at"]
        values = {"response_ms" if name == "response_time" else name: value for name, value in metrics.items()}
        return SystemMetrics(details["at"], requests=details["requests"], pressure=details["pressure"], **values)

    return take


def _interval_of(client: ControlClient) -> float:
    interval: float = _details(client, "collector")["interval"]
    return interval


def _details(client: ControlClient, name: str) -> dict[str, Any]:
    for _, node in nodes(client.call("status")):
        if node["name"] == name:
            details: dict[str, Any] = node["details"]
            return details
    raise Failure(f"{client.target} has no {name}; without --pid this host is read directly")
