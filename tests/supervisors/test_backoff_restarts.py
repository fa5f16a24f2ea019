"""Waiting before a restart: no retry is lost, and stop and API calls come in between."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from upright.actors import SupervisedActor
from upright.supervisors import (
    Backoff,
    ChildRestarting,
    ChildSpec,
    ChildState,
    RestartStrategy,
    Supervisor,
    count_children,
    delete_child,
    restart_child,
    start_child,
    terminate_child,
    which_child,
    which_children,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.actors import Address
    from upright.testing.clock import FakeClock

pytestmark = pytest.mark.actor_crash

BACKOFF = Backoff(1.0, 8.0, jitter=0.0)


class Plan:
    """How many of the coming starts fail."""

    def __init__(self) -> None:
        self.fail = 0
        self.starts = 0


class Fragile(SupervisedActor):
    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan

    def on_start(self) -> None:
        self.plan.starts += 1
        if self.plan.fail:
            self.plan.fail -= 1
            raise RuntimeError("not yet")

    def on_receive(self, message: Any) -> Any:
        if message == "boom":
            raise ValueError(message)
        return message


def _start(
    keep: Callable[..., Any], *, backoff: Backoff | None = BACKOFF, **flags: Any
) -> tuple[Any, Address[Any], Plan]:
    plan = Plan()
    flags.setdefault("intensity", 1000)
    top = keep(Supervisor.start([ChildSpec("f", Fragile, args=(plan,), backoff=backoff)], **flags))
    return top, which_child(top, "f").address, plan


def _crash(top: Address[Any], address: Address[Any]) -> None:
    with pytest.raises(ValueError, match="boom"):
        address.ask("boom")
    which_child(top, "f")  # so that the supervisor has dealt with it before the clock moves


def test_a_restart_waits_as_long_as_the_backoff_says(keep: Callable[..., Any], clock: FakeClock) -> None:
    top, address, plan = _start(keep)
    _crash(top, address)
    assert which_child(top, "f").state is ChildState.RESTARTING
    clock.advance(0.99)
    assert which_child(top, "f").state is ChildState.RESTARTING
    clock.advance(0.02)
    assert which_child(top, "f").state is ChildState.RUNNING
    assert plan.starts == 2


def test_the_wait_grows_with_failures_in_a_row_and_is_forgotten_after_a_quiet_time(
    keep: Callable[..., Any], clock: FakeClock
) -> None:
    top, address, _ = _start(keep)
    for wait in (1.0, 2.0, 4.0, 8.0, 8.0):
        _crash(top, address)
        clock.advance(wait - 0.01)
        assert which_child(top, "f").state is ChildState.RESTARTING
        clock.advance(0.02)
        assert which_child(top, "f").state is ChildState.RUNNING
    clock.advance(BACKOFF.quiet_period)
    _crash(top, address)
    clock.advance(1.01)
    assert which_child(top, "f").state is ChildState.RUNNING


def test_messages_sent_during_the_wait_are_handled_after_it(keep: Callable[..., Any], clock: FakeClock) -> None:
    top, address, _ = _start(keep)
    _crash(top, address)
    futures = [address.ask(n, block=False) for n in range(10)]
    which_child(top, "f")
    clock.advance(1.01)
    assert [future.get(timeout=5) for future in futures] == list(range(10))


def test_the_supervisor_answers_while_a_child_waits(keep: Callable[..., Any], clock: FakeClock) -> None:
    del clock
    top, address, _ = _start(keep)
    _crash(top, address)
    assert count_children(top).active == 0
    assert [child.state for child in which_children(top)] == [ChildState.RESTARTING]
    with pytest.raises(ChildRestarting):
        restart_child(top, "f")
    with pytest.raises(ChildRestarting):
        delete_child(top, "f")
    other = start_child(top, ChildSpec("other", Fragile, args=(Plan(),)))
    assert other is not None
    assert other.ask("here") == "here"


def test_a_stop_comes_in_while_a_child_waits(keep: Callable[..., Any], clock: FakeClock) -> None:
    del clock
    top, address, plan = _start(keep)
    _crash(top, address)
    assert top.stop(timeout=5) is True
    assert plan.starts == 1
    assert not address.is_alive()


def test_a_terminated_child_is_not_started_by_a_retry_that_was_planned(
    keep: Callable[..., Any], clock: FakeClock
) -> None:
    top, address, plan = _start(keep)
    _crash(top, address)
    terminate_child(top, "f")
    clock.advance(100.0)
    assert which_child(top, "f").state is ChildState.STOPPED
    assert plan.starts == 1
    assert restart_child(top, "f") is address
    clock.advance(100.0)
    which_child(top, "f")
    assert plan.starts == 2


def test_a_start_that_fails_again_is_retried_until_it_succeeds(keep: Callable[..., Any], clock: FakeClock) -> None:
    top, address, plan = _start(keep)
    plan.fail = 3
    _crash(top, address)
    for _ in range(20):
        which_child(top, "f")
        clock.advance(10.0)
    assert which_child(top, "f").state is ChildState.RUNNING
    assert plan.starts == 5
    assert address.ask("back") == "back"


def test_without_a_backoff_a_failing_start_is_retried_and_calls_come_in_between(keep: Callable[..., Any]) -> None:
    # klarna/supervisor3#24: a retry was dropped for a state that somebody else had set, and the child lost for ever.
    top, address, plan = _start(keep, backoff=None)
    plan.fail = 200
    _crash(top, address)
    states = set()
    while plan.fail:
        states.add(which_child(top, "f").state)
    assert address.ask("back", timeout=10) == "back"
    assert states <= {ChildState.RESTARTING, ChildState.RUNNING}
    assert plan.starts == 202


def test_a_stop_comes_in_between_retries_that_never_succeed(keep: Callable[..., Any]) -> None:
    top, address, plan = _start(keep, backoff=None, intensity=10**9)
    plan.fail = 10**9
    _crash(top, address)
    assert top.stop(timeout=10) is True
    assert not address.is_alive()


@pytest.mark.parametrize("strategy", list(RestartStrategy))
def test_no_retry_is_lost_when_calls_race_with_failing_starts(
    keep: Callable[..., Any], strategy: RestartStrategy
) -> None:
    plans = [Plan() for _ in range(3)]
    specs = [ChildSpec(n, Fragile, args=(plan,)) for n, plan in enumerate(plans)]
    top = keep(Supervisor.start(specs, strategy=strategy, intensity=10**6))
    addresses = [child.address for child in which_children(top)]
    for turn in range(30):
        plans[turn % 3].fail = turn % 4
        addresses[turn % 3].tell("boom")
        if turn % 5 == 0:
            which_children(top)
    deadline = time.monotonic() + 15
    while count_children(top).active < 3:
        assert time.monotonic() < deadline, [child.state for child in which_children(top)]
    assert [address.ask(n) for n, address in enumerate(addresses)] == [0, 1, 2]


def test_failed_retries_count_towards_the_intensity(keep: Callable[..., Any]) -> None:
    top, address, plan = _start(keep, backoff=None, intensity=5)
    plan.fail = 10**9
    _crash(top, address)
    incarnation = top.incarnation
    assert incarnation is not None
    assert incarnation.wait_ended(10)
    assert "restart intensity reached" in str(top.exit_reason)
    assert plan.starts == 1 + 5
