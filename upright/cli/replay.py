"""`upright replay`: what the predictor would have said about a recording."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import click

from upright.cli.app import Target, as_json, target

if TYPE_CHECKING:
    from upright.strategies.prediction.alert import Prediction
    from upright.strategies.prediction.metrics import Limits, SystemMetrics
    from upright.strategies.prediction.recording import Event

__all__ = ["replay_command"]


@click.command("replay", short_help="What the predictor would have said about a recording.")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@target
@as_json
@click.option("--csv", "csv_file", type=click.File("w", lazy=True), help="Write the events to this file as CSV.")
@click.option("--chart", is_flag=True, help="Draw each factor that alerted.")
def replay_command(file: IO[str], target: Target, *, as_json: bool, csv_file: Any, chart: bool) -> None:
    """Show what the predictor would have alerted on in FILE, a CSV of readings as `upright record` writes it.

    Limits are those of ./upright.toml and the environment; with --pid or --name those of a running service.
    "-" reads from standard input.

    \b
    Examples:
      upright replay monday.csv
      upright replay monday.csv --chart
      upright replay monday.csv --json | jq length
    """
    from upright.actors.control_wire import plain
    from upright.cli.output import Output, print_json
    from upright.strategies.prediction.engine import PredictionEngine
    from upright.strategies.prediction.recording import read_metrics, replay, write_events

    limits = _limits(target)
    readings = list(read_metrics(file))
    predictions: list[Prediction] = []
    events: list[Event] = []
    for prediction, event in replay(readings, PredictionEngine(limits)):
        predictions.append(prediction)
        if event is not None:
            events.append(event)
    if csv_file is not None:
        write_events(csv_file, events)
    if as_json:
        print_json(plain(events))
        return
    output = Output()
    _summary(output, readings, events)
    if events:
        output.line()
        start = readings[0].at
        columns = ("+at", "event", "kind", "factor", "+expected in", "reason*")
        output.table(columns, [_row(event, start) for event in events])
    output.print()
    if chart:
        _charts(readings, events, limits)


def _limits(target: Target) -> Limits:
    from upright.config import load_config
    from upright.strategies.prediction.metrics import Limits

    if not target.is_given:
        return load_config().predictor.limits
    prefix = "predictor.limits."
    with target.connect() as client:
        rows = client.call("config")
    return Limits(**{row["path"].removeprefix(prefix): row["value"] for row in rows if row["path"].startswith(prefix)})


def _summary(output: Any, readings: list[SystemMetrics], events: list[Event]) -> None:
    from upright.cli.words import count, duration
    from upright.strategies.prediction.recording import EventKind

    if not readings:
        output.line("The recording has no readings.")
        return
    alerts = sum(event.kind is EventKind.ALERT for event in events)
    span = duration(readings[-1].at - readings[0].at)
    output.line(f"{count(len(readings), 'reading')} over {span}: {count(alerts, 'alert') if alerts else 'no alert'}")


def _row(event: Event, start: float) -> list[Any]:
    from rich.text import Text

    from upright.cli.words import duration

    alert = event.alert
    at = f"+{duration(event.at - start)}"
    if alert is None:
        return [at, Text(event.kind.value, "green"), "", "", "", f"after {duration(event.duration)}"]
    return [
        at,
        Text(event.kind.value, "bold red"),
        alert.kind.value,
        alert.factor,
        duration(alert.eta_seconds) if alert.eta_seconds is not None else "now",
        alert.reason,
    ]


def _charts(readings: list[SystemMetrics], events: list[Event], limits: Limits) -> None:
    from upright.strategies.prediction.chart import draw_chart

    alerted: dict[str, list[float]] = {}
    for event in events:
        if event.alert is not None:
            alerted.setdefault(event.alert.factor, []).append(event.at)
    for factor, times in alerted.items():
        points = [(reading.at, reading.value(factor)) for reading in readings]
        click.echo()
        click.echo(draw_chart(factor, points, limit=limits.of(factor), alerts=times))
