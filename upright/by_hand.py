"""Calls and errors that an application hands over itself, for a RecoveryResult: `Tree.call`, `Tree.recover`."""

from __future__ import annotations

import asyncio
import functools
import time
from inspect import iscoroutine
from time import monotonic
from typing import TYPE_CHECKING, Any

from upright.actors.call import Call, result_of_success
from upright.actors.drivers import drive, drive_async
from upright.actors.edge import note_failure
from upright.interception import intercepted
from upright.protection import unprotected
from upright.strategies.classification import classify
from upright.strategies.errors import ConfigError
from upright.strategies.foreign import is_awaitable, is_coroutine_function, is_generator_function
from upright.strategies.options import is_finite_number
from upright.strategies.report import ErrorReport, RecoveryResult, RecoveryStatus, RecoveryStep, Stage, StepOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from upright.actors.edge import Edge

__all__ = ["prepare", "recover", "recover_async", "refuse_coroutine", "refuse_coroutine_value", "run", "run_async"]


def run(
    edge: Edge, operation: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> RecoveryResult:
    """Call a function under protection; see `Tree.call`."""
    refuse_coroutine("call.function", function, "call_async")
    call, attempt = _prepared(edge, operation, function, args, kwargs)
    snapshot = call.operation.breaker.snapshot
    if not snapshot.passes and edge.active and not edge.switches.now.observe_only:
        try:
            return drive(edge, edge.meet_circuit(call)).result
        except Exception as internal:
            note_failure(call.error, internal)
        if call.error is not None:
            return _not_recovered(call, "the recovery itself failed")
    try:
        value = attempt() if call.made is None else call.made[0]
    except Exception as error:
        call.error = error
        result = recover(edge, call, error, snapshot)
        refuse_coroutine_value(result.value, "call.function", function, "call_async")
        return result
    refuse_coroutine_value(value, "call.function", function, "call_async")
    edge.succeeded(call.operation, snapshot, call.began)
    return result_of_success(call, value)


async def run_async(
    edge: Edge, operation: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> RecoveryResult:
    """The same for a coroutine function, in this task."""
    _refuse_generator("call_async.function", function)
    call, attempt = _prepared(edge, operation, function, args, kwargs)
    call.loop = asyncio.get_running_loop()
    snapshot = call.operation.breaker.snapshot
    if not snapshot.passes and edge.active and not edge.switches.now.observe_only:
        try:
            return (await drive_async(edge, edge.meet_circuit(call))).result
        except Exception as internal:
            note_failure(call.error, internal)
        if call.error is not None:
            return _not_recovered(call, "the recovery itself failed")
    try:
        value = attempt() if call.made is None else call.made[0]
        if call.made is None and is_awaitable(value):
            value = await value
    except Exception as error:
        call.error = error
        return await recover_async(edge, call, error, snapshot)
    edge.succeeded(call.operation, snapshot, call.began)
    return result_of_success(call, value)


def _prepared(
    edge: Edge, operation: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Call, Callable[[], Any]]:
    found = edge.operations.get(operation)
    function, args = unprotected(function, args)
    attempt = functools.partial(intercepted(operation, function), *args, **kwargs)
    return Call(found, None, attempt, monotonic(), arguments=(args, kwargs)), attempt


def recover(edge: Edge, call: Call, error: BaseException, snapshot: Any = None) -> RecoveryResult:
    """Recover from the failure of a call; never raises, not even if the recovery itself fails."""
    if not edge.active:
        return _not_recovered(call, "the tree is not running, or switched off")
    try:
        if snapshot is not None and classify(error).counted:
            call.untold = edge.log_failure(call.operation, snapshot, call.began, error, call.target)
        return drive(edge, edge.recover(call)).result
    except Exception as internal:
        note_failure(error, internal)
        return _not_recovered(call, "the recovery itself failed")


async def recover_async(edge: Edge, call: Call, error: BaseException, snapshot: Any = None) -> RecoveryResult:
    """The same in this task."""
    if not edge.active:
        return _not_recovered(call, "the tree is not running, or switched off")
    try:
        if snapshot is not None and classify(error).counted:
            call.untold = edge.log_failure(call.operation, snapshot, call.began, error, call.target)
        return (await drive_async(edge, edge.recover(call))).result
    except Exception as internal:
        note_failure(error, internal)
        return _not_recovered(call, "the recovery itself failed")


def prepare(
    edge: Edge,
    error: BaseException,
    operation: str,
    resource: str | None,
    call: Callable[[], Any] | None,
    context: Mapping[str, Any] | None,
    timeout: float | None,
) -> Call:
    """Return what `recover` takes, for an error that was raised elsewhere; see `Tree.recover`."""
    found = edge.operations.met(operation, resource)
    call = None if call is None else intercepted(operation, call)
    report = ErrorReport(error, operation, resource or found.resource, {} if context is None else context, call)
    prepared = Call(found, error, call, monotonic(), context=report.context, report=report, given=resource)
    if timeout is not None:
        if not is_finite_number(timeout) or timeout < 0:
            raise ConfigError("recover.timeout", timeout, "None or a finite number of seconds >= 0")
        prepared.heal_wait = timeout
    return prepared


def refuse_coroutine(field: str, function: Any, other: str) -> None:
    """Refuse a function whose call gives a coroutine, which nobody would await, or a generator, which fails later.

    Raises:
        ConfigError: Naming `field`, the function, and which `other` verb takes coroutine functions.
    """
    if is_coroutine_function(function):
        raise ConfigError(field, function, f"a def; {other} takes a coroutine function")
    _refuse_generator(field, function)


def refuse_coroutine_value(value: Any, field: str, function: Any, other: str) -> None:
    """Refuse a coroutine for a value: what a function gives is known only when it was called.

    Raises:
        ConfigError: Naming `field`, the function, and the `other` verb that awaits it.
    """
    if iscoroutine(value):
        value.close()
        raise ConfigError(field, function, f"a def whose value is no coroutine; {other} awaits it")


def _refuse_generator(field: str, function: Any) -> None:
    if is_generator_function(function):
        raise ConfigError(field, function, "a def or async def; a generator fails while it is iterated")


def _not_recovered(call: Call, why: str) -> RecoveryResult:
    took = monotonic() - call.began
    known = classify(call.error) if call.error is not None else None
    return RecoveryResult(
        recovery_id=None if call.report is None else call.report.recovery_id,
        status=RecoveryStatus.FAILED,
        error=call.error,
        duration=took,
        steps=(RecoveryStep(Stage.HEALING, "none", StepOutcome.SKIPPED, 0.0, why),),
        operation=call.operation.name,
        resource=call.resource,
        code=None if known is None else known.code,
        started_at=time.time() - took,
    )
