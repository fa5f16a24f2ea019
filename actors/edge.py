"""The edge: what a failing call does in its own thread or loop, as the actors have decided.

The decision flow is one generator, `Edge.recover`. It waits for nothing itself: it yields commands (ask, wait, call,
try a step, retry), and the driver of the caller's world carries them out, blocking a thread or suspending a task
(upright.actors.drivers). So the flow is written once for `def` and `async def`, and operation, fallback steps and
retries run where the application called from, with its contextvars, sessions and loop.

The order is that of the design: join or heal, circuit breaker, fallback chain, retry.
"""

from __future__ import annotations

import logging
import random
import time
from contextvars import ContextVar
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

from upright.actors.breaker import CallFailed, ProbeEnded
from upright.actors.call import Ending, Invoke, Retry, Sleep, Wait, result_of_success
from upright.actors.counsel import Consult, Counsel, Inquire
from upright.actors.events import RecoveryFinished
from upright.actors.exits import describe
from upright.actors.log import get_logger
from upright.actors.substitution import fall_back
from upright.strategies import pace
from upright.strategies.breaker import BreakerState
from upright.strategies.classification import Classification, classify
from upright.strategies.codes import ErrorCode
from upright.strategies.errors import CircuitOpenError
from upright.strategies.foreign import Interruption, is_of
from upright.strategies.permits import ProbeOutcome
from upright.strategies.report import (
    ErrorReport,
    RecoveryMethod,
    RecoveryResult,
    RecoveryStatus,
    RecoveryStep,
    Stage,
    StepOutcome,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from upright.actors.board import Board
    from upright.actors.call import Call
    from upright.actors.directory import Directory
    from upright.actors.fallback import Chains
    from upright.actors.operation import Operation, Operations
    from upright.actors.worker import WorkerPool
    from upright.strategies.breaker import BreakerSnapshot
    from upright.strategies.flags import Flags
    from upright.strategies.permits import Permit

__all__ = ["Edge", "classify_for_retry", "is_healing", "note_failure"]

is_healing: Final = ContextVar("upright_is_healing", default=False)
"""Whether this is the code of a healing strategy, or what it calls."""

_VERDICT: Final = 0.5  # seconds in which the breaker says what the outcomes of all probes come to
_FRESHLY_HEALED: Final = 5.0  # seconds after a proven healing in which a half-open circuit is waited for
_GATE_WAIT: Final = 5.0  # seconds that a call waits for those before it to be made again after a shared healing
_GRACE: Final = 0.5  # seconds beyond heal_wait after which the orchestrator is taken to be out of order


class Switches(Protocol):
    """The flags of a tree; `now` is replaced as a whole."""

    now: Flags


class Edge:
    """What callers of one tree share: where to read, and whom to tell.

    Args:
        directory: Where the actors are found. When its root is closed (the tree was stopped, has given up, or
            lives in the parent of this forked process) calls are bare calls.
        board: What the actors have published.
        operations: The operations.
        chains: The fallback chains.
        pool: Workers for steps with a timeout.
        switches: Holds the present flags as `now`.
    """

    __slots__ = (
        "board",
        "chains",
        "directory",
        "operations",
        "pool",
        "switches",
    )

    def __init__(
        self,
        *,
        directory: Directory,
        board: Board,
        operations: Operations,
        chains: Chains,
        pool: WorkerPool,
        switches: Switches,
    ) -> None:
        self.directory = directory
        self.board = board
        self.operations = operations
        self.chains = chains
        self.pool = pool
        self.switches = switches

    @property
    def active(self) -> bool:
        """Whether anybody is there to recover: the tree is up, the stage is switched on, and this is no healing itself.

        Within a healing calls are bare calls: a strategy that proves by a protected call must see it fail, and neither
        get a substitute for a proof nor wait for its own healing.
        """
        return self.directory.is_open and self.switches.now.recovery_orchestrator and not is_healing.get()

    # Outcomes: appended to the log by the caller, judged by the breaker.

    def tell_breaker(self, message: CallFailed | ProbeEnded) -> None:
        """Tell the breaker; if it cannot take the message the circuit stays as it is."""
        try:
            self.directory["breaker"].tell(message)
        except Exception:
            self.board.lost_events.add()

    def log_failure(
        self, operation: Operation, snapshot: BreakerSnapshot, began: float, error: BaseException, target: str
    ) -> CallFailed:
        """Log a counted failure of a call on `target`; the breaker is to be told what this returns."""
        ended = monotonic()
        operation.suspect = target
        snapshot.log.append((ended, ended - began, True))
        return CallFailed(operation, error, began)

    def succeeded(self, operation: Operation, snapshot: BreakerSnapshot, began: float) -> None:
        """Log a success of a call that the circuit let through."""
        ended = monotonic()
        took = ended - began
        snapshot.log.append((ended, took, False))
        if took > operation.options.breaker.slow_call_duration:
            self.tell_breaker(CallFailed(operation, None, began))

    def came_out(
        self,
        operation: Operation,
        snapshot: BreakerSnapshot,
        permit: Permit | None,
        began: float,
        error: BaseException | None,
        target: str | None = None,
    ) -> CallFailed | ProbeEnded | None:
        """Log the outcome of a call where it belongs, to its probe or to the window.

        Args:
            operation: Whose call.
            snapshot: Of the circuit when it was made.
            permit: Of the probe that it was; None if it was none.
            began: Monotonic seconds.
            error: What it failed with; None if it succeeded.
            target: What it works on; None for what failed before.

        Returns:
            What the breaker is to be told; None if there is nothing that could change a state.
        """
        if permit is not None:
            if error is None or classify(error).counted:
                permit.outcome = ProbeOutcome(error is not None, monotonic() - began, error)
                return ProbeEnded(operation, permit)
            snapshot.release(permit)
        elif snapshot.passes:
            if error is None:
                self.succeeded(operation, snapshot, began)
            elif classify(error).counted:
                return self.log_failure(operation, snapshot, began, error, target or operation.suspect)
        return None

    # The flow.

    def recover(self, call: Call) -> Generator[Any, Any, Ending]:
        """Recover from the failure of `call`, in the order of the design; see the module's docstring."""
        call.failed_at = monotonic()
        report = self._report(call)
        if report.permanent:
            self._tell_untold(call)
            return self._end(call, RecoveryStatus.FAILED)
        repeatable = call.repeatable
        counsel = yield from self._consult(call, report)
        acts = not self.switches.now.observe_only
        if counsel.healed:
            if call.attempt is None or not repeatable or not acts:
                return self._end(call, RecoveryStatus.HEALED)
            done, value = yield from self._rerun(call, counsel)
            if done:
                return self._end(call, RecoveryStatus.HEALED, value=value, has_value=True)
        if not acts:
            return self._end(call, RecoveryStatus.FAILED)
        return (yield from self._go_on(call, repeatable=repeatable))

    def meet_circuit(self, call: Call) -> Generator[Any, Any, Ending]:
        """Make or turn away a call whose circuit was not closed when it came.

        A half-open circuit makes it a probe if there is a permit. While its resource is being healed the call waits
        for that, and just after a proven healing for the probes of others, instead of being rejected by the circuit
        that the same failure opened; at most `heal_wait` in all.

        The circuit may have opened before the orchestrator came to the report of the failure that opened it. A
        failing call asks the orchestrator first and tells the breaker then; so whoever is rejected first asks the
        orchestrator as well, and its answer comes after the healing was begun, or refused.
        """
        operation, attempt = call.operation, call.attempt
        assert attempt is not None  # noqa: S101 - a call that has not begun can be made
        deadline = call.began + operation.options.heal_wait
        while True:
            changed, snapshot, now = operation.changed, operation.breaker.snapshot, monotonic()
            suspect = operation.suspect
            healing, healed_at = self.board.healing.get(suspect), self.board.proof(suspect).healed_at
            permit = None if snapshot.passes else snapshot.acquire(now)
            # Proven since the circuit opened: the breaker will say so any moment.
            healed = snapshot.state is BreakerState.OPEN and healed_at >= snapshot.since
            if permit is not None or snapshot.passes or healed or not self.directory.is_open:
                return (yield from self._admitted(call, attempt, snapshot, permit))
            probation = snapshot.probation
            if probation is not None and probation.is_over and now - call.began < _VERDICT:
                yield Wait(changed, _VERDICT)
                continue
            if now < deadline and snapshot.state is not BreakerState.FORCED_OPEN:
                if healing is not None:
                    proven, _ = yield Wait(healing, deadline - now)
                    if proven:
                        waited = monotonic() - now
                        step = RecoveryStep(Stage.HEALING, "healing", StepOutcome.JOINED, waited, "waited for it")
                        call.steps.append(step)
                        continue
                elif snapshot.state is BreakerState.HALF_OPEN and now - healed_at < _FRESHLY_HEALED:
                    yield Wait(changed, deadline - now)
                    continue
                elif self.may_be_healing(operation, snapshot):
                    yield Wait(self.directory["orchestrator"].ask(Inquire(), block=False), deadline - now)
                    operation.inquired = snapshot
                    continue
            operation.rejected += 1
            return (yield from self._go_on(call, repeatable=False))

    def may_be_healing(self, operation: Operation, snapshot: BreakerSnapshot) -> bool:
        """Whether a healing may have been asked for that the board does not show yet."""
        return (
            operation.inquired is not snapshot
            and snapshot.state is BreakerState.OPEN
            and bool(self.board.strategies)
            and self.switches.now.self_healing
        )

    def _admitted(
        self, call: Call, attempt: Callable[[], Any], snapshot: BreakerSnapshot, permit: Permit | None
    ) -> Generator[Any, Any, Ending]:
        began = monotonic()
        try:
            value, error = yield Invoke(attempt)
        except BaseException:
            if permit is not None:
                snapshot.release(permit)  # cancelled or interrupted: no verdict
            raise
        if error is None:
            call.made = (value,)
        else:
            call.error = error
            call.began = began
        message = self.came_out(call.operation, snapshot, permit, began, error, call.target)
        if error is not None:
            call.untold = message
            return (yield from self.recover(call))
        if message is not None:
            self.tell_breaker(message)
        if call.steps:
            return self._end(call, RecoveryStatus.HEALED, value=value, has_value=True)
        return Ending(result_of_success(call, value), has_value=True)

    def finish(self, call: Call, counsel: Counsel) -> Generator[Any, Any, Ending]:
        """Do what follows a healing for a report whose asker only waits."""
        call.steps.extend(counsel.steps)
        call.joined = counsel.joined
        repeatable = call.repeatable
        if self.switches.now.observe_only:
            return self._end(call, RecoveryStatus.HEALED if counsel.healed else RecoveryStatus.FAILED)
        if counsel.healed:
            if not repeatable:
                return self._end(call, RecoveryStatus.HEALED)
            done, value = yield from self._rerun(call, counsel)
            if done:
                return self._end(call, RecoveryStatus.HEALED, value=value, has_value=True)
        return (yield from self._go_on(call, repeatable=repeatable))

    def _report(self, call: Call) -> ErrorReport:
        if call.report is None:
            operation = call.operation
            assert call.error is not None  # noqa: S101 - only a call that failed is reported
            call.report = ErrorReport(
                call.error,
                operation.name,
                call.resource,
                context=call.context,
                call=call.attempt,
                epoch=self.board.epoch_at(call.target, call.began),
                classification=classify(call.error) if call.known is None else call.known,
            )
        return call.report

    def _tell_untold(self, call: Call) -> None:
        message, call.untold = call.untold, None
        if message is not None:
            self.tell_breaker(message)

    def _consult(self, call: Call, report: ErrorReport) -> Generator[Any, Any, Counsel]:
        wait = call.operation.options.heal_wait if call.heal_wait is None else call.heal_wait
        if not report.classification.healable:
            step = RecoveryStep(Stage.HEALING, "none", StepOutcome.SKIPPED, 0.0, "no repair could help")
            counsel = Counsel(healed=False, steps=(step,))
            self._tell_untold(call)
        else:
            began = monotonic()
            asked = self.directory["orchestrator"].ask(Consult(report, wait, call.loop), block=False)
            self._tell_untold(call)
            answer, error = yield Wait(asked, wait + _GRACE)
            if isinstance(answer, Counsel):
                counsel = answer
            else:
                # It is full, out of order or gone. A healing that is under way can be waited for all the same.
                healing = self.board.healing.get(report.target)
                left = wait - (monotonic() - began)
                healed = None
                if healing is not None and left > 0 and self.directory.is_open:
                    healed, _ = yield Wait(healing, left)
                outcome = StepOutcome.JOINED if healed else StepOutcome.FAILED
                detail = "no orchestrator" if error is None else f"no orchestrator: {describe(error)}"
                step = RecoveryStep(Stage.HEALING, "orchestrator", outcome, monotonic() - began, detail)
                counsel = Counsel(healed=bool(healed), joined=bool(healed), steps=(step,))
        call.steps.extend(counsel.steps)
        call.joined = counsel.joined
        return counsel

    def _rerun(self, call: Call, counsel: Counsel) -> Generator[Any, Any, tuple[bool, Any]]:
        """Make the call once more, needing no permit, but not all at once with those who shared the healing."""
        operation, attempt = call.operation, call.attempt
        assert attempt is not None  # noqa: S101 - the caller checked
        gate = counsel.gate
        if counsel.spread > 0:
            yield Sleep(pace.seconds(random.random() * counsel.spread))
        inside = False
        if gate is not None:
            ticket = gate.enter()
            try:
                _, late = yield Wait(ticket, _GATE_WAIT)
            except BaseException:
                if not gate.give_up(ticket):
                    gate.leave()
                raise
            inside = late is None or not gate.give_up(ticket)
            if not inside:
                detail = f"{gate.limit} others were at it for {_GATE_WAIT:g} s"
                step = RecoveryStep(Stage.HEALING, "call again", StepOutcome.SKIPPED, _GATE_WAIT, detail)
                call.steps.append(step)
                return False, None
        snapshot, began = operation.breaker.snapshot, monotonic()
        # It needs no permit, but if there is one its outcome helps to decide.
        permit = None if snapshot.passes else snapshot.acquire(began)
        try:
            value, error = yield Invoke(attempt)
        except BaseException:
            if permit is not None:
                snapshot.release(permit)
            raise
        finally:
            if gate is not None and inside:
                gate.leave()
        message = self.came_out(operation, snapshot, permit, began, error, call.target)
        if message is not None:
            self.tell_breaker(message)
        if error is None:
            return True, value
        step = RecoveryStep(Stage.HEALING, "call again", StepOutcome.FAILED, monotonic() - began, describe(error))
        call.steps.append(step)
        return False, None

    def _go_on(self, call: Call, *, repeatable: bool) -> Generator[Any, Any, Ending]:
        """Circuit breaker, fallback chain, retry."""
        operation = call.operation
        now = monotonic()
        snapshot = operation.breaker.snapshot
        blocked = not snapshot.passes and (now < snapshot.retry_at or call.error is None)
        wait_time = snapshot.wait_time(now) if blocked else 0.0
        outcome = StepOutcome.FAILED if blocked else StepOutcome.SUCCEEDED
        call.steps.append(RecoveryStep(Stage.BREAKER, operation.name, outcome, 0.0, str(snapshot.state)))
        chain = self.chains.get(operation.name)
        if chain is not None and self.switches.now.intelligent_fallback:
            given = yield from fall_back(self, call, chain)
            if given is not None:
                status = RecoveryStatus.CIRCUIT_OPEN if blocked else RecoveryStatus.RECOVERED
                return self._end(
                    call,
                    status,
                    method=RecoveryMethod.FALLBACK,
                    value=given.value,
                    has_value=True,
                    degraded=True,
                    age=given.age,
                    wait_time=wait_time,
                )
        if blocked:
            return self._end(call, RecoveryStatus.CIRCUIT_OPEN, wait_time=wait_time)
        if not repeatable or call.attempt is None:
            return self._end(call, RecoveryStatus.FAILED)
        began = monotonic()
        deadline = operation.options.deadline
        run = yield Retry(self, call, None if deadline is None else call.began + deadline)
        detail = f"{run.attempts - 1} made, waited {run.waited:.3g} s"
        if run.succeeded:
            step = RecoveryStep(Stage.RETRY, "retry", StepOutcome.SUCCEEDED, monotonic() - began, detail)
            call.steps.append(step)
            return self._end(
                call, RecoveryStatus.RECOVERED, method=RecoveryMethod.RETRY, value=run.value, has_value=True
            )
        detail = f"{detail}; {run.ended}"
        outcome = StepOutcome.FAILED if run.attempts > 1 else StepOutcome.SKIPPED
        call.steps.append(RecoveryStep(Stage.RETRY, "retry", outcome, monotonic() - began, detail))
        return self._end(call, RecoveryStatus.FAILED)

    def _end(
        self,
        call: Call,
        status: RecoveryStatus,
        *,
        method: RecoveryMethod | None = None,
        value: Any = None,
        has_value: bool = False,
        degraded: bool = False,
        age: float | None = None,
        wait_time: float = 0.0,
    ) -> Ending:
        report, operation = call.report, call.operation
        took = monotonic() - call.began
        if status is RecoveryStatus.HEALED:
            method = RecoveryMethod.SELF_HEALING
        result = RecoveryResult(
            recovery_id=None if report is None else report.recovery_id,
            status=status,
            method=method,
            value=value,
            error=call.error if call.error is not None else operation.breaker.snapshot.cause,
            wait_time=wait_time,
            duration=took,
            joined=call.joined,
            degraded=degraded,
            steps=tuple(call.steps),
            operation=operation.name,
            resource=call.resource,
            code=None if report is None else report.code,
            started_at=time.time() - took,
            age=age,
        )
        self.board.publish(RecoveryFinished(result, report))
        snapshot = operation.breaker.snapshot
        # One that opened after the call had failed may well have been opened by it: several failures may be judged at
        # once, and the circuit names only the one whose report was read first.
        shut_out = status is RecoveryStatus.CIRCUIT_OPEN and (call.error is None or snapshot.since < call.failed_at)
        return Ending(result, has_value, snapshot.cause, call.refusal, shut_out)


def classify_for_retry(error: BaseException) -> Classification:
    """Classify for the retry stage: a rejection by the circuit ends it, since waiting it out is not retrying."""
    if is_of(error, CircuitOpenError):
        return Classification(ErrorCode.UNKNOWN, permanent=True, reason="circuit open", healable=False)
    return classify(error, time.time())  # the wall clock only reads a Retry-After that is a date


def note_failure(error: BaseException | None, internal: BaseException) -> None:
    """Log what went wrong inside upright, and note it on the application's exception if there is one (PEP 678)."""
    try:
        get_logger("edge").log(logging.ERROR, "recovery_broke", error=describe(internal), exc_info=internal)
        if error is not None:
            error.add_note(f"upright could not recover from this, for a reason of its own: {describe(internal)}")
    except (KeyboardInterrupt, Interruption):
        raise
    except BaseException:  # a foreign add_note may do anything
        logging.getLogger("upright").debug("could not note a failure", exc_info=True)
