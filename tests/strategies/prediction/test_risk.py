from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.strategies.errors import ConfigError
from upright.strategies.prediction.actions import ACTIONS
from upright.strategies.prediction.metrics import FACTORS, Limits, SystemMetrics
from upright.strategies.prediction.risk import POINTS, RiskLevel, RiskScorer

CALM = {"memory": 0.5, "response_ms": 100.0, "error_rate": 0.001, "connections": 50.0, "cpu": 0.2}
BAD = {"memory": 0.86, "response_ms": 5001.0, "error_rate": 0.051, "connections": 1001.0, "cpu": 0.91}
FIELD = dict(zip(FACTORS, CALM, strict=True))
COMBINATIONS = [set(c) for n in range(6) for c in itertools.combinations(FACTORS, n)]


def reading(breached: set[str]) -> SystemMetrics:
    return SystemMetrics(at=0.0, **{FIELD[f]: (BAD if f in breached else CALM)[FIELD[f]] for f in FACTORS})


@pytest.mark.parametrize("breached", COMBINATIONS, ids=lambda c: "+".join(sorted(c)) or "none")
def test_each_of_the_32_combinations_scores_exactly(breached: set[str]) -> None:
    risk = RiskScorer().score(reading(breached))
    points = sum(POINTS[f] for f in breached)
    assert (risk.points, risk.score, set(risk.factors)) == (points, points / 100, breached)
    assert risk.factors == tuple(f for f in FACTORS if f in breached)
    assert risk.alerting is (points > 60)
    assert risk.actions == tuple(ACTIONS[f] for f in risk.factors)


def test_there_are_32_combinations_of_which_10_alert_and_3_are_critical() -> None:
    levels = [RiskScorer().score(reading(c)).level for c in COMBINATIONS]
    assert len(levels) == 32
    assert sum(level in {RiskLevel.HIGH, RiskLevel.CRITICAL} for level in levels) == 10
    assert levels.count(RiskLevel.CRITICAL) == 3


@pytest.mark.parametrize(
    ("breached", "level"),
    [
        ({"response_time", "error_rate", "connections"}, RiskLevel.MEDIUM),  # 0.6000000000000001 as floats
        ({"memory", "error_rate", "cpu"}, RiskLevel.MEDIUM),
        ({"memory", "response_time", "connections", "cpu"}, RiskLevel.HIGH),  # exactly 0.80
        ({"memory", "response_time"}, RiskLevel.MEDIUM),
        ({"memory", "cpu"}, RiskLevel.LOW),  # exactly 0.40
        (set(FACTORS), RiskLevel.CRITICAL),
    ],
)
def test_levels_at_their_bounds(breached: set[str], level: RiskLevel) -> None:
    assert RiskScorer().score(reading(breached)).level is level


def test_a_value_equal_to_its_limit_is_no_breach() -> None:
    at_limits = SystemMetrics(0.0, memory=0.85, response_ms=5000.0, error_rate=0.05, connections=1000, cpu=0.9)
    assert RiskScorer().score(at_limits).points == 0


def test_an_unknown_value_adds_nothing_and_is_named() -> None:
    risk = RiskScorer().score(SystemMetrics(0.0, memory=0.9))
    assert risk.points == 30
    assert risk.unknown == ("response_time", "error_rate", "connections", "cpu")


def test_limits_are_per_host() -> None:
    assert RiskScorer(Limits(memory=0.95)).score(SystemMetrics(0.0, memory=0.9)).points == 0


@given(st.sampled_from(["memory", "response_ms", "error_rate", "connections", "cpu"]))
def test_a_reading_that_is_no_finite_number_is_refused_by_name(name: str) -> None:
    for value in (math.nan, math.inf, "0.5", True):
        with pytest.raises(ConfigError, match=f"SystemMetrics.{name}"):
            SystemMetrics(at=0.0, **{name: value})  # type: ignore[arg-type]


def test_a_percentage_is_refused_where_a_fraction_is_meant() -> None:
    with pytest.raises(ConfigError, match="not a percentage"):
        SystemMetrics(at=0.0, memory=85.0)


@pytest.mark.parametrize("field", ["memory", "response_ms", "error_rate", "connections", "cpu"])
def test_a_limit_of_zero_is_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=f"Limits.{field}"):
        Limits(**{field: 0})
