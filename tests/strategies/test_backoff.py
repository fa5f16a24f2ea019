from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.strategies.backoff import Backoff
from upright.strategies.errors import ConfigError

UNIT = st.floats(0.0, 1.0)


@st.composite
def backoffs(draw: st.DrawFn) -> Backoff:
    initial = draw(st.floats(1e-6, 1e6))
    return Backoff(
        initial,
        initial * draw(st.floats(1.0, 1e6)),
        multiplier=draw(st.floats(1.0, 1e6)),
        jitter=draw(UNIT),
    )


@given(backoffs(), st.integers(1, 10_000), UNIT)
def test_no_wait_leaves_initial_to_maximum(backoff: Backoff, failures: int, random: float) -> None:
    assert backoff.initial <= backoff.delay(failures, random) <= backoff.maximum


@given(backoffs(), st.integers(1, 200), UNIT)
def test_waits_never_shrink_from_one_failure_to_the_next(backoff: Backoff, failures: int, random: float) -> None:
    earlier = backoff.delay(failures, random)
    assert backoff.delay(failures + 1, random) >= earlier * (1 - 1e-12)


def test_waits_double_from_the_initial_one_up_to_the_maximum() -> None:
    backoff = Backoff(0.5, 5.0, jitter=0.0)
    assert [backoff.delay(n, 0.7) for n in range(1, 7)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_jitter_lengthens_a_wait_by_at_most_its_fraction() -> None:
    backoff = Backoff(1.0, 100.0, jitter=0.2)
    assert backoff.delay(3, 0.0) == 4.0
    assert backoff.delay(3, 0.5) == pytest.approx(4.4)
    assert backoff.delay(3, 1.0) == pytest.approx(4.8)


def test_pekko_exceeds_its_maximum_by_the_jitter_and_this_does_not() -> None:
    assert Backoff(1.0, 10.0, jitter=1.0).delay(50, 1.0) == 10.0


def test_waits_at_the_maximum_are_still_spread() -> None:
    backoff = Backoff(1.0, 12.0, jitter=0.2)
    assert len({backoff.delay(50, step / 10) for step in range(11)}) == 11
    assert backoff.delay(50, 0.0) == 10.0


def test_equal_initial_and_maximum_make_a_constant_wait() -> None:
    backoff = Backoff(3.0, 3.0, jitter=1.0)
    assert {backoff.delay(n, n / 10) for n in range(1, 10)} == {3.0}


@pytest.mark.parametrize("failures", [0, -1])
def test_nothing_failed_means_no_wait(failures: int) -> None:
    assert Backoff(1.0, 2.0).delay(failures, 1.0) == 0.0


def test_a_number_of_failures_that_overflows_a_float_waits_the_maximum() -> None:
    assert Backoff(1.0, 7.0, jitter=0.0).delay(10**9, 0.0) == 7.0


def test_the_quiet_period_is_half_way_unless_given() -> None:
    assert Backoff(1.0, 9.0).quiet_period == 5.0
    assert Backoff(1.0, 9.0, reset_after=60.0).quiet_period == 60.0


def test_counting_starts_anew_after_the_quiet_period() -> None:
    backoff = Backoff(1.0, 9.0)
    assert backoff.count(4, quiet=4.99) == 5
    assert backoff.count(4, quiet=5.0) == 1


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"initial": 0.0}, "Backoff.initial"),
        ({"initial": -1.0}, "Backoff.initial"),
        ({"initial": math.nan}, "Backoff.initial"),
        ({"initial": "1"}, "Backoff.initial"),
        ({"maximum": 0.5}, "Backoff.maximum"),
        ({"maximum": math.inf}, "Backoff.maximum"),
        ({"multiplier": 0.9}, "Backoff.multiplier"),
        ({"multiplier": math.nan}, "Backoff.multiplier"),
        ({"jitter": 1.1}, "Backoff.jitter"),
        ({"jitter": -0.1}, "Backoff.jitter"),
        ({"reset_after": 0.0}, "Backoff.reset_after"),
        ({"reset_after": math.inf}, "Backoff.reset_after"),
    ],
)
def test_a_value_that_breaks_its_rule_is_refused_by_name(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match="must be") as caught:
        Backoff(**{"initial": 1.0, "maximum": 10.0, **options})
    assert caught.value.field == field
