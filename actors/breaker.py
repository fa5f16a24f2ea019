"""The breaker actor: judges outcomes, changes circuits, and publishes each change.

Callers log their outcomes themselves and tell only what may change a state: failures, slow calls and probes. The
state machine is upright.strategies.breaker; its objects live on the operations, so a crash of this actor loses
nothing, and a circuit whose wait is over lets probes through whether or not this actor is there to say so.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from upright.actors.actor import SupervisedActor
from upright.actors.events import CircuitChanged
from upright.actors.fallback import WorksAgain
from upright.actors.log import get_logger
from upright.strategies.breaker import BreakerState

if TYPE_CHECKING:
    from upright.actors.board import Board
    from upright.actors.directory import Directory
    from upright.actors.operation import Operation, Operations
    from upright.actors.timers import Timer
    from upright.strategies.breaker import Transition
    from upright.strategies.permits import Permit
    from upright.strategies.tally import Tally

__all__ = [
    "BreakerActor",
    "CallFailed",
    "ForceCircuit",
    "ProbeEnded",
    "ResourceHealed",
    "TightenCircuits",
]

_SHOWN = 200  # circuits in the status, those that are not closed first


@dataclass(frozen=True, slots=True)
class CallFailed:
    """A call that the circuit let through failed, or was slow; it is in the log already.

    From: the caller. To: the breaker. Reply: none.

    Attributes:
        operation: Whose call.
        error: The failure; None for a slow success.
        began: When the call began, monotonic seconds.
    """

    operation: Operation
    error: BaseException | None
    began: float


@dataclass(frozen=True, slots=True)
class ProbeEnded:
    """A call that was let through by a permit has ended; how, is noted on the permit.

    From: the caller. To: the breaker. Reply: none.
    """

    operation: Operation
    permit: Permit


@dataclass(frozen=True, slots=True)
class ResourceHealed:
    """A resource was proven to work: no circuit on it needs to wait any longer.

    From: the orchestrator. To: the breaker. Reply: none.
    """

    resource: str


@dataclass(frozen=True, slots=True)
class ForceCircuit:
    """Override a circuit by hand.

    From: an operator. To: the breaker. Reply: the state that follows, as a string.

    Attributes:
        operation: Whose circuit.
        action: "open", "close" or "auto".
    """

    operation: Operation
    action: str


@dataclass(frozen=True, slots=True)
class TightenCircuits:
    """Halve the failure rate thresholds while errors are foretold, or set them back.

    From: the predictor. To: the breaker. Reply: none.
    """

    on: bool


@dataclass(frozen=True, slots=True)
class _Due:
    """Some circuit has something to do."""


class BreakerActor(SupervisedActor):
    """Receives: `CallFailed`, `ProbeEnded`, `ResourceHealed`, `ForceCircuit`. Replies: to the last one only.

    Owns: every change of a circuit's state. Blocks on: nothing.

    Args:
        board: Where events are told.
        operations: The tree's operations.
        trips: Counts how often a circuit opened.
        directory: Where the fallback actor is found, which is told when a circuit closes.
    """

    def __init__(self, board: Board, operations: Operations, trips: Tally, directory: Directory) -> None:
        super().__init__()
        self._directory = directory
        self._board = board
        self._operations = operations
        self._trips = trips
        self._not_closed: dict[Operation, None] = {}
        self._timer: Timer | None = None

    def on_start(self) -> None:
        for operation in self._operations:
            if not operation.breaker.snapshot.passes:
                self._not_closed[operation] = None
                self._catch_up(operation, monotonic())
                if self._is_healed_since(operation):
                    self._changed(operation, operation.breaker.half_open_now(monotonic()))
        self._board.not_closed = len(self._not_closed)
        self._plan()

    def on_receive(self, message: Any) -> Any:
        now = monotonic()
        if isinstance(message, CallFailed):
            operation = message.operation
            if message.began < self._board.proof(operation.suspect).healed_at:
                return None  # the resource was proven to work since: this must not close what the proof has opened
            self._changed(operation, operation.breaker.on_failure(now, random.random(), message.error))
        elif isinstance(message, ProbeEnded):
            operation, permit = message.operation, message.permit
            self._changed(operation, operation.breaker.on_probe(permit, now=now, random=random.random()))
        elif isinstance(message, ResourceHealed):
            for operation in list(self._not_closed):
                if message.resource in (operation.suspect, operation.target):
                    self._changed(operation, operation.breaker.half_open_now(now))
        elif isinstance(message, ForceCircuit):
            return self._force(message, now)
        elif isinstance(message, TightenCircuits):
            self._tighten(on=message.on)
        elif isinstance(message, _Due):
            self._timer = None
            for operation in list(self._not_closed):
                self._catch_up(operation, now)  # of probes that were refused by a full mailbox, before they are overdue
                self._changed(operation, operation.breaker.tick(now))
            self._plan()
        else:
            return super().on_receive(message)
        return None

    def _force(self, message: ForceCircuit, now: float) -> str:
        breaker = message.operation.breaker
        if message.action == "open":
            self._changed(message.operation, breaker.force_open(now))
        elif message.action == "close":
            self._changed(message.operation, breaker.force_close(now))
        else:
            self._changed(message.operation, breaker.auto(now))
        return str(breaker.state)

    def _catch_up(self, operation: Operation, now: float) -> None:
        for transition in operation.breaker.catch_up(now, random.random()):
            self._changed(operation, transition)

    def _tighten(self, *, on: bool) -> None:
        for operation in self._operations:
            options = operation.options.breaker
            if on:
                options = replace(options, failure_rate_threshold=options.failure_rate_threshold / 2)
            operation.breaker.options = options

    def _changed(self, operation: Operation, transition: Transition | None) -> None:
        if transition is None:
            return
        operation.has_changed()
        if transition.after is BreakerState.CLOSED:
            self._not_closed.pop(operation, None)
            self._directory["fallback"].send_unbounded(WorksAgain(operation=operation.name))
        else:
            self._not_closed[operation] = None
        self._board.not_closed = len(self._not_closed)
        opened = transition.after is BreakerState.OPEN
        if opened:
            self._trips.add()
        get_logger("breaker").log(
            logging.WARNING if opened else logging.INFO,
            "circuit_changed",
            operation=operation.name,
            old=str(transition.before),
            new=str(transition.after),
            reason=transition.reason,
            wait=round(transition.wait, 3),
        )
        self._board.publish(
            CircuitChanged(operation.name, str(transition.before), str(transition.after), transition.reason)
        )
        if opened and self._is_healed_since(operation):
            # The orchestrator proved it after this failure was looked at, and before it could see that this opens.
            self._changed(operation, operation.breaker.half_open_now(monotonic()))
        self._plan()

    def _is_healed_since(self, operation: Operation) -> bool:
        return self._board.proof(operation.suspect).healed_at >= operation.breaker.snapshot.since

    def _plan(self) -> None:
        # Deadlines are in monotonic time, whatever clock the timers go by.
        now = monotonic()
        due = min((self._next_look(operation, now) for operation in self._not_closed), default=float("inf"))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due < float("inf"):
            self._timer = self.send_after(max(0.0, due - now), _Due())

    def _next_look(self, operation: Operation, now: float) -> float:
        breaker = operation.breaker
        due = breaker.next_tick()
        if due is not None:
            return due
        # Callers claim permits without a word, and a probe that hangs never says one: look for them.
        return now + breaker.options.max_wait_in_half_open if breaker.state is BreakerState.HALF_OPEN else float("inf")

    @property
    def status_details(self) -> dict[str, Any]:  # type: ignore[override]
        """Every circuit with its rates, those that are not closed first, and how many there are."""
        now = monotonic()
        known = sorted(self._operations, key=lambda op: op.breaker.snapshot.passes)
        return {
            "operations": len(known),
            "trips": self._trips.value,
            "circuits": {op.name: circuit_details(op, now) for op in known[:_SHOWN]},
        }


def circuit_details(operation: Operation, now: float) -> dict[str, Any]:
    """Show one circuit: state, rates and how long it has been so."""
    breaker = operation.breaker
    snapshot, rates = breaker.snapshot, breaker.rates(now)
    return {
        "state": str(snapshot.state),
        "resource": operation.resource,
        "calls": rates.calls,
        "failure_rate": round(rates.failure_rate, 4),
        "slow_rate": round(rates.slow_rate, 4),
        "since": round(now - snapshot.since, 3),
        "wait_time": round(snapshot.wait_time(now), 3),
        "rejected": operation.rejected,
    }
