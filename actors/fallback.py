"""The fallback actor: which step of a chain is tried first, and when what was put off is made up for.

Callers run the steps themselves, in the order that is published here, and tell what became of them. The order
changes only on evidence (upright.strategies.ranking); each chain's present order is one tuple, replaced as a whole.

A step that put something off (upright.strategies.fallback.offline_mode) catches up in a worker once the operation
works again. That is known when its resource was healed or its circuit closed; where neither comes, time tells.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from upright.actors.actor import SupervisedActor
from upright.actors.exits import describe
from upright.actors.log import get_logger
from upright.actors.messages import Answered
from upright.actors.reply import TellBack
from upright.actors.worker import JobFailed
from upright.strategies.backoff import Backoff
from upright.strategies.ranking import Evidence, Ranking

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.actors.address import Address
    from upright.actors.operation import Operations
    from upright.actors.timers import Timer
    from upright.actors.worker import WorkerPool
    from upright.strategies.fallback.chain import FallbackChain, FallbackStep

__all__ = ["ChainView", "Chains", "FallbackActor", "StepsTried", "WorksAgain"]

_LOGGED: Final = 256  # outcomes kept per chain until the actor has read them
_TELL_EVERY: Final = 16  # values after which a caller has the order looked at
_TELL_AFTER: Final = 60.0  # seconds after which it does so all the same
_TRY_AGAIN: Final = Backoff(1.0, 60.0)  # between attempts to catch up
_PARTING: Final = 2.0  # seconds that catching up gets to finish what it has in hand when the tree is stopped


class ChainView:
    """A chain as callers use it: the present order, and a log of what became of each step.

    Attributes:
        chain: As registered.
        order: The steps with their declared places, the one to try first in front. Replaced by the fallback actor.
        outcomes: (step index in the chain, succeeded, monotonic seconds), appended by callers.
        activations: How many values the chain has given; approximately, since callers raise it.
        told: The actor was told of outcomes that it has not read yet.
        evidence: By step name; the actor's, kept here so that its crash forgets nothing.
    """

    __slots__ = ("activations", "chain", "evidence", "order", "outcomes", "read_activations", "read_at", "told")

    def __init__(self, chain: FallbackChain) -> None:
        self.chain = chain
        self.order: tuple[tuple[int, FallbackStep], ...] = tuple(enumerate(chain.steps))
        self.outcomes: deque[tuple[int, bool, float]] = deque(maxlen=_LOGGED)
        self.evidence: dict[str, Evidence] = {}
        self.activations = 0
        self.told = False
        self.read_activations = 0
        self.read_at = float("-inf")

    def is_due(self, now: float) -> bool:
        """Whether the actor should look at the order again, though nothing has failed."""
        return self.activations - self.read_activations >= _TELL_EVERY or now - self.read_at > _TELL_AFTER


Chains = dict[str, ChainView]
"""The registered chains by operation. Entries are put by `register`, and replaced as a whole."""


@dataclass(frozen=True, slots=True)
class StepsTried:
    """There are outcomes to read: a step has failed, or put something off, or many have succeeded.

    From: a caller, unless the chain's last message is still unread. To: the fallback actor. Reply: none.
    """

    view: ChainView


@dataclass(frozen=True, slots=True)
class WorksAgain:
    """An operation, or all those on a resource, work again, or might: what was put off can be done.

    From: the orchestrator, the breaker, the tree when a chain is registered. To: the fallback actor. Reply: none.
    """

    operation: str | None = None
    resource: str | None = None


@dataclass(frozen=True, slots=True)
class _TryAgain:
    operation: str
    step: str


@dataclass(slots=True)
class _CatchingUp:
    """Catching up of one step.

    Attributes:
        running: The attempt that was given to a worker.
        again: Meanwhile the operation was found to work again: go on at once when it is done.
        more: Meanwhile something was put off: go on after a while.
        attempts: How many in a row have left something.
        timer: Of the next attempt.
    """

    running: _Attempt | None = None
    again: bool = False
    more: bool = False
    attempts: int = 0
    timer: Timer | None = None


class _Attempt(TellBack):
    """One attempt of a step to catch up, run by a worker; tells the actor what became of it.

    Nobody waits for an attempt that no worker has begun: it is called off. `_beginning` holds one item, and
    whoever pops it, the worker that begins or the actor that stops, decides.

    Attributes:
        ended: Set when a worker has ended it, or nobody will run it.
    """

    __slots__ = ("_beginning", "ended", "step")

    def __init__(self, address: Address[Any], key: Any, step: FallbackStep) -> None:
        super().__init__(address, key)
        self.step = step
        self.ended = threading.Event()
        self._beginning = [True]

    def run(self, catch_up: Callable[[], Any]) -> Any:
        """Catch up; returns whether something is left, or what comes to that when it is awaited."""
        return catch_up() if self._begin() else True

    def halt(self) -> None:
        """Have it end after what it has in hand, or never begin."""
        self.step.halting = True
        if self._begin():
            self.ended.set()

    def answer(self, value: Any) -> bool:
        self.ended.set()
        return super().answer(value)

    def fail(self, error: BaseException) -> bool:
        self.ended.set()
        return super().fail(error)

    def _begin(self) -> bool:
        try:
            self._beginning.pop()
        except IndexError:
            return False
        return True


class FallbackActor(SupervisedActor):
    """Receives: `StepsTried`, `WorksAgain`. Replies: none.

    Owns: the order of every chain, and when steps catch up. Blocks on: nothing; when it is stopped, for two seconds at
    most, on steps that catch up.

    Args:
        chains: The registered chains.
        operations: The tree's operations, which know their resources.
        pool: Workers that catch up.
        is_on: Whether the stage is switched on.
        ranking: The rule of the order.
    """

    def __init__(
        self,
        chains: Chains,
        operations: Operations,
        pool: WorkerPool,
        is_on: Callable[[], bool],
        ranking: Ranking | None = None,
    ) -> None:
        super().__init__()
        self._chains = chains
        self._operations = operations
        self._pool = pool
        self._is_on = is_on
        self._ranking = ranking or Ranking()
        self._catching_up: dict[tuple[str, str], _CatchingUp] = {}

    def on_start(self) -> None:
        for operation, view in list(self._chains.items()):
            view.told = False  # the incarnation before may have taken the message with it
            self._catch_up_all(operation, view)  # what was put off before this process, or this incarnation

    def on_stop(self) -> None:
        # The workers are stopped next, without being asked: what they have done but not noted is done again later.
        running = [state.running for state in self._catching_up.values() if state.running is not None]
        for attempt in running:
            attempt.halt()
        deadline = monotonic() + _PARTING
        for attempt in running:
            attempt.ended.wait(max(0.0, deadline - monotonic()))

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, StepsTried):
            self._read(message.view)
        elif isinstance(message, WorksAgain):
            for operation, view in list(self._chains.items()):
                if operation == message.operation or self._target(operation) == message.resource:
                    self._catch_up_all(operation, view)
        elif isinstance(message, Answered):
            self._caught_up(message)
        elif isinstance(message, _TryAgain):
            self._catching_up[message.operation, message.step].timer = None
            self._catch_up(message.operation, message.step)
        else:
            return super().on_receive(message)
        return None

    # Ranking.

    def _read(self, view: ChainView) -> None:
        view.told = False  # first, so that whatever is logged from now on is told again
        ranking, steps = self._ranking, view.chain.steps
        view.read_activations, view.read_at = view.activations, monotonic()
        while view.outcomes:
            try:
                index, succeeded, at = view.outcomes.popleft()
            except IndexError:
                break
            step = steps[index]
            view.evidence[step.name] = ranking.record(view.evidence.get(step.name), succeeded=succeeded, now=at)
            if succeeded and step.catch_up is not None:
                self._plan(view.chain.operation, step.name)
        weights = {step.name: step.weight for step in steps}
        order = ranking.rank([step.name for step in steps], view.evidence, monotonic(), weights)
        if [step.name for _, step in view.order] != order:
            places = {step.name: index for index, step in enumerate(steps)}
            view.order = tuple((places[name], steps[places[name]]) for name in order)
            get_logger("fallback").log(
                logging.INFO, "fallback_order_changed", operation=view.chain.operation, order=order
            )

    # Catching up.

    def _target(self, operation: str) -> str:
        found = self._operations.find(operation)
        return operation if found is None else found.target

    def _catch_up_all(self, operation: str, view: ChainView) -> None:
        for step in view.chain.steps:
            if step.catch_up is not None:
                self._catch_up(operation, step.name)

    def _catch_up(self, operation: str, name: str) -> None:
        view = self._chains.get(operation)
        steps = () if view is None else view.chain.steps
        step = next((step for step in steps if step.name == name), None)
        if step is None or step.catch_up is None:
            self._catching_up.pop((operation, name), None)  # the chain was replaced
            return
        state = self._catching_up.setdefault((operation, name), _CatchingUp())
        if state.running is not None:
            state.again = True
        elif not self._is_on():
            state.attempts += 1
            self._plan(operation, name)
        else:
            if state.timer is not None:
                state.timer.cancel()
                state.timer = None
            step.halting = False
            attempt = _Attempt(self.actor_ref, (operation, name), step)
            state.running, state.again, state.more = attempt, False, False
            self._pool.submit(partial(attempt.run, step.catch_up), attempt)

    def _plan(self, operation: str, name: str) -> None:
        state = self._catching_up.setdefault((operation, name), _CatchingUp())
        if state.running is not None:
            state.more = True
        elif state.timer is None:
            delay = _TRY_AGAIN.delay(max(1, state.attempts), random.random())
            state.timer = self.send_after(delay, _TryAgain(operation, name))

    def _caught_up(self, message: Answered) -> None:
        operation, name = message.key
        state = self._catching_up.setdefault(message.key, _CatchingUp())
        state.running = None
        error = message.error.error if isinstance(message.error, JobFailed) else message.error
        left = error is not None or bool(message.value)
        get_logger("fallback").log(
            logging.DEBUG if error is None else logging.WARNING,
            "fallback_caught_up",
            operation=operation,
            step=name,
            left=left,
            **({} if error is None else {"error": describe(error)}),
        )
        state.attempts = state.attempts + 1 if left else 0
        if state.again:
            state.attempts = 0
            self._catch_up(operation, name)
        elif left or state.more:
            self._plan(operation, name)
        else:
            self._catching_up.pop(message.key, None)

    @property
    def status_details(self) -> dict[str, Any]:  # type: ignore[override]
        """The chains in their present order, with what is known of each step, and how many values each has given."""
        return {"chains": {operation: _details_of(view) for operation, view in list(self._chains.items())}}


def _details_of(view: ChainView) -> dict[str, Any]:
    return {
        "order": [step.name for _, step in view.order],
        "activations": view.activations,
        "evidence": {
            name: {"successes": round(known.successes, 2), "failures": round(known.failures, 2)}
            for name, known in list(view.evidence.items())
        },
        "steps": {step.name: details for step in view.chain.steps if (details := _safe_details(step))},
    }


def _safe_details(step: FallbackStep) -> dict[str, Any]:
    try:
        return step.details
    except Exception as error:  # a step of the application's, which must not take the status with it
        return {"error": describe(error)}
