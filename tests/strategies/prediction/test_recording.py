from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.strategies.errors import ConfigError
from upright.strategies.prediction.chart import draw_chart
from upright.strategies.prediction.engine import PredictionEngine
from upright.strategies.prediction.metrics import SystemMetrics
from upright.strategies.prediction.recording import EventKind, read_metrics, replay, write_events, write_metrics

fraction = st.none() | st.floats(0, 1)
amount = st.none() | st.floats(0, 1e9)
readings = st.lists(
    st.builds(SystemMetrics, st.floats(-1e9, 1e9), fraction, amount, fraction, amount, fraction, amount)
)


@given(readings)
def test_what_is_written_is_read_back_exactly(taken: list[SystemMetrics]) -> None:
    file = io.StringIO(newline="")
    assert write_metrics(file, taken) == len(taken)
    file.seek(0)
    assert list(read_metrics(file)) == taken


def test_columns_of_others_are_ignored_and_times_may_be_dates() -> None:
    rows = ["host,at,cpu", "a,2026-01-01T00:00:00,0.5", "a,2026-01-01T01:00:30+01:00,"]
    first, second = read_metrics(rows)
    assert (second.at - first.at, first.cpu, second.cpu) == (30.0, 0.5, None)


@pytest.mark.parametrize(
    ("rows", "field"),
    [
        (["time,cpu", "0,1"], "recording.header"),
        (["at,cpu", "0,1", "soon,1"], r"recording.row\[3\].at"),
        (["at,cpu", "0,much"], r"recording.row\[2\].cpu"),
        (["at,memory", "0,85"], "SystemMetrics.memory"),
    ],
)
def test_a_row_that_makes_no_sense_is_refused_by_name(rows: list[str], field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        list(read_metrics(rows))


def test_a_replay_tells_when_it_alerts_and_when_that_ends() -> None:
    errors = [0.0] * 100 + [0.5] * 10 + [0.0] * 60
    taken = [SystemMetrics(30.0 * n, error_rate=e, requests=900) for n, e in enumerate(errors)]
    events = [event for _, event in replay(taken, PredictionEngine()) if event is not None]
    assert [event.kind for event in events] == [EventKind.ALERT, EventKind.CLEARED]
    assert events[1].duration == events[1].at - events[0].at
    file = io.StringIO()
    assert write_events(file, events) == 2
    assert "breach,error_rate" in file.getvalue()


def test_a_replay_is_the_same_every_time() -> None:
    taken = [SystemMetrics(30.0 * n, memory=0.4 + 0.001 * n) for n in range(450)]
    assert list(replay(taken, PredictionEngine())) == list(replay(taken, PredictionEngine()))


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.none() | st.floats(0, 1e6)), max_size=50),
    st.integers(10, 100),
    st.integers(3, 20),
)
def test_a_chart_has_the_size_that_was_asked_for(
    points: list[tuple[float, float | None]], width: int, height: int
) -> None:
    points.sort(key=lambda point: point[0])
    text = draw_chart("connections", points, limit=1000.0, alerts=[5.0], width=width, height=height)
    if points:
        rows = text.splitlines()[1 : 1 + height]
        assert all(len(row.partition("|")[2]) <= width for row in rows)
        assert any("-" in row for row in rows)


@pytest.mark.parametrize(("width", "height"), [(9, 10), (72, 2)])
def test_a_chart_too_small_to_read_is_refused(width: int, height: int) -> None:
    with pytest.raises(ConfigError, match="draw_chart"):
        draw_chart("cpu", [], limit=1.0, width=width, height=height)
