"""Stopping children and whole supervisors: rows 57 to 66, X11 to X13, X16, X17, X33 and X34."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from otp_stage import PATIENCE, Died, Stage

from upright.actors import NORMAL, Crashed, Down, Killed, Shutdown, SupervisedActor
from upright.supervisors import (
    BRUTAL_KILL,
    INFINITY,
    ChildSpec,
    DynamicSupervisor,
    Restart,
    Supervisor,
    restart_child,
    start_child,
    terminate_child,
    which_child,
    which_children,
)

if TYPE_CHECKING:
    from otp_lab import Lab

otp = pytest.mark.otp


def dynamic_below_top(lab: Lab, *children: ChildSpec) -> tuple[Any, Any]:
    """Start a dynamic supervisor `sup` under a top, with these children; top and sup."""
    top = lab.supervise(ChildSpec("sup", DynamicSupervisor, kwargs={"period": 3600.0}))
    sup = which_child(top, "sup").address
    for child in children:
        start_child(sup, child)
    return top, sup


@otp(57)
def test_infinity_is_for_workers_and_supervisors_alike(lab: Lab) -> None:
    top, sup = lab.below_top(
        lab.spec("worker", shutdown=INFINITY, stop_time=0.1),
        ChildSpec("below", Supervisor, args=([lab.spec("leaf")],), shutdown=INFINITY),
    )
    exits = [lab.watch(child.address) for child in which_children(sup)]
    terminate_child(top, "sup")
    assert [one.reason() for one in exits] == [Shutdown(), Shutdown()]
    assert lab.story() == "up worker, up leaf, down leaf, down worker"


@otp(58)
@pytest.mark.parametrize("shutdown", [0, 0.05, BRUTAL_KILL])
@otp(60)
def test_a_child_that_does_not_stop_in_its_time_is_killed_and_the_rest_goes_on(lab: Lab, shutdown: Any) -> None:
    top, sup = lab.below_top(lab.spec("c1"), lab.spec("c2", shutdown=shutdown))
    c1, c2 = (lab.watch(child.address) for child in which_children(sup))
    ended = lab.watch(sup)
    lab.stick("c2")
    terminate_child(top, "sup")
    assert c1.reason() == Shutdown()
    assert c2.reason() == Killed()
    assert ended.reason() == Shutdown()


@otp(59)
@otp(61)
@pytest.mark.parametrize("shutdown", [0.05, BRUTAL_KILL])
def test_dynamic_children_that_do_not_stop_are_killed(lab: Lab, shutdown: Any) -> None:
    ids = [f"c{number}" for number in range(10)]
    top, sup = dynamic_below_top(lab, *(lab.spec(child, shutdown=shutdown) for child in ids))
    exits = [lab.watch(child.address) for child in which_children(sup)]
    ended = lab.watch(sup)
    stuck = ids if shutdown is BRUTAL_KILL else ids[:1]
    for child in stuck:
        lab.stick(child)
    terminate_child(top, "sup")
    for child, one in zip(ids, exits, strict=True):
        assert one.reason() == (Killed() if child in stuck else Shutdown())
    assert ended.reason() == Shutdown()


@otp(60)
def test_brutal_kill_does_not_wait_and_does_not_run_on_stop(lab: Lab) -> None:
    top = lab.supervise(lab.spec("c1"), lab.spec("c2", shutdown=BRUTAL_KILL, stop_time=30.0))
    c2 = lab.watch(which_child(top, "c2").address)
    began = time.monotonic()
    terminate_child(top, "c2")
    assert time.monotonic() - began < 5
    assert c2.reason() == Killed()
    assert lab.story() == "up c1, up c2"


class Slow(SupervisedActor):
    """Says when it is told to stop, and does so when it is allowed to."""

    def __init__(self, stopping: threading.Event, allowed: threading.Event) -> None:
        super().__init__()
        self._stopping = stopping
        self._allowed = allowed

    def on_stop(self) -> None:
        self._stopping.set()
        self._allowed.wait(PATIENCE)


@otp(62)
def test_children_that_end_by_themselves_during_a_shutdown_keep_their_own_reasons(lab: Lab) -> None:
    stopping, allowed = threading.Event(), threading.Event()
    expected = {
        "normal": NORMAL,
        "shutdown": Shutdown(),
        "shutdown_detail": Shutdown("detail"),
        "crash": None,
    }
    twelve = {f"{restart}-{how}": (restart, how) for restart, how in itertools.product(Restart, expected)}
    top, sup = lab.below_top(
        lab.spec("A"),
        *(lab.spec(child, restart) for child, (restart, _) in twelve.items()),
        ChildSpec("Z", Slow, (stopping, allowed)),
    )
    exits = {child.id: lab.watch(child.address) for child in which_children(sup)}
    ended = lab.watch(sup)
    lab.story()
    terminating = threading.Thread(target=terminate_child, args=(top, "sup"))
    terminating.start()
    assert stopping.wait(PATIENCE)
    for child, (_, how) in twelve.items():
        lab.exit(child, how)  # type: ignore[arg-type]
    allowed.set()
    terminating.join(PATIENCE)
    assert ended.reason() == Shutdown()
    assert exits["A"].reason() == Shutdown()
    assert exits["Z"].reason() == Shutdown()
    for child, (_, how) in twelve.items():
        reason = exits[child].reason()
        if how == "crash":
            assert isinstance(reason, Crashed)
            assert isinstance(reason.error, Died)
        else:
            assert reason == expected[how]
    assert lab.story().count("up ") == 0
    assert lab.story() == ""
    assert lab.lives_on(top)


class Answering(SupervisedActor):
    """Answers a shutdown by raising something."""

    def __init__(self, answer: BaseException | None) -> None:
        super().__init__()
        self._answer = answer

    def on_stop(self) -> None:
        if self._answer is not None:
            raise self._answer


@otp(63)
@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.parametrize("restart", list(Restart))
@pytest.mark.parametrize("answer", [None, Shutdown(), Shutdown("test"), Died("other"), SystemExit(1)], ids=repr)
def test_however_children_answer_the_shutdown_the_supervisor_ends_in_order(
    lab: Lab,
    dynamic: bool,  # noqa: FBT001 - a parameter of the test
    restart: Restart,
    answer: BaseException | None,
) -> None:
    specs = [ChildSpec(child, Answering, (answer,), restart=restart) for child in "abc"]
    top, sup = dynamic_below_top(lab, *specs) if dynamic else lab.below_top(*specs)
    ended = lab.watch(sup)
    terminate_child(top, "sup")
    assert ended.reason() == Shutdown()
    assert lab.lives_on(top)


@otp(64)
def test_dynamic_children_stop_in_parallel_under_one_deadline(lab: Lab) -> None:
    top, sup = dynamic_below_top(
        lab,
        lab.spec("a", shutdown=0.3, stop_time=0.15),
        lab.spec("b", shutdown=0.3, stop_time=0.15),
        lab.spec("c", shutdown=0.3, stop_time=30.0),
    )
    exits = [lab.watch(child.address) for child in which_children(sup)]
    began = time.monotonic()
    terminate_child(top, "sup")
    took = time.monotonic() - began
    assert [one.reason() for one in exits] == [Shutdown(), Shutdown(), Killed()]
    assert 0.15 <= took < 5.0


@otp("X12")
@otp("X13")
@pytest.mark.parametrize("dynamic", [True, False])
def test_static_children_stop_one_after_another_and_dynamic_ones_together(lab: Lab, dynamic: bool) -> None:  # noqa: FBT001
    # Each waits at its end until all the others have come to theirs, or for 0.1 s. Only together do they meet.
    meeting = threading.Barrier(3)
    specs = [ChildSpec(child, Meeting, (lab.stage, child, meeting)) for child in "abc"]
    top, _ = dynamic_below_top(lab, *specs) if dynamic else lab.below_top(*specs)
    lab.story()
    terminate_child(top, "sup")
    story = lab.story()
    if dynamic:
        assert sorted(story.split(", ")) == ["met a", "met b", "met c"]
    else:
        assert story == "alone c, alone b, alone a"


class Meeting(SupervisedActor):
    """Waits at its end for the others."""

    def __init__(self, stage: Stage, child: str, meeting: threading.Barrier) -> None:
        super().__init__()
        self._stage = stage
        self._child = child
        self._meeting = meeting

    def on_stop(self) -> None:
        try:
            self._meeting.wait(0.1 if self._meeting.broken else 1.0)
        except threading.BrokenBarrierError:
            self._stage.record("alone", self._child)
        else:
            self._stage.record("met", self._child)


@otp("X11")
def test_a_stuck_child_costs_its_own_time_and_the_order_stays(lab: Lab) -> None:
    top, sup = lab.below_top(lab.spec("a"), lab.spec("b", shutdown=0.1), lab.spec("d"))
    b = lab.watch(which_child(sup, "b").address)
    lab.stick("b")
    lab.story()
    began = time.monotonic()
    terminate_child(top, "sup")
    assert 0.1 <= time.monotonic() - began < 5.0
    assert lab.story() == "down d, down a"
    assert b.reason() == Killed()


class Vanishing(SupervisedActor):
    """Does all it can to end without anybody being told."""

    def on_stop(self) -> None:
        self.actor_stopped.set()
        raise SystemExit(1)


@otp(65)
def test_a_supervisor_needs_no_cooperation_to_see_a_child_end(lab: Lab) -> None:
    top = lab.supervise(ChildSpec("a", Vanishing), lab.spec("b"))
    a = which_child(top, "a").address
    exits = lab.watch(a)
    terminate_child(top, "a")
    assert isinstance(exits.reason(), Crashed)
    assert lab.states(top) == "a stopped, b running"
    assert lab.lives_on(top)


class Fragile(Supervisor):
    """A supervisor that can be crashed."""

    def on_receive(self, message: Any) -> None:
        if message == "crash":
            raise Died("sup2")


@otp(66)
def test_addresses_lead_to_the_new_incarnations_all_over_a_tree(lab: Lab) -> None:
    flags = {"strategy": "one_for_all", "intensity": 3, "period": 60.0}
    server = lab.spec("server")
    top = lab.supervise(ChildSpec("sup2", Fragile, args=([server],), kwargs=flags), intensity=5)
    sup2 = which_child(top, "sup2").address
    address = which_child(sup2, "server").address
    ends = lab.watch(address)

    sup2.tell("crash")
    lab.wait_starts("server", 2)
    assert address.ask("ping") == "pong"
    assert which_child(sup2, "server").address is address

    lab.exit("server", "crash")
    lab.wait_starts("server", 3)
    assert address.ask("ping") == "pong"
    lab.exit("server", "normal")
    lab.wait_starts("server", 4)
    assert address.ask("ping") == "pong"
    assert ends.none(0.01)

    terminate_child(sup2, "server")
    restart_child(sup2, "server")
    assert address.ask("ping") == "pong"
    assert ends.reason() == Shutdown()

    top.stop()
    assert not any(one.is_alive() for one in (top, sup2, address))


@otp("X16")
def test_messages_that_mean_nothing_are_ignored(lab: Lab) -> None:
    top = lab.supervise(lab.spec("a"))
    stranger = lab.supervise_dynamic()
    top.tell("what is this")
    top.tell({"command": "unknown"})
    stranger.monitor(top)
    stranger.stop()
    top.tell(Down(stranger, Killed()))
    assert lab.lives_on(top)
    assert lab.story() == "up a"


@otp("X17")
@otp("X34")
def test_a_supervisor_that_ends_normally_stops_its_whole_tree_first(lab: Lab) -> None:
    top, _ = lab.below_top(*lab.specs("a b"))
    start_child(top, lab.spec("c"))
    lab.story()
    assert top.stop()
    assert lab.story() == "down c, down b, down a"
    assert lab.reason(top) == NORMAL


@otp("X33")
def test_a_supervisors_own_shutdown_reason_is_passed_through(lab: Lab) -> None:
    class Ending(Supervisor):
        def on_receive(self, message: Any) -> None:
            raise Shutdown(message)

    top = lab.keep(Ending.start(lab.specs("a b")))
    lab.story()
    top.tell("foo")
    assert lab.reason(top) == Shutdown("foo")
    assert lab.story() == "down b, down a"
