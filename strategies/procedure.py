"""One procedure for blocking and asyncio clients alike.

A healing or a fallback step asks a client for something and looks at the answer; whether the client answers at
once or with an awaitable makes no difference to what is to be done. So a procedure is a generator that yields
what the client returned and is sent the answer. `run` carries it out where it stands for as long as answers come
at once. At the first awaitable it returns a coroutine, which carries out the rest on an event loop.

    def ping(client):
        answer = yield client.ping()     # redis.Redis or redis.asyncio.Redis
        return answer

Waiting goes the same way: `yield Pause(0.1)` sleeps in a thread, or on a loop.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["Pause", "Procedure", "Within", "home_loop", "run"]

T = TypeVar("T")

Procedure = Generator[Any, Any, T]
"""Yields what clients return, `Pause` or `Within`; is sent the answers; returns its result."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Within:
    """An answer that must come within so many seconds, else TimeoutError.

    Only an awaitable can be given up. What answers at once has done so already: a blocking client is bounded by
    its own timeouts.
    """

    seconds: float
    answer: Any


def home_loop() -> asyncio.AbstractEventLoop | None:
    """The running loop, which an asyncio client made here belongs to; None in plain code."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def run(procedure: Procedure[T], home: asyncio.AbstractEventLoop | None = None) -> T | Awaitable[T]:
    """Carry a procedure out.

    Args:
        procedure: The procedure.
        home: Loop to finish an asyncio client's procedure on, if it runs: connections of asyncio clients work
            on the loop that they were made on. None, or one that has stopped: whichever awaits.

    Returns:
        Its result, or an awaitable of it as soon as the procedure has met one.
    """
    send: Callable[[Any], Any] = procedure.send
    value: Any = None
    while True:
        try:
            step = send(value)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        send, value = procedure.send, None
        if isinstance(step, Pause):
            if home is not None and home_loop() is not None:
                return _at_home(_finish(procedure, step), home)  # called on a loop, which must not stand still
            try:
                time.sleep(step.seconds)
            except BaseException as error:  # this worker is being stopped: let the procedure clean up
                send, value = procedure.throw, error
            continue
        answer = step.answer if isinstance(step, Within) else step
        if inspect.isawaitable(answer):
            return _at_home(_finish(procedure, step), home)
        value = answer


async def _at_home(rest: Any, home: asyncio.AbstractEventLoop | None) -> Any:
    if home is None or home is asyncio.get_running_loop() or not home.is_running():
        return await rest
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(rest, home))


async def _finish(procedure: Procedure[T], step: Any) -> T:
    while True:
        send: Callable[[Any], Any] = procedure.send
        try:
            value = await _answer(step)
        except BaseException as error:  # also a cancellation, after which the procedure still cleans up
            send, value = procedure.throw, error
        try:
            step = send(value)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]


async def _answer(step: Any) -> Any:
    if isinstance(step, Pause):
        return await asyncio.sleep(step.seconds)
    if isinstance(step, Within):
        answer = step.answer
        return await asyncio.wait_for(answer, step.seconds) if inspect.isawaitable(answer) else answer
    return await step if inspect.isawaitable(step) else step
