"""Restart types under one_for_one: rows 35 to 39, X8, X9, X10 and X26."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from upright.supervisors import (
    ChildNotFound,
    Restart,
    RestartStrategy,
    restart_child,
    terminate_child,
    which_child,
    which_children,
)

if TYPE_CHECKING:
    from otp_lab import Lab

otp = pytest.mark.otp

CLEAN = ["normal", "shutdown", "shutdown_detail"]


@otp(35)
@pytest.mark.parametrize("how", [*CLEAN, "crash"])
def test_a_permanent_child_is_restarted_whatever_ended_it(lab: Lab, how: Any) -> None:
    top = lab.supervise(lab.spec("a"), intensity=2)
    lab.exit_and_settle(top, "a", how)
    assert lab.states(top) == "a running"
    assert lab.counts(top) == (1, 1, 0, 1)
    assert lab.story() == "up a, down a, up a"


@otp(35)
def test_a_permanent_child_that_is_stopped_from_outside_is_restarted(lab: Lab) -> None:
    top = lab.supervise(lab.spec("a"), intensity=2)
    address = which_child(top, "a").address
    assert address.stop()
    lab.settle(top)
    assert lab.starts("a") == 2
    assert address.ask("ping") == "pong"


@otp(36)
@pytest.mark.parametrize("how", CLEAN)
def test_a_transient_child_that_ended_cleanly_stays_down(lab: Lab, how: Any) -> None:
    top = lab.supervise(lab.spec("a", Restart.TRANSIENT), intensity=2)
    lab.exit_and_settle(top, "a", how)
    assert lab.states(top) == "a stopped"
    assert lab.counts(top) == (1, 0, 0, 1)
    assert restart_child(top, "a") is not None
    assert lab.counts(top) == (1, 1, 0, 1)


@otp(37)
def test_a_transient_child_that_crashed_is_restarted(lab: Lab) -> None:
    top = lab.supervise(lab.spec("a", Restart.TRANSIENT), intensity=2)
    lab.crash(top, "a")
    assert lab.counts(top) == (1, 1, 0, 1)
    assert lab.starts("a") == 2


@otp(38)
@pytest.mark.parametrize("how", [*CLEAN, "crash"])
def test_a_temporary_child_is_forgotten_whatever_ended_it(lab: Lab, how: Any) -> None:
    top = lab.supervise(lab.spec("a", Restart.TEMPORARY), intensity=2)
    lab.exit_and_settle(top, "a", how)
    assert which_children(top) == []
    assert lab.counts(top) == (0, 0, 0, 0)
    with pytest.raises(ChildNotFound):
        restart_child(top, "a")
    assert lab.starts("a") == 1


@otp(39)
@pytest.mark.parametrize("strategy", [RestartStrategy.ONE_FOR_ALL, RestartStrategy.REST_FOR_ONE])
@pytest.mark.parametrize("how", ["crash", "normal"])
def test_a_temporary_bystander_of_a_group_restart_is_ended_and_forgotten(
    lab: Lab, strategy: RestartStrategy, how: Any
) -> None:
    top = lab.supervise(lab.spec("child1"), lab.spec("child2", Restart.TEMPORARY), strategy=strategy)
    lab.exit_and_settle(top, "child1", how)
    assert lab.states(top) == "child1 running"
    assert lab.counts(top) == (1, 1, 0, 1)
    assert lab.story() == "up child1, up child2, down child1, down child2, up child1"
    assert lab.lives_on(top)


@otp("X8")
def test_a_group_restart_starts_again_a_transient_child_that_had_finished(lab: Lab) -> None:
    top = lab.supervise(lab.spec("a", Restart.TRANSIENT), lab.spec("b"), strategy=RestartStrategy.ONE_FOR_ALL)
    lab.exit_and_settle(top, "a", "normal")
    assert lab.states(top) == "a stopped, b running"
    lab.crash(top, "b")
    assert lab.states(top) == "a running, b running"


@otp("X9")
@pytest.mark.parametrize(
    ("strategy", "after"),
    [
        (RestartStrategy.ONE_FOR_ALL, "a running, b running"),
        (RestartStrategy.REST_FOR_ONE, "a stopped, b running"),
        (RestartStrategy.ONE_FOR_ONE, "a stopped, b running"),
    ],
)
def test_a_group_restart_starts_again_a_child_that_was_terminated(
    lab: Lab, strategy: RestartStrategy, after: str
) -> None:
    top = lab.supervise(*lab.specs("a b"), strategy=strategy)
    terminate_child(top, "a")
    lab.crash(top, "b")
    assert lab.states(top) == after


@otp("X10")
def test_ignore_at_a_restart_keeps_the_spec_and_is_no_error(lab: Lab) -> None:
    top = lab.supervise(lab.spec("a"), intensity=1)
    lab.stage.plan("a", "ignore")
    lab.crash(top, "a")
    assert lab.states(top) == "a stopped"
    assert lab.counts(top) == (1, 0, 0, 1)
    assert lab.lives_on(top)
    assert lab.story() == "up a, down a, ignore a"
    assert restart_child(top, "a") is not None


@otp("X26")
def test_neither_temporary_crashes_nor_restarts_by_hand_count(lab: Lab) -> None:
    top = lab.supervise(lab.spec("t", Restart.TEMPORARY), lab.spec("a"), intensity=0)
    lab.crash(top, "t")
    for _ in range(5):
        terminate_child(top, "a")
        restart_child(top, "a")
    assert lab.lives_on(top)
    assert lab.starts("a") == 6
