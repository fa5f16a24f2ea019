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
@click.option("--interval", type=click.FloatRange(0.1), default=30.0, show_default=True, help="Seconds between.")
@click.option("--duration", type=click.FloatRange(0, min_open=True), help="Seconds; without it until Ctrl-C.")
def record_command(file: IO[str], target: Target, *, interval: float, duration: float | None) -> None:
    """Write readings of this host to FILE as CSV, one row per interval. "-" writes to standard output.

    With --pid or --name the readings are those of a running service's predictor, which also knows its response
    times and error rate; give the interval that it is configured with.

    \b
    Examples:
      upright record monday.csv --duration 86400
      upright record - --interval 5 | tee now.csv
    """
    from upright.strategies.prediction.recording import write_metrics

    def rows() -> Iterator[SystemMetrics]:
        end = None if duration is None else monotonic() + duration
        following = monotonic()
        while end is None or monotonic() <= end:
            reading = take()
            if reading is not None:
                yield reading
                file.flush()
            following += interval
            sleep(max(0.0, following - monotonic()))

    client: ControlClient | None = target.connect() if target.is_given else None
    take = _of_host() if client is None else lambda: _of_tree(client)
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


def _of_tree(client: ControlClient) -> SystemMetrics | None:
    """Return the newest reading of a tree's predictor; None if it has not taken one yet."""
    from upright.strategies.prediction.metrics import SystemMetrics

    for _, node in nodes(client.call("status")):
        if node["name"] == "predictor":
            metrics: dict[str, Any] | None = node["details"].get("metrics")
            if metrics is None:
                return None
            names = {name: "response_ms" if name == "response_time" else name for name in metrics}
            return SystemMetrics(monotonic(), **{names[name]: value for name, value in metrics.items()})
    raise Failure(f"{client.target} has no predictor; without --pid this host is read directly")
