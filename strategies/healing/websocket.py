"""Bring a WebSocket back: cut what is dead, connect, restore the live subscriptions, prove it with a ping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upright.strategies.backoff import Backoff
from upright.strategies.codes import ErrorCode
from upright.strategies.errors import ConfigError
from upright.strategies.healing.base import HealingFailed, HealingStrategy
from upright.strategies.healing.effort import Effort
from upright.strategies.healing.scope import Scope
from upright.strategies.healing.websocket_session import NotConnectedError
from upright.strategies.options import require_seconds
from upright.strategies.procedure import Within, home_loop, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.strategies.healing.websocket_manager import WebSocketManager
    from upright.strategies.procedure import Procedure
    from upright.strategies.report import ErrorReport

__all__ = ["WebSocketReconnection"]

_MORE_WHEN_NAMED = frozenset(
    {
        ErrorCode.NETWORK,
        ErrorCode.UNKNOWN,
        # What a server, or a proxy before it, answers to the handshake.
        ErrorCode.RATE_LIMITED,
        ErrorCode.API_TIMEOUT,
        ErrorCode.API_UNAVAILABLE,
    }
)


class WebSocketReconnection(HealingStrategy):
    """Reconnects a WebSocketManager, with its subscriptions.

    Heals a connection that was dropped, closed by the server, or is open and dead (no pong), a server that is
    restarted, and a handshake that is refused for a while (5xx, 408, 425, 429 with its Retry-After). A handshake
    refused with 401, 403 or another 4xx is permanent, and ends it at once.

    What it does: ping, and if no pong comes within a second cut the connection without a goodbye; connect; drop
    the subscriptions that have become stale and ask for the others in the order they were first made. Messages
    that came on the old connection are delivered before those of the new.

    Args:
        manager: The application's WebSocketManager. One that was never started is started; one that was stopped
            stays so, and the healing fails.
        resource: Name of the WebSocket as the protected operations give it. None takes every report of code
            WEBSOCKET_DISCONNECTED: right for an application with one.
        timeout: Seconds for the healing with its proof, at least 1.
        connect_timeout: Seconds for one handshake, and for the pong that proves it, above 0.
        backoff: Waits between attempts; None grows them from 50 ms to 0.5 s.
        reset: Called before reconnecting, for what else the application keeps that belongs to the old connection.

    Raises:
        ConfigError: If a value is not allowed.
    """

    name = "websocket reconnection"

    def __init__(
        self,
        manager: WebSocketManager,
        *,
        resource: str | None = None,
        timeout: float = 30.0,
        connect_timeout: float = 2.0,
        backoff: Backoff | None = None,
        reset: Callable[[], Any] | None = None,
    ) -> None:
        require_seconds("WebSocketReconnection.timeout", timeout, least=1.0)
        require_seconds("WebSocketReconnection.connect_timeout", connect_timeout, above=True)
        if not all(callable(getattr(manager, name, None)) for name in ("reconnect", "ping")):
            raise ConfigError("WebSocketReconnection.manager", manager, "a WebSocketManager")
        if reset is not None and not callable(reset):
            raise ConfigError("WebSocketReconnection.reset", reset, "None or callable without arguments")
        self.timeout = timeout
        self._manager = manager
        self._scope = Scope(resource, frozenset({ErrorCode.WEBSOCKET_DISCONNECTED}), _MORE_WHEN_NAMED)
        self._connect_timeout = connect_timeout
        self._reset = reset
        # A tenth is left for the proof, and for an attempt that began at the last moment.
        self._effort = Effort(seconds=0.9 * timeout, backoff=backoff or Backoff(0.05, 0.5))

    def can_handle(self, report: ErrorReport) -> bool:
        """A lost connection of this manager, or one that could not be made."""
        return self._scope.holds(report)

    def heal(self, report: ErrorReport) -> Any:
        """Reconnect until it works.

        Raises:
            HealingFailed: If time is up, or the server refuses for good.
        """
        # The manager finds its own loop from wherever it is called; so home is where this is called.
        return run(self._heal(report.classification.retry_after), home_loop())

    def verify(self, report: ErrorReport) -> Any:  # noqa: ARG002 - every failure is proven repaired the same way
        """Ping, and wait for the pong."""
        return run(self._prove())

    def _heal(self, wait: float | None) -> Procedure[None]:
        if self._reset is not None:
            yield self._reset()
        yield from self._effort.until_used(self._attempt, wait=wait or 0.0)

    def _attempt(self, left: float) -> Procedure[None]:
        within = min(self._connect_timeout, max(0.1, left))
        # The manager keeps to its own time limit; this one is for the liveness check before it, and the replay.
        try:
            yield Within(2 * within + 2.0, self._manager.reconnect(within))
        except NotConnectedError as error:  # stopped, or without its loop: trying again would be in vain
            raise HealingFailed(str(error)) from error

    def _prove(self) -> Procedure[None]:
        yield self._manager.ping(self._connect_timeout)
