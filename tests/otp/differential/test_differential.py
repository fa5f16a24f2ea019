"""The same scenarios on OTP's supervisor and on upright: results, journal, states and counts must be the same.

`pytest tests/otp/differential --otp-scenarios=5000 --otp-seed=1` plays more random ones.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import pytest
from otp_scenarios import Author, Scenario, comparable, erlang_missing, play_on_otp
from otp_upright import play_on_upright
from otp_written import SCENARIOS

if TYPE_CHECKING:
    from otp_scenarios import Observation

pytestmark = [
    pytest.mark.otp("differential"),
    pytest.mark.actor_crash,
    pytest.mark.skipif(bool(erlang_missing()), reason=erlang_missing() or "-"),
]


@pytest.fixture(scope="module")
def otp() -> dict[str, Observation]:
    """How OTP plays the written scenarios: all in one Erlang node, once."""
    return dict(zip((s.name for s in SCENARIOS), play_on_otp(SCENARIOS), strict=True))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_plays_a_written_scenario_as_otp_does(scenario: Scenario, otp: dict[str, Observation]) -> None:
    expected = comparable(scenario, deepcopy(otp[scenario.name]))
    assert "driver_crash" not in expected
    assert_same(scenario, comparable(scenario, play_on_upright(scenario)), expected)


@pytest.mark.timeout(0)
def test_plays_random_scenarios_as_otp_does(otp_random: tuple[int, int]) -> None:
    count, seed = otp_random
    scenarios = [Author(number).write() for number in range(seed, seed + count)]
    for scenario, expected in zip(scenarios, play_on_otp(scenarios), strict=True):
        assert "driver_crash" not in expected
        assert_same(scenario, comparable(scenario, play_on_upright(scenario)), comparable(scenario, expected))


def assert_same(scenario: Scenario, played: Observation, expected: Observation) -> None:
    """Compare step by step, so that the first difference is what is shown."""
    steps = [["start"], *scenario.steps]
    for number, (step, mine, theirs) in enumerate(zip(steps, played["steps"], expected["steps"], strict=True)):
        assert mine == theirs, f"{scenario} differs at step {number}: {step}"
