"""The stage of the OTP cases: children that do as they are told, and a journal of what happened.

The vocabulary is that of OTP's own supervisor_SUITE. A `Leaf` starts and stops in order and crashes on request;
what its next starts do (succeed, fail, decline, wait for the test) is a plan kept outside of it, since a restarted
child remembers nothing. Every leaf writes `up` before its start returns and `down` before it ends, so the order of
the journal is the order in which the supervisor caused things to happen.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from upright.actors import Ignore, Shutdown, SupervisedActor

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.actors import Address

Outcome = Literal["ok", "fail", "ignore", "gate"]
Exit = Literal["crash", "normal", "shutdown", "shutdown_detail"]
PATIENCE = 10.0  # seconds after which a wait has failed; no test waits that long for a thing that works


class Died(Exception):
    """A leaf was told to crash."""


class StartProblem(Exception):
    """A start was planned to fail."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal: `up`, `down`, `fail` or `ignore` of a child, and why it went down."""

    kind: str
    id: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


@dataclass(frozen=True, slots=True)
class Life:
    """One incarnation of a leaf."""

    leaf: Leaf
    address: Address[Any]
    thread: threading.Thread


class Stage:
    """What the leaves of one test share: the plans for their starts, the journal, and the gates."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._plans: dict[str, deque[Outcome]] = {}
        self._journal: list[Entry] = []
        self._lives: dict[str, list[Life]] = {}
        self._gates: dict[str, queue.SimpleQueue[Outcome]] = {}
        self.entered: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.closed = threading.Event()

    def plan(self, child: str, *outcomes: Outcome) -> None:
        """Say what the next starts of a child do; those after them succeed."""
        with self._changed:
            self._plans[child] = deque(outcomes)

    def plan_next(self, child: str, outcome: Outcome) -> None:
        """Put one outcome before those planned."""
        with self._changed:
            self._plans.setdefault(child, deque()).appendleft(outcome)

    def perform_start(self, child: str) -> None:
        """Do what is planned for this start."""
        outcome = self._next(child)
        while outcome == "gate":
            if self.closed.is_set():
                raise StartProblem(child)
            with self._changed:
                gate = self._gates[child] = queue.SimpleQueue()
            self.entered.put(child)
            self.plan_next(child, gate.get())
            outcome = self._next(child)
        if outcome == "fail":
            self.record("fail", child)
            raise StartProblem(child)
        if outcome == "ignore":
            self.record("ignore", child)
            raise Ignore(child)

    def _next(self, child: str) -> Outcome:
        with self._changed:
            plan = self._plans.get(child)
            return plan.popleft() if plan else "ok"

    def open_gate(self, child: str, outcome: Outcome) -> None:
        """Let the start that waits go on, to this outcome."""
        with self._changed:
            gate = self._gates[child]
        gate.put(outcome)

    def close(self) -> None:
        """Let everything that waits or is stuck come to its end."""
        self.closed.set()
        with self._changed:
            self._plans.clear()
            gates = list(self._gates.values())
        for gate in gates:
            gate.put("fail")

    def join(self) -> None:
        """Wait for the threads of all leaves, those that were killed included; their supervisors have stopped."""
        with self._changed:
            threads = [life.thread for lives in self._lives.values() for life in lives]
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), f"{thread} goes on"

    def record(self, kind: str, child: str, detail: str = "") -> None:
        """Append to the journal."""
        with self._changed:
            self._journal.append(Entry(kind, child, detail))
            self._changed.notify_all()

    def arrive(self, leaf: Leaf) -> None:
        """Register a leaf whose start has succeeded."""
        life = Life(leaf, leaf.actor_ref, threading.current_thread())
        with self._changed:
            self._lives.setdefault(leaf.child, []).append(life)
        self.record("up", leaf.child)

    @property
    def journal(self) -> tuple[Entry, ...]:
        """Everything so far, oldest first."""
        with self._changed:
            return tuple(self._journal)

    def lives(self, child: str) -> list[Life]:
        """The incarnations of a child, oldest first."""
        with self._changed:
            return list(self._lives.get(child, ()))

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until something written to the journal makes `condition` true."""
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE), f"not seen within {PATIENCE} s: {self._journal}"


class Leaf(SupervisedActor):
    """The suite's obedient child.

    Receives: "crash", "normal", "shutdown", "shutdown_detail" (it ends so), "stick" (it handles nothing more
    until it is killed), "ping" -> "pong".

    Args:
        stage: Where its starts are planned and its life is written down.
        child: Its id.
        start_in: Where a planned failure happens: in the supervisor's thread or in its own.
        stop_time: Seconds it needs to shut down.
    """

    def __init__(
        self,
        stage: Stage,
        child: str,
        *,
        start_in: Literal["init", "on_start"] = "on_start",
        stop_time: float = 0.0,
    ) -> None:
        super().__init__()
        self.child = child
        self.stuck = False
        self._stage = stage
        self._start_in = start_in
        self._stop_time = stop_time
        self._down = False
        if start_in == "init":
            stage.perform_start(child)

    def on_start(self) -> None:
        if self._start_in == "on_start":
            self._stage.perform_start(self.child)
        self._stage.arrive(self)

    def on_stop(self) -> None:
        if self._stop_time:
            self._stage.closed.wait(self._stop_time)
        self._end("stopped")

    def on_receive(self, message: Any) -> Any:
        match message:
            case "crash":
                self._end("crash")
                raise Died(self.child)
            case "normal":
                self._end("normal")
                self.stop()
            case "shutdown":
                self._end("shutdown")
                raise Shutdown
            case "shutdown_detail":
                self._end("shutdown")
                raise Shutdown("detail")
            case "stick":
                self._stick()
            case "ping":
                return "pong"
        return None

    @property
    def deaf(self) -> bool:
        """Whether this incarnation handles no more messages."""
        return self._down or self.stuck

    def _end(self, detail: str) -> None:
        # Once per life, and never by one that was killed: whoever kills it does not wait for its last words.
        if not self.deaf:
            self._down = True
            self._stage.record("down", self.child, detail)

    def _stick(self) -> None:
        self.stuck = True
        self._stage.record("stuck", self.child)
        while not self._stage.closed.wait(0.01):
            pass
