"""Carrying out the commands of the edge's flow: by blocking a thread, or by suspending a task.

Both drivers run operation, fallback steps and retries in the caller's own thread or loop. Only a synchronous step
that declares a timeout goes to a worker, since nothing else can be abandoned; and one that would block a loop.
"""

from __future__ import annotations

import asyncio
import inspect
import random
import sys
import time
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from upright.actors.call import Ending, Invoke, Retry, Sleep, Try, Wait
from upright.actors.edge import classify_for_retry
from upright.actors.errors import AskTimeout
from upright.actors.reply import ReplyFuture
from upright.actors.worker import JobFailed
from upright.strategies.errors import CircuitOpenError
from upright.strategies.foreign import is_coroutine_function, part
from upright.strategies.retry import calls_since_failure, retry, retry_async

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from upright.actors.edge import Edge

__all__ = ["drive", "drive_async", "guarded", "guarded_async"]

_BESIDE_A_LOOP: Final = 30.0  # seconds that a synchronous call on an event loop's thread waits for an asynchronous step

_Outcome = tuple[Any, BaseException | None]


def drive(edge: Edge, flow: Generator[Any, Any, Ending]) -> Ending:
    """Carry out a flow in this thread."""
    try:
        command = next(flow)
        while True:
            command = flow.send(_carry_out(edge, command))
    except StopIteration as stop:
        ending: Ending = stop.value
        return ending
    finally:
        flow.close()


async def drive_async(edge: Edge, flow: Generator[Any, Any, Ending]) -> Ending:
    """Carry out a flow in this task, blocking neither its loop nor a thread."""
    try:
        command = next(flow)
        while True:
            command = flow.send(await _carry_out_async(edge, command))
    except StopIteration as stop:
        ending: Ending = stop.value
        return ending
    finally:
        flow.close()


# What passes through (KeyboardInterrupt, CancelledError, ...) is no Exception: it leaves the driver as it came.


def _carry_out(edge: Edge, command: Any) -> Any:
    if isinstance(command, Wait):
        return _get(command.future, command.timeout)
    if isinstance(command, Sleep):
        time.sleep(command.seconds)
        return None
    if isinstance(command, Invoke):
        return _outcome(command.call)
    if isinstance(command, Try):
        return _try(edge, command)
    assert isinstance(command, Retry)  # noqa: S101 - the flow has no other commands
    call, attempt = command.call, command.call.attempt
    assert attempt is not None and call.error is not None  # noqa: S101, PT018 - the flow checked
    operation = call.operation
    _earn(command)
    controller = operation.options.retry.retrying(
        random=random.random, budget=operation.budget, deadline=command.deadline, classify=classify_for_retry
    )

    def again() -> Any:
        edge.board.retries.add()
        return guarded(edge, operation, attempt)

    return retry(controller, call.error, again)


async def _carry_out_async(edge: Edge, command: Any) -> Any:
    if isinstance(command, Wait):
        return await _get_async(command.future, command.timeout)
    if isinstance(command, Sleep):
        await asyncio.sleep(command.seconds)
        return None
    if isinstance(command, Invoke):
        return await _outcome_async(command.call)
    if isinstance(command, Try):
        return await _try_async(edge, command)
    assert isinstance(command, Retry)  # noqa: S101 - the flow has no other commands
    call, attempt = command.call, command.call.attempt
    assert attempt is not None and call.error is not None  # noqa: S101, PT018 - the flow checked
    operation = call.operation
    _earn(command)
    controller = operation.options.retry.async_retrying(
        random=random.random, budget=operation.budget, deadline=command.deadline, classify=classify_for_retry
    )

    async def again() -> Any:
        edge.board.retries.add()
        return await guarded_async(edge, operation, attempt)

    return await retry_async(controller, call.error, again)


def _earn(command: Retry) -> None:
    operation = command.call.operation
    if operation.budget is not None:
        operation.budget.earn(calls_since_failure(operation.breaker.snapshot.log))


# An actor may have crashed with a BaseException (a stray sys.exit()), which is then the answer and nothing that is
# meant for the caller. What strikes while waiting (Ctrl-C, cancellation) is meant for it, and passes through.


def _get(future: ReplyFuture[Any], timeout: float | None) -> _Outcome:
    try:
        return future.get(timeout=timeout), None
    except BaseException as error:
        if isinstance(error, Exception) or future.holds(error):
            return None, error
        raise


async def _get_async(future: ReplyFuture[Any], timeout: float | None) -> _Outcome:
    try:
        return await future.wait_async(timeout), None
    except BaseException as error:
        if isinstance(error, Exception) or future.holds(error):
            return None, error
        raise


def _outcome(call: Callable[[], Any]) -> _Outcome:
    handled = sys.exception()
    try:
        return call(), None
    except Exception as error:
        part(error, handled)
        return None, error


async def _outcome_async(call: Callable[[], Any]) -> _Outcome:
    handled = sys.exception()
    try:
        value = call()
        return (await value if inspect.isawaitable(value) else value), None
    except Exception as error:
        part(error, handled)
        return None, error


# Fallback steps.


def _try(edge: Edge, command: Try) -> _Outcome:
    step, context = command.step, command.context
    if step.timeout is not None:
        return _get_or_abandon(edge, lambda: step.provide(context), step.timeout)
    try:
        value = step.provide(context)
        if not inspect.isawaitable(value):
            return value, None
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            # Not asyncio.run(), which leaves this thread without the event loop that was set for it.
            with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
                return runner.run(_await(value)), None
    except Exception as error:
        return None, error
    # A loop runs in this thread already, and cannot be entered twice. What needs that very loop never ends elsewhere.
    return _get_or_abandon(edge, lambda: value, _BESIDE_A_LOOP)


def _get_or_abandon(edge: Edge, work: Callable[[], Any], timeout: float | None) -> _Outcome:
    reply: ReplyFuture[Any] = ReplyFuture()
    job = edge.pool.submit(work, reply)
    try:
        value, error = _get(reply, timeout)
    except BaseException:
        job.abandon()
        raise
    if isinstance(error, AskTimeout):
        job.abandon()
        return None, TimeoutError(f"not done within {timeout:g} s")
    return value, error.error if isinstance(error, JobFailed) else error


async def _try_async(edge: Edge, command: Try) -> _Outcome:
    step, context = command.step, command.context
    if (step.timeout is not None or step.blocking) and not is_coroutine_function(step.provide):
        reply: ReplyFuture[Any] = ReplyFuture()
        job = edge.pool.submit(lambda: step.provide(context), reply, loop=asyncio.get_running_loop())
        try:
            value, error = await _get_async(reply, step.timeout)
        except BaseException:
            job.abandon()
            raise
        if isinstance(error, AskTimeout):
            job.abandon()
            return None, TimeoutError(f"not done within {step.timeout:g} s")
        return value, error.error if isinstance(error, JobFailed) else error
    limit = asyncio.timeout(step.timeout)
    try:
        async with limit:
            value = step.provide(context)
            return (await value if inspect.isawaitable(value) else value), None
    except Exception as error:
        return None, TimeoutError(f"not done within {step.timeout:g} s") if limit.expired() else error


async def _await(value: Any) -> Any:
    return await value


# A call through the circuit, without recovery: what a retry makes.


def guarded(edge: Edge, operation: Any, call: Callable[[], Any]) -> Any:
    """Make a call through its circuit and log how it came out.

    Raises:
        CircuitOpenError: The circuit rejects it.
        BaseException: Whatever the call raised.
    """
    snapshot = operation.breaker.snapshot
    began = monotonic()
    permit = None if snapshot.passes else snapshot.acquire(began)
    if permit is None and not snapshot.passes:
        raise CircuitOpenError(snapshot.wait_time(began), operation.name) from snapshot.cause
    handled = sys.exception()
    try:
        value = call()
    except Exception as error:
        part(error, handled)
        _came_out(edge, operation, snapshot, permit, began, error)
        raise
    except BaseException:
        if permit is not None:
            snapshot.release(permit)
        raise
    _came_out(edge, operation, snapshot, permit, began, None)
    return value


async def guarded_async(edge: Edge, operation: Any, call: Callable[[], Any]) -> Any:
    """The same for a coroutine function."""
    snapshot = operation.breaker.snapshot
    began = monotonic()
    permit = None if snapshot.passes else snapshot.acquire(began)
    if permit is None and not snapshot.passes:
        raise CircuitOpenError(snapshot.wait_time(began), operation.name) from snapshot.cause
    handled = sys.exception()
    try:
        value = call()
        if inspect.isawaitable(value):
            value = await value
    except Exception as error:
        part(error, handled)
        _came_out(edge, operation, snapshot, permit, began, error)
        raise
    except BaseException:
        if permit is not None:
            snapshot.release(permit)
        raise
    _came_out(edge, operation, snapshot, permit, began, None)
    return value


def _came_out(
    edge: Edge, operation: Any, snapshot: Any, permit: Any, began: float, error: BaseException | None
) -> None:
    message = edge.came_out(operation, snapshot, permit, began, error)
    if message is not None:
        edge.tell_breaker(message)
