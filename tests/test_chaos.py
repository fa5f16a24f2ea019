"""Random faults into every actor while a service works; `python -m benchmarks.chaos` is the whole of it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


def _storm(*options: str, within: float) -> set[int | str]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos", "--json", *options],
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )
    figures = json.loads(done.stdout)
    assert done.returncode == 0, (figures["wrong"], done.stderr)
    assert figures["faults"] > 0
    violated: dict[str, int | str] = figures["must be zero"]
    return set(violated.values())


@pytest.mark.timeout(200)
def test_nothing_that_must_not_happen_happens_in_a_short_storm() -> None:
    violated = _storm("--seed", "3", "--faults", "300", "--round", "100", "--duration", "20", within=180.0)
    assert violated == {0, "not judged: too few rounds"}  # that is growth


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nor_in_two_minutes_of_it() -> None:
    assert _storm("--seed", "4", within=500.0) == {0}
