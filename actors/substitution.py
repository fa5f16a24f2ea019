"""What a failing call gets instead of its value: the steps of its fallback chain, tried where the call was made.

A part of the flow of upright.actors.edge, and a generator like it.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from upright.actors.call import Try
from upright.actors.exits import describe
from upright.actors.fallback import StepsTried
from upright.strategies.fallback.chain import FallbackStep, NothingToOfferError, RefusedError, Substitute
from upright.strategies.foreign import is_of, shown
from upright.strategies.report import RecoveryStep, Stage, StepOutcome

if TYPE_CHECKING:
    from collections.abc import Generator

    from upright.actors.call import Call
    from upright.actors.edge import Edge
    from upright.actors.fallback import ChainView

__all__ = ["fall_back"]

_DETAIL: Final = 1_000  # characters of what a step says about itself


def fall_back(edge: Edge, call: Call, chain: ChainView) -> Generator[Any, Any, Substitute | None]:
    """Try the steps of a chain in the order of its ranking; None if none of them has a value for this call."""
    context = _context(edge, call)
    for index, step in chain.order:
        began = monotonic()
        tried = call.tried
        if tried is not None and tried.place == index:
            call.tried = None
            value, error = yield Try(FallbackStep(step.name, tried.again), context)
        else:
            value, error = yield Try(step, context)
        now = monotonic()
        if error is None:
            given = value if isinstance(value, Substitute) else Substitute(value)
            detail = shown(given.detail, _DETAIL, str) if given.detail else step.degradation
            call.steps.append(RecoveryStep(Stage.FALLBACK, step.name, StepOutcome.SUCCEEDED, now - began, detail))
            _gave(edge, chain, index, step, now)
            return given
        # Having nothing for this call, and refusing it, are no failures of the step.
        skipped = is_of(error, NothingToOfferError)
        outcome = StepOutcome.SKIPPED if skipped else StepOutcome.FAILED
        detail = shown(error, _DETAIL, str) if skipped else describe(error)
        call.steps.append(RecoveryStep(Stage.FALLBACK, step.name, outcome, now - began, detail))
        if is_of(error, RefusedError):
            call.refusal = error
            break
        if not skipped:
            chain.outcomes.append((index, False, now))
            _tell_tried(edge, chain)
    return None


def _gave(edge: Edge, chain: ChainView, index: int, step: FallbackStep, now: float) -> None:
    """Note a value that a chain gave; the actor hears of what was put off at once, and of others in bulk."""
    edge.board.fallback_activations.add()
    chain.outcomes.append((index, True, now))
    chain.activations += 1
    if step.catch_up is not None or chain.is_due(now):
        _tell_tried(edge, chain)


def _tell_tried(edge: Edge, chain: ChainView) -> None:
    if chain.told:
        return  # it will read these outcomes as well
    chain.told = True
    try:
        edge.directory["fallback"].tell(StepsTried(chain))
    except Exception:
        chain.told = False
        edge.board.lost_events.add()


def _context(edge: Edge, call: Call) -> dict[str, Any]:
    """What a fallback step is given: the report's context, and what is known of the call."""
    args, kwargs = call.arguments
    operation = call.operation
    return {
        **call.context,
        "operation": operation.name,
        "resource": call.resource,
        "error": call.error if call.error is not None else operation.breaker.snapshot.cause,
        # A report carries no arguments; its context may.
        "args": args or call.context.get("args", ()),
        "kwargs": kwargs or call.context.get("kwargs", {}),
        "predicted_risk": edge.board.risk,
    }
