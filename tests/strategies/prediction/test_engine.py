from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upright.strategies.errors import ConfigError
from upright.strategies.prediction.alert import Alert, AlertKind
from upright.strategies.prediction.engine import PredictionEngine
from upright.strategies.prediction.metrics import Limits, SystemMetrics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from upright.strategies.prediction.alert import Prediction

TICK = 30.0


class Host:
    """Feeds an engine with a noisy but healthy host, on which a test changes single values."""

    def __init__(self, seed: int = 1) -> None:
        self.engine, self.rng, self.at = PredictionEngine(), random.Random(seed), 1000.0
        self.alerts: list[Alert] = []
        self.last: Prediction | None = None

    def reading(self, **changes: float | None) -> SystemMetrics:
        self.at += TICK
        gauss = self.rng.gauss
        calm: dict[str, float | None] = {
            "memory": 0.5 + gauss(0, 0.004),
            "response_ms": 200 * (1 + abs(gauss(0, 0.1))),
            "error_rate": 0.002,
            "connections": round(100 + gauss(0, 8)),
            "cpu": abs(0.2 + gauss(0, 0.02)),
            "requests": 900,
        }
        return SystemMetrics(at=self.at, **(calm | changes))

    def tick(self, **changes: float | None) -> Prediction:
        self.last = self.engine.observe(self.reading(**changes))
        if self.last.alert is not None:
            self.alerts.append(self.last.alert)
        return self.last

    def ticks(self, count: int, **changes: float | None) -> list[Prediction]:
        return [self.tick(**changes) for _ in range(count)]

    def ramp(self, name: str, values: Iterable[float]) -> list[Prediction]:
        return [self.tick(**{name: value + self.rng.gauss(0, abs(value) * 0.005)}) for value in values]


def line(start: float, end: float, count: int) -> list[float]:
    return [start + (end - start) * n / count for n in range(count)]


@pytest.fixture
def host() -> Host:
    host = Host()
    host.ticks(240)
    assert host.alerts == []
    return host


def test_a_leak_is_forecast_well_before_its_limit(host: Host) -> None:
    host.ramp("memory", line(0.5, 0.84, 120))  # an hour to the limit
    assert [(a.kind, a.factor) for a in host.alerts] == [(AlertKind.FORECAST, "memory")]
    alert = host.alerts[0]
    assert alert.eta_seconds is not None
    assert alert.eta_range is not None
    assert 600 < alert.eta_seconds <= 1800
    assert alert.eta_range[0] < alert.eta_seconds < alert.eta_range[1]
    assert 0 < alert.confidence <= 1
    assert "memory" in alert.reason
    assert "85 %" in alert.reason
    assert alert.actions


def test_alerting_from_the_alert_until_it_clears(host: Host) -> None:
    predictions = host.ticks(10, error_rate=0.3)
    first = next(i for i, p in enumerate(predictions) if p.alert)
    assert first <= 3  # within two minutes of the first bad reading
    assert [p.alerting for p in predictions] == [i >= first for i in range(10)]
    after = host.ticks(60)
    assert after[0].alerting
    assert not after[-1].alerting
    assert len(host.alerts) == 1


@pytest.mark.parametrize(
    ("changes", "factor"),
    [
        ({"error_rate": 0.2}, "error_rate"),
        ({"response_ms": 9000.0}, "response_time"),
        ({"connections": 1500.0}, "connections"),
        ({"memory": 0.95}, "memory"),
    ],
)
def test_an_abrupt_fault_is_a_breach_within_two_minutes(host: Host, changes: dict[str, float], factor: str) -> None:
    host.ticks(5, **changes)
    assert [(a.kind, a.factor, a.eta_seconds, a.eta_range) for a in host.alerts] == [
        (AlertKind.BREACH, factor, None, None)
    ]


def test_a_busy_cpu_is_a_breach_only_after_ten_minutes(host: Host) -> None:
    host.ticks(20, cpu=0.97)
    assert host.alerts == []
    host.ticks(2, cpu=0.97)
    assert [a.factor for a in host.alerts] == ["cpu"]


def test_ten_busy_minutes_are_counted_over_readings_that_were_lost(host: Host) -> None:
    host.ticks(8, cpu=0.97)
    host.at += 5 * 60
    host.ticks(3, cpu=0.97)
    assert [a.factor for a in host.alerts] == ["cpu"]


def test_a_gap_within_which_the_cpu_may_have_rested_for_most_of_the_time_is_no_breach(host: Host) -> None:
    host.ticks(3, cpu=0.97)
    host.at += 8 * 60
    host.ticks(3, cpu=0.97)
    assert host.alerts == []


@pytest.mark.parametrize("interval", [60.0, 120.0, 300.0])
def test_a_busy_cpu_is_a_breach_at_any_interval(interval: float) -> None:
    engine, alerts = PredictionEngine(), []
    for n in range(60):
        alert = engine.observe(SystemMetrics(at=n * interval, cpu=0.97 if n >= 40 else 0.2)).alert
        if alert is not None:
            alerts.append((alert.factor, n))
    assert [factor for factor, _ in alerts] == ["cpu"]
    assert 600 - interval <= (alerts[0][1] - 40) * interval <= 600 + interval


def test_a_single_spike_is_no_alert(host: Host) -> None:
    for _ in range(30):
        host.tick(response_ms=20_000.0, error_rate=0.5, cpu=1.0)
        host.ticks(4)
    assert host.alerts == []


def test_a_risk_above_60_points_alerts_at_once_even_on_the_first_reading() -> None:
    host = Host()
    prediction = host.tick(memory=0.9, response_ms=6000.0, error_rate=0.1)
    assert prediction.alert is not None
    assert (prediction.alert.kind, prediction.alert.factor) == (AlertKind.RISK, "memory")
    assert prediction.alerting
    host.ticks(20, memory=0.9, response_ms=6000.0, error_rate=0.1)
    assert len(host.alerts) == 1


def test_a_second_factor_is_a_second_alert_and_the_same_is_not(host: Host) -> None:
    host.ticks(30, connections=1500.0)
    host.ticks(10, connections=1500.0, error_rate=0.3)
    assert [a.factor for a in host.alerts] == ["connections", "error_rate"]


def test_one_failed_request_of_three_is_no_error_rate() -> None:
    for counted in (True, False):
        host = Host()
        for n in range(900):
            failed = n % 40 == 0
            host.tick(error_rate=1 / 3 if failed else 0.0, requests=3 if counted else None)
        assert host.alerts == []


def test_growth_that_saturates_below_the_limit_stays_quiet_at_the_end(host: Host) -> None:
    predictions = host.ramp("memory", [0.5 + 0.25 * (1 - 0.97**n) for n in range(400)])
    assert not any(p.forecasts for p in predictions[150:])


def test_one_step_is_no_trend(host: Host) -> None:
    host.ticks(300, memory=0.7)
    assert host.alerts == []


def test_a_sawtooth_that_never_exceeds_its_own_peaks_is_no_leak() -> None:
    host = Host()
    host.ramp("memory", [0.5 + 0.28 * (n % 60) / 60 for n in range(1500)])
    assert host.alerts == []


def test_a_rise_explained_by_requests_is_held_back(host: Host) -> None:
    busy = Host()
    busy.ticks(240)
    for n in range(30):
        times = 1 + n / 8
        busy.tick(connections=100 * times * 1.6, cpu=0.2 * times, requests=900 * times)
    assert busy.alerts == []
    host.ramp("connections", line(100, 760, 30))
    assert [a.factor for a in host.alerts] == ["connections"]


def test_a_host_that_lives_near_its_limit_shows_its_score_but_stays_quiet() -> None:
    host = Host(seed=3)
    rng = random.Random(3)
    wander = 0.0
    for _ in range(2880):
        wander = 0.95 * wander + rng.gauss(0, 0.003)
        prediction = host.tick(memory=0.9 + wander)
        assert prediction.risk.points >= 0
    assert prediction.risk.factors == ("memory",)
    assert host.alerts == []


def test_even_there_a_leak_or_memory_pressure_alerts() -> None:
    for changes in ({"memory": 0.985}, {"memory": 0.9, "pressure": 0.4}):
        host = Host()
        host.ticks(960, memory=0.9, pressure=0.0)
        assert host.alerts == []
        host.ticks(20, **changes)
        assert [a.factor for a in host.alerts] == ["memory"]


def test_a_gap_neither_raises_nor_clears(host: Host) -> None:
    host.ticks(2, error_rate=0.3)
    host.at += 600
    host.ticks(2, error_rate=0.3)
    assert host.alerts == []  # two and two are not four in a row
    host.ticks(3, error_rate=0.3)
    assert len(host.alerts) == 1
    host.ticks(10)
    host.at += 3600
    assert host.tick().alerting


@pytest.mark.parametrize("jump", [7200.0, 86_400.0 * 30, -5000.0])
def test_a_clock_jump_raises_nothing_and_the_leak_after_it_is_still_seen(host: Host, jump: float) -> None:
    host.at += jump
    host.ticks(60)
    assert host.alerts == []
    host.ramp("memory", line(0.5, 0.84, 120))
    assert [a.factor for a in host.alerts] == ["memory"]


def test_vanished_values_do_not_end_an_alert(host: Host) -> None:
    host.ticks(6, error_rate=0.3)
    unknown = dict.fromkeys(("memory", "response_ms", "error_rate", "connections", "cpu", "requests"))
    assert all(p.alerting for p in host.ticks(100, **unknown))


def test_no_forecast_within_the_warm_up() -> None:
    host = Host()
    assert not any(p.forecasts for p in host.ramp("memory", line(0.3, 0.7, 55)))


@pytest.mark.parametrize("interval", [10.0, 60.0, 120.0])
def test_a_leak_is_forecast_at_other_intervals_without_saying_so(interval: float) -> None:
    host = Host()
    at = 0.0
    for n in range(int(3 * 3600 / interval)):
        at += interval
        memory = 0.5 + 0.35 * max(0.0, n * interval - 7200) / 3600
        alert = host.engine.observe(replace(host.reading(memory=memory + host.rng.gauss(0, 0.003)), at=at)).alert
        if alert is not None:
            break
    assert alert is not None
    assert (alert.kind, alert.factor) == (AlertKind.FORECAST, "memory")
    assert at < 3 * 3600 - 600  # the limit is reached after three hours


def test_a_low_limit_does_not_make_a_host_look_used_to_it() -> None:
    host = Host()
    host.engine = PredictionEngine(Limits(memory=0.68))
    host.ticks(240, memory=0.55)
    host.ramp("memory", line(0.55, 0.68, 120))
    assert [(a.kind, a.factor) for a in host.alerts] == [(AlertKind.FORECAST, "memory")]
    assert "68 %" in host.alerts[0].reason


def test_symptoms_of_one_trouble_are_held_back_but_not_what_comes_half_an_hour_later(host: Host) -> None:
    host.ticks(10, connections=1500.0)
    assert [a.factor for a in host.alerts] == ["connections"]
    for value in line(0.5, 0.84, 120):
        host.tick(connections=1500.0, memory=value + host.rng.gauss(0, 0.003))
    assert [(a.kind, a.factor) for a in host.alerts[1:]] == [(AlertKind.FORECAST, "memory")]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*[st.none() | st.floats(0, 1) for _ in range(5)]), max_size=120), st.integers(0, 2**32))
def test_any_readings_give_the_same_predictions_again_and_after_a_handover(
    rows: list[tuple[float | None, ...]], seed: int
) -> None:
    rng = random.Random(seed)
    at, readings = 0.0, []
    for memory, response, errors, connections, cpu in rows:
        at += rng.choice((30.0, 30.0, 31.5, 0.0, 400.0, 5000.0, -60.0))
        readings.append(
            SystemMetrics(
                at,
                memory,
                None if response is None else response * 10_000,
                errors,
                None if connections is None else connections * 2000,
                cpu,
            )
        )
    one, other = PredictionEngine(), PredictionEngine()
    for n, reading in enumerate(readings):
        if n % 7 == 3:
            other = PredictionEngine.restore(other.snapshot())
        prediction = one.observe(reading)
        assert prediction == other.observe(reading)
        assert prediction.alert is None or prediction.alerting
        assert prediction.risk.alerting <= prediction.alerting


def test_state_is_bounded_and_a_reading_is_fast_with_24_hours_of_history() -> None:
    host = Host()
    host.ticks(2880)
    size = len(host.engine.snapshot())
    host.ticks(2880)
    assert len(host.engine.snapshot()) < 1.5 * size < 400_000
    took = []
    for n in range(300):
        reading = replace(host.reading(), memory=0.5 + n * 0.001)
        before = time.thread_time()
        host.engine.observe(reading)
        took.append(time.thread_time() - before)
    # What it takes on a quiet machine is measured by `python -m benchmarks.prediction`; here only the order of it.
    assert sorted(took)[len(took) // 2] < 0.1


@pytest.mark.parametrize(
    "options",
    [
        {"interval": 0},
        {"horizon": -1},
        {"for_ticks": 6},
        {"for_ticks": 0},
        {"clear_ticks": 0},
        {"cooldown": -1},
        {"warm_up": float("nan")},
    ],
    ids=str,
)
def test_an_option_outside_of_its_range_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="PredictionEngine"):
        PredictionEngine(**options)
