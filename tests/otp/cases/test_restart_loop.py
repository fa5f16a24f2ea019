"""A restart that fails again and again does not keep the administration out: rows 54 to 56.

OTP's supervisor posts itself "try again" and returns to its mailbox, so whatever came while a start was under way
is handled before the next attempt. The tests let each start wait until a call is queued, and then fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from upright.actors import NORMAL
from upright.supervisors import (
    Backoff,
    ChildAlreadyPresent,
    ChildRestarting,
    ChildState,
    RestartStrategy,
    restart_child,
    start_child,
    terminate_child,
    which_children,
)

if TYPE_CHECKING:
    from otp_lab import Lab

otp = pytest.mark.otp


@otp(54)
@pytest.mark.parametrize("start_in", ["init", "on_start"])
def test_calls_get_in_between_the_attempts(lab: Lab, start_in: str) -> None:
    top = lab.supervise(lab.spec("a", start_in=start_in), intensity=8)
    lab.hold("a")
    with pytest.raises(ChildAlreadyPresent):
        lab.call_while_failing(top, "a", "start_child", lab.spec("a"))
    for call in ("restart_child", "delete_child"):
        lab.wait_held("a")
        with pytest.raises(ChildRestarting):
            lab.call_while_failing(top, "a", call, "a")
    lab.wait_held("a")
    (info,) = lab.call_while_failing(top, "a", "which_children")
    assert info.state is ChildState.RESTARTING
    lab.wait_held("a")
    counts = lab.call_while_failing(top, "a", "count_children")
    assert (counts.specs, counts.active, counts.supervisors, counts.workers) == (1, 0, 0, 1)
    lab.wait_held("a")
    assert lab.call_while_failing(top, "a", "terminate_child", "a") is None
    assert lab.states(top) == "a stopped"
    assert lab.stage.entered.empty()  # the loop has ended
    lab.stage.plan("a")
    assert restart_child(top, "a") is not None
    assert lab.story() == "up a, down a" + ", fail a" * 6 + ", up a"


@otp(54)
def test_a_supervisor_stops_although_a_restart_goes_on_failing(lab: Lab) -> None:
    top = lab.supervise(lab.spec("a"), lab.spec("b"), intensity=8)
    lab.hold("a")
    stopped = top.stop(block=False)
    lab.stage.plan("a", *["fail"] * 9)  # type: ignore[arg-type]
    lab.let_go("a", "fail")
    assert stopped.get(timeout=10)
    assert lab.reason(top) == NORMAL
    assert lab.story() == "up a, up b, down a, fail a, down b"


@otp(55)
def test_terminating_the_failing_child_of_a_group_leaves_the_rest_down(lab: Lab) -> None:
    top = lab.supervise(*lab.specs("c1 c2 c3"), strategy=RestartStrategy.REST_FOR_ONE, intensity=8)
    lab.hold("c2")
    children = lab.call_while_failing(top, "c2", "which_children")
    assert [(child.id, child.state.name) for child in children] == [
        ("c1", "RUNNING"),
        ("c2", "RESTARTING"),
        ("c3", "STOPPED"),
    ]
    lab.wait_held("c2")
    counts = lab.call_while_failing(top, "c2", "count_children")
    assert (counts.specs, counts.active, counts.supervisors, counts.workers) == (3, 1, 0, 3)
    lab.wait_held("c2")
    lab.call_while_failing(top, "c2", "terminate_child", "c2")
    assert lab.states(top) == "c1 running, c2 stopped, c3 stopped"
    lab.stage.plan("c2")
    restart_child(top, "c2")
    assert lab.states(top) == "c1 running, c2 running, c3 stopped"
    assert lab.lives_on(top)


@otp(55)
def test_a_group_stops_in_order_although_its_restart_goes_on_failing(lab: Lab) -> None:
    top = lab.supervise(*lab.specs("c1 c2 c3"), strategy=RestartStrategy.REST_FOR_ONE, intensity=8)
    lab.hold("c2")
    stopped = top.stop(block=False)
    lab.let_go("c2", "fail")
    assert stopped.get(timeout=10)
    assert lab.story() == "up c1, up c2, up c3, down c2, down c3, fail c2, down c1"


@otp(56)
def test_a_dynamic_child_in_its_loop_is_listed_and_can_be_terminated(lab: Lab) -> None:
    top = lab.supervise_dynamic(lab.spec("a"), intensity=8)
    address = which_children(top)[0].address
    lab.hold("a")
    (info,) = lab.call_while_failing(top, "a", "which_children")
    assert (info.id, info.address, info.state) == ("a", address, ChildState.RESTARTING)
    lab.wait_held("a")
    counts = lab.call_while_failing(top, "a", "count_children")
    assert (counts.specs, counts.active, counts.supervisors, counts.workers) == (1, 0, 0, 1)
    lab.wait_held("a")
    assert lab.call_while_failing(top, "a", "terminate_child", address) is None
    assert which_children(top) == []
    assert not address.is_alive()
    assert lab.stage.entered.empty()


@otp(56)
def test_a_dynamic_supervisor_stops_although_a_restart_goes_on_failing(lab: Lab) -> None:
    top = lab.supervise_dynamic(*lab.specs("a b"), intensity=8)
    lab.hold("a")
    stopped = top.stop(block=False)
    lab.let_go("a", "fail")
    assert stopped.get(timeout=10)
    assert lab.reason(top) == NORMAL


@otp(54)
def test_the_failing_child_can_be_terminated_while_its_sibling_is_administered(lab: Lab) -> None:
    top = lab.supervise(*lab.specs("a b"), intensity=8)
    lab.hold("a")
    lab.call_while_failing(top, "a", "terminate_child", "b")
    lab.wait_held("a")
    assert lab.call_while_failing(top, "a", "restart_child", "b") is not None
    lab.wait_held("a")
    lab.let_go("a")
    lab.settle(top)
    assert lab.states(top) == "a running, b running"
    terminate_child(top, "a")
    assert lab.states(top) == "a stopped, b running"


@pytest.mark.parametrize("strategy", [RestartStrategy.ONE_FOR_ALL, RestartStrategy.REST_FOR_ONE])
def test_children_started_by_call_during_a_backoff_go_with_their_group(lab: Lab, strategy: RestartStrategy) -> None:
    # OTP has no backoff; its retry ends those of the group that run by then, and so does this.
    clock = lab.use_hand_clock()
    backoff = Backoff(10.0, 10.0, jitter=0.0)
    top = lab.supervise(lab.spec("a", backoff=backoff), *lab.specs("b c"), strategy=strategy, intensity=5)
    lab.exit("a", "crash")
    assert lab.states(top) == "a restarting, b stopped, c stopped"
    restart_child(top, "b")
    start_child(top, lab.spec("n"))
    lab.story()
    clock.pass_by(10.0)
    lab.wait_starts("n", 2)
    assert lab.states(top) == "a running, b running, c running, n running"
    assert lab.story() == "down n, down b, up a, up b, up c, up n"
    top.stop()
    assert lab.story() == "down n, down c, down b, down a"
