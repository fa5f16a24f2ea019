"""Protecting calls: the hot path, and where a failing call leaves it.

A call that succeeds reads one snapshot and appends one outcome to a bounded log. It sends nothing, waits for
nothing, and takes no lock. Everything else begins when a call fails, is slow, or meets a circuit that is not closed.
"""

from __future__ import annotations

import asyncio
import functools
from functools import partial
from time import monotonic
from types import MethodType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from upright.actors.call import Call
from upright.actors.drivers import drive, drive_async
from upright.actors.edge import note_failure
from upright.interception import INTERCEPTED, follow, interceptor_of
from upright.outage import answer_at_once
from upright.strategies.classification import classify
from upright.strategies.errors import CircuitOpenError, ConfigError
from upright.strategies.foreign import is_coroutine_function, is_generator_function

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from upright.actors.call import Ending, Tried
    from upright.actors.edge import Edge
    from upright.actors.operation import Operation
    from upright.strategies.breaker import BreakerSnapshot

__all__ = ["RAISE", "Binding", "protected", "unprotected"]

F = TypeVar("F", bound="Callable[..., Any]")

RAISE: Final = object()
"""What a failing call gets instead of a value when its own exception is to come out."""

_BARE: Final = "__upright_bare__"  # (the protected function, what it protects)


class Binding:
    """Which operation of which tree a protected function belongs to; rebound when a tree is booted.

    Attributes:
        operation: Whose circuit and log the calls use.
        breaker: Of that operation, one step nearer for the hot path; INTERCEPTED while calls are to be wrapped.
        edge: Of the tree; None: there is none, and calls are bare calls.
        slow: Seconds above which a call is slow.
        resource: What the function works on; None: what its operation does.
        idempotent: Whether its calls may be made again; None: as the operation says.
        wrap: What wraps each call; None but under fault injection.
    """

    __slots__ = ("__weakref__", "breaker", "edge", "idempotent", "operation", "resource", "slow", "wrap")

    breaker: Any
    wrap: Callable[[Callable[..., Any]], Callable[..., Any]] | None

    def __init__(
        self,
        operation: Operation,
        edge: Edge | None,
        *,
        resource: str | None = None,
        idempotent: bool | None = None,
        plain: bool = False,
    ) -> None:
        self.resource = resource
        self.idempotent = idempotent
        self.bind(operation, edge)
        if plain:
            self.wrap = None
            self.breaker = operation.breaker
        else:
            follow(self)

    def bind(self, operation: Operation, edge: Edge | None) -> None:
        """Belong to another operation from now on."""
        self.operation = operation
        self.slow = operation.options.breaker.slow_call_duration
        self.edge = edge
        self.refresh()

    def refresh(self) -> None:
        """Look again whether the operation's calls are intercepted."""
        # In this order, so that a call under way finds the wrapper or the breaker, and never neither.
        self.wrap = interceptor_of(self.operation.name)
        self.breaker = self.operation.breaker if self.wrap is None else INTERCEPTED


def protected(function: F, binding: Binding) -> F:
    """Wrap a `def` or `async def` function so that its calls are recovered.

    Raises:
        ConfigError: `function` is neither, for example a generator function, whose errors come later.
    """
    if not callable(function):
        raise ConfigError("protect.function", function, "a function")
    if isinstance(function, staticmethod):
        # What is given back has to be one as well, or it would be given the object that it is called on.
        return staticmethod(protected(function.__func__, binding))  # type: ignore[return-value]
    if is_generator_function(function):
        raise ConfigError("protect.function", function, "a def or async def; a generator fails while it is iterated")
    if is_coroutine_function(function):
        return _protected_async(function, binding)  # type: ignore[return-value]
    return _protected_sync(function, binding)  # type: ignore[return-value]


def unprotected(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Return what a protected function or method protects, with the arguments for it; another one as it is."""
    bare = getattr(function, _BARE, None)
    if bare is not None:
        if bare[0] is function:  # else functools.wraps has copied it to another wrapper
            return bare[1], args
        if isinstance(function, MethodType) and bare[0] is function.__func__:
            return bare[1], (function.__self__, *args)
    return function, args


def _protected_sync(function: Callable[..., Any], binding: Binding) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        snapshot = binding.breaker.snapshot
        if not snapshot.passes:
            if snapshot is INTERCEPTED:
                return protected(*_intercepted(binding, function))(*args, **kwargs)
            done, value = answer_at_once(binding, snapshot, args, kwargs)
            return value if done else _met_circuit(binding, function, args, kwargs, value)
        began = monotonic()
        try:
            value = function(*args, **kwargs) if kwargs else function(*args)  # half as dear without the dict
        except Exception as error:
            value = _failed(binding, snapshot, began, error, function, args, kwargs)
            if value is RAISE:
                raise
            return value
        ended = monotonic()
        took = ended - began
        snapshot.log.append((ended, took, False))
        if took > binding.slow:
            _was_slow(binding, began)
        return value

    vars(call)[_BARE] = (call, function)
    return call


def _protected_async(function: Callable[..., Any], binding: Binding) -> Callable[..., Any]:
    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        snapshot = binding.breaker.snapshot
        if not snapshot.passes:
            if snapshot is INTERCEPTED:
                return await protected(*_intercepted(binding, function))(*args, **kwargs)
            done, value = answer_at_once(binding, snapshot, args, kwargs)
            return value if done else await _met_circuit_async(binding, function, args, kwargs, value)
        began = monotonic()
        try:
            value = await (function(*args, **kwargs) if kwargs else function(*args))
        except Exception as error:
            value = await _failed_async(binding, snapshot, began, error, function, args, kwargs)
            if value is RAISE:
                raise
            return value
        ended = monotonic()
        took = ended - began
        snapshot.log.append((ended, took, False))
        if took > binding.slow:
            _was_slow(binding, began)
        return value

    vars(call)[_BARE] = (call, function)
    return call


def _intercepted(binding: Binding, function: Callable[..., Any]) -> tuple[Callable[..., Any], Binding]:
    """Return what stands for the function in this one call, and a binding that is not intercepted again."""
    wrap = binding.wrap  # None if the interception ended a moment ago
    own = Binding(binding.operation, binding.edge, resource=binding.resource, idempotent=binding.idempotent, plain=True)
    return function if wrap is None else wrap(function), own


def _was_slow(binding: Binding, began: float) -> None:
    from upright.actors.breaker import CallFailed  # noqa: PLC0415 - a slow call has time for it

    if binding.edge is not None:
        binding.edge.tell_breaker(CallFailed(binding.operation, None, began))


# A call that failed: in the caller's thread or task, with the exception being handled.


def _call_of(
    binding: Binding,
    snapshot: BreakerSnapshot,
    began: float,
    error: BaseException,
    attempt: Callable[[], Any],
    arguments: tuple[tuple[Any, ...], Mapping[str, Any]],
) -> Call | None:
    """Classify and log a failure; None if nothing is to be recovered."""
    edge = binding.edge
    if edge is None or not edge.active:
        return None
    known = classify(error)
    if known.permanent:
        return None
    call = Call(binding.operation, error, attempt, began, arguments=arguments, known=known)
    call.given, call.idempotent = binding.resource, binding.idempotent
    if known.counted:
        call.untold = edge.log_failure(binding.operation, snapshot, began, error, call.target)
    return call


def _failed(
    binding: Binding,
    snapshot: BreakerSnapshot,
    began: float,
    error: Exception,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    try:
        attempt = partial(function, *args, **kwargs)
        call = _call_of(binding, snapshot, began, error, attempt, (args, kwargs))
        if call is None or (edge := binding.edge) is None:
            return RAISE
        ending = drive(edge, edge.recover(call))
    except Exception as internal:
        note_failure(error, internal)
        return RAISE
    return _value_or_error(ending, error)


async def _failed_async(
    binding: Binding,
    snapshot: BreakerSnapshot,
    began: float,
    error: Exception,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    try:
        attempt = partial(function, *args, **kwargs)
        call = _call_of(binding, snapshot, began, error, attempt, (args, kwargs))
        if call is None or (edge := binding.edge) is None:
            return RAISE
        call.loop = asyncio.get_running_loop()
        ending = await drive_async(edge, edge.recover(call))
    except Exception as internal:
        note_failure(error, internal)
        return RAISE
    return _value_or_error(ending, error)


def _value_or_error(ending: Ending, error: BaseException) -> Any:
    """Return the value, or RAISE for the call's own error; a circuit that was open before is said to be open."""
    result = ending.result
    if ending.has_value:
        return result.value
    if ending.refusal is not None:
        raise ending.refusal from error
    if ending.shut_out:
        raise CircuitOpenError(result.wait_time, result.operation) from error
    return RAISE


# A call that meets a circuit which is not closed.


def _met_circuit(
    binding: Binding,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    tried: Tried | None,
) -> Any:
    edge = binding.edge
    if edge is None or not edge.active or edge.switches.now.observe_only:
        return function(*args, **kwargs)
    attempt = partial(function, *args, **kwargs)
    call = Call(binding.operation, None, attempt, monotonic(), arguments=(args, kwargs), tried=tried)
    call.given, call.idempotent = binding.resource, binding.idempotent
    try:
        ending = drive(edge, edge.meet_circuit(call))
    except Exception as internal:
        note_failure(call.error, internal)
    else:
        return _value_or_rejection(ending, call)
    return _without_recovery(call)


async def _met_circuit_async(
    binding: Binding,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    tried: Tried | None,
) -> Any:
    edge = binding.edge
    if edge is None or not edge.active or edge.switches.now.observe_only:
        return await function(*args, **kwargs)
    attempt = partial(function, *args, **kwargs)
    call = Call(binding.operation, None, attempt, monotonic(), arguments=(args, kwargs), tried=tried)
    call.given, call.idempotent = binding.resource, binding.idempotent
    try:
        call.loop = asyncio.get_running_loop()
        ending = await drive_async(edge, edge.meet_circuit(call))
    except Exception as internal:
        note_failure(call.error, internal)
    else:
        return _value_or_rejection(ending, call)
    value = _without_recovery(call)
    return value if call.made is not None else await value


def _without_recovery(call: Call) -> Any:
    """Return what the bare call gives, because of a fault inside upright: it is made now unless it was made before."""
    if call.error is not None:
        raise call.error
    if call.made is not None:
        return call.made[0]
    assert call.attempt is not None  # noqa: S101 - a call that met a circuit can be made
    return call.attempt()


def _value_or_rejection(ending: Ending, call: Call) -> Any:
    result = ending.result
    if ending.has_value:
        return result.value
    if call.error is None and ending.refusal is not None:
        raise ending.refusal from ending.opened_by
    if call.error is None:
        raise CircuitOpenError(result.wait_time, result.operation) from ending.opened_by
    if _value_or_error(ending, call.error) is RAISE:
        raise call.error  # it was made after all, as a probe or after a healing, and failed
    return None
