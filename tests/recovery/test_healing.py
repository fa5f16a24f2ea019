"""Healing: attempts and escalation, strategies that hang or misbehave, and where asynchronous ones run."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from recovery_parts import Boot, Healer, Resource, Switch, broken_healer, failing, trail, wait_until

from upright.strategies.healing.base import HealingFailed
from upright.strategies.report import ErrorReport, RecoveryResult, RecoveryStatus

if TYPE_CHECKING:
    from upright.tree import Tree

QUICK = {"cooldown": 0.2, "attempt_window": 60.0}


def recover(tree: Tree, error: Exception | None = None, **options: Any) -> RecoveryResult:
    return tree.recover(error or ConnectionRefusedError(111, "refused"), operation="op", **options)


# Attempts, escalation, cool-down.


def test_after_the_last_allowed_attempt_healing_is_skipped_until_the_cool_down_ends(boot: Boot) -> None:
    healer = broken_healer()
    tree = boot(healer, healing=QUICK)
    for _ in range(3):
        assert trail(recover(tree))[0] == ("HEALING", "broken", "FAILED")
    skipped = recover(tree)
    assert trail(skipped)[0] == ("HEALING", "healing", "SKIPPED")
    assert "escalated" in skipped.steps[0].detail
    assert len(healer.reports) == 3
    time.sleep(0.25)
    assert trail(recover(tree))[0] == ("HEALING", "broken", "FAILED")
    assert len(healer.reports) == 4


def test_an_escalation_is_told_once_and_shows_in_the_status(boot: Boot, caplog: pytest.LogCaptureFixture) -> None:
    tree = boot(broken_healer(), healing={"cooldown": 30.0, "max_healing_attempts": 2})
    for _ in range(5):
        recover(tree)
    details = tree.status_of("healing").details
    assert details["escalations"] == 1
    assert 0 < details["escalated"]["NETWORK:op"] <= 30.0
    told = [record for record in caplog.records if "recovery_escalated" in record.getMessage()]
    assert [record.levelname for record in told] == ["ERROR"]


def test_one_attempt_is_one_heal_whichever_strategy_made_it(boot: Boot) -> None:
    first, second = broken_healer("first"), broken_healer("second")
    tree = boot(first, second, healing={"cooldown": 30.0})
    assert len(recover(tree).steps) >= 2
    assert trail(recover(tree))[0] == ("HEALING", "first", "FAILED")
    assert trail(recover(tree))[0] == ("HEALING", "healing", "SKIPPED")
    assert (len(first.reports), len(second.reports)) == (2, 1)


def test_proven_healings_do_not_count_and_clear_what_failed_before(boot: Boot) -> None:
    works = [False, False, True, False, False, True, True, True, True, True]

    def heal(_: ErrorReport) -> None:
        if not works.pop(0):
            raise OSError("not yet")

    tree = boot(Healer(heal), healing={"cooldown": 30.0})
    statuses = [recover(tree).status for _ in range(10)]
    assert statuses.count(RecoveryStatus.HEALED) == 6
    assert tree.status_of("healing").details["escalations"] == 0


def test_other_failures_are_healed_while_one_cools_down(boot: Boot) -> None:
    healer = broken_healer()
    tree = boot(healer, healing={"cooldown": 30.0, "max_healing_attempts": 1})
    recover(tree)
    assert trail(recover(tree))[0][1] == "healing"
    assert trail(tree.recover(OSError("down"), operation="other"))[0] == ("HEALING", "broken", "FAILED")


def test_attempts_older_than_the_window_do_not_count(boot: Boot) -> None:
    tree = boot(broken_healer(), healing={"cooldown": 30.0, "attempt_window": 0.1, "max_healing_attempts": 2})
    for _ in range(4):
        assert trail(recover(tree))[0] == ("HEALING", "broken", "FAILED")
        time.sleep(0.12)


def test_a_wrong_password_escalates_at_once(boot: Boot) -> None:
    def heal(_: ErrorReport) -> None:
        class InvalidPassword(Exception):
            sqlstate = "28P01"

        InvalidPassword.__module__ = "psycopg.errors"
        raise HealingFailed("could not reconnect", attempts=1) from InvalidPassword("password authentication failed")

    healer, other = Healer(heal), Healer(name="other")
    tree = boot(healer, other, healing={"cooldown": 30.0})
    recover(tree)
    assert trail(recover(tree))[0] == ("HEALING", "healing", "SKIPPED")
    assert len(healer.reports) == 1
    assert not other.reports


def test_a_bug_in_a_strategy_is_a_failed_attempt_and_not_hopeless(boot: Boot) -> None:
    healer = Healer(failing(TypeError("bug")))
    tree = boot(healer, healing={"cooldown": 30.0})
    for _ in range(3):
        recover(tree)
    assert len(healer.reports) == 3


# Strategies that misbehave.


@pytest.mark.parametrize(
    "error",
    [OSError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(), BaseException("x")],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("where", ["fits", "heal", "verify"])
def test_a_strategy_that_raises_anything_anywhere_has_failed_and_the_next_is_tried(
    boot: Boot, where: str, error: BaseException
) -> None:
    raising = failing(error)
    bad = Healer(
        raising if where == "heal" else None,
        name="bad",
        fits=raising if where == "fits" else lambda _: True,
        verify=raising if where == "verify" else lambda _: None,
    )
    tree = boot(bad, Healer(name="good"))
    result = recover(tree)
    assert result.status is RecoveryStatus.HEALED
    assert trail(result) == [("HEALING", "bad", "FAILED"), ("HEALING", "good", "SUCCEEDED")]
    assert type(error).__name__ in result.steps[0].detail
    assert tree["healing"].restarts == 0


def test_can_handle_that_raises_is_no_attempt_at_healing(boot: Boot) -> None:
    bad = Healer(name="bad", fits=failing(KeyError("bug")))
    good = Healer(name="good")
    tree = boot(bad, good, healing={"max_healing_attempts": 1, "cooldown": 30.0})
    for _ in range(3):
        assert recover(tree).status is RecoveryStatus.HEALED
    assert (tree._board.healing_attempts.value, tree._board.healing_successes.value) == (3, 3)
    counted = {"good": {"attempts": 3, "proven": 3}}
    wait_until(lambda: tree.status_of("healing").details["strategies"] == counted)


@pytest.mark.parametrize(
    "error", [OSError("x"), asyncio.CancelledError(), SystemExit(3)], ids=lambda e: type(e).__name__
)
@pytest.mark.parametrize("where", ["can_handle", "heal", "verify"])
def test_an_asynchronous_strategy_that_raises_has_failed_and_the_next_is_tried(
    boot: Boot, where: str, error: BaseException
) -> None:
    class Bad(Healer):
        async def _do(self, what: str) -> bool:
            await asyncio.sleep(0)
            if what == where:
                raise error
            return True

        def can_handle(self, report: ErrorReport) -> Any:
            return self._do("can_handle")

        def heal(self, report: ErrorReport) -> Any:
            return self._do("heal")

        def verify(self, report: ErrorReport) -> Any:
            return self._do("verify")

    tree = boot(Bad(name="bad"), Healer(name="good"))
    result = recover(tree)
    assert trail(result) == [("HEALING", "bad", "FAILED"), ("HEALING", "good", "SUCCEEDED")]


def test_a_strategy_that_hangs_is_abandoned_at_its_timeout_and_the_next_one_tried(boot: Boot, switch: Switch) -> None:
    """The one that hung was taken for the first in the list; it was tried again until the attempts were used up."""
    unfit = [Healer(name=f"unfit-{number}", fits=lambda _: False) for number in range(3)]
    hanging = Healer(lambda _: switch.wait(), name="hanging", timeout=0.05)
    tree = boot(*unfit, hanging, Healer(name="good"), healing={"heal_wait": 10})
    began = time.monotonic()
    result = recover(tree)
    assert time.monotonic() - began < 3
    assert trail(result) == [("HEALING", "hanging", "FAILED"), ("HEALING", "good", "SUCCEEDED")]
    assert result.steps[0].detail == "not done within 0.05 s"
    assert len(hanging.reports) == 1


def test_each_strategy_has_its_own_timeout(boot: Boot, switch: Switch) -> None:
    """The shortest that was named held for those that named none."""
    short = Healer(name="short", fits=lambda _: False, timeout=0.02)
    slow = Healer(lambda _: switch.wait(0.15), name="slow")
    tree = boot(short, slow, healing={"heal_wait": 10, "timeout": 5.0})
    assert trail(recover(tree)) == [("HEALING", "slow", "SUCCEEDED")]


def test_a_busy_loop_is_interrupted_at_its_timeout(boot: Boot) -> None:
    ended = threading.Event()

    def heal(_: ErrorReport) -> None:
        try:
            while True:
                sum(range(1000))
        finally:
            ended.set()

    tree = boot(Healer(heal, name="busy", timeout=0.05), Healer(name="good"), healing={"heal_wait": 10})
    assert recover(tree).status is RecoveryStatus.HEALED
    assert ended.wait(5)


def test_a_hanging_healing_holds_up_no_other(boot: Boot, switch: Switch) -> None:
    tree = boot(
        Healer(lambda report: switch.wait() if report.resource == "slow" else None),
        healing={"heal_wait": 10.0},
        retry={"attempts": 1},
    )
    slow = tree.orchestrator.ask(ErrorReport(OSError(), "op", "slow"), block=False)
    for number in range(20):
        assert recover(tree, resource=f"db-{number}").status is RecoveryStatus.HEALED
    switch.set()
    assert slow.get(timeout=5).status is RecoveryStatus.HEALED


@pytest.mark.timeout(60)
def test_more_healings_than_workers_wait_for_one(boot: Boot, switch: Switch) -> None:
    """Those that found no worker had failed, and 3 of them were escalated."""
    tree = boot(Healer(lambda _: switch.wait()), healing={"heal_wait": 20})
    asked = [tree.orchestrator.ask(ErrorReport(OSError(), "op", f"db-{n}"), block=False) for n in range(80)]
    wait_until(lambda: len(tree["healers"].children) == 64)
    wait_until(lambda: tree.status_of("healing").details["waiting_for_a_worker"] >= 15)  # one may be asking just now
    switch.set()
    assert all(one.get(timeout=10).status is RecoveryStatus.HEALED for one in asked)


def test_a_verify_that_says_false_is_no_proof(boot: Boot) -> None:
    tree = boot(Healer(verify=lambda _: False))
    result = recover(tree)
    assert result.status is RecoveryStatus.FAILED
    assert result.steps[0].detail == "verify returned False"
    assert tree._board.proof("op").epoch == 0


def test_workers_are_used_again(boot: Boot) -> None:
    healer = Healer()
    tree = boot(healer)
    for _ in range(20):
        recover(tree)
    assert len(set(healer.threads)) <= 2
    assert len(tree["healers"].children) <= 2


def test_a_strategy_that_calls_sys_exit_costs_no_worker(boot: Boot) -> None:
    tree = boot(Healer(lambda _: sys.exit(1), name="exits"), Healer(name="good"))
    for _ in range(3):
        assert recover(tree).status is RecoveryStatus.HEALED
    assert len(tree["healers"].children) <= 2


# Asynchronous strategies.


class LoopHealer(Healer):
    """Heals by coroutines, and notes on which loop they ran."""

    def __init__(self) -> None:
        super().__init__(name="loop")
        self.loops: list[asyncio.AbstractEventLoop] = []

    def heal(self, report: ErrorReport) -> Any:
        async def heal() -> None:
            self.loops.append(asyncio.get_running_loop())

        return heal()

    def verify(self, report: ErrorReport) -> Any:
        return self.heal(report)


def test_an_asynchronous_strategy_runs_on_the_loop_of_the_failed_call(boot: Boot) -> None:
    healer = LoopHealer()
    tree = boot(healer)
    resource = Resource(up_after=1)

    async def main() -> asyncio.AbstractEventLoop:
        assert await tree.protect("op")(resource.use_async)("v") == "v"
        return asyncio.get_running_loop()

    assert healer.loops == [asyncio.run(main())] * 2


def test_an_asynchronous_strategy_of_a_synchronous_call_has_a_loop_of_its_own(boot: Boot) -> None:
    healer = LoopHealer()
    tree = boot(healer)
    assert recover(tree).status is RecoveryStatus.HEALED
    assert len(healer.loops) == 2


def test_a_synchronous_call_inside_a_loop_does_not_deadlock_with_an_asynchronous_strategy(boot: Boot) -> None:
    healer = LoopHealer()
    tree = boot(healer, healing={"heal_wait": 10})
    resource = Resource(up_after=1)

    async def main() -> Any:
        return tree.protect("op")(resource.use)("v")

    assert asyncio.run(main()) == "v"


def test_an_asynchronous_strategy_outlives_the_loop_it_began_on(boot: Boot) -> None:
    began = threading.Event()

    class Slow(Healer):
        def heal(self, report: ErrorReport) -> Any:
            async def heal() -> None:
                if not began.is_set():
                    began.set()
                    await asyncio.sleep(60)

            return heal()

    tree = boot(Slow(name="slow"), healing={"heal_wait": 0.05}, retry={"attempts": 1})

    async def main() -> None:
        with pytest.raises(ConnectionRefusedError):
            await tree.protect("op", resource="db")(Resource().use_async)()
        assert began.is_set()

    asyncio.run(main())
    wait_until(lambda: tree._board.proof("db").epoch == 1)


def test_a_healing_that_fails_in_the_background_is_no_second_failure(boot: Boot, switch: Switch) -> None:
    def heal(_: ErrorReport) -> None:
        switch.wait()
        raise OSError("still broken")

    tree = boot(Healer(heal), healing={"heal_wait": 0.0}, retry={"attempts": 1})
    assert tree.call("op", failing(ConnectionRefusedError(111, "refused"))).status is RecoveryStatus.FAILED
    switch.set()
    wait_until(lambda: tree.status_of("orchestrator").details["not_healed"] == 1)
    wait_until(lambda: "healing_ended" in [line.name for line in tree.parts.monitor.events()])
    assert [entry.status for entry in tree.history()] == [RecoveryStatus.FAILED]
