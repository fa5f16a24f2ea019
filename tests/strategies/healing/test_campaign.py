"""A short campaign of mixed faults over most components; `python -m benchmarks.healing` is the long one."""

from __future__ import annotations

import pytest

from benchmarks.healing.__main__ import COMPONENTS, campaign


def _run(names: list[str], faults: int, seed: int) -> None:
    summary = campaign(names, faults, seed)
    assert summary["odd"] == []
    assert summary["faults"] == faults
    assert summary["healed"] == summary["healable"] > 0
    assert summary["permanent"] > 0
    assert summary["permanent_healed"] == 0


@pytest.mark.timeout(120)
def test_all_that_can_be_healed_is_and_nothing_else() -> None:
    _run(["pool", "sqlite", "httpx", "name", "redis", "websocket", "async-websocket", "memory"], faults=48, seed=7)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_same_over_all_components() -> None:
    _run(sorted(COMPONENTS), faults=200, seed=11)
