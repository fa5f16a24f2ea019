"""A strategy that verified by a protected call was proven by its fallback, and waited for its own healing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import upright
from upright.strategies.fallback import FallbackChain, FallbackStep
from upright.strategies.healing.base import HealingStrategy
from upright.strategies.report import ErrorReport, RecoveryStatus

CONFIG: dict[str, Any] = {"control": {"enabled": False}, "retry": {"attempts": 1}, "healing": {"heal_wait": 20.0}}


class ByProtectedCall(HealingStrategy):
    """Verifies by what the application calls as well."""

    name = "by protected call"
    asynchronous = False

    def can_handle(self, report: ErrorReport) -> bool:
        return True

    def heal(self, report: ErrorReport) -> None:
        return None

    def verify(self, report: ErrorReport) -> Any:
        return ping_async() if self.asynchronous else ping()


def fail() -> str:
    raise ConnectionError("down")


@upright.protect("ping", resource="db")
def ping() -> str:
    return fail()


@upright.protect("ping", resource="db")
async def ping_async() -> str:
    return fail()


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("is_open", [False, True])
def test_protected_calls_are_bare_within_a_healing(asynchronous: bool, is_open: bool) -> None:  # noqa: FBT001 - cases
    strategy = ByProtectedCall()
    strategy.asynchronous = asynchronous
    chain = FallbackChain("ping", [FallbackStep("stale", lambda _: "stale")])
    with upright.boot(CONFIG, strategies=[strategy, chain]) as tree:
        if is_open:
            tree.breakers["ping"].force_open()
        result = tree.recover(ConnectionError("down"), operation="ping", resource="db")
        assert result.status is not RecoveryStatus.HEALED
        assert "ConnectionError" in result.steps[0].detail
        assert ping() == "stale"


def test_the_tasks_of_an_application_are_no_healing() -> None:
    strategy = ByProtectedCall()
    strategy.asynchronous = True
    chain = FallbackChain("ping", [FallbackStep("stale", lambda _: "stale")])

    async def main() -> list[str]:
        return list(await asyncio.gather(*(ping_async() for _ in range(5))))

    with upright.boot(CONFIG, strategies=[strategy, chain]):
        assert asyncio.run(main()) == ["stale"] * 5
