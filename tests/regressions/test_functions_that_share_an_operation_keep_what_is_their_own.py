"""The resource and the `idempotent` of one function were replaced by those of the next that shared its operation.

So another database was healed than the one that had failed, and a payment was made three times.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest

import upright
from upright.strategies.breaker import BreakerState
from upright.strategies.healing.base import HealingStrategy
from upright.strategies.report import ErrorReport, RecoveryStatus

CONFIG: dict[str, Any] = {"control": {"enabled": False}, "retry": {"initial": 0.001}}
PATIENCE = 20.0


class Repair(HealingStrategy):
    """Notes what it was to heal."""

    name = "repair"

    def __init__(self) -> None:
        self.healed: list[str] = []
        self.done = threading.Event()

    def can_handle(self, report: ErrorReport) -> bool:
        return True

    def heal(self, report: ErrorReport) -> None:
        self.healed.append(report.target)

    def verify(self, report: ErrorReport) -> None:
        self.done.set()


def test_each_function_is_healed_on_its_own_resource() -> None:
    repair = Repair()
    with upright.boot(CONFIG, strategies=[repair]) as tree:

        @tree.protect("query", resource="orders-db")
        def orders() -> str:
            if "orders-db" not in repair.healed:
                raise ConnectionError("down")
            return "orders"

        @tree.protect("query", resource="users-db")
        def users() -> str:
            if "users-db" not in repair.healed:
                raise ConnectionError("down")
            return "users"

        assert (orders(), users()) == ("orders", "users")
        assert repair.healed == ["orders-db", "users-db"]
        assert [entry.resource for entry in tree.history()] == ["orders-db", "users-db"]


def test_what_is_recovered_by_hand_changes_no_function() -> None:
    repair = Repair()
    with upright.boot(CONFIG, strategies=[repair]) as tree:

        @tree.protect("query", resource="main-db")
        def query() -> int:
            if "main-db" not in repair.healed:
                raise ConnectionError("down")
            return 5

        result = tree.recover(ConnectionError("down"), operation="query", resource="tenant-7")
        assert (result.status, result.resource) == (RecoveryStatus.HEALED, "tenant-7")
        assert query() == 5
        assert repair.healed == ["tenant-7", "main-db"]


def test_blocks_at_the_same_time_report_each_its_own_resource() -> None:
    repair = Repair()
    with upright.boot(CONFIG, strategies=[repair]) as tree:

        def check_out() -> None:
            with tree.boundary("checkout", resource="orders-db"):
                with tree.boundary("checkout", resource="users-db"):
                    pass
                raise ConnectionError("down")

        with pytest.raises(ConnectionError):
            check_out()
        assert repair.done.wait(PATIENCE)
        assert repair.healed == ["orders-db"]


def test_one_boundary_may_be_entered_again_while_it_is_entered() -> None:
    with upright.boot(CONFIG, strategies=[Repair()]) as tree:
        block = tree.boundary("checkout")
        with block, block:
            pass
        assert len(tree.edge.operations.get("checkout").breaker.snapshot.log) == 2


def test_the_circuit_lets_probes_through_when_that_is_healed_which_opened_it() -> None:
    broken, repair = [True], Repair()
    config = {**CONFIG, "healing": {"heal_wait": 0.0}, "retry": {"attempts": 1}}
    with upright.boot(
        {**config, "breaker": {"wait_duration_in_open": 3600.0, "max_wait_duration_in_open": 3600.0}}
    ) as tree:

        @tree.protect("query", resource="orders-db")
        def orders() -> int:
            if broken:
                raise ConnectionError("down")
            return 5

        tree.protect("query", resource="users-db")(lambda: None)
        for _ in range(10_000):  # the breaker comes to the failures when it can
            with pytest.raises((ConnectionError, upright.CircuitOpenError)):
                orders()
            if tree.breakers["query"].state is BreakerState.OPEN:
                break
        assert tree.breakers["query"].state is BreakerState.OPEN
        broken.clear()
        tree.register(repair)
        result = tree.recover(ConnectionError("down"), operation="query", resource="orders-db", timeout=PATIENCE)
        assert result.status is RecoveryStatus.HEALED
        assert orders() == 5


@pytest.mark.parametrize("other", [{"heal_wait": 0.2}, {"idempotent": True}], ids=["an option", "the opposite"])
def test_what_must_not_be_repeated_is_not_whatever_another_function_of_the_operation_says(other: Any) -> None:
    charges = []
    with upright.boot(CONFIG) as tree:

        @tree.protect("payments", idempotent=False)
        def charge() -> None:
            charges.append(1)
            raise ConnectionError("down")

        tree.protect("payments", **other)(lambda: None)
        with pytest.raises(ConnectionError):
            charge()
        assert len(charges) == 1
        assert tree.call("payments", charge).status is RecoveryStatus.FAILED
        assert len(charges) == 2


def test_the_options_of_functions_that_share_an_operation_add_up() -> None:
    settings = {**CONFIG, "operations": {"payments": {"idempotent": False, "heal_wait": 3.0}}}
    with upright.boot(settings) as tree:
        tree.protect("payments", retry_attempts=7)
        tree.protect("payments", deadline=9.0)
        options = tree.edge.operations.get("payments").options
        assert (options.retry.attempts, options.deadline, options.heal_wait) == (7, 9.0, 3.0)
        assert options.idempotent is False


def test_the_retry_budget_is_not_full_again_when_another_function_is_decorated() -> None:
    calls = []
    with upright.boot({**CONFIG, "retry": {"attempts": 4, "initial": 0.001, "maximum": 0.001}}) as tree:

        def fail() -> None:
            calls.append(1)
            raise ConnectionError("down")

        for _ in range(100):
            with pytest.raises((ConnectionError, upright.CircuitOpenError)):
                tree.protect("query", heal_wait=0.0, minimum_number_of_calls=10_000, window_size=10_000)(fail)()
        assert len(calls) < 200
