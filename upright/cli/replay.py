"""`upright replay`: what the predictor would have said about a recording."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from upright.cli.app import Failure, Target, as_json, target

if TYPE_CHECKING:
    from upright.strategies.prediction.alert import Prediction
    from upright.strategies.prediction.metrics import Limits, SystemMetrics
    from upright.strategies.prediction.recording import Event
    from upright.strategies.predictor_options import PredictorOptions

__all__ = ["replay_command"]


@click.command("replay", short_help="What the predictor would have said about a recording.")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@target
@as_json
@click.option("--csv", "csv_file", type=click.File("w", lazy=True), help="Write the events to this file as CSV.")
@click.option("--chart", is_flag=True, help="Draw each factor that alerted, in the terminal.")
@click.option(
    "--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw all factors to this PNG file (upright[plot])."
)
def replay_command(
    file: IO[str], target: Target, *, as_json: bool, csv_file: Any, chart: bool, plot: Path | None
) -> None:
    """Show what the predictor would have alerted on in FILE, a CSV of readings as `upright record` writes it.

    Limits and the predictor's other settings are those of ./upright.toml and the environment; with --pid or --name
    those of a running service.
    "-" reads from standard input.

    \b
    Examples:
      upright replay monday.csv
      upright replay monday.csv --chart
      upright replay monday.csv --plot monday.png
      upright replay monday.csv --json | jq length
    """
    from upright.actors.control_wire import plain
    from upright.cli.output import Output, print_json
    from upright.strategies.prediction.engine import PredictionEngine
    from upright.strategies.prediction.recording import read_metrics, replay, write_events

    options = _options(target)
    readings = list(read_metrics(file))
    predictions: list[Prediction] = []
    events: list[Event] = []
    for prediction, event in replay(readings, PredictionEngine.of(options)):
        predictions.append(prediction)
        if event is not None:
            events.append(event)
    if csv_file is not None:
        write_events(csv_file, events)
    unplotted = None if plot is None else _plot(plot, readings, predictions, events, options.limits)
    if as_json:
        print_json(plain(events))
        if unplotted:
            raise Failure(unplotted)
        return
    output = Output()
    _summary(output, readings, events)
    if events:
        output.line()
        start = readings[0].at
        columns = ("+at", "event", "kind", "factor", "+expected in", "reason*")
        output.table(columns, [_row(event, start) for event in events])
    output.print()
    if chart or unplotted:
        _charts(readings, events, options.limits)
    if unplotted:
        raise Failure(unplotted)


def _options(target: Target) -> PredictorOptions:
    from upright.config import load_config

    if not target.is_given:
        return load_config().predictor
    prefix = "predictor."
    with target.connect() as client:
        rows = client.call("config")
    given: dict[str, Any] = {"limits": {}}
    for row in rows:
        if row["path"].startswith(prefix):
            *groups, name = row["path"].removeprefix(prefix).split(".")
            (given["limits"] if groups else given)[name] = row["value"]
    return load_config({"predictor": given}, environ={}).predictor


def _plot(
    path: Path, readings: list[SystemMetrics], predictions: list[Prediction], events: list[Event], limits: Limits
) -> str | None:
    """Draw the PNG; why not, if it cannot be drawn."""
    try:
        from upright.plot import plot
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("matplotlib"):
            raise
        return f"{path} was not drawn: that needs matplotlib, pip install 'upright[plot]'"
    plot(path, readings, predictions, events, limits)
    return None


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
