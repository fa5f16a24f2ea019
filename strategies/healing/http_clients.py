"""The HTTP clients that an application may have: each knows how to ask, and how to forget what is dead or stale.

Recognised by the names of their classes, so that no client is imported.
"""

from __future__ import annotations

import contextlib
import inspect
from typing import TYPE_CHECKING, Any, Protocol

from upright.strategies.errors import ConfigError, UprightError
from upright.strategies.evidence import attribute
from upright.strategies.procedure import Within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from upright.strategies.procedure import Procedure

__all__ = ["Asker", "CachedProofError", "asker_of", "clearer_of", "judge"]

_CLOSE_WITHIN = 1.0  # seconds for closing one connection that may already be dead


class CachedProofError(UprightError):
    """An answer came out of a cache, which proves nothing about the server."""


class Asker(Protocol):
    """A client that can be asked."""

    def get(self, url: str, within: float) -> Procedure[None]:
        """Get a URL: any answer below 400 from the server itself will do.

        Raises:
            Exception: What the client raises, for an HTTP status of 400 and above, too.
        """
        ...

    def repeat(self, request: Any, within: float) -> Procedure[None]:
        """Make a request again that failed, the same way."""
        ...

    def forget_idle(self) -> Procedure[None]:
        """Close the connections that are kept for later: they may be dead without knowing it."""
        ...


def asker_of(client: Any) -> Asker:
    """Recognise an HTTP client.

    Raises:
        ConfigError: If it is none that is known.
    """
    if _is_a(client, "httpx", "Client") or _is_a(client, "httpx", "AsyncClient"):
        return _Httpx(client)
    if _is_a(client, "requests", "Session"):
        return _Requests(client)
    raise ConfigError("ApiRetry.client", client, "an httpx.Client, an httpx.AsyncClient or a requests.Session")


class _Httpx:
    """httpx, blocking or asyncio."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def get(self, url: str, within: float) -> Procedure[None]:
        judge((yield Within(2 * within, self._client.get(url, timeout=within, headers=_FRESH))))

    def repeat(self, request: Any, within: float) -> Procedure[None]:
        # A new request: the old one carries the application's own time limit. One whose body was a stream
        # raises here, since what has been sent of it is gone.
        again = self._client.build_request(
            request.method, request.url, headers=request.headers, content=request.content, timeout=within
        )
        judge((yield Within(2 * within, self._client.send(again))))

    def forget_idle(self) -> Procedure[None]:
        for pool in _pools_of(self._client):
            for connection in list(pool.connections):
                if connection.is_idle():
                    with contextlib.suppress(Exception):  # what is dead may fail to close
                        close = getattr(connection, "aclose", None) or connection.close
                        yield Within(_CLOSE_WITHIN, close())


class _Requests:
    """requests, which is blocking."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def get(self, url: str, within: float) -> Procedure[None]:
        judge((yield self._session.get(url, timeout=within, headers=_FRESH)))

    def repeat(self, request: Any, within: float) -> Procedure[None]:
        settings = self._session.merge_environment_settings(request.url, {}, None, None, None)
        judge((yield self._session.send(request, timeout=within, **settings)))

    def forget_idle(self) -> Procedure[None]:
        yield self._session.close()  # empties its pools; the session goes on, and so do requests under way


# Asked of what stands between; a cache within the client may not care.
_FRESH = {"Cache-Control": "no-cache"}


def judge(response: Any) -> None:
    """Refuse a response that proves nothing.

    Raises:
        CachedProofError: If it came out of a cache.
        Exception: The client's own, for an HTTP status of 400 and above.
    """
    if response.status_code >= 400:
        response.raise_for_status()
    # The marks of hishel, from its newest release to its oldest, and of requests-cache.
    extensions = attribute(response, "extensions") or {}
    status = extensions.get("caching")
    marks = (
        status.get("from_cache") if isinstance(status, dict) else attribute(status, "from_cache"),
        extensions.get("hishel_from_cache"),
        extensions.get("from_cache"),
        attribute(response, "from_cache"),
    )
    if any(mark is True for mark in marks):
        raise CachedProofError("the answer came out of a cache: give ApiRetry a `clear_cache`")


def _pools_of(client: Any) -> Iterator[Any]:
    # httpx has no way to drop idle connections but closing the client for good, so this looks inside; where that
    # has changed nothing is dropped, and each dead connection costs one attempt instead.
    transports = [attribute(client, "_transport"), *(attribute(client, "_mounts") or {}).values()]
    for transport in transports:
        for inner in (transport, attribute(transport, "next_transport")):  # inside hishel's
            pool = attribute(inner, "_pool")
            if pool is not None and hasattr(pool, "connections"):
                yield pool


def clearer_of(client: Any, clear_cache: Any) -> Callable[[], Any] | None:
    """What empties the request cache; None where there is none.

    Args:
        client: Looked into for a cache of hishel when `clear_cache` is None.
        clear_cache: A function, something with a `clear` or `cache_clear`, or a SQLite storage of hishel.

    Raises:
        ConfigError: If `clear_cache` is nothing of these.
    """
    if clear_cache is None:
        transport = attribute(client, "_transport")
        config = attribute(transport, "config")
        storage = config.get("storage") if isinstance(config, dict) else None
        return _clearer_of_hishel(storage)
    candidates = [attribute(clear_cache, "cache_clear"), attribute(clear_cache, "clear")]
    candidates += [_clearer_of_hishel(clear_cache), clear_cache]
    for candidate in candidates:
        if callable(candidate):
            clear: Callable[[], Any] = candidate
            return clear
    raise ConfigError(
        "ApiRetry.clear_cache",
        clear_cache,
        "None, a function without arguments, something with a `clear` method, or a SQLite storage of hishel",
    )


def _clearer_of_hishel(storage: Any) -> Callable[[], Any] | None:
    # hishel's storages can remove entries that one knows, and not list them. The table is theirs, so is the
    # connection, and the lock round it where it is blocking.
    if type(storage).__module__.partition(".")[0] != "hishel":
        return None
    connect = attribute(storage, "_ensure_connection")
    lock = attribute(storage, "_lock")
    if inspect.iscoroutinefunction(connect):
        return lambda: _empty_hishel_async(connect)
    if connect is None or lock is None:
        return None

    def empty() -> None:
        with lock:
            connection = connect()
            connection.execute("DELETE FROM entries")
            connection.commit()

    return empty


async def _empty_hishel_async(connect: Callable[[], Any]) -> None:
    connection = await connect()
    await connection.execute("DELETE FROM entries")
    await connection.commit()


def _is_a(value: Any, package: str, name: str) -> bool:
    return any(cls.__name__ == name and cls.__module__.partition(".")[0] == package for cls in type(value).__mro__)
