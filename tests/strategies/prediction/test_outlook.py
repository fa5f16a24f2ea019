"""When a level will be reached: many lines, each believed as far as it has been right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.strategies.prediction.outlook import agreed, foretell

SECONDS = st.floats(0, 1e5)
BELIEF = st.floats(0.1, 1e4)
TIMES = [60.0 * n for n in range(10)]
NOW = 570.0


@given(st.floats(1e-5, 1e2), st.floats(-10, 10), st.floats(1, 1e4))
def test_a_straight_line_is_foretold_to_the_second(slope: float, start: float, ahead: float) -> None:
    values = [start + slope * t for t in TIMES]
    found = foretell(TIMES, values, NOW, start + slope * (NOW + ahead), start + slope * NOW, 0.0)
    assert found is not None
    assert found[0] == pytest.approx(ahead, rel=1e-3, abs=0.1)


def test_a_line_that_missed_the_newest_readings_is_believed_less() -> None:
    right = foretell(TIMES, [0.001 * t for t in TIMES], NOW, 1.0, 0.6, 60.0)
    bent = foretell(TIMES, [0.001 * t * (2 if t >= 420 else 1) for t in TIMES], NOW, 2.0, 1.2, 60.0)
    assert right is not None
    assert bent is not None
    assert right[1] > 10 * bent[1]


def test_what_falls_or_is_hardly_known_has_no_outlook() -> None:
    assert foretell(TIMES, [1 - 0.001 * t for t in TIMES], NOW, 2.0, 0.5, 60.0) is None
    assert foretell(TIMES[:7], [0.001 * t for t in TIMES[:7]], NOW, 2.0, 0.5, 60.0) is None


@given(st.lists(st.tuples(SECONDS, BELIEF), min_size=1, max_size=30), st.randoms())
def test_what_is_agreed_on_is_one_of_them_in_any_order(outlooks: list[tuple[float, float]], rng: object) -> None:
    shuffled = sorted(outlooks, key=lambda _: rng.random())  # type: ignore[attr-defined]
    assert agreed(outlooks) == pytest.approx(agreed(shuffled) or 0.0)
    assert agreed(outlooks) in [seconds for seconds, _ in outlooks]


@given(st.lists(st.tuples(SECONDS, BELIEF), min_size=1, max_size=30), SECONDS)
def test_one_line_believed_more_than_all_others_together_decides(
    outlooks: list[tuple[float, float]], sure: float
) -> None:
    belief = 1.1 * sum(b for _, b in outlooks)
    assert agreed([*outlooks, (sure, belief)]) == sure


def test_without_any_line_nothing_is_agreed_on() -> None:
    assert agreed([]) is None
