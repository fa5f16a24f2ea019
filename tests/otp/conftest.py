"""Fixtures and options of the OTP cases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from otp_lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--otp-scenarios", type=int, default=300, help="how many random scenarios to compare with OTP")
    parser.addoption("--otp-seed", type=int, default=0, help="seed of the first of them")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Crashing actors is what these tests are about."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.actor_crash)


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A laboratory that stops its supervisors after the test."""
    with Lab() as laboratory:
        yield laboratory


@pytest.fixture(scope="session")
def otp_random(request: pytest.FixtureRequest) -> tuple[int, int]:
    """How many random scenarios to play, and the seed of the first."""
    # The defaults again: in a run of all tests pytest comes upon this file too late for its options.
    option = request.config.getoption
    return option("--otp-scenarios", default=300), option("--otp-seed", default=0)
