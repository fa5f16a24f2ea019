"""What cannot be killed is detached, interrupted, replaced, and counted until it ends."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from upright.actors import ActorKilled, Hung, Killed, Shutdown, SupervisedActor
from upright.supervisors import (
    BRUTAL_KILL,
    ChildSpec,
    NodeState,
    Restart,
    Supervisor,
    status,
    terminate_child,
    which_child,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.actors import Address
    from upright.testing.clock import FakeClock

pytestmark = pytest.mark.actor_crash


class _Poison:
    """Crashes whoever gets it."""


class Stubborn(SupervisedActor):
    """Waits in C code, spins in bytecode, or spins in its last hook; reports what becomes of it."""

    def __init__(self, release: threading.Event | None = None) -> None:
        super().__init__()
        self.release = release
        self.busy, self.interrupted = threading.Event(), threading.Event()
        self.spins_at_stop = False

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, _Poison):
            raise TypeError(message)
        if message == "block":
            assert self.release is not None
            self.busy.set()
            self.release.wait(20)
        elif message == "spin":
            self.spin()
        elif message == "spin at stop":
            self.spins_at_stop = True
        return message

    def spin(self) -> None:
        self.busy.set()
        try:
            while True:
                time.sleep(0)
        except BaseException:
            self.interrupted.set()
            raise

    def on_stop(self) -> None:
        if self.spins_at_stop:
            self.spin()


def _start(keep: Callable[..., Any], *, intensity: int = 5, **options: Any) -> tuple[Any, Address[Any]]:
    top = keep(Supervisor.start([ChildSpec("s", Stubborn, **options)], intensity=intensity))
    return top, which_child(top, "s").address


def _busy(address: Address[Any], message: str) -> tuple[Stubborn, Any]:
    actor = address.actor
    assert isinstance(actor, Stubborn)
    future = address.ask(message, block=False)
    assert actor.busy.wait(5)
    return actor, future


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_loop_of_bytecode_is_interrupted(keep: Callable[..., Any]) -> None:
    top, address = _start(keep, shutdown=BRUTAL_KILL)
    actor, future = _busy(address, "spin")
    terminate_child(top, "s")
    with pytest.raises(ActorKilled, match="detached while handling the message"):
        future.get(timeout=5)
    assert actor.interrupted.wait(5)
    _until(lambda: not address.zombies)
    assert address.exit_reason == Killed()


def test_a_loop_in_on_stop_is_interrupted_when_the_shutdown_time_is_over(keep: Callable[..., Any]) -> None:
    top, address = _start(keep, shutdown=0.05)
    actor = address.actor
    assert isinstance(actor, Stubborn)
    address.ask("spin at stop")
    terminate_child(top, "s")
    assert actor.interrupted.wait(5)
    _until(lambda: not address.zombies)
    assert address.exit_reason == Killed()


def test_a_c_call_that_blocks_is_counted_as_a_zombie_until_it_ends(keep: Callable[..., Any]) -> None:
    release = threading.Event()
    top, address = _start(keep, args=(release,), shutdown=0.02)
    _, future = _busy(address, "block")
    terminate_child(top, "s")
    with pytest.raises(ActorKilled):
        future.get(timeout=5)
    assert status(top).children[0].zombies == 1
    release.set()
    _until(lambda: status(top).children[0].zombies == 0)


def test_a_replacement_works_while_the_zombie_still_blocks(keep: Callable[..., Any]) -> None:
    release = threading.Event()
    _, address = _start(keep, args=(release,), hang_timeout=0.05)
    _, future = _busy(address, "block")
    queued = address.ask("queued", block=False)
    with pytest.raises(ActorKilled):
        future.get(timeout=5)
    assert queued.get(timeout=5) == "queued"
    assert len(address.zombies) == 1
    assert address.restarts == 1
    release.set()
    _until(lambda: not address.zombies)
    assert address.ask("still mine") == "still mine"


def test_a_zombie_that_wakes_up_takes_no_message_and_no_request_to_stop(keep: Callable[..., Any]) -> None:
    release = threading.Event()
    swallowed = threading.Event()

    class Swallows(Stubborn):
        def on_receive(self, message: Any) -> Any:
            if message != "block":
                return self
            try:
                return super().on_receive(message)
            except BaseException:
                swallowed.set()  # the worst case: the interrupt is lost
                return "late"

    top = keep(Supervisor.start([ChildSpec("s", Swallows, args=(release,), hang_timeout=0.05)], intensity=5))
    address = which_child(top, "s").address
    first, _ = _busy(address, "block")
    _until(lambda: address.restarts == 1)
    release.set()
    for _ in range(50):
        assert address.ask("who", timeout=5) is not first
    _until(lambda: not address.zombies)
    assert address.stop(timeout=5) is True


def test_stop_called_by_a_zombie_does_not_stop_its_replacement(keep: Callable[..., Any]) -> None:
    release, called = threading.Event(), threading.Event()

    class StopsLate(Stubborn):
        def on_receive(self, message: Any) -> Any:
            if message != "block":
                return message
            try:
                return super().on_receive(message)
            finally:
                self.stop()
                called.set()

    top = keep(Supervisor.start([ChildSpec("s", StopsLate, args=(release,), hang_timeout=0.05)], intensity=5))
    address = which_child(top, "s").address
    _busy(address, "block")
    _until(lambda: address.restarts == 1)
    release.set()
    assert called.wait(5)
    assert address.ask("a") == "a"
    assert address.ask("b") == "b"
    assert address.restarts == 1


def test_more_zombies_than_allowed_crash_the_supervisor(keep: Callable[..., Any]) -> None:
    release = threading.Event()
    child = ChildSpec("s", Stubborn, args=(release,), hang_timeout=0.02, max_zombies=2)
    middle = ChildSpec("middle", Supervisor, args=([child],), kwargs={"intensity": 100}, restart=Restart.TEMPORARY)
    top = keep(Supervisor.start([middle]))
    inner = which_child(top, "middle").address
    address = which_child(inner, "s").address
    for _ in range(3):
        address.tell("block")
    _until(lambda: not inner.is_alive())
    assert "left 3 threads that could not be ended; max_zombies is 2" in str(inner.exit_reason)
    release.set()


def test_a_hang_is_found_when_its_time_is_over_and_not_before(keep: Callable[..., Any], clock: FakeClock) -> None:
    release = threading.Event()
    top, address = _start(keep, args=(release,), hang_timeout=10.0)
    clock.advance(1000.0)  # idle, however long, is no hang
    which_child(top, "s")
    _, future = _busy(address, "block")
    clock.advance(9.99)
    which_child(top, "s")
    assert address.restarts == 0
    assert status(top).children[0].busy_for == pytest.approx(9.99)
    clock.advance(0.02)
    with pytest.raises(ActorKilled, match="hung"):
        future.get(timeout=5)
    _until(lambda: address.restarts == 1)
    assert address.exit_reason == Hung(10.0)
    release.set()


def test_an_actor_that_has_just_taken_a_message_after_a_long_wait_does_not_hang() -> None:
    from upright.supervisors.child import Child
    from upright.supervisors.watchdog import sweep

    address = Stubborn.start()
    child = Child(ChildSpec("s", Stubborn, hang_timeout=5.0), address)
    child.incarnation = incarnation = address.incarnation
    assert incarnation is not None

    class Slotted:
        """An incarnation caught between the two writes: `busy_since` is new, `current` not yet."""

        busy_since, current = 100.0, None

    child.incarnation = Slotted()  # type: ignore[assignment]
    assert sweep([child], 100.0) == ([], 105.0)
    Slotted.current = ("message", None)  # type: ignore[assignment]
    assert sweep([child], 104.9) == ([], 105.0)
    assert sweep([child], 105.0) == ([child], 105.0)  # one that hangs when the next look is planned is not forgotten
    address.stop()


def test_of_two_that_hang_at_once_the_second_is_not_replaced_twice(keep: Callable[..., Any], clock: FakeClock) -> None:
    from upright.supervisors import RestartStrategy, which_children

    release = threading.Event()
    specs = [ChildSpec(n, Stubborn, args=(release,), hang_timeout=10.0, shutdown=0.01) for n in "ab"]
    top = keep(Supervisor.start(specs, strategy=RestartStrategy.ONE_FOR_ALL, intensity=1))
    addresses = [child.address for child in which_children(top)]
    for address in addresses:
        _busy(address, "block")
    clock.advance(10.01)
    _until(lambda: all(address.restarts == 1 for address in addresses))
    which_children(top)
    assert [address.restarts for address in addresses] == [1, 1]
    release.set()
    _until(lambda: not any(address.zombies for address in addresses))


def test_on_start_that_hangs_is_a_failed_start(keep: Callable[..., Any]) -> None:
    from upright.supervisors import StartFailed, start_child

    release = threading.Event()

    class NeverReady(SupervisedActor):
        def on_start(self) -> None:
            release.wait(20)

    top = keep(Supervisor.start())
    with pytest.raises(StartFailed, match="on_start did not return within"):
        start_child(top, ChildSpec("n", NeverReady, hang_timeout=0.05))
    release.set()


def test_on_stop_that_hangs_is_a_hang_too(keep: Callable[..., Any], clock: FakeClock) -> None:
    top, address = _start(keep, hang_timeout=10.0)
    actor = address.actor
    assert isinstance(actor, Stubborn)
    address.ask("spin at stop")
    stopping = address.stop(block=False)
    assert actor.busy.wait(5)
    clock.advance(10.01)
    assert stopping.get(timeout=5) is True
    assert actor.interrupted.wait(5)
    which_child(top, "s")
    _until(lambda: address.restarts == 1)
    assert address.exit_reason == Hung(10.0)


def test_zombies_of_a_sibling_that_is_stuck_count_as_well(keep: Callable[..., Any]) -> None:
    from upright.supervisors import RestartStrategy

    release = threading.Event()
    children = [
        ChildSpec("stuck", Stubborn, args=(release,), shutdown=0.01, max_zombies=1),
        ChildSpec("fails", Stubborn, args=(release,)),
    ]
    flags = {"intensity": 100, "strategy": RestartStrategy.ONE_FOR_ALL}
    middle = ChildSpec("middle", Supervisor, args=(children,), kwargs=flags, restart=Restart.TEMPORARY)
    top = keep(Supervisor.start([middle]))
    inner = which_child(top, "middle").address
    stuck, fails = which_child(inner, "stuck").address, which_child(inner, "fails").address
    for turn in range(2):
        _busy(stuck, "block")
        fails.tell(_Poison())
        if turn == 0:
            _until(lambda: stuck.restarts == 1)
    _until(lambda: not inner.is_alive())
    assert "left 2 threads" in str(inner.exit_reason)
    release.set()


def test_a_shutdown_of_centuries_is_as_good_as_any(keep: Callable[..., Any]) -> None:
    top = keep(Supervisor.start([ChildSpec("s", Stubborn, shutdown=1e15, hang_timeout=1e15)]))
    terminate_child(top, "s")
    assert which_child(top, "s").address.exit_reason == Shutdown()


def test_killing_a_supervisor_ends_everything_below_it(keep: Callable[..., Any]) -> None:
    release = threading.Event()
    child = ChildSpec("s", Stubborn, args=(release,), shutdown=20.0)
    inner_spec = ChildSpec("inner", Supervisor, args=([child],), shutdown=0.1)
    top = keep(Supervisor.start([ChildSpec("outer", Supervisor, args=([inner_spec],), shutdown=0.3)]))
    inner = which_child(which_child(top, "outer").address, "inner").address
    address = which_child(inner, "s").address
    _busy(address, "block")
    started = time.monotonic()
    terminate_child(top, "outer")
    assert time.monotonic() - started < 5
    assert not address.is_alive()
    assert address.exit_reason == Killed()
    assert status(top).children[0].state is NodeState.STOPPED
    release.set()
    _until(lambda: not address.zombies and not inner.zombies)


@pytest.mark.parametrize("delay", [0.0, 0.0002, 0.001])
def test_a_supervisor_killed_while_it_kills_a_child_does_not_hold_up_the_one_above(
    keep: Callable[..., Any], delay: float
) -> None:
    # Both times run out together: the inner supervisor's own, and that of its child.
    for _ in range(5):
        release = threading.Event()
        child = ChildSpec("s", Stubborn, args=(release,), shutdown=0.05)
        inner_spec = ChildSpec("inner", Supervisor, args=([child],), shutdown=0.05 + delay)
        top = keep(Supervisor.start([inner_spec]))
        inner = which_child(top, "inner").address
        address = which_child(inner, "s").address
        _busy(address, "block")
        started = time.monotonic()
        terminate_child(top, "inner")
        assert time.monotonic() - started < 3
        release.set()
        _until(lambda a=address, i=inner: not a.zombies and not i.zombies)  # type: ignore[misc]
        top.stop()


def test_an_interrupt_hits_no_other_thread(keep: Callable[..., Any]) -> None:
    # Thread identifiers are reused: an interrupt that comes late must find its own thread or none.
    hits: list[BaseException] = []

    class Bystander(SupervisedActor):
        def on_start(self) -> None:
            try:
                for _ in range(200):
                    time.sleep(0)
            except BaseException as error:
                hits.append(error)
                raise

    top = keep(Supervisor.start([ChildSpec("s", Stubborn, shutdown=BRUTAL_KILL)]))
    from upright.supervisors import restart_child

    for _ in range(60):
        _busy(which_child(top, "s").address, "spin")
        terminate_child(top, "s")
        Bystander.start().stop()
        restart_child(top, "s")
    assert hits == []


def test_a_shutdown_in_time_is_no_kill(keep: Callable[..., Any]) -> None:
    top, address = _start(keep, shutdown=5.0)
    terminate_child(top, "s")
    assert address.exit_reason == Shutdown()
    assert not address.zombies
