from __future__ import annotations

import math

import pytest

from upright.strategies.errors import ConfigError
from upright.strategies.options import MAX_COUNT, require_count, require_fraction, require_seconds

NEVER_A_NUMBER = [math.nan, math.inf, -math.inf, True, False, "1", None, 10**400, 1j, []]


@pytest.mark.parametrize("value", NEVER_A_NUMBER)
def test_what_is_no_finite_number_is_refused(value: object) -> None:
    with pytest.raises(ConfigError):
        require_seconds("T.f", value)
    with pytest.raises(ConfigError):
        require_fraction("T.f", value)


@pytest.mark.parametrize("value", [0, 0.0, 1, 2.5])
def test_seconds_from_zero_are_taken(value: float) -> None:
    require_seconds("T.f", value)


def test_seconds_know_an_open_and_a_closed_lower_end() -> None:
    require_seconds("T.f", 1.0, least=1.0)
    with pytest.raises(ConfigError, match="a finite number > 1"):
        require_seconds("T.f", 1.0, least=1.0, above=True)
    with pytest.raises(ConfigError, match="a finite number >= 1"):
        require_seconds("T.f", 0.5, least=1.0)


def test_fractions_end_at_one_and_may_exclude_zero() -> None:
    require_fraction("T.f", 0)
    require_fraction("T.f", 1)
    with pytest.raises(ConfigError, match="from 0 to 1"):
        require_fraction("T.f", 1.01)
    with pytest.raises(ConfigError, match="above 0 and at most 1"):
        require_fraction("T.f", 0.0, zero=False)


@pytest.mark.parametrize("value", [-1, 1.0, True, "3", None])
def test_a_count_is_an_int_from_its_least(value: object) -> None:
    require_count("T.f", 0)
    require_count("T.f", MAX_COUNT)
    with pytest.raises(ConfigError, match=r"T\.f must be an int >= 0, got"):
        require_count("T.f", value)


def test_the_error_carries_field_value_and_rule() -> None:
    with pytest.raises(ConfigError) as caught:
        require_count("Pool.size", 0, least=1)
    assert (caught.value.field, caught.value.value, caught.value.allowed) == ("Pool.size", 0, "an int >= 1")
