"""A redis-py client as a healing sees it: its pool, where that connects to, and connections of our own beside it."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from upright.strategies.errors import ConfigError, UprightError
from upright.strategies.evidence import attribute
from upright.strategies.procedure import Within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upright.strategies.procedure import Procedure

__all__ = ["Endpoint", "NotMasterError", "RedisTarget"]

_CLOSE_WITHIN = 1.0  # seconds for closing what may already be dead


class Endpoint(NamedTuple):
    """Where a Redis listens."""

    host: str
    port: int


class NotMasterError(UprightError):
    """A replica answered where a master is needed: it takes no writes."""


class RedisTarget:
    """The client of an application, blocking or asyncio.

    Raises:
        ConfigError: If it is no client with a connection pool.
    """

    def __init__(self, client: Any) -> None:
        pool = attribute(client, "connection_pool")
        if pool is None or not callable(attribute(client, "ping")) or not callable(attribute(pool, "disconnect")):
            raise ConfigError("RedisReconnection.client", client, "a redis.Redis or redis.asyncio.Redis")
        self.client = client
        self._pool = pool

    @property
    def endpoint(self) -> Endpoint | None:
        """Where new connections of the pool go; None where that is no host and port (a socket file, Sentinel)."""
        kwargs = self._pool.connection_kwargs
        if "path" in kwargs or "connection_pool" in kwargs:
            return None
        return Endpoint(str(kwargs.get("host", "localhost")), int(kwargs.get("port", 6379)))

    def forget(self) -> Procedure[None]:
        """Close the idle connections; those in use are replaced when they come back."""
        with contextlib.suppress(Exception):  # what is dead may fail to close, and is forgotten all the same
            yield Within(_CLOSE_WITHIN, self._pool.disconnect(inuse_connections=False))
        for connection in _held(self._pool, "_in_use_connections"):
            # From redis-py 6 on. Before, one in use stays as it is until it fails.
            mark = attribute(connection, "mark_for_reconnect")
            if callable(mark):
                mark()

    def ask_role(self, endpoint: Endpoint | None, within: float) -> Procedure[Endpoint | None]:
        """Ask a server, on a connection of its own, whether it is a master.

        Args:
            endpoint: Which; None asks where the pool connects to.
            within: Seconds to connect, and for each answer.

        Returns:
            None if it is one, or does not say; else the master that it follows.

        Raises:
            Exception: What redis-py raises if it cannot be used.
        """
        connection = self._pool.connection_class(**self._options(endpoint, within))
        try:
            yield Within(2 * within, connection.connect())
            yield Within(within, connection.send_command("PING", check_health=False))
            yield Within(within, connection.read_response())
            yield Within(within, connection.send_command("ROLE", check_health=False))
            try:
                role = yield Within(within, connection.read_response())
            except Exception as error:
                if _is_refusal(error):  # an ACL without ROLE, a proxy that does not know it
                    return None
                raise
        finally:
            with contextlib.suppress(Exception):
                yield Within(_CLOSE_WITHIN, connection.disconnect())
        return _master_in(role)

    def repoint(self, endpoint: Endpoint) -> Procedure[None]:
        """Let the pool connect somewhere else from now on, old connections that reconnect included."""
        kwargs = self._pool.connection_kwargs
        kwargs.update(host=endpoint.host, port=endpoint.port)
        for name in ("_available_connections", "_in_use_connections", "_connections"):
            for connection in _held(self._pool, name):
                _redirect(connection, endpoint)
        _redirect(attribute(self.client, "connection"), endpoint)
        yield from self.forget()

    def _options(self, endpoint: Endpoint | None, within: float) -> dict[str, Any]:
        kwargs = self._pool.connection_kwargs
        # Not what ties a connection to its pool's own bookkeeping.
        options = {name: value for name, value in kwargs.items() if not name.startswith(("maint_", "oss_", "orig_"))}
        options.update(socket_connect_timeout=within, socket_timeout=within, retry=_no_retry(self._pool))
        if endpoint is not None:
            options.update(host=endpoint.host, port=endpoint.port)
        return options


def _no_retry(pool: Any) -> Any:
    # Imported by whoever made the client. Its own retries would hide how long one attempt takes.
    package = "redis.asyncio" if "asyncio" in type(pool).__module__ else "redis"
    return sys.modules[f"{package}.retry"].Retry(sys.modules["redis.backoff"].NoBackoff(), 0)


def _held(pool: Any, name: str) -> Iterator[Any]:
    # A copy, and again if a thread took one out meanwhile.
    for _ in range(10):
        with contextlib.suppress(RuntimeError):
            yield from list(attribute(pool, name) or ())
            return


def _redirect(connection: Any, endpoint: Endpoint) -> None:
    for inner in (connection, attribute(connection, "_conn")):  # inside the one of client-side caching
        if attribute(inner, "host") is not None:
            inner.host, inner.port = endpoint


def _is_refusal(error: Exception) -> bool:
    return any(cls.__name__ == "ResponseError" for cls in type(error).__mro__)


def _master_in(role: Any) -> Endpoint | None:
    words = [word.decode() if isinstance(word, bytes) else word for word in role[:3]]
    if words[0] != "slave":
        return None
    return Endpoint(str(words[1]), int(words[2]))
