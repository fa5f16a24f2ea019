"""Start-up and start failures: rows 1 to 15, X6 and X31."""

from __future__ import annotations

import threading
import traceback
from typing import TYPE_CHECKING, Any

import pykka
import pytest
from otp_stage import Died, Leaf, StartProblem

from upright.actors import NORMAL, Ignore, Shutdown, SupervisedActor
from upright.supervisors import (
    ChildAlreadyStarted,
    ChildNotFound,
    ChildRunning,
    ChildSpec,
    DynamicSupervisor,
    InvalidChildSpec,
    Restart,
    RestartStrategy,
    StartFailed,
    Supervisor,
    delete_child,
    restart_child,
    start_child,
    terminate_child,
    which_child,
    which_children,
)

if TYPE_CHECKING:
    from otp_lab import Lab

    from upright.actors import Address

otp = pytest.mark.otp


def no_new_threads(before: set[threading.Thread]) -> bool:
    """Whether every thread that was started since has ended, or is about to."""
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
    return set(threading.enumerate()) <= before


@otp(1)
def test_a_supervisor_without_children_starts_and_ends_in_order(lab: Lab) -> None:
    top, sup = lab.below_top()
    exits = lab.watch(sup)
    assert which_children(sup) == []
    terminate_child(top, "sup")
    assert exits.reason() == Shutdown()


@otp(1)
def test_a_top_supervisor_that_is_stopped_from_outside_ends_normally(lab: Lab) -> None:
    top = lab.supervise()
    assert top.stop()
    assert lab.reason(top) == NORMAL


@otp(2)
@pytest.mark.parametrize("where", ["__init__", "on_start"])
def test_a_supervisor_that_declines_to_start_leaves_nothing_behind(lab: Lab, where: str) -> None:
    def decline(*_args: Any, **_kwargs: Any) -> None:
        raise Ignore

    declining: Any = type("Declining", (Supervisor,), {where: decline})
    before = set(threading.enumerate())
    assert declining.start(lab.specs("a b")) is None
    assert no_new_threads(before)
    assert lab.story() in ("", "up a, up b, down b, down a")


@otp(3)
@pytest.mark.parametrize("children", [42, "a", ["a"], [("a", Leaf)], {"a": Leaf}, [None]])
def test_what_is_no_list_of_child_specs_is_refused_by_name(children: Any) -> None:
    before = set(threading.enumerate())
    with pytest.raises(InvalidChildSpec, match=r"^children must be .* got ") as caught:
        Supervisor.start(children)
    assert caught.value.field == "children"
    assert no_new_threads(before)


@otp(4)
def test_an_exception_from_the_supervisors_own_start_comes_out_unchanged(lab: Lab) -> None:
    error = Died("my own")

    class Broken(Supervisor):
        def on_start(self) -> None:
            raise error

    before = set(threading.enumerate())
    with pytest.raises(Died) as caught:
        Broken.start(lab.specs("a"))
    assert caught.value is error
    assert lab.story() == "up a, down a"
    assert no_new_threads(before)


@otp(5)
@pytest.mark.parametrize("start_in", ["init", "on_start"])
def test_the_spec_of_a_permanent_child_that_ignores_is_kept(lab: Lab, start_in: str) -> None:
    top = lab.supervise()
    lab.stage.plan("child1", "ignore")
    assert start_child(top, lab.spec("child1", start_in=start_in)) is None
    assert start_child(top, lab.spec("child2")) == which_child(top, "child2").address
    assert lab.states(top) == "child1 stopped, child2 running"
    assert lab.counts(top) == (2, 1, 0, 2)
    assert restart_child(top, "child1") is not None
    assert lab.counts(top) == (2, 2, 0, 2)


@otp(6)
def test_the_spec_of_a_temporary_child_that_ignores_at_boot_is_not_kept(lab: Lab) -> None:
    lab.stage.plan("child1", "ignore")
    top = lab.supervise(*lab.specs("child1 child2", Restart.TEMPORARY))
    assert lab.states(top) == "child2 running"
    assert lab.counts(top) == (1, 1, 0, 1)


@otp(7)
def test_the_spec_of_a_temporary_child_that_ignores_at_start_child_is_not_kept(lab: Lab) -> None:
    top = lab.supervise()
    lab.stage.plan("child1", "ignore")
    assert start_child(top, lab.spec("child1", Restart.TEMPORARY)) is None
    assert start_child(top, lab.spec("child2", Restart.TEMPORARY)) is not None
    assert lab.states(top) == "child2 running"
    assert lab.counts(top) == (1, 1, 0, 1)


@otp(8)
@otp(9)
@pytest.mark.parametrize("restart", [Restart.TEMPORARY, Restart.PERMANENT])
def test_a_dynamic_child_that_ignores_is_never_kept(lab: Lab, restart: Restart) -> None:
    top = lab.supervise_dynamic()
    lab.stage.plan("child1", "ignore")
    assert start_child(top, lab.spec("child1", restart)) is None
    assert start_child(top, lab.spec("child2", restart)) is not None
    assert lab.states(top) == "child2 running"
    assert lab.counts(top) == (1, 1, 0, 1)
    assert top.stop()
    assert lab.reason(top) == NORMAL


@otp(10)
@otp(11)
@otp("X31")
@pytest.mark.parametrize("start_in", ["init", "on_start"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_start_child_reports_a_start_that_failed_and_keeps_nothing(
    lab: Lab,
    dynamic: bool,  # noqa: FBT001 - a parameter of the test
    start_in: str,
) -> None:
    top = lab.supervise_dynamic() if dynamic else lab.supervise()
    lab.stage.plan("child", "fail")
    with pytest.raises(StartFailed) as caught:
        start_child(top, lab.spec("child", start_in=start_in))
    assert caught.value.child_id == "child"
    assert isinstance(caught.value.__cause__, StartProblem)
    assert which_children(top) == []
    assert lab.counts(top) == (0, 0, 0, 0)
    assert lab.lives_on(top)
    assert start_child(top, lab.spec("child", start_in=start_in)) is not None


@otp(10)
@pytest.mark.parametrize("dynamic", [False, True])
def test_a_start_failed_by_any_base_exception_leaves_the_supervisor_alive(
    lab: Lab,
    dynamic: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    class Exits(SupervisedActor):
        def __init__(self, where: str) -> None:
            super().__init__()
            if where == "init":
                raise SystemExit(3)

        def on_start(self) -> None:
            raise SystemExit(3)

    top = lab.supervise_dynamic() if dynamic else lab.supervise()
    for where in ("init", "on_start"):
        with pytest.raises(StartFailed) as caught:
            start_child(top, ChildSpec("child", Exits, (where,)))
        assert isinstance(caught.value.__cause__, SystemExit)
    assert which_children(top) == []
    assert lab.lives_on(top)


@otp(12)
def test_restart_child_returns_the_error_of_the_start_and_does_not_try_again(lab: Lab) -> None:
    top = lab.supervise(lab.spec("child"))
    terminate_child(top, "child")
    lab.stage.plan("child", "fail")
    with pytest.raises(StartFailed) as caught:
        restart_child(top, "child")
    assert isinstance(caught.value.__cause__, StartProblem)
    assert lab.states(top) == "child stopped"
    assert lab.lives_on(top)
    assert lab.story() == "up child, down child, fail child"


@otp(13)
@pytest.mark.parametrize("dynamic", [False, True])
def test_already_started_raised_by_a_child_reaches_the_caller_as_it_is(
    lab: Lab,
    dynamic: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    foreign = Leaf.start(lab.stage, "foreign")
    error = ChildAlreadyStarted("foreign", foreign)

    class Polite(SupervisedActor):
        def on_start(self) -> None:
            raise error

    top = lab.supervise_dynamic() if dynamic else lab.supervise()
    with pytest.raises(ChildAlreadyStarted) as caught:
        start_child(top, ChildSpec("child", Polite))
    assert caught.value is error
    assert caught.value.address is foreign
    assert which_children(top) == []
    assert lab.lives_on(top)
    assert foreign.ask("ping") == "pong"
    foreign.stop()


@otp(14)
def test_a_dynamic_supervisor_names_its_own_child_whose_child_failed(lab: Lab) -> None:
    lab.stage.plan("leaf", "fail")
    top = lab.supervise_dynamic()
    with pytest.raises(StartFailed) as caught:
        start_child(top, ChildSpec("inner", Supervisor, args=([lab.spec("leaf")],)))
    assert caught.value.child_id == "inner"
    assert isinstance(caught.value.__cause__, StartFailed)
    assert caught.value.__cause__.child_id == "leaf"


@otp(14)
def test_the_original_traceback_of_a_failed_start_survives_to_the_top(lab: Lab) -> None:
    lab.stage.plan("leaf", "fail")
    inner = ChildSpec("inner", Supervisor, args=([lab.spec("leaf")],))
    middle = ChildSpec("middle", Supervisor, args=([inner],))
    with pytest.raises(StartFailed) as caught:
        Supervisor.start([middle])
    ids = []
    error: BaseException | None = caught.value
    while isinstance(error, StartFailed):
        ids.append(error.child_id)
        error = error.__cause__
    assert ids == ["middle", "inner", "leaf"]
    assert isinstance(error, StartProblem)
    assert "perform_start" in [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert "raise StartProblem" in "".join(traceback.format_exception(caught.value))


@otp(15)
def test_a_child_goes_through_the_whole_of_its_administration(lab: Lab) -> None:
    top = lab.supervise(intensity=1)
    for call in (terminate_child, delete_child, restart_child):
        with pytest.raises(ChildNotFound):
            call(top, "child")
    start_child(top, lab.spec("child"))
    assert lab.counts(top) == (1, 1, 0, 1)
    for refused in (delete_child, restart_child):
        with pytest.raises(ChildRunning):
            refused(top, "child")
    terminate_child(top, "child")
    terminate_child(top, "child")
    assert lab.counts(top) == (1, 0, 0, 1)
    restart_child(top, "child")
    assert lab.counts(top) == (1, 1, 0, 1)
    lab.crash(top, "child")
    assert lab.counts(top) == (1, 1, 0, 1)
    assert lab.starts("child") == 3
    terminate_child(top, "child")
    delete_child(top, "child")
    assert lab.counts(top) == (0, 0, 0, 0)


@otp("X6")
@pytest.mark.parametrize("start_in", ["init", "on_start"])
@pytest.mark.parametrize("strategy", list(RestartStrategy))
def test_children_started_before_one_that_fails_are_stopped_again_newest_first(
    lab: Lab, strategy: RestartStrategy, start_in: str
) -> None:
    lab.stage.plan("d", "fail")
    before = set(threading.enumerate())
    with pytest.raises(StartFailed) as caught:
        Supervisor.start(lab.specs("a b d e", start_in=start_in), strategy=strategy)
    assert caught.value.child_id == "d"
    assert lab.story() == "up a, up b, fail d, down b, down a"
    assert no_new_threads(before)
    for child in "ab":
        with pytest.raises(pykka.ActorDeadError):
            lab.stage.lives(child)[0].address.tell("ping")


@otp("X6")
def test_start_returns_only_when_all_children_are_up(lab: Lab) -> None:
    lab.stage.plan("b", "gate")
    tops: list[Address[Any]] = []
    starter = threading.Thread(target=lambda: tops.append(lab.supervise(*lab.specs("a b"))))
    starter.start()
    lab.wait_held("b")
    assert not tops
    assert lab.story() == "up a"
    lab.let_go("b")
    starter.join(10)
    assert lab.story() == "up b"
    assert lab.counts(tops[0]) == (2, 2, 0, 2)


@otp(1)
def test_a_dynamic_supervisor_starts_empty(lab: Lab) -> None:
    top = lab.keep(DynamicSupervisor.start())
    assert which_children(top) == []
    assert lab.counts(top) == (0, 0, 0, 0)
