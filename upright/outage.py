"""A steady outage: calls that meet an open circuit while nothing is under way that could change it.

An outage has many such calls, so each must cost little more than its answer. Where nothing is being healed and no
probe is due, nothing is left to decide: the call is rejected, or gets the value of the chain's first step, in the
caller's thread and without a message. The first few of every second take the whole way (`Edge.meet_circuit`) and so
show one by one in the history; the rest are counted.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from upright.actors.call import Tried
from upright.actors.edge import is_healing
from upright.strategies.errors import CircuitOpenError
from upright.strategies.fallback.chain import Substitute

if TYPE_CHECKING:
    from collections.abc import Mapping

    from upright.protection import Binding
    from upright.strategies.breaker import BreakerSnapshot

__all__ = ["LISTED_A_SECOND", "answer_at_once"]

_FOR_EVER: Final = float("inf")  # until probes are let through, where time alone changes nothing

LISTED_A_SECOND: Final = 20
"""Answers of one operation's open circuit that are listed one by one in any second."""


def answer_at_once(
    binding: Binding, snapshot: BreakerSnapshot, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[bool, Any]:
    """Answer a call that met a circuit which is not closed, if there is nothing to wait for.

    Returns:
        (True, the chain's value); or (False, what has been tried) if the call has to take the whole way, with None
        where nothing has.

    Raises:
        CircuitOpenError: There is no chain for the operation.
    """
    edge = binding.edge
    if edge is None:
        return False, None
    flags, operation, now = edge.switches.now, binding.operation, monotonic()
    target = operation.suspect
    proof = edge.board.proofs.get(target)
    if (
        now >= snapshot.retry_at
        or (proof is not None and proof.healed_at >= snapshot.since)
        # A healing under way makes no difference to a call that waits for none.
        or (
            operation.options.heal_wait > 0
            and (
                (edge.board.healing and target in edge.board.healing)
                or (operation.inquired is not snapshot and edge.may_be_healing(operation, snapshot))
            )
        )
        or flags.observe_only
        or not flags.recovery_orchestrator
        or not edge.directory.is_open
        or is_healing.get()
    ):
        return False, None
    chain = edge.chains.get(operation.name)
    if chain is None or not flags.intelligent_fallback:
        operation.rejected += 1
        wait = snapshot.retry_at - now
        raise CircuitOpenError(wait if wait < _FOR_EVER else snapshot.patience, operation.name) from snapshot.cause
    if now - operation.listed_from >= 1.0:
        operation.listed_from = now
        operation.listed = 0
    operation.listed += 1
    index, step = chain.order[0]
    if operation.listed <= LISTED_A_SECOND or step.timeout is not None or step.blocking or step.catch_up is not None:
        return False, None
    try:
        if step.glance is not None:
            value = step.glance(args, kwargs)
        else:
            context = {
                "operation": operation.name,
                "resource": binding.resource or operation.resource,
                "error": snapshot.cause,
                "args": args,
                "kwargs": kwargs,
                "predicted_risk": edge.board.risk,
            }
            value = step.provide(context)
    except Exception as error:
        return False, Tried(index, None, error)
    kind = type(value)
    if hasattr(kind, "__await__"):
        return False, Tried(index, value, None)
    operation.rejected += 1
    chain.outcomes.append((index, True, now))
    chain.activations += 1
    board = edge.board
    board.fallback_activations.add()
    board.unlisted_answers.add()
    return True, value.value if kind is Substitute else value
