from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.strategies.errors import ConfigError
from upright.strategies.ranking import Evidence, Ranking, wilson_lower_bound

STEPS = ["cache", "replica", "queue"]
COUNTS = st.builds(Evidence, st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6))


def after(ranking: Ranking, outcomes: str, now: float = 0.0) -> Evidence:
    evidence: Evidence | None = None
    for outcome in outcomes:
        evidence = ranking.record(evidence, succeeded=outcome == ".", now=now)
    assert evidence is not None
    return evidence


def test_the_declared_order_holds_without_evidence() -> None:
    assert Ranking().rank(STEPS, {}, now=0.0) == STEPS


def test_the_declared_order_holds_until_there_is_enough_evidence() -> None:
    ranking = Ranking(minimum_samples=5)
    assert ranking.rank(STEPS, {"cache": after(ranking, "FFFF"), "replica": after(ranking, "....")}, 0.0) == STEPS


def test_the_step_that_succeeds_moves_before_the_one_that_fails() -> None:
    ranking = Ranking()
    evidence = {"cache": after(ranking, "FFFFF"), "replica": after(ranking, ".....")}
    assert ranking.rank(STEPS, evidence, now=0.0) == ["replica", "cache", "queue"]


def test_ties_keep_the_declared_order() -> None:
    ranking = Ranking()
    evidence = dict.fromkeys(STEPS, after(ranking, "...FFF"))
    assert ranking.rank(STEPS, evidence, now=0.0) == STEPS
    assert ranking.rank(STEPS[::-1], evidence, now=0.0) == STEPS[::-1]


def test_equal_rates_of_evidence_that_decayed_differently_long_are_no_tie_by_rounding() -> None:
    ranking = Ranking(half_life=7.0)
    evidence = {"cache": after(ranking, "......", now=0.0), "replica": after(ranking, "......", now=0.0)}
    evidence["cache"] = ranking.decayed(ranking.decayed(evidence["cache"], 0.7), 1.1)
    assert ranking.rank(STEPS, evidence, now=1.3) == STEPS


def test_a_step_without_evidence_keeps_its_place() -> None:
    ranking = Ranking()
    evidence = {"cache": after(ranking, "F" * 9), "queue": after(ranking, "." * 9)}
    assert ranking.rank(STEPS, evidence, now=0.0) == ["queue", "replica", "cache"]


def test_a_rate_that_few_samples_back_counts_less() -> None:
    ranking = Ranking(minimum_samples=1)
    evidence = {"cache": after(ranking, "."), "replica": after(ranking, "." * 95 + "F" * 5)}
    assert ranking.rank(STEPS, evidence, now=0.0)[0] == "replica"


def test_a_step_that_recovered_rises_again() -> None:
    ranking = Ranking(half_life=600.0)
    down = {"cache": after(ranking, "F" * 50), "replica": after(ranking, "." * 12 + "F" * 4)}
    assert ranking.rank(STEPS, down, now=0.0)[0] == "replica"
    evidence: dict[str, Evidence] = dict(down)
    for minute in range(60):
        evidence["cache"] = ranking.record(evidence["cache"], succeeded=True, now=60.0 * minute)
        evidence["replica"] = ranking.record(evidence["replica"], succeeded=minute % 4 != 0, now=60.0 * minute)
    assert ranking.rank(STEPS, evidence, now=3_600.0)[0] == "cache"


def test_old_evidence_is_no_evidence() -> None:
    ranking = Ranking(half_life=60.0)
    evidence = {"cache": after(ranking, "F" * 10), "replica": after(ranking, "." * 10)}
    assert ranking.rank(STEPS, evidence, now=0.0)[0] == "replica"
    assert ranking.rank(STEPS, evidence, now=3_600.0) == STEPS
    assert ranking.score(evidence["cache"], 3_600.0) is None


def test_evidence_halves_in_its_half_life_and_never_grows() -> None:
    ranking = Ranking(half_life=10.0)
    evidence = Evidence(8.0, 4.0, at=100.0)
    assert ranking.decayed(evidence, 110.0) == Evidence(4.0, 2.0, 110.0)
    assert ranking.decayed(evidence, 90.0).samples == evidence.samples


@given(st.lists(st.sampled_from("abcdef"), unique=True), st.dictionaries(st.sampled_from("abcdefg"), COUNTS), st.data())
def test_ranking_only_reorders(steps: list[str], evidence: dict[str, Evidence], data: st.DataObject) -> None:
    now = data.draw(st.floats(0, 2e6))
    ranking = Ranking(minimum_samples=0.5)
    ranked = ranking.rank(steps, evidence, now)
    assert sorted(ranked) == sorted(steps)
    scores = [ranking.score(evidence[name], now) for name in ranked if name in evidence]
    known = [score for score in scores if score is not None]
    assert all(a >= b - 1e-8 for a, b in itertools.pairwise(known))


@given(st.floats(0.0, 1e6), st.floats(0.0, 1e6), st.floats(0.0, 5.0))
def test_the_bound_lies_between_zero_and_the_rate(successes: float, failures: float, z: float) -> None:
    samples = successes + failures
    bound = wilson_lower_bound(successes, samples, z)
    assert 0.0 <= bound <= (successes / samples if samples else 0.0) + 1e-9


def test_the_bound_of_known_cases() -> None:
    assert wilson_lower_bound(0, 0) == 0.0
    assert wilson_lower_bound(0, 10) == 0.0
    assert wilson_lower_bound(10, 10) == pytest.approx(0.7225, abs=1e-4)
    assert wilson_lower_bound(5, 10) == pytest.approx(0.2366, abs=1e-4)
    assert wilson_lower_bound(7, 10, z=0) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"minimum_samples": 0}, "minimum_samples"),
        ({"half_life": 0.0}, "half_life"),
        ({"half_life": math.inf}, "half_life"),
        ({"confidence": -1}, "confidence"),
    ],
    ids=str,
)
def test_an_option_that_breaks_its_rule_is_refused_by_name(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Ranking(**changed)
    assert caught.value.field == f"Ranking.{field}"
