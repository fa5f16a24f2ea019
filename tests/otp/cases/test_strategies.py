"""Strategies and restart intensity: rows 40 to 53, X1 to X4, X7, X21, X25, X27 to X29 and X35."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from otp_stage import Leaf
from pykka.messages import ProxyCall

from upright.actors import Shutdown
from upright.supervisors import (
    ChildSpec,
    Restart,
    RestartStrategy,
    Supervisor,
    which_children,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otp_lab import Lab

    from upright.actors import Address

otp = pytest.mark.otp

ONE, ALL, REST = RestartStrategy.ONE_FOR_ONE, RestartStrategy.ONE_FOR_ALL, RestartStrategy.REST_FOR_ONE
GAVE_UP = Shutdown("restart intensity reached")


@otp(40)
def test_crashes_far_enough_apart_never_add_up(lab: Lab) -> None:
    clock = lab.use_hand_clock()
    top = lab.supervise(lab.spec("a"), intensity=1, period=1.0)
    for _ in range(4):
        lab.crash(top, "a")
        clock.pass_by(2.1)
    assert lab.lives_on(top)
    assert lab.starts("a") == 5


@otp("X1")
@pytest.mark.parametrize(("apart", "survives"), [(0.5, False), (1.0, False), (1.001, True), (1.05, True)])
def test_the_window_is_exact_where_otp_counts_whole_seconds(lab: Lab, apart: float, survives: bool) -> None:  # noqa: FBT001
    clock = lab.use_hand_clock()
    top = lab.supervise(lab.spec("a"), intensity=1, period=1.0)
    lab.crash(top, "a")
    clock.pass_by(apart)
    lab.exit("a", "crash")
    if survives:
        assert lab.lives_on(top)
    else:
        assert lab.reason(top) == GAVE_UP


@otp(41)
def test_one_for_one_replaces_the_crashed_child_alone(lab: Lab) -> None:
    top = lab.supervise(*lab.specs("c1 c2"), strategy=ONE, intensity=2)
    lab.crash(top, "c1")
    assert (lab.starts("c1"), lab.starts("c2")) == (2, 1)
    assert lab.counts(top) == (2, 2, 0, 2)
    lab.crash(top, "c2")
    assert (lab.starts("c1"), lab.starts("c2")) == (2, 2)
    lab.exit("c1", "crash")
    assert lab.reason(top) == GAVE_UP
    assert lab.story() == "up c1, up c2, down c1, up c1, down c2, up c2, down c1, down c2"


@otp(42)
def test_one_for_one_gives_up_on_a_child_that_never_starts_again(lab: Lab) -> None:
    top = lab.supervise(*lab.specs("c1 c2"), strategy=ONE, intensity=4)
    lab.stage.plan("c1", *["fail"] * 9)  # type: ignore[arg-type]
    lab.exit("c1", "crash")
    assert lab.reason(top) == GAVE_UP
    assert lab.story() == "up c1, up c2, down c1" + ", fail c1" * 4 + ", down c2"


@otp(43)
def test_one_for_all_replaces_everybody(lab: Lab) -> None:
    top = lab.supervise(*lab.specs("c1 c2"), strategy=ALL, intensity=2)
    lab.crash(top, "c1")
    assert (lab.starts("c1"), lab.starts("c2")) == (2, 2)
    assert lab.counts(top) == (2, 2, 0, 2)
    assert lab.story() == "up c1, up c2, down c1, down c2, up c1, up c2"
    lab.crash(top, "c2")
    lab.exit("c1", "crash")
    assert lab.reason(top) == GAVE_UP


@otp(44)
def test_one_for_all_gives_up_if_a_sibling_never_starts_again(lab: Lab) -> None:
    top = lab.supervise(*lab.specs("c1 c2"), strategy=ALL, intensity=4)
    lab.stage.plan("c2", *["fail"] * 9)  # type: ignore[arg-type]
    lab.exit("c1", "crash")
    assert lab.reason(top) == GAVE_UP
    again = ", up c1, fail c2, down c1"
    assert lab.story() == "up c1, up c2, down c1, down c2" + again * 4


@otp(45)
def test_one_for_all_stops_what_it_had_restarted_before_the_next_attempt(lab: Lab) -> None:
    top = lab.supervise(*lab.specs("c1 c2"), strategy=ALL, intensity=3)
    lab.stage.plan("c2", "fail")
    lab.crash(top, "c1")
    assert lab.story() == "up c1, up c2, down c1, down c2, up c1, fail c2, down c1, up c1, up c2"
    assert lab.states(top) == "c1 running, c2 running"


@otp(46)
def test_rest_for_one_replaces_the_crashed_child_and_those_after_it(lab: Lab) -> None:
    top = lab.supervise(*lab.specs("c1 c2 c3"), strategy=REST, intensity=2)
    lab.crash(top, "c2")
    assert (lab.starts("c1"), lab.starts("c2"), lab.starts("c3")) == (1, 2, 2)
    assert lab.counts(top) == (3, 3, 0, 3)
    assert lab.story() == "up c1, up c2, up c3, down c2, down c3, up c2, up c3"
    lab.crash(top, "c3")
    lab.exit("c3", "crash")
    assert lab.reason(top) == GAVE_UP


@otp(47)
def test_rest_for_one_gives_up_if_a_later_sibling_never_starts_again(lab: Lab) -> None:
    top = lab.supervise(*lab.specs("c1 c2"), strategy=REST, intensity=4)
    lab.stage.plan("c2", *["fail"] * 9)  # type: ignore[arg-type]
    lab.exit("c1", "crash")
    assert lab.reason(top) == GAVE_UP
    assert lab.story() == "up c1, up c2, down c1, down c2, up c1" + ", fail c2" * 4 + ", down c1"


@otp(48)
def test_rest_for_one_goes_on_where_it_failed(lab: Lab) -> None:
    top = lab.supervise(*lab.specs("c1 c2"), strategy=REST, intensity=3)
    lab.stage.plan("c2", "fail")
    lab.crash(top, "c1")
    assert lab.story() == "up c1, up c2, down c1, down c2, up c1, fail c2, up c2"
    assert (lab.starts("c1"), lab.starts("c2")) == (2, 2)


@otp(49)
@otp(50)
def test_a_dynamic_supervisor_replaces_the_crashed_child_alone(lab: Lab) -> None:
    top = lab.supervise_dynamic(*lab.specs("c1 c2"), intensity=2)
    lab.crash(top, "c1")
    lab.crash(top, "c2")
    assert lab.counts(top) == (2, 2, 0, 2)
    assert lab.story() == "up c1, up c2, down c1, up c1, down c2, up c2"
    lab.exit("c1", "crash")
    assert lab.reason(top) == GAVE_UP
    assert lab.story() == "down c1, down c2"


@otp(51)
def test_a_dynamic_child_is_restarted_with_its_own_arguments_until_all_give_up(lab: Lab) -> None:
    top = lab.supervise_dynamic(*lab.specs("c1 c2"), intensity=4)
    lab.stage.plan("c1", *["fail"] * 9)  # type: ignore[arg-type]
    lab.exit("c1", "crash")
    assert lab.reason(top) == GAVE_UP
    assert lab.story() == "up c1, up c2, down c1" + ", fail c1" * 4 + ", down c2"


@otp(52)
@pytest.mark.parametrize("restart", [Restart.PERMANENT, Restart.TRANSIENT])
def test_a_dynamic_child_that_ignores_at_a_restart_is_dropped(lab: Lab, restart: Restart) -> None:
    top = lab.supervise_dynamic(lab.spec("a", restart), intensity=3)
    lab.crash(top, "a")
    lab.stage.plan("a", "ignore")
    address = which_children(top)[0].address
    exits = lab.watch(address)
    lab.crash(top, "a")
    assert which_children(top) == []
    assert lab.counts(top) == (0, 0, 0, 0)
    assert exits.reason() is not None
    assert top.stop()
    assert lab.reason(top) is not None


@otp(53)
def test_order_is_that_of_the_specs_and_not_of_the_ids(lab: Lab) -> None:
    top, sup = lab.below_top(*lab.specs("h a k c f"), strategy=REST)
    assert lab.story() == "up h, up a, up k, up c, up f"
    lab.crash(sup, "k")
    assert lab.story() == "down k, down f, down c, up k, up c, up f"
    assert [lab.starts(child) for child in "hakcf"] == [1, 1, 2, 2, 2]
    top.stop()
    assert lab.story() == "down f, down c, down k, down a, down h"


@otp("X2")
def test_rest_for_one_event_by_event(lab: Lab) -> None:
    top = lab.supervise(*lab.specs("a b c d"), strategy=REST)
    lab.story()
    lab.crash(top, "b")
    assert lab.story() == "down b, down d, down c, up b, up c, up d"


@otp("X3")
def test_one_for_all_with_a_temporary_child_event_by_event(lab: Lab) -> None:
    top = lab.supervise(lab.spec("a"), lab.spec("t", Restart.TEMPORARY), *lab.specs("b d"), strategy=ALL, intensity=3)
    lab.stage.plan("b", "fail")
    lab.story()
    lab.crash(top, "a")
    assert lab.story() == "down a, down d, down b, down t, up a, fail b, down a, up a, up b, up d"
    assert lab.states(top) == "a running, b running, d running"


@otp("X4")
def test_rest_for_one_starts_those_before_the_failing_one_once(lab: Lab) -> None:
    top = lab.supervise(*lab.specs("a b d"), strategy=REST, intensity=3)
    lab.stage.plan("d", "fail", "fail")
    lab.story()
    lab.crash(top, "a")
    assert lab.story() == "down a, down d, down b, up a, up b, fail d, fail d, up d"


@otp("X7")
def test_intensity_zero_allows_no_restart(lab: Lab) -> None:
    top = lab.supervise(*lab.specs("a b"), intensity=0)
    exits = lab.watch(lab.stage.lives("b")[0].address)
    lab.exit("a", "crash")
    assert lab.reason(top) == GAVE_UP
    assert exits.reason() == Shutdown()
    assert lab.story() == "up a, up b, down a, down b"


@otp("X21")
def test_the_intensities_of_a_tree_multiply(lab: Lab) -> None:
    below = ChildSpec("below", Supervisor, args=([lab.spec("a")],), kwargs={"intensity": 1, "period": 3600.0})
    top = lab.supervise(below, intensity=2)
    crashes = 0
    while top.is_alive():
        crashes += 1
        before = lab.starts("a")
        lab.exit("a", "crash")
        if crashes < 6:
            lab.wait_starts("a", before + 1)
        else:
            assert lab.reason(top) == GAVE_UP
    assert crashes == (1 + 1) * (2 + 1)


@otp("X25")
@pytest.mark.parametrize(
    ("strategy", "crashing", "survives"),
    [
        (ALL, "ab", True),
        (ALL, "ba", True),
        (REST, "ab", True),
        (REST, "ba", False),
        (ONE, "ab", False),
        (ONE, "ba", False),
    ],
)
def test_two_crashes_at_the_same_instant_count_as_the_strategy_sees_them(
    lab: Lab,
    strategy: RestartStrategy,
    crashing: Sequence[str],
    survives: bool,  # noqa: FBT001
) -> None:
    top = lab.supervise(*lab.specs("a b c"), strategy=strategy, intensity=1)
    # While its supervisor starts a child, both crash; it finds out about both at once.
    held = _hold_supervisor(lab, top)
    for child in crashing:
        lab.exit(child, "crash")
    lab.let_go("gate", "ignore")
    assert held.get(timeout=10) is None
    if survives:
        assert lab.lives_on(top)
        assert lab.states(top) == "a running, b running, c running"
        assert (lab.starts("a"), lab.starts("b")) == (2, 2)
    else:
        assert lab.reason(top) == GAVE_UP


def _hold_supervisor(lab: Lab, top: Address[Any]) -> Any:
    lab.stage.plan("gate", "gate")
    spec = ChildSpec("gate", Leaf, (lab.stage, "gate"), {"start_in": "init"}, restart=Restart.TEMPORARY)
    request = top.ask(ProxyCall(("start_child",), (spec,), {}), block=False)
    lab.wait_held("gate")
    return request


@otp("X27")
def test_a_crash_before_the_failing_child_makes_its_retry_stale(lab: Lab) -> None:
    top = lab.supervise(*lab.specs("a b c"), strategy=REST, intensity=4)
    lab.hold("b")
    lab.exit("a", "crash")  # waits in the supervisor's mailbox, before the retry
    lab.let_go("b", "fail")
    lab.settle(top)
    assert lab.states(top) == "a running, b running, c running"
    assert lab.story() == ("up a, up b, up c, down b, down c, down a, fail b, up a, up b, up c")


@otp("X28")
def test_intensity_is_the_number_of_attempts(lab: Lab) -> None:
    top = lab.supervise(*lab.specs("a b"), intensity=3)
    lab.stage.plan("a", *["fail"] * 9)  # type: ignore[arg-type]
    lab.exit("a", "crash")
    assert lab.reason(top) == GAVE_UP
    assert lab.story() == "up a, up b, down a, fail a, fail a, fail a, down b"


@otp("X29")
def test_one_for_all_stops_the_earlier_siblings_after_each_failed_attempt(lab: Lab) -> None:
    top = lab.supervise(*lab.specs("a b c"), strategy=ALL, intensity=2)
    lab.stage.plan("b", *["fail"] * 9)  # type: ignore[arg-type]
    lab.exit("b", "crash")
    assert lab.reason(top) == GAVE_UP
    again = ", up a, fail b, down a"
    assert lab.story() == "up a, up b, up c, down b, down c, down a" + again * 2


@otp("X35")
def test_what_is_left_when_a_supervisor_gives_up_stops_newest_first(lab: Lab) -> None:
    top = lab.supervise(*lab.specs("a b d e"), strategy=REST, intensity=0)
    lab.story()
    lab.exit("b", "crash")
    assert lab.reason(top) == GAVE_UP
    assert lab.story() == "down b, down e, down d, down a"
