"""Recordings: readings to and from CSV, and what the predictor would have said about them.

A recording has one row per reading and the columns of `COLUMNS`; only `at` is required, an empty field is an
unknown value, other columns are ignored. `at` is a number of seconds or an ISO 8601 time.
"""

from __future__ import annotations

import csv
import enum
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from upright.strategies.errors import ConfigError
from upright.strategies.prediction.metrics import SystemMetrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from upright.strategies.prediction.alert import Alert, Prediction
    from upright.strategies.prediction.engine import PredictionEngine

__all__ = ["COLUMNS", "Event", "EventKind", "read_metrics", "replay", "write_events", "write_metrics"]

COLUMNS = ("at", "memory", "response_ms", "error_rate", "connections", "cpu", "requests", "pressure")


class EventKind(enum.Enum):
    """What happened at a moment of a replay."""

    ALERT = "alert"
    CLEARED = "cleared"


@dataclass(frozen=True, slots=True)
class Event:
    """A moment of a replay at which an alert began, or the last one ended.

    Attributes:
        at: Time of the reading.
        kind: What happened.
        alert: The alert that began; None where one ended.
        duration: Seconds for which the host was alerting; None where an alert began.
    """

    at: float
    kind: EventKind
    alert: Alert | None = None
    duration: float | None = None


def read_metrics(lines: Iterable[str]) -> Iterator[SystemMetrics]:
    """Yield the readings of a recording, such as an open file.

    Raises:
        ConfigError: If the column `at` is missing, or a field is no number; the row is named.

    Examples:
        >>> [m.memory for m in read_metrics(["at,memory", "0,0.5", "30,"])]
        [0.5, None]
    """
    rows = csv.DictReader(lines)
    if "at" not in (rows.fieldnames or ()):
        raise ConfigError("recording.header", rows.fieldnames, f"a list of columns with 'at' among them, of {COLUMNS}")
    known = [name for name in COLUMNS[1:] if name in (rows.fieldnames or ())]
    for row in rows:
        where = f"recording.row[{rows.line_num}]"
        values = {name: _number(f"{where}.{name}", row[name]) for name in known if row[name] not in {None, ""}}
        yield SystemMetrics(at=_time(f"{where}.at", row["at"]), **values)


def write_metrics(file: Any, metrics: Iterable[SystemMetrics]) -> int:
    """Write readings as CSV with a header to a file opened with `newline=""`; how many."""
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    count = 0
    for count, reading in enumerate(metrics, 1):  # noqa: B007 - the last count is the answer
        writer.writerow("" if (value := getattr(reading, name)) is None else repr(value) for name in COLUMNS)
    return count


def replay(metrics: Iterable[SystemMetrics], engine: PredictionEngine) -> Iterator[tuple[Prediction, Event | None]]:
    """Yield each reading's prediction, and the event that it brought about, if any."""
    began: float | None = None
    for reading in metrics:
        prediction = engine.observe(reading)
        event = None
        if prediction.alert is not None:
            event = Event(reading.at, EventKind.ALERT, prediction.alert)
        elif began is not None and not prediction.alerting:
            event = Event(reading.at, EventKind.CLEARED, duration=reading.at - began)
        if not prediction.alerting:
            began = None
        elif began is None:
            began = reading.at
        yield prediction, event


def write_events(file: Any, events: Iterable[Event]) -> int:
    """Write events as CSV with a header to a file opened with `newline=""`; how many."""
    writer = csv.writer(file)
    writer.writerow(("at", "event", "kind", "factor", "eta_seconds", "eta_low", "eta_high", "reason"))
    count = 0
    for count, event in enumerate(events, 1):  # noqa: B007 - the last count is the answer
        alert = event.alert
        if alert is None:
            writer.writerow((event.at, event.kind.value, "", "", "", "", "", f"alerting for {event.duration:.0f} s"))
            continue
        eta = "" if alert.eta_seconds is None else round(alert.eta_seconds)
        low, high = ("", "") if alert.eta_range is None else (round(alert.eta_range[0]), round(alert.eta_range[1]))
        row = (event.at, event.kind.value, alert.kind.value, alert.factor, eta, low, high, alert.reason)
        writer.writerow(row)
    return count


def _number(field: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(field, text, "a number, or empty if unknown") from None


def _time(field: str, text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        raise ConfigError(field, text, "a number of seconds, or an ISO 8601 time") from None
    # A time without a zone is taken as UTC: only differences matter, and these must not jump with the seasons.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
