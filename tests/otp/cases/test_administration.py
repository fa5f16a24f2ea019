"""The administration calls: rows 25 to 34, X5 and X36."""

from __future__ import annotations

import gc
import itertools
import weakref
from typing import TYPE_CHECKING, Any

import pykka
import pytest
from otp_stage import PATIENCE, Leaf
from pykka.messages import ProxyCall

from upright.actors import Shutdown, SupervisedActor
from upright.supervisors import (
    ChildAlreadyPresent,
    ChildAlreadyStarted,
    ChildNotFound,
    ChildRunning,
    ChildSpec,
    ChildState,
    Restart,
    RestartStrategy,
    Supervisor,
    count_children,
    delete_child,
    get_childspec,
    restart_child,
    start_child,
    terminate_child,
    which_child,
    which_children,
)

if TYPE_CHECKING:
    from otp_lab import Lab

otp = pytest.mark.otp


@otp(25)
def test_the_life_of_a_child_in_calls(lab: Lab) -> None:
    top = lab.supervise(lab.spec("child1"))
    address = which_child(top, "child1").address

    with pytest.raises(ChildAlreadyStarted) as already:
        start_child(top, lab.spec("child1"))
    assert already.value.address == address
    for call in (terminate_child, delete_child, restart_child, which_child, get_childspec):
        with pytest.raises(ChildNotFound) as missing:
            call(top, "child2")
        assert missing.value.child_id == "child2"

    exits = lab.watch(address)
    terminate_child(top, "child1")
    assert exits.reason() == Shutdown()
    assert lab.states(top) == "child1 stopped"
    assert lab.counts(top) == (1, 0, 0, 1)
    terminate_child(top, "child1")
    with pytest.raises(ChildAlreadyPresent):
        start_child(top, lab.spec("child1"))

    assert restart_child(top, "child1") == address  # the address of a slot stays, unlike a pid
    assert lab.starts("child1") == 2
    assert which_child(top, "child1").restarts == 1
    for refused in (restart_child, delete_child):
        with pytest.raises(ChildRunning):
            refused(top, "child1")

    terminate_child(top, "child1")
    delete_child(top, "child1")
    assert which_children(top) == []
    assert lab.counts(top) == (0, 0, 0, 0)
    new = start_child(top, lab.spec("child1"))
    assert new is not None
    assert new != address
    assert lab.counts(top) == (1, 1, 0, 1)


@otp(25)
def test_calls_to_a_supervisor_that_is_down_raise_in_the_caller(lab: Lab) -> None:
    top = lab.supervise(lab.spec("a"))
    top.stop()
    for call in (
        lambda: start_child(top, lab.spec("b")),
        lambda: terminate_child(top, "a"),
        lambda: restart_child(top, "a"),
        lambda: delete_child(top, "a"),
        lambda: which_children(top),
        lambda: which_child(top, "a"),
        lambda: count_children(top),
        lambda: get_childspec(top, "a"),
    ):
        with pytest.raises(pykka.ActorDeadError):
            call()


@otp(25)
def test_terminate_child_by_address_is_not_for_static_children(lab: Lab) -> None:
    top = lab.supervise(lab.spec("a"))
    with pytest.raises(ChildNotFound):
        terminate_child(top, which_child(top, "a").address)
    assert lab.story() == "up a"
    assert which_child(top, "a").address.ask("ping") == "pong"


@otp(25)
@pytest.mark.parametrize("what", [["a"], {"a": 1}, None])
def test_an_id_that_cannot_be_one_is_not_found(lab: Lab, what: Any) -> None:
    top = lab.supervise(lab.spec("a"))
    for call in (terminate_child, restart_child, delete_child, which_child, get_childspec):
        with pytest.raises(ChildNotFound):
            call(top, what)
    assert lab.lives_on(top)


@otp(26)
def test_the_life_of_dynamic_children_in_calls(lab: Lab) -> None:
    top = lab.supervise_dynamic()
    assert which_children(top) == []
    assert lab.counts(top) == (0, 0, 0, 0)  # OTP counts its template
    child = start_child(top, lab.spec("child"))
    assert child is not None
    (info,) = which_children(top)
    assert (info.id, info.address, info.state) == ("child", child, ChildState.RUNNING)
    assert lab.counts(top) == (1, 1, 0, 1)

    with pytest.raises(ChildNotFound):
        terminate_child(top, "child")
    assert child.ask("ping") == "pong"
    terminate_child(top, child)
    assert not child.is_alive()
    assert lab.story() == "up child, down child"
    assert which_children(top) == []
    with pytest.raises(ChildNotFound):  # Elixir's answer; OTP says ok to a dead pid
        terminate_child(top, child)

    foreign = Leaf.start(lab.stage, "foreign")
    with pytest.raises(ChildNotFound):
        terminate_child(top, foreign)
    assert foreign.ask("ping") == "pong"
    foreign.stop()


@otp(26)
@pytest.mark.parametrize("call", [restart_child, delete_child])
def test_dynamic_children_are_neither_restarted_nor_deleted_by_call(lab: Lab, call: Any) -> None:
    top = lab.supervise_dynamic(lab.spec("child"))
    with pytest.raises(TypeError, match="DynamicSupervisor"):
        call(top, which_children(top)[0].address)
    assert lab.lives_on(top)
    assert lab.story() == "up child"


@otp(27)
def test_which_children_shows_every_spec_in_start_order(lab: Lab) -> None:
    top = lab.supervise(lab.spec("b"))
    assert lab.states(top) == "b running"
    start_child(top, lab.spec("a"))
    start_child(top, lab.spec("c"))
    assert lab.states(top) == "b running, a running, c running"  # OTP lists the newest first
    terminate_child(top, "a")
    assert lab.states(top) == "b running, a stopped, c running"
    assert which_child(top, "a").state is ChildState.STOPPED
    delete_child(top, "a")
    assert lab.states(top) == "b running, c running"
    with pytest.raises(ChildNotFound):
        which_child(top, "a")
    assert [which_child(top, child.id) for child in which_children(top)] == which_children(top)


@otp(28)
def test_which_child_of_a_dynamic_supervisor_is_by_address(lab: Lab) -> None:
    top = lab.supervise_dynamic(*lab.specs("a b"))
    first, second = which_children(top)
    assert which_child(top, first.address) == first
    terminate_child(top, first.address)
    foreign = Leaf.start(lab.stage, "foreign")
    for nobody in (first.address, foreign, "b", None):
        with pytest.raises(ChildNotFound):
            which_child(top, nobody)
    foreign.stop()
    assert which_children(top) == [second]


@otp(29)
@otp(30)
@pytest.mark.parametrize("kind", ["workers", "supervisors"])
def test_count_children_follows_many_dynamic_children(lab: Lab, kind: str) -> None:
    top = lab.supervise_dynamic()
    for number in range(100):
        for child in (f"a{number}", f"b{number}"):
            if kind == "workers":
                start_child(top, lab.spec(child, Restart.TEMPORARY))
            else:
                start_child(top, ChildSpec(child, Supervisor, restart=Restart.TEMPORARY))
        here = 2 * (number + 1)
        expected = (here, here, 0, here) if kind == "workers" else (here, here, here, 0)
        assert lab.counts(top) == expected
        assert lab.counts(top) == expected
    for info in which_children(top):
        info.address.stop()
    assert lab.counts(top) == (0, 0, 0, 0)


@otp(31)
def test_children_whose_restart_fails_are_counted_but_not_active(lab: Lab) -> None:
    top = lab.supervise_dynamic(*lab.specs("a b c"), intensity=20)
    lab.crash(top, "a")
    lab.crash(top, "b")
    assert lab.counts(top) == (3, 3, 0, 3)
    lab.hold("a")
    # b crashes while a's restart is under way, and its restart fails as well.
    lab.stage.plan("b", "fail", "gate")
    lab.exit("b", "crash")
    counts = lab.call_while_failing(top, "a", "count_children")
    assert (counts.specs, counts.active, counts.supervisors, counts.workers) == (3, 1, 0, 3)
    for _ in range(2):
        held = lab.stage.entered.get(timeout=PATIENCE)
        lab.stage.plan(held)
        lab.let_go(held)
    lab.settle(top)
    assert lab.counts(top) == (3, 3, 0, 3)
    for left in (2, 1, 0):
        terminate_child(top, which_children(top)[0].address)
        assert lab.counts(top) == (left, left, 0, left)


@otp(32)
@pytest.mark.parametrize("strategy", list(RestartStrategy))
@pytest.mark.parametrize(("restart", "cause"), list(itertools.product(Restart, ["crash", "normal", "terminate_child"])))
def test_only_the_specs_of_temporary_children_are_forgotten(
    lab: Lab, strategy: RestartStrategy, restart: Restart, cause: Any
) -> None:
    top = lab.supervise(lab.spec("child", restart), strategy=strategy)
    if cause == "terminate_child":
        terminate_child(top, "child")
    else:
        lab.exit_and_settle(top, "child", cause)
    if restart is Restart.TEMPORARY:
        assert which_children(top) == []
        assert start_child(top, lab.spec("child", restart)) is not None
    elif cause == "terminate_child" or (restart is Restart.TRANSIENT and cause == "normal"):
        with pytest.raises(ChildAlreadyPresent):
            start_child(top, lab.spec("child", restart))
        assert restart_child(top, "child") is not None
    else:
        with pytest.raises(ChildAlreadyStarted):
            start_child(top, lab.spec("child", restart))
    assert lab.counts(top) == (1, 1, 0, 1)
    assert lab.starts("child") == 2


class Payload:
    """A start argument whose life can be watched."""


class Forgetful(SupervisedActor):
    """Does not keep what it was started with."""

    def __init__(self, _payload: Payload) -> None:
        super().__init__()


def _start_with_payload(lab: Lab, dynamic: bool, restart: Restart) -> tuple[Any, Any]:  # noqa: FBT001
    top = lab.supervise_dynamic() if dynamic else lab.supervise()
    payload = Payload()
    start_child(top, ChildSpec("child", Forgetful, (payload,), restart=restart))
    return top, weakref.ref(payload)


@otp(33)
@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("restart", list(Restart))
def test_the_start_arguments_of_temporary_children_are_let_go(
    lab: Lab,
    dynamic: bool,  # noqa: FBT001 - a parameter of the test
    restart: Restart,
) -> None:
    top, payload = _start_with_payload(lab, dynamic, restart)
    which_children(top)
    gc.collect()
    assert (payload() is None) is (restart is Restart.TEMPORARY)


@otp(34)
def test_arguments_are_let_go_also_after_an_earlier_childs_crash(lab: Lab) -> None:
    top = lab.supervise_dynamic(lab.spec("first", Restart.TEMPORARY))
    lab.crash(top, "first")
    payload = Payload()
    watch = weakref.ref(payload)
    start_child(top, ChildSpec("second", Forgetful, (payload,), restart=Restart.TEMPORARY))
    del payload
    which_children(top)
    gc.collect()
    assert watch() is None
    assert lab.counts(top) == (1, 1, 0, 1)


@otp("X5")
def test_a_child_keeps_its_place_unless_it_is_deleted(lab: Lab) -> None:
    top = lab.supervise(*lab.specs("a b c"))
    start_child(top, lab.spec("d"))
    terminate_child(top, "a")
    restart_child(top, "a")
    assert [child.id for child in which_children(top)] == ["a", "b", "c", "d"]
    terminate_child(top, "b")
    delete_child(top, "b")
    start_child(top, lab.spec("b"))
    assert [child.id for child in which_children(top)] == ["a", "c", "d", "b"]
    lab.story()
    top.stop()
    assert lab.story() == "down b, down d, down c, down a"


@otp("X36")
@pytest.mark.parametrize("start_in", ["init", "on_start"])
def test_calls_wait_while_a_start_function_runs(lab: Lab, start_in: str) -> None:
    top = lab.supervise()
    lab.stage.plan("slow", "gate")
    starting = top.ask(ProxyCall(("start_child",), (lab.spec("slow", start_in=start_in),), {}), block=False)
    lab.wait_held("slow")
    asked = top.ask(ProxyCall(("count_children",), (), {}), block=False)
    with pytest.raises(pykka.Timeout):
        asked.get(timeout=0.05)
    lab.let_go("slow")
    assert starting.get(timeout=PATIENCE) is not None
    assert asked.get(timeout=PATIENCE).active == 1


@otp(25)
def test_the_address_of_a_slot_outlives_terminate_and_restart(lab: Lab) -> None:
    top = lab.supervise(lab.spec("a"))
    address = which_child(top, "a").address
    terminate_child(top, "a")
    with pytest.raises(pykka.ActorDeadError):
        address.tell("ping")
    restart_child(top, "a")
    assert address.ask("ping") == "pong"
    assert which_child(top, "a").address is address


def test_an_exit_is_dealt_with_before_calls_that_came_earlier(lab: Lab) -> None:
    # Differs from OTP, where a supervisor's mailbox is strictly in order; see docs/otp.md.
    top = lab.supervise(lab.spec("a"))
    lab.stage.plan("slow", "gate")
    starting = top.ask(ProxyCall(("start_child",), (lab.spec("slow", start_in="init"),), {}), block=False)
    lab.wait_held("slow")
    terminating = top.ask(ProxyCall(("terminate_child",), ("a",), {}), block=False)
    lab.exit("a", "crash")
    lab.let_go("slow")
    starting.get(timeout=PATIENCE)
    terminating.get(timeout=PATIENCE)
    assert lab.story() == "up a, down a, up slow, up a, down a"  # in OTP without the second life of a
    assert lab.states(top) == "a stopped, slow running"
