"""Fallback: take the operation down, on disk, and do it when it can be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from upright.strategies.errors import ConfigError
from upright.strategies.fallback.chain import FallbackStep, Substitute
from upright.strategies.fallback.offline_queue import OfflineQueue
from upright.strategies.procedure import run

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from upright.strategies.procedure import Procedure

__all__ = ["OfflineMode", "Queued", "Waiting", "describe_call", "key_of"]


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


class Waiting:
    """Calls that are put off into a queue, and made up for: what offline mode and read-only mode share.

    Args:
        field: Names the step in errors.
        queue: The queue.
        payload: Makes the payload from the context: JSON data.
        key: Makes the idempotency key from the context; None makes one up.
        replay: `replay(key, payload)` does what was put off; None leaves that to the application.
        until: Asked before each entry whether to leave the rest for later.

    Raises:
        ConfigError: If a value is not allowed.
    """

    def __init__(
        self,
        field: str,
        queue: OfflineQueue,
        payload: Callable[[Mapping[str, Any]], Any],
        key: Callable[[Mapping[str, Any]], str | None],
        replay: Callable[[str, Any], Any] | None,
        until: Callable[[], bool],
    ) -> None:
        for name, hook in (("payload", payload), ("key", key)):
            if not callable(hook):
                raise ConfigError(f"{field}.{name}", hook, "callable with the context")
        if replay is not None and not callable(replay):
            raise ConfigError(f"{field}.replay", replay, "None or callable with key and payload")
        self.queue = queue
        self._payload = payload
        self._key = key
        self._replay = replay
        self._until = until
        self._last: dict[str, Any] = {"waiting": len(queue), "poison": len(queue.poison())}
        self.catch_up = None if replay is None else self._catch_up

    @property
    def details(self) -> dict[str, Any]:
        """What was in the queue when it was last used, so that looking waits for no disk."""
        return {"queue": str(self.queue.path), **self._last}

    def put(self, context: Mapping[str, Any]) -> Queued:
        """Put a call into the queue; returns when it is on disk."""
        key = self.queue.put(self._payload(context), key=self._key(context))
        waiting = len(self.queue)
        self._last = {**self._last, "waiting": waiting}
        return Queued(key, waiting)

    def _catch_up(self) -> Any:
        return run(self._catching_up())

    def _catching_up(self) -> Procedure[bool]:
        assert self._replay is not None  # noqa: S101 - there is no catch_up without it
        if not len(self.queue):
            return False
        result = yield self.queue.replay(self._replay, until=self._until)
        self._last = {"waiting": result.left, "poison": len(self.queue.poison())}
        return bool(result.left)


class OfflineMode(FallbackStep):
    """Puts the operation into a durable queue, and does what was put, in order, once the operation works again.

    Degradation: accepted, not done. Only for operations whose caller can live with a promise. It writes to disk,
    some 0.3 ms on an SSD, in the caller's thread; for a coroutine, or with a `timeout`, in a worker.

    Args:
        queue: The queue, or the path of one.
        replay: `replay(key, payload)` does one operation that was put, and raises if it could not; it may be
            `async def`, and runs in a worker, on a loop of its own. It is called, in order, when the tree is
            booted, when the operation's resource was healed, when its circuit closes, and again after a while if
            something is left. None leaves that to the application: `queue.replay(handler)`.
        payload: Makes the payload from the context: JSON data. By default operation, args and kwargs.
        key: Makes the idempotency key from the context; None makes one up. By default
            `context["idempotency_key"]` or the keyword argument of that name.
        name: What results and the ranking call it.
        timeout: Seconds; the disk may be slow, too.
        weight: See FallbackStep; half by default, since a promise that never fails must not replace an answer
            that seldom does.

    Raises:
        ConfigError: If a value is not allowed.
    """

    def __init__(
        self,
        queue: OfflineQueue | str | os.PathLike[str],
        replay: Callable[[str, Any], Any] | None = None,
        *,
        payload: Callable[[Mapping[str, Any]], Any] = describe_call,
        key: Callable[[Mapping[str, Any]], str | None] = key_of,
        name: str = "offline mode",
        timeout: float | None = None,
        weight: float = 0.5,
    ) -> None:
        self.queue = queue if isinstance(queue, OfflineQueue) else OfflineQueue(queue)
        self._waiting = Waiting("OfflineMode", self.queue, payload, key, replay, lambda: self.halting)
        self.catch_up = self._waiting.catch_up
        super().__init__(
            name, self._put, timeout, degradation="queued for later, not done", weight=weight, blocking=True
        )

    @property
    def details(self) -> dict[str, Any]:
        """The queue, and how many entries wait or were set aside when it was last used."""
        return self._waiting.details

    def _put(self, context: Mapping[str, Any]) -> Substitute:
        queued = self._waiting.put(context)
        return Substitute(queued, f"queued for later, {queued.waiting} waiting")
