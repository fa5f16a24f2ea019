"""The benchmark on simulated incidents: the same seed gives the same report, and its rules are those it states."""

from __future__ import annotations

import re

import pytest

from benchmarks.incidents.report import report
from benchmarks.incidents.scoring import run, wilson
from benchmarks.incidents.variants import VARIANTS, jobs, make


def small(name: str, seed: int) -> str:
    chosen = {job.group: job for job in jobs(VARIANTS[name], seed, 1)}
    outcomes = [outcome for job in chosen.values() for outcome in run(job, baselines=True)]
    return re.sub(r"observe\(\), 99th percentile .*", "", report(name, outcomes))


def test_the_same_seed_gives_the_same_report() -> None:
    first = small("base", 5)
    assert first == small("base", 5)
    assert "Holt, 30 min ahead, for 3" in first
    assert "goals" in first


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_makes_episodes_whose_truth_is_known(name: str) -> None:
    for group in ("gradual", "abrupt", "benign"):
        episode = make(next(job for job in jobs(VARIANTS[name], 3, 1) if job.group == group))
        assert len(episode.readings) == len(episode.ticks)
        assert (episode.onset is None) == (group == "benign")
        if episode.onset is not None and episode.crossing is not None:
            assert episode.failure is not None
            assert episode.onset <= episode.crossing <= episode.failure


def test_wilsons_interval_is_the_books() -> None:
    rate, low, high = wilson(8, 10)
    assert (rate, round(low, 3), round(high, 3)) == (0.8, 0.49, 0.943)
