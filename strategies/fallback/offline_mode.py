"""Fallback: take the operation down, on disk, and do it when it can be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from upright.strategies.errors import ConfigError
from upright.strategies.fallback.chain import FallbackStep, Substitute
from upright.strategies.fallback.offline_queue import OfflineQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["OfflineMode", "Queued", "describe_call", "key_of", "put_call"]


@dataclass(frozen=True, slots=True)
class Queued:
    """What a call gets whose work will be done later.

    Attributes:
        key: Its idempotency key, to ask about it.
        waiting: Operations in the queue, this one included.
    """

    key: str
    waiting: int


def describe_call(context: Mapping[str, Any]) -> dict[str, Any]:
    """The payload by default: which operation, with which arguments."""
    return {
        "operation": context.get("operation"),
        "args": list(context.get("args", ())),
        "kwargs": dict(context.get("kwargs", {})),
    }


def key_of(context: Mapping[str, Any]) -> str | None:
    """The key by default: `context["idempotency_key"]`, or the keyword argument of that name."""
    found = context.get("idempotency_key") or context.get("kwargs", {}).get("idempotency_key")
    return found if isinstance(found, str) else None


def put_call(
    queue: OfflineQueue,
    payload: Callable[[Mapping[str, Any]], Any],
    key: Callable[[Mapping[str, Any]], str | None],
    context: Mapping[str, Any],
) -> Queued:
    """Put a call into the queue; returns when it is on disk."""
    return Queued(queue.put(payload(context), key=key(context)), len(queue))


class OfflineMode(FallbackStep):
    """Puts the operation into a durable queue. After healing, `queue.replay(handler)` does what was put, in order.

    Degradation: accepted, not done. Only for operations whose caller can live with a promise. It writes to disk
    in the caller's thread, some 0.3 ms on an SSD; with a `timeout` a worker does it.

    Args:
        queue: The queue, or the path of one.
        payload: Makes the payload from the context: JSON data.
        key: Makes the idempotency key from the context; None makes one up.
        name: What results and the ranking call it.
        timeout: Seconds; the disk may be slow, too.

    Raises:
        ConfigError: If a value is not allowed.
    """

    def __init__(
        self,
        queue: OfflineQueue | str,
        *,
        payload: Callable[[Mapping[str, Any]], Any] = describe_call,
        key: Callable[[Mapping[str, Any]], str | None] = key_of,
        name: str = "offline mode",
        timeout: float | None = None,
    ) -> None:
        if not callable(payload):
            raise ConfigError("OfflineMode.payload", payload, "callable with the context")
        if not callable(key):
            raise ConfigError("OfflineMode.key", key, "callable with the context")
        self.queue = queue if isinstance(queue, OfflineQueue) else OfflineQueue(queue)
        self._payload = payload
        self._key = key
        super().__init__(name, self._put, timeout, degradation="queued for later, not done")

    def _put(self, context: Mapping[str, Any]) -> Substitute:
        queued = put_call(self.queue, self._payload, self._key, context)
        return Substitute(queued, f"queued for later, {queued.waiting} waiting")
