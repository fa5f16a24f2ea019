"""Fallback: reads go on from somewhere else, writes are refused or queued."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from upright.strategies.errors import ConfigError, UprightError
from upright.strategies.fallback.chain import FallbackStep, NothingToOfferError, Substitute
from upright.strategies.fallback.offline_mode import Queued, describe_call, key_of, put_call
from upright.strategies.procedure import run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from upright.strategies.fallback.offline_queue import OfflineQueue
    from upright.strategies.procedure import Procedure

__all__ = ["ReadOnlyError", "ReadOnlyMode", "is_write"]


class ReadOnlyError(UprightError):
    """The service is in read-only mode and the call would have written."""


_READS = ("select", "with", "show", "explain", "values", "table", "get", "find", "list", "read", "fetch", "load")


def is_write(context: Mapping[str, Any]) -> bool:
    """Whether a call writes: as `context["write"]` says, else unless its first text argument begins like a read.

    In doubt it writes: serving a write as a read would lose it. A `WITH` that changes data counts as a write.

    Example:
        >>> is_write({"args": ("SELECT 1",)}), is_write({"args": ("UPDATE t SET x = 1",)}), is_write({})
        (False, True, True)
    """
    stated = context.get("write")
    if isinstance(stated, bool):
        return stated
    for found in (*context.get("args", ()), *context.get("kwargs", {}).values()):
        if isinstance(found, str):
            words = found.lower().replace("(", " ").split()
            if not words or words[0] not in _READS:
                return True
            if words[0] == "explain" and "analyze" in words:
                return True
            changing = {"insert", "update", "delete", "merge", "into"}
            return words[0] in ("select", "with", "explain") and not changing.isdisjoint(words)
    return True


class ReadOnlyMode(FallbackStep):
    """Serves reads from a replica or a snapshot, and does with writes what can be answered for.

    Degradation: reads may be behind; writes are refused with ReadOnlyError, or queued for later.

    Args:
        read: `read(context)` answers a read, from a replica say; it may be `async def`. None: reads are left to
            the next step.
        is_write: Decides from the context whether a call writes.
        queue: Where writes are kept; None refuses them.
        payload: Makes the payload of a queued write from the context.
        key: Makes its idempotency key; None makes one up.
        name: What results and the ranking call it.
        timeout: Seconds.

    Raises:
        ConfigError: If a value is not allowed.
    """

    def __init__(
        self,
        read: Callable[[Mapping[str, Any]], Any] | None = None,
        *,
        is_write: Callable[[Mapping[str, Any]], bool] = is_write,
        queue: OfflineQueue | None = None,
        payload: Callable[[Mapping[str, Any]], Any] = describe_call,
        key: Callable[[Mapping[str, Any]], str | None] = key_of,
        name: str = "read-only mode",
        timeout: float | None = None,
    ) -> None:
        if read is not None and not callable(read):
            raise ConfigError("ReadOnlyMode.read", read, "None or callable with the context")
        if not callable(is_write):
            raise ConfigError("ReadOnlyMode.is_write", is_write, "callable with the context")
        self._read = read
        self._is_write = is_write
        self._queue = queue
        self._payload = payload
        self._key = key
        provide = self._serve_async if inspect.iscoroutinefunction(read) else self._serve
        super().__init__(name, provide, timeout, degradation="read-only")

    def _serve(self, context: Mapping[str, Any]) -> Any:
        return run(self._serving(context))

    async def _serve_async(self, context: Mapping[str, Any]) -> Any:
        # Marked as a coroutine function, so that a timeout cancels it on the caller's own loop.
        served = run(self._serving(context))
        return await served if inspect.isawaitable(served) else served

    def _serving(self, context: Mapping[str, Any]) -> Procedure[Substitute]:
        if self._is_write(context):
            if self._queue is None:
                raise ReadOnlyError("read-only mode: nothing can be written until the database is back")
            queued: Queued = put_call(self._queue, self._payload, self._key, context)
            return Substitute(queued, f"write queued, {queued.waiting} waiting")
        if self._read is None:
            raise NothingToOfferError("read-only mode has nowhere to read from")
        value = yield self._read(context)
        return Substitute(value, "read-only, may be behind")
