from __future__ import annotations

import math
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.strategies.errors import ConfigError
from upright.strategies.restart import RestartWindow

GAPS = st.lists(st.floats(0.0, 10.0), max_size=60)


@given(st.integers(0, 5), st.floats(0.1, 20.0), GAPS)
def test_allowed_exactly_while_the_window_holds_at_most_the_intensity(
    intensity: int, period: float, gaps: list[float]
) -> None:
    window, history, now = RestartWindow(intensity, period), deque[float](), 1000.0
    every: list[float] = []
    for gap in gaps:
        now += gap
        would = window.allows(history, now)
        every.append(now)
        allowed = window.record(history, now)
        assert allowed is would
        assert allowed is (sum(1 for at in every if at >= now - period) <= intensity)


@given(st.integers(0, 5), GAPS)
def test_history_stays_bounded(intensity: int, gaps: list[float]) -> None:
    window, history, now = RestartWindow(intensity, 1e9), deque[float](), 0.0
    for gap in gaps:
        now += gap
        window.record(history, now)
        assert len(history) <= intensity + 1


def test_second_restart_within_the_window_is_refused() -> None:
    window, history = RestartWindow(intensity=1, period=5.0), deque[float]()
    assert window.record(history, 100.0)
    assert not window.record(history, 105.0)


def test_a_restart_counts_until_its_age_is_past_the_period() -> None:
    window, history = RestartWindow(intensity=1, period=5.0), deque[float]()
    assert window.record(history, 100.0)
    assert window.record(history, 105.001)


def test_intensity_zero_allows_none() -> None:
    window = RestartWindow(intensity=0, period=5.0)
    assert not window.allows((), 1.0)
    assert not window.record(deque(), 1.0)


def test_otp_suite_four_crashes_2_1_s_apart_survive_one_in_one_second() -> None:
    window, history = RestartWindow(intensity=1, period=1.0), deque[float]()
    assert all(window.record(history, 2.1 * n) for n in range(4))


def test_the_defaults_are_those_of_otp() -> None:
    assert RestartWindow() == RestartWindow(intensity=1, period=5.0)


@pytest.mark.parametrize("intensity", [-1, 1.0, math.inf, True, None])
def test_intensity_must_be_a_count(intensity: int) -> None:
    with pytest.raises(ConfigError, match=r"RestartWindow\.intensity must be an int >= 0"):
        RestartWindow(intensity, 5.0)


@pytest.mark.parametrize("period", [0, -1.0, math.inf, math.nan, "5"])
def test_period_must_be_above_zero_and_finite(period: float) -> None:
    with pytest.raises(ConfigError, match=r"RestartWindow\.period must be a finite number > 0"):
        RestartWindow(1, period)
