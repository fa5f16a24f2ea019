"""auto_shutdown and significant children: rows 68 to 75, X18 to X20. By itself: not by the supervisor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from upright.actors import Shutdown
from upright.supervisors import (
    AutoShutdown,
    ChildSpec,
    ChildState,
    Restart,
    RestartStrategy,
    Supervisor,
    restart_child,
    terminate_child,
    which_child,
)

if TYPE_CHECKING:
    from otp_lab import Lab

otp = pytest.mark.otp

ANY, ALL = AutoShutdown.ANY_SIGNIFICANT, AutoShutdown.ALL_SIGNIFICANT
TRANSIENT, TEMPORARY = Restart.TRANSIENT, Restart.TEMPORARY
AUTO = Shutdown()


def end(lab: Lab, top: Any, child: str, how: Any) -> None:
    if how == "terminate_child":
        terminate_child(top, child)
    else:
        lab.exit(child, how)


def two_significant(lab: Lab, restart: Restart) -> list[ChildSpec]:
    return [
        lab.spec("c1", restart, significant=True),
        lab.spec("c2", restart, significant=True),
        lab.spec("c3", restart),
    ]


@otp(68)
@otp(69)
@pytest.mark.parametrize("mode", list(AutoShutdown))
@pytest.mark.parametrize("restart", [TEMPORARY, TRANSIENT])
def test_the_end_of_a_child_that_is_not_significant_stops_nobody(
    lab: Lab, mode: AutoShutdown, restart: Restart
) -> None:
    for how in ("terminate_child", "crash", "normal", "shutdown"):
        child = f"a-{how}"
        top = lab.supervise(lab.spec(child, restart), lab.spec("b"), auto_shutdown=mode, intensity=5)
        end(lab, top, child, how)
        assert lab.lives_on(top)
        restarted = restart is TRANSIENT and how == "crash"
        assert lab.starts(child) == (2 if restarted else 1)
        top.stop()


@otp(70)
@otp(72)
@pytest.mark.parametrize("restart", [TEMPORARY, TRANSIENT])
def test_any_significant_terminated_by_call_stops_nobody(lab: Lab, restart: Restart) -> None:
    top = lab.supervise(*two_significant(lab, restart), auto_shutdown=ANY)
    terminate_child(top, "c1")
    assert lab.lives_on(top)
    assert [lab.starts(child) for child in ("c1", "c2", "c3")] == [1, 1, 1]
    assert lab.story() == "up c1, up c2, up c3, down c1"


@otp(70)
@pytest.mark.parametrize("how", ["crash", "normal", "shutdown", "shutdown_detail"])
def test_any_significant_temporary_child_that_ends_by_itself_stops_the_supervisor(lab: Lab, how: Any) -> None:
    top = lab.supervise(*two_significant(lab, TEMPORARY), auto_shutdown=ANY)
    lab.exit("c1", how)
    assert lab.reason(top) == AUTO
    assert lab.story() == "up c1, up c2, up c3, down c1, down c3, down c2"


@otp(71)
@otp(73)
@pytest.mark.parametrize("restart", [TEMPORARY, TRANSIENT])
def test_all_significant_waits_for_the_last(lab: Lab, restart: Restart) -> None:
    top = lab.supervise(*two_significant(lab, restart), auto_shutdown=ALL)
    lab.exit("c1", "normal")
    assert lab.lives_on(top)
    lab.exit("c2", "normal")
    assert lab.reason(top) == AUTO
    assert lab.story() == "up c1, up c2, up c3, down c1, down c2, down c3"


@otp(72)
def test_any_significant_transient_child_that_crashes_is_restarted(lab: Lab) -> None:
    top = lab.supervise(*two_significant(lab, TRANSIENT), auto_shutdown=ANY)
    lab.crash(top, "c1")
    assert lab.lives_on(top)
    assert lab.starts("c1") == 2


@otp(72)
@pytest.mark.parametrize("how", ["normal", "shutdown", "shutdown_detail"])
def test_any_significant_transient_child_that_ends_cleanly_stops_the_supervisor(lab: Lab, how: Any) -> None:
    top = lab.supervise(*two_significant(lab, TRANSIENT), auto_shutdown=ANY)
    lab.exit("c1", how)
    assert lab.reason(top) == AUTO
    assert lab.story() == "up c1, up c2, up c3, down c1, down c3, down c2"


@otp(74)
@pytest.mark.parametrize("mode", [ANY, ALL])
@pytest.mark.parametrize(
    ("strategy", "story"),
    [
        (RestartStrategy.ONE_FOR_ONE, "down c2, up c2"),
        (RestartStrategy.ONE_FOR_ALL, "down c2, down c3, down c1, up c2"),
        (RestartStrategy.REST_FOR_ONE, "down c2, down c3, up c2"),
    ],
)
def test_a_significant_sibling_that_goes_with_a_group_did_not_end_by_itself(
    lab: Lab, mode: AutoShutdown, strategy: RestartStrategy, story: str
) -> None:
    top = lab.supervise(
        lab.spec("c1", TEMPORARY, significant=True),
        lab.spec("c2"),
        lab.spec("c3", TEMPORARY, significant=True),
        strategy=strategy,
        auto_shutdown=mode,
    )
    lab.story()
    lab.crash(top, "c2")
    assert lab.story() == story
    assert lab.lives_on(top)


@otp(75)
@pytest.mark.parametrize("significant", [True, False])
def test_an_auto_shutdown_climbs_through_significant_supervisors(lab: Lab, significant: bool) -> None:  # noqa: FBT001
    below = ChildSpec(
        "B",
        Supervisor,
        args=([lab.spec("C", TRANSIENT, significant=True)],),
        kwargs={"auto_shutdown": ANY},
        restart=TRANSIENT,
        significant=significant,
    )
    top = lab.supervise(below, auto_shutdown=ANY)
    inner = lab.watch(which_child(top, "B").address)
    lab.exit("C", "normal")
    assert inner.reason() == AUTO
    if significant:
        assert lab.reason(top) == AUTO
    else:
        assert lab.lives_on(top)
        assert which_child(top, "B").state is ChildState.STOPPED


@otp("X18")
def test_all_significant_of_both_kinds(lab: Lab) -> None:
    top = lab.supervise(
        lab.spec("a", TEMPORARY, significant=True),
        lab.spec("b", TRANSIENT, significant=True),
        auto_shutdown=ALL,
    )
    lab.crash(top, "a")
    assert lab.lives_on(top)
    lab.exit("b", "normal")
    assert lab.reason(top) == AUTO


@otp("X19")
def test_a_crash_of_a_significant_child_past_the_intensity_is_giving_up(lab: Lab) -> None:
    top = lab.supervise(lab.spec("a", TRANSIENT, significant=True), auto_shutdown=ANY, intensity=0)
    lab.exit("a", "crash")
    assert lab.reason(top) == Shutdown("restart intensity reached")


@otp("X20")
def test_all_significant_stopped_by_call_then_one_ends_by_itself(lab: Lab) -> None:
    top = lab.supervise(*two_significant(lab, TRANSIENT), auto_shutdown=ALL)
    terminate_child(top, "c1")
    terminate_child(top, "c2")
    assert lab.lives_on(top)
    restart_child(top, "c1")
    lab.exit("c1", "normal")
    assert lab.reason(top) == AUTO


@otp(73)
def test_all_significant_counts_a_child_in_its_restart_as_one_that_runs(lab: Lab) -> None:
    top = lab.supervise(*two_significant(lab, TRANSIENT), auto_shutdown=ALL, intensity=5)
    lab.hold("c1")
    lab.exit("c2", "normal")  # waits in the supervisor's mailbox
    lab.let_go("c1", "fail")
    lab.settle(top)
    assert lab.lives_on(top)
    assert lab.states(top) == "c1 running, c2 stopped, c3 running"
