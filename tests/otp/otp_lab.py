"""The laboratory of the OTP cases: supervisors, and the words in which a test speaks about them.

Tests wait for journal entries, for the end of threads and for answers of the supervisor, never for time to pass.
"""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import pykka
from otp_stage import PATIENCE, Entry, Leaf, Life, Stage
from pykka.messages import ProxyCall

from upright.actors import Down, SupervisedActor
from upright.strategies.clock import Clock, set_clock
from upright.supervisors import (
    ChildCounts,
    ChildInfo,
    ChildSpec,
    ChildState,
    DynamicSupervisor,
    Restart,
    Supervisor,
    count_children,
    which_child,
    which_children,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from otp_stage import Exit, Outcome

    from upright.actors import Address, ExitReason


class Watcher(SupervisedActor):
    """Takes down who is reported to have ended, and why."""

    def __init__(self, downs: queue.SimpleQueue[Down]) -> None:
        super().__init__()
        self._downs = downs

    def on_receive(self, message: Any) -> None:
        if isinstance(message, Down):
            self._downs.put(message)


class Exits:
    """The end of one monitored address."""

    def __init__(self, address: Address[Any]) -> None:
        self._downs: queue.SimpleQueue[Down] = queue.SimpleQueue()
        self._watcher = Watcher.start(self._downs)
        assert self._watcher is not None
        self.address = address
        address.monitor(self._watcher)

    def reason(self) -> ExitReason:
        """Wait until the address is down; why."""
        down = self._downs.get(timeout=PATIENCE)
        self._downs.put(down)
        assert down.address == self.address
        return down.reason

    def none(self, seconds: float = 0.05) -> bool:
        """Whether nothing is reported for this long."""
        try:
            self._downs.put(self._downs.get(timeout=seconds))
        except queue.Empty:
            return True
        return False

    def close(self) -> None:
        """End the watcher."""
        self._watcher.stop()


class HandClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._wakes: list[Callable[[], object]] = []

    def now(self) -> float:
        """Seconds, monotonic."""
        return self._now

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
        for wake in self._wakes:
            wake()

    def wait_for(self, deadline: float) -> float | None:
        """Say that nothing comes by waiting, unless it is due."""
        return 0.0 if deadline <= self._now else None

    def attach(self, wake: Callable[[], object]) -> None:
        """Wake this one whenever time has passed."""
        self._wakes.append(wake)


class Lab:
    """One test's supervisors, and the words in which the test speaks about them."""

    def __init__(self) -> None:
        self.stage = Stage()
        self._system_clock: Clock | None = None
        self._tops: list[Address[Any]] = []
        self._exits: dict[int, Exits] = {}
        self._told = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stage.close()
        if self._system_clock is not None:
            set_clock(self._system_clock)
        for top in self._tops:
            with suppress(pykka.ActorDeadError):
                top.stop()
        for exits in self._exits.values():
            exits.close()
        if error is None:
            self.stage.join()

    # Making things.

    def spec(self, child: str, restart: Restart = Restart.PERMANENT, **options: Any) -> ChildSpec:
        """Return the spec of a leaf; `start_in` and `stop_time` are the leaf's, the rest is the spec's."""
        kwargs: dict[str, Any] = {key: options.pop(key) for key in ("start_in", "stop_time") if key in options}
        return ChildSpec(child, Leaf, args=(self.stage, child), kwargs=kwargs, restart=restart, **options)

    def specs(self, children: str, restart: Restart = Restart.PERMANENT, **options: Any) -> list[ChildSpec]:
        """Return the specs of several leaves, by ids separated by spaces."""
        return [self.spec(child, restart, **options) for child in children.split()]

    def supervise(self, *children: ChildSpec, period: float = 3600.0, **flags: Any) -> Address[Any]:
        """Start a supervisor and watch for its end; it is stopped after the test."""
        return self.keep(Supervisor.start(children, period=period, **flags))

    def supervise_dynamic(self, *children: ChildSpec, period: float = 3600.0, **flags: Any) -> Address[Any]:
        """Start a dynamic supervisor with these children, likewise."""
        top = self.keep(DynamicSupervisor.start(period=period, **flags))
        for child in children:
            top.proxy().start_child(child).get(timeout=PATIENCE)
        return top

    def keep(self, top: Address[Any] | None) -> Address[Any]:
        """Watch a supervisor for its end, and stop it after the test."""
        assert top is not None
        self._tops.append(top)
        self.watch(top)
        return top

    def below_top(self, *children: ChildSpec, **flags: Any) -> tuple[Address[Any], Address[Any]]:
        """Start a supervisor `sup` under a top of its own, so that it can be shut down; top and sup."""
        spec = ChildSpec("sup", Supervisor, args=(children,), kwargs={"period": 3600.0, **flags})
        top = self.supervise(spec)
        return top, which_child(top, "sup").address

    def use_hand_clock(self) -> HandClock:
        """Give the supervisors that are started from now on a clock that the test moves."""
        clock = HandClock()
        previous = set_clock(clock)
        self._system_clock = self._system_clock or previous
        return clock

    def watch(self, address: Address[Any]) -> Exits:
        """Monitor an address; the same monitor for the same address."""
        if id(address) not in self._exits:
            self._exits[id(address)] = Exits(address)
        return self._exits[id(address)]

    # Doing things to children.

    def tell(self, child: str, message: str) -> Life:
        """Send a message to the present incarnation of a leaf."""
        life = self.stage.lives(child)[-1]
        life.address.tell(message)
        return life

    def exit(self, child: str, how: Exit) -> None:
        """Make a leaf end by itself; when this returns, its supervisor has been told."""
        life = self.tell(child, how)
        life.thread.join(PATIENCE)
        assert not life.thread.is_alive()

    def stick(self, child: str) -> None:
        """Make a leaf deaf."""
        before = self.stage.journal.count(Entry("stuck", child))
        self.tell(child, "stick")
        self.stage.wait_until(lambda: self.stage.journal.count(Entry("stuck", child)) > before)

    def exit_and_settle(self, top: Address[Any], child: str, how: Exit) -> None:
        """Make a leaf end by itself and wait until its supervisor has dealt with it and lives on."""
        self.exit(child, how)
        self.settle(top)

    def crash(self, top: Address[Any], child: str) -> None:
        """Crash a leaf and wait until its supervisor has dealt with it and lives on."""
        self.exit_and_settle(top, child, "crash")

    def hold(self, child: str) -> None:
        """Crash a leaf; when this returns, its restart is under way and waits for the test."""
        self.stage.plan(child, "gate")
        self.exit(child, "crash")
        self.wait_held(child)

    def wait_held(self, child: str) -> None:
        """Wait until a start of this leaf waits for the test."""
        assert self.stage.entered.get(timeout=PATIENCE) == child

    def let_go(self, child: str, outcome: Outcome = "ok") -> None:
        """Let the start that waits end in this way."""
        self.stage.open_gate(child, outcome)

    def call_while_failing(self, top: Address[Any], child: str, call: str, *args: Any) -> Any:
        """Let the start that waits fail while a call to the supervisor is queued; the call's answer.

        The start after it, if there is one, waits again.
        """
        request = top.ask(ProxyCall((call,), args, {}), block=False)
        self.stage.plan(child, "gate")
        self.stage.open_gate(child, "fail")
        return request.get(timeout=PATIENCE)

    def settle(self, top: Address[Any]) -> list[ChildInfo]:
        """Ask a supervisor until no restart is under way; its children."""
        pause = threading.Event()
        for _ in range(int(PATIENCE / 0.001)):
            children = which_children(top)
            if all(child.state is not ChildState.RESTARTING for child in children):
                return children
            pause.wait(0.001)
        raise AssertionError("a restart is still under way")

    # Looking at things.

    def story(self) -> str:
        """What happened since this was last asked: `down b, up b`."""
        journal = self.stage.journal
        new, self._told = journal[self._told :], len(journal)
        return ", ".join(str(entry) for entry in new if entry.kind != "stuck")

    def starts(self, child: str) -> int:
        """How many starts of a leaf have succeeded."""
        return len(self.stage.lives(child))

    def wait_starts(self, child: str, count: int) -> None:
        """Wait until a leaf has been started that often."""
        self.stage.wait_until(lambda: self.stage.journal.count(Entry("up", child)) >= count)

    def states(self, top: Address[Any]) -> str:
        """The children and their states in start order: `a running, b stopped`."""
        return ", ".join(f"{child.id} {child.state.name.lower()}" for child in which_children(top))

    def counts(self, top: Address[Any]) -> tuple[int, int, int, int]:
        """Return specs, active, supervisors, workers: the order of the suite."""
        counts: ChildCounts = count_children(top)
        return (counts.specs, counts.active, counts.supervisors, counts.workers)

    def reason(self, address: Address[Any]) -> ExitReason:
        """Wait for the end of an address; why."""
        return self.watch(address).reason()

    def lives_on(self, top: Address[Any]) -> bool:
        """Whether a supervisor answers, and goes on doing so for a short while."""
        which_children(top)
        quiet = self.watch(top).none()
        which_children(top)
        return quiet
