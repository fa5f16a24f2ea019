"""One failing call on its way through the flow: what is known of it, what the flow asks of its driver, how it ends."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from upright.strategies.idempotency import is_repeatable
from upright.strategies.report import RecoveryResult, RecoveryStatus

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from upright.actors.breaker import CallFailed, ProbeEnded
    from upright.actors.edge import Edge
    from upright.actors.operation import Operation
    from upright.actors.reply import ReplyFuture
    from upright.strategies.classification import Classification
    from upright.strategies.fallback.chain import FallbackStep, RefusedError
    from upright.strategies.report import ErrorReport, RecoveryStep

__all__ = ["Call", "Ending", "Invoke", "Retry", "Sleep", "Tried", "Try", "Wait", "result_of_success"]


class Ending(NamedTuple):
    """How a recovery at the edge came out.

    Attributes:
        result: For people and for `recover`.
        has_value: There is a value to return; if not, an error is to be raised.
        opened_by: The failure that opened the circuit, if it is open.
        refusal: What is to be raised from the call's own error instead of it, because a fallback step refused.
        shut_out: The circuit was open already when the call failed, or kept it from being made.
    """

    result: RecoveryResult
    has_value: bool
    opened_by: BaseException | None = None
    refusal: RefusedError | None = None
    shut_out: bool = False


class Tried(NamedTuple):
    """A fallback step that was tried before the flow came to it; it is not to be tried twice.

    Attributes:
        place: Its place in the chain.
        value: What it gave, perhaps still to be awaited.
        error: What it raised instead.
    """

    place: int
    value: Any
    error: Exception | None

    def again(self, _context: Mapping[str, Any]) -> Any:
        """Come out as it did."""
        if self.error is not None:
            raise self.error
        return self.value


@dataclass(slots=True)
class Call:
    """One call on its way through the flow.

    Attributes:
        operation: Whose.
        error: The first failure; None for a call that was rejected before it began.
        attempt: The call itself, without arguments; None if it cannot be made again.
        began: Monotonic seconds.
        context: What a strategy may want to know.
        arguments: Of the call, for fallback steps.
        known: What kind of failure it is, where that was decided already.
        loop: The event loop that the call runs on, for strategies that need it; None for a synchronous call.
        report: The failure as the actors see it.
        steps: What was tried.
        joined: The healing was that of an earlier report.
        heal_wait: Seconds to wait for a healing, instead of the operation's.
        untold: What the breaker is to hear once the orchestrator has been asked; see `Edge.meet_circuit`.
        made: Holds the value once the call has returned one.
        refusal: What a fallback step refused the call with.
        tried: The fallback step that was tried on the short way, see upright.outage.
        failed_at: When it failed, monotonic seconds; 0 while it has not.
        given: The resource that its function was bound to; None: that of the operation.
        idempotent: Whether it may be made again, as its function said; None: as the operation says.
    """

    operation: Operation
    error: BaseException | None
    attempt: Callable[[], Any] | None
    began: float
    context: Mapping[str, Any] = field(default_factory=dict)
    arguments: tuple[tuple[Any, ...], Mapping[str, Any]] = ((), {})
    known: Classification | None = None
    loop: asyncio.AbstractEventLoop | None = None
    report: ErrorReport | None = None
    steps: list[RecoveryStep] = field(default_factory=list)
    joined: bool = False
    heal_wait: float | None = None
    untold: CallFailed | ProbeEnded | None = None
    made: tuple[Any] | None = None
    refusal: RefusedError | None = None
    tried: Tried | None = None
    failed_at: float = 0.0
    given: str | None = None
    idempotent: bool | None = None

    @property
    def resource(self) -> str | None:
        """What it works on. Functions of one operation may each have a resource of their own."""
        return self.operation.resource if self.given is None else self.given

    @property
    def target(self) -> str:
        """What is healed when it fails."""
        return self.resource or self.operation.name

    @property
    def repeatable(self) -> bool:
        """Whether it may be made again after its failure."""
        idempotent = self.operation.options.idempotent if self.idempotent is None else self.idempotent
        return self.attempt is not None and self.error is not None and is_repeatable(self.error, idempotent)


# Commands of the flow. A driver answers `Wait`, `Invoke` and `Try` with (value, error).


class Wait(NamedTuple):
    """Wait for a future; (None, AskTimeout) when the time is over."""

    future: ReplyFuture[Any]
    timeout: float


class Sleep(NamedTuple):
    """Let time pass."""

    seconds: float


class Invoke(NamedTuple):
    """Make the call."""

    call: Callable[[], Any]


class Try(NamedTuple):
    """Try a fallback step."""

    step: FallbackStep
    context: Mapping[str, Any]


class Retry(NamedTuple):
    """Make the call again and again, as the policy allows; answered with a RetryRun."""

    edge: Edge
    call: Call
    deadline: float | None


def result_of_success(call: Call, value: Any) -> RecoveryResult:
    """Return the result of a call that needed no recovery."""
    took = monotonic() - call.began
    return RecoveryResult(
        recovery_id=None,
        status=RecoveryStatus.SUCCEEDED,
        value=value,
        duration=took,
        operation=call.operation.name,
        resource=call.resource,
        started_at=time.time() - took,
    )
