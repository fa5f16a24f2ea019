"""Supervisors below supervisors: row 67 and X30."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from upright.actors import Crashed, Shutdown
from upright.supervisors import (
    ChildSpec,
    ChildState,
    DynamicSupervisor,
    Restart,
    RestartStrategy,
    Supervisor,
    restart_child,
    start_child,
    terminate_child,
    which_child,
)

if TYPE_CHECKING:
    from otp_lab import Lab

otp = pytest.mark.otp


def below(child: str, *children: ChildSpec, intensity: int = 4, restart: Restart = Restart.PERMANENT) -> ChildSpec:
    return ChildSpec(
        child,
        Supervisor,
        args=(children,),
        kwargs={"intensity": intensity, "period": 3600.0},
        restart=restart,
    )


@otp(67)
def test_a_failure_climbs_a_tree_and_dynamic_children_are_lost(lab: Lab) -> None:
    top = lab.supervise(
        below("s1", *lab.specs("c1 c2")),
        below("s2"),
        below("s3", restart=Restart.TRANSIENT),
        strategy=RestartStrategy.ONE_FOR_ALL,
        intensity=4,
    )
    s1, s2, s3 = (which_child(top, child).address for child in ("s1", "s2", "s3"))
    c3 = start_child(s2, lab.spec("c3"))
    c4 = start_child(s2, lab.spec("c4"))
    assert c3 is not None
    assert c4 is not None
    terminate_child(top, "s3")
    assert lab.counts(top) == (3, 2, 3, 0)

    lab.crash(s2, "c4")
    assert [lab.starts(child) for child in ("c1", "c2", "c3", "c4")] == [1, 1, 1, 2]
    assert lab.counts(top) == (3, 2, 3, 0)

    lab.stage.plan("c3", *["fail"] * 9)  # type: ignore[arg-type]
    lab.exit("c3", "crash")
    lab.wait_starts("c2", 2)
    lab.settle(top)
    assert lab.counts(top) == (3, 3, 3, 0)  # s3 too, which had been stopped by hand
    assert [which_child(top, child).restarts for child in ("s1", "s2", "s3")] == [1, 1, 1]
    assert lab.states(s1) == "c1 running, c2 running"
    assert lab.states(s2) == ""
    assert lab.states(s3) == ""
    assert [lab.starts(child) for child in ("c1", "c2", "c3", "c4")] == [2, 2, 1, 2]
    # What OTP has no counterpart for: the static children kept their addresses, the lost ones are down.
    assert lab.stage.lives("c1")[0].address is lab.stage.lives("c1")[1].address
    assert isinstance(lab.watch(c3).reason(), Crashed)
    assert lab.watch(c4).reason() == Shutdown()


@otp("X30")
def test_a_transient_supervisor_that_gave_up_stays_down(lab: Lab) -> None:
    top = lab.supervise(below("sup", lab.spec("a"), intensity=0, restart=Restart.TRANSIENT), lab.spec("b"))
    exits = lab.watch(which_child(top, "sup").address)
    lab.exit("a", "crash")
    assert exits.reason() == Shutdown("restart intensity reached")
    assert which_child(top, "sup").state is ChildState.STOPPED
    assert lab.counts(top) == (2, 1, 1, 1)
    assert lab.lives_on(top)
    assert restart_child(top, "sup") is not None
    assert lab.starts("a") == 2


@otp(67)
def test_the_children_of_a_restarted_dynamic_supervisor_are_lost(lab: Lab) -> None:
    spec = ChildSpec("sup", DynamicSupervisor, kwargs={"intensity": 0, "period": 3600.0})
    top = lab.supervise(spec)
    sup = which_child(top, "sup").address
    a, b = (start_child(sup, lab.spec(child)) for child in "ab")
    assert a is not None
    assert b is not None
    watches = lab.watch(a), lab.watch(b)
    lab.exit("a", "crash")
    assert isinstance(watches[0].reason(), Crashed)
    assert watches[1].reason() == Shutdown()
    assert lab.states(sup) == ""
    assert lab.counts(top) == (1, 1, 1, 0)


@otp("X30")
def test_a_permanent_supervisor_that_gave_up_is_restarted(lab: Lab) -> None:
    top = lab.supervise(below("sup", lab.spec("a"), intensity=0))
    lab.exit("a", "crash")
    lab.wait_starts("a", 2)
    lab.settle(top)
    assert which_child(top, "sup").restarts == 1
    assert lab.lives_on(top)
