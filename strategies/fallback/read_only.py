"""Fallback: reads go on from somewhere else, writes are refused or queued."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from upright.strategies.errors import ConfigError
from upright.strategies.fallback.chain import FallbackStep, NothingToOfferError, RefusedError, Substitute
from upright.strategies.fallback.offline_mode import Waiting, describe_call, key_of
from upright.strategies.fallback.offline_queue import OfflineQueue
from upright.strategies.fallback.writes import is_write
from upright.strategies.foreign import is_coroutine_function
from upright.strategies.procedure import run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from upright.strategies.procedure import Procedure

__all__ = ["ReadOnlyError", "ReadOnlyMode"]


class ReadOnlyError(RefusedError):
    """The service is in read-only mode and the call would have written; `__cause__` is why."""


class ReadOnlyMode(FallbackStep):
    """Serves reads from a replica or a snapshot, and does with writes what can be answered for.

    Degradation: reads may be behind; writes are queued for later, or refused: the chain ends, and unless a retry
    succeeds the caller gets ReadOnlyError from the call's own error.

    Args:
        read: `read(context)` answers a read, from a replica say; it may be `async def`. None: reads are left to
            the next step.
        is_write: Decides from the context whether a call writes; see upright.strategies.fallback.writes.
        queue: Where writes are kept; None refuses them.
        replay: `replay(key, payload)` makes one queued write; see OfflineMode.
        payload: Makes the payload of a queued write from the context; see OfflineMode.
        key: Makes its idempotency key; see OfflineMode.
        name: What results and the ranking call it.
        timeout: Seconds.
        weight: See FallbackStep.

    Raises:
        ConfigError: If a value is not allowed.
    """

    def __init__(
        self,
        read: Callable[[Mapping[str, Any]], Any] | None = None,
        *,
        is_write: Callable[[Mapping[str, Any]], bool] = is_write,
        queue: OfflineQueue | None = None,
        replay: Callable[[str, Any], Any] | None = None,
        payload: Callable[[Mapping[str, Any]], Any] = describe_call,
        key: Callable[[Mapping[str, Any]], str | None] = key_of,
        name: str = "read-only mode",
        timeout: float | None = None,
        weight: float = 1.0,
    ) -> None:
        if read is not None and not callable(read):
            raise ConfigError("ReadOnlyMode.read", read, "None or callable with the context")
        if not callable(is_write):
            raise ConfigError("ReadOnlyMode.is_write", is_write, "callable with the context")
        if queue is not None and not isinstance(queue, OfflineQueue):
            raise ConfigError("ReadOnlyMode.queue", queue, "None or an OfflineQueue")
        if replay is not None and queue is None:
            raise ConfigError("ReadOnlyMode.replay", replay, "None where there is no queue")
        self._read = read
        self._is_write = is_write
        self._waiting: Waiting | None = None
        if queue is not None:
            self._waiting = Waiting("ReadOnlyMode", queue, payload, key, replay, lambda: self.halting)
            self.catch_up = self._waiting.catch_up
        provide = self._serve_async if is_coroutine_function(read) else self._serve
        super().__init__(
            name, provide, timeout, degradation="read-only", weight=weight, blocking=self._waiting is not None
        )

    @property
    def details(self) -> dict[str, Any]:
        """Of the queue, if there is one."""
        return {} if self._waiting is None else self._waiting.details

    def _serve(self, context: Mapping[str, Any]) -> Any:
        if self._is_write(context):
            return self._put_off(context)
        return run(self._reading(context))

    async def _serve_async(self, context: Mapping[str, Any]) -> Any:
        # A coroutine function, so that a timeout cancels it on the caller's own loop.
        if self._is_write(context):
            return await asyncio.to_thread(self._put_off, context)  # it waits for the disk
        served: Any = run(self._reading(context))
        return await served if inspect.isawaitable(served) else served

    def _put_off(self, context: Mapping[str, Any]) -> Substitute:
        if self._waiting is None:
            raise ReadOnlyError("read-only mode: nothing can be written until the database is back")
        queued = self._waiting.put(context)
        return Substitute(queued, f"write queued, {queued.waiting} waiting")

    def _reading(self, context: Mapping[str, Any]) -> Procedure[Substitute]:
        if self._read is None:
            raise NothingToOfferError("read-only mode has nowhere to read from")
        value = yield self._read(context)
        return Substitute(value, "read-only, may be behind")
