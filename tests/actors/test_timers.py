from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from upright.actors import SupervisedActor
from upright.actors.timers import Timers
from upright.strategies.errors import ConfigError
from upright.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable


class Timed(SupervisedActor):
    def __init__(self) -> None:
        super().__init__()
        self.got: list[Any] = []
        self.timers: dict[Any, Any] = {}

    def on_receive(self, message: Any) -> Any:
        self.got.append(message)
        return message

    def after(self, delay: float, message: Any) -> None:
        self.timers[message] = self.send_after(delay, message)

    def cancel(self, message: Any) -> None:
        self.timers[message].cancel()

    def seen(self) -> list[Any]:
        return list(self.got)


def test_a_timer_delivers_when_its_time_has_come_and_not_before(keep: Callable[..., Any], clock: FakeClock) -> None:
    address = keep(Timed.start())
    address.call("after", 10.0, "later")
    clock.advance(9.9)
    assert address.call("seen") == []
    clock.advance(0.1)
    assert address.call("seen") == ["later"]


def test_timers_come_in_the_order_in_which_they_are_due(keep: Callable[..., Any], clock: FakeClock) -> None:
    address = keep(Timed.start())
    for delay, name in [(3.0, "c"), (1.0, "a"), (2.0, "b1"), (2.0, "b2")]:
        address.call("after", delay, name)
    clock.advance(5.0)
    for _ in range(10):  # a timer and a message take turns
        address.call("seen")
    assert address.call("seen") == ["a", "b1", "b2", "c"]


def test_a_cancelled_timer_never_comes(keep: Callable[..., Any], clock: FakeClock) -> None:
    address = keep(Timed.start())
    address.call("after", 1.0, "no")
    address.call("after", 2.0, "yes")
    address.call("cancel", "no")
    clock.advance(5.0)
    for _ in range(3):
        address.call("seen")
    assert address.call("seen") == ["yes"]


def test_a_timer_wakes_a_waiting_actor_by_the_real_clock(keep: Callable[..., Any]) -> None:
    came = threading.Event()

    class Real(SupervisedActor):
        def on_start(self) -> None:
            self.send_after(0.02, "tick")

        def on_receive(self, message: Any) -> None:
            came.set()

    keep(Real.start())
    assert came.wait(5)


def test_a_timer_that_sets_itself_again_at_once_does_not_starve_messages(keep: Callable[..., Any]) -> None:
    class Restless(SupervisedActor):
        def on_start(self) -> None:
            self.send_after(0.0, "tick")

        def on_receive(self, message: Any) -> Any:
            if message == "tick":
                self.send_after(0.0, "tick")
            return message

    address = keep(Restless.start())
    for n in range(100):
        assert address.ask(n, timeout=5) == n


def test_a_timer_is_gone_with_the_incarnation_that_set_it(clock: FakeClock) -> None:
    address = Timed.start()
    address.call("after", 1.0, "x")
    incarnation = address.incarnation
    assert incarnation is not None
    address.stop()
    incarnation.wait_gone(5)
    clock.advance(2.0)
    assert not incarnation.timers


@pytest.mark.parametrize("delay", [float("nan"), float("inf"), "1", None])
def test_a_delay_that_is_no_number_is_refused(delay: Any) -> None:
    with pytest.raises(ConfigError, match=r"send_after\.delay must be a finite number of seconds, got"):
        Timed().send_after(delay, "x")


def test_a_timer_that_is_due_in_centuries_disturbs_nobody(keep: Callable[..., Any]) -> None:
    address = keep(Timed.start())
    address.call("after", 1e15, "never")
    assert address.ask("still here", timeout=5) == "still here"


def test_cancelled_timers_do_not_pile_up() -> None:
    clock = FakeClock()
    timers = Timers(clock)
    live = timers.add(1000.0, "live")
    for n in range(10_000):
        timers.add(500.0, n).cancel()
    assert len(timers.heap) < 200
    assert timers.wait() is None
    clock.advance(2000.0)
    assert timers.wait() == 0.0
    assert timers.pop() is live
    assert timers.wait() is None


def test_the_fake_clock_keeps_no_actor_alive(clock: FakeClock) -> None:
    import gc
    import weakref

    address = Timed.start()
    incarnation = address.incarnation
    assert incarnation is not None
    address.stop()
    incarnation.wait_gone(5)
    seen = weakref.ref(incarnation)
    del address, incarnation
    gc.collect()
    assert seen() is None
    clock.advance(1.0)
