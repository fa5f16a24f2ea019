"""Exceptions of every error code, as the real libraries raise them: what to try a recovery on.

Each is an object of the library's own class with what the library puts into it: an SQLSTATE, a response, a cause.
A library that is not installed is left out; for every code there is at least one that needs none.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from upright.strategies.classification import register_error
from upright.strategies.codes import ErrorCode
from upright.strategies.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Unrecognised", "error_for", "errors_for"]

_URL = "http://127.0.0.1:9/"


class Unrecognised(Exception):  # noqa: N818 - the point of it is that nothing knows it
    """An error of which upright knows nothing: UNKNOWN."""


class CacheGone(ConnectionError):  # noqa: N818 - as redis.ConnectionError
    """Stands for a cache's own error where no cache client is installed; registered as CACHE_UNAVAILABLE."""


class SocketGone(ConnectionError):  # noqa: N818 - as websockets.ConnectionClosed
    """Stands for a WebSocket client's own error where none is installed; registered as WEBSOCKET_DISCONNECTED."""


def error_for(code: ErrorCode | str, library: str | None = None) -> Exception:
    """Return a new exception of a code.

    Args:
        code: An ErrorCode, or its name.
        library: Whose: a key of `errors_for(code)`, or its beginning ("httpx" finds "httpx.ConnectTimeout"). None
            takes one that needs no library.

    Raises:
        ConfigError: There is no such code, or nothing of that library that is installed has it.

    Examples:
        >>> error_for("NETWORK")
        ConnectionRefusedError(111, 'Connection refused')
    """
    for key, maker in _makers(code).items():
        if library is None or key == library or key.startswith(f"{library}."):
            try:
                return maker()
            except ImportError:
                continue
    raise ConfigError("error_for.library", library, f"one of {', '.join(errors_for(code))}")


def errors_for(code: ErrorCode | str) -> dict[str, Exception]:
    """Return a new exception for each way in which the installed libraries raise a code, by the name of that way.

    Raises:
        ConfigError: There is no such code.
    """
    found = {}
    for key, maker in _makers(code).items():
        try:
            found[key] = maker()
        except ImportError:
            continue
    return found


def _makers(code: ErrorCode | str) -> dict[str, Callable[[], Exception]]:
    if code not in ErrorCode.__members__:
        raise ConfigError("error_for.code", code, f"one of {', '.join(ErrorCode)}")
    return _MAKERS[ErrorCode(code)]


# How each library builds its exceptions. Everything is imported when it is made.


def _psycopg(sqlstate: str, text: str) -> Exception:
    from psycopg import errors

    error: Exception = errors.lookup(sqlstate)(text)
    return error


def _psycopg_gone() -> Exception:
    import psycopg

    return psycopg.OperationalError("consuming input failed: server closed the connection unexpectedly")


def _psycopg2_gone() -> Exception:
    from importlib import import_module

    error: Exception = import_module("psycopg2").OperationalError("server closed the connection unexpectedly")
    return error


def _pool_timeout() -> Exception:
    from psycopg_pool import PoolTimeout

    return PoolTimeout("couldn't get a connection after 30.00 sec")


def _sqlalchemy(original: Exception, *, invalidated: bool = False) -> Exception:
    from sqlalchemy import exc

    kind = getattr(exc, type(original).__name__, exc.DBAPIError)
    if not issubclass(kind, exc.DBAPIError):
        kind = exc.DBAPIError
    error: Exception = kind("SELECT 1", {}, original, connection_invalidated=invalidated)
    error.__cause__ = original  # as its own `raise ... from` does
    return error


def _sqlalchemy_gone() -> Exception:
    return _sqlalchemy(_psycopg_gone(), invalidated=True)


def _sqlalchemy_integrity() -> Exception:
    import psycopg

    return _sqlalchemy(psycopg.IntegrityError('null value in column "id"'))


def _sqlalchemy_pool() -> Exception:
    from sqlalchemy import exc

    return exc.TimeoutError("QueuePool limit of size 5 overflow 10 reached, connection timed out")


def _sqlite(sql: str) -> Exception:
    """Let SQLite itself fail."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE plan (id INTEGER NOT NULL)")
        try:
            connection.execute(sql)
        except sqlite3.Error as error:
            return error.with_traceback(None)
    raise AssertionError(f"SQLite did not refuse {sql!r}")


def _sqlite_gone() -> Exception:
    import sqlite3

    try:
        sqlite3.connect("/nowhere/orders.db")
    except sqlite3.OperationalError as error:
        return error.with_traceback(None)
    raise AssertionError("SQLite opened a file in a folder that is not there")


def _httpx(name: str, text: str) -> Exception:
    import httpx

    error: Exception = getattr(httpx, name)(text, request=httpx.Request("GET", _URL))
    return error


def _httpx_status(status: int, **headers: str) -> Exception:
    import httpx

    response = httpx.Response(status, headers=headers, request=httpx.Request("GET", _URL))
    return httpx.HTTPStatusError(f"{status} {response.reason_phrase}", request=response.request, response=response)


def _requests(name: str, text: str) -> Exception:
    import requests

    error: Exception = getattr(requests.exceptions, name)(text, request=requests.Request("GET", _URL).prepare())
    return error


def _requests_status(status: int, **headers: str) -> Exception:
    import requests

    response = requests.Response()
    response.status_code, response.url = status, _URL
    response.headers.update(headers)
    response.request = requests.Request("GET", _URL).prepare()
    return requests.HTTPError(f"{status} for url: {_URL}", response=response, request=response.request)


def _aiohttp_status(status: int) -> Exception:
    import aiohttp
    from multidict import CIMultiDict, CIMultiDictProxy
    from yarl import URL

    url = URL(_URL)
    info = aiohttp.RequestInfo(url, "GET", CIMultiDictProxy(CIMultiDict()), url)
    return aiohttp.ClientResponseError(info, (), status=status, message="an answer that is none")


def _aiohttp(name: str) -> Exception:
    import aiohttp

    error: Exception = getattr(aiohttp, name)("an answer that did not come")
    return error


def _urllib_status(status: int, **headers: str) -> Exception:
    from email.message import Message
    from io import BytesIO
    from urllib.error import HTTPError

    said = Message()
    for name, value in headers.items():
        said[name.replace("_", "-")] = value
    return HTTPError(_URL, status, "an answer that is none", said, BytesIO())


def _urllib_timeout() -> Exception:
    from urllib.error import URLError

    return URLError(TimeoutError("timed out"))


def _http_timeout() -> Exception:
    """Let http.client wait for somebody who says nothing."""
    import http.client
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        connection = http.client.HTTPConnection(host, port, timeout=0.01)
        try:
            connection.request("GET", "/")
            connection.getresponse()
        except TimeoutError as error:
            return error  # with its traceback, which says that this happened inside of http.client
        finally:
            connection.close()
    raise AssertionError("somebody answered")


def _remote_disconnected() -> Exception:
    from http.client import RemoteDisconnected

    return RemoteDisconnected("Remote end closed connection without response")


def _redis(name: str, text: str) -> Exception:
    import redis

    error: Exception = getattr(redis.exceptions, name)(text)
    return error


def _websockets_closed() -> Exception:
    from websockets.exceptions import ConnectionClosedError

    return ConnectionClosedError(None, None)


def _certificate() -> Exception:
    import ssl

    return ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed certificate")


def _resolved_nowhere() -> Exception:
    import socket

    return socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def _registered(cls: type[Exception], code: ErrorCode) -> Exception:
    register_error(cls, code)
    return cls("connection lost")


def _validation() -> Exception:
    return ValueError("no such plan: 'gold'")


_MAKERS: dict[ErrorCode, dict[str, Callable[[], Any]]] = {
    ErrorCode.DATABASE_CONNECTION: {
        "sqlite3.OperationalError": _sqlite_gone,
        "psycopg.OperationalError": _psycopg_gone,
        "psycopg.AdminShutdown": lambda: _psycopg("57P01", "terminating connection due to administrator command"),
        "psycopg.TooManyConnections": lambda: _psycopg("53300", "sorry, too many clients already"),
        "psycopg.SerializationFailure": lambda: _psycopg("40001", "could not serialize access"),
        "psycopg_pool.PoolTimeout": _pool_timeout,
        "psycopg2.OperationalError": _psycopg2_gone,
        "sqlalchemy.OperationalError": _sqlalchemy_gone,
        "sqlalchemy.TimeoutError": _sqlalchemy_pool,
    },
    ErrorCode.API_TIMEOUT: {
        "http.client.TimeoutError": _http_timeout,
        "urllib.URLError": _urllib_timeout,
        "httpx.ConnectTimeout": lambda: _httpx("ConnectTimeout", "timed out"),
        "httpx.ReadTimeout": lambda: _httpx("ReadTimeout", "timed out"),
        "httpx.PoolTimeout": lambda: _httpx("PoolTimeout", ""),
        "requests.ReadTimeout": lambda: _requests("ReadTimeout", "Read timed out. (read timeout=3)"),
        "aiohttp.ServerTimeoutError": lambda: _aiohttp("ServerTimeoutError"),
    },
    ErrorCode.API_UNAVAILABLE: {
        "http.client.RemoteDisconnected": _remote_disconnected,
        "urllib.HTTPError 503": lambda: _urllib_status(503),
        "httpx.HTTPStatusError 500": lambda: _httpx_status(500),
        "httpx.HTTPStatusError 503": lambda: _httpx_status(503),
        "httpx.RemoteProtocolError": lambda: _httpx("RemoteProtocolError", "Server disconnected"),
        "requests.HTTPError 502": lambda: _requests_status(502),
        "aiohttp.ClientResponseError 503": lambda: _aiohttp_status(503),
        "aiohttp.ServerDisconnectedError": lambda: _aiohttp("ServerDisconnectedError"),
    },
    ErrorCode.RATE_LIMITED: {
        "urllib.HTTPError 429": lambda: _urllib_status(429, Retry_After="1"),
        "httpx.HTTPStatusError 429": lambda: _httpx_status(429, **{"Retry-After": "1"}),
        "requests.HTTPError 429": lambda: _requests_status(429, **{"Retry-After": "1"}),
        "aiohttp.ClientResponseError 429": lambda: _aiohttp_status(429),
    },
    ErrorCode.NETWORK: {
        "builtins.ConnectionRefusedError": lambda: ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
        "builtins.ConnectionResetError": lambda: ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        "builtins.OSError": lambda: OSError(errno.EHOSTUNREACH, "No route to host"),
        "builtins.TimeoutError": lambda: TimeoutError(errno.ETIMEDOUT, "Connection timed out"),
        "socket.gaierror": _resolved_nowhere,
        "httpx.ConnectError": lambda: _httpx("ConnectError", "All connection attempts failed"),
        "httpx.ReadError": lambda: _httpx("ReadError", ""),
        "requests.ConnectionError": lambda: _requests("ConnectionError", "Connection refused"),
        "aiohttp.ClientConnectionError": lambda: _aiohttp("ClientConnectionError"),
    },
    ErrorCode.MEMORY_PRESSURE: {
        "builtins.MemoryError": MemoryError,
        "builtins.OSError": lambda: OSError(errno.ENOMEM, "Cannot allocate memory"),
    },
    ErrorCode.WEBSOCKET_DISCONNECTED: {
        "upright.SocketGone": lambda: _registered(SocketGone, ErrorCode.WEBSOCKET_DISCONNECTED),
        "websockets.ConnectionClosedError": _websockets_closed,
    },
    ErrorCode.CACHE_UNAVAILABLE: {
        "upright.CacheGone": lambda: _registered(CacheGone, ErrorCode.CACHE_UNAVAILABLE),
        "redis.ConnectionError": lambda: _redis("ConnectionError", "Error 111 connecting to 127.0.0.1:6379."),
        "redis.TimeoutError": lambda: _redis("TimeoutError", "Timeout reading from socket"),
        "redis.BusyLoadingError": lambda: _redis("BusyLoadingError", "Redis is loading the dataset in memory"),
        "redis.ReadOnlyError": lambda: _redis("ReadOnlyError", "You can't write against a read only replica."),
        "redis.OutOfMemoryError": lambda: _redis(
            "OutOfMemoryError", "command not allowed when used memory > maxmemory"
        ),
    },
    ErrorCode.AUTHENTICATION: {
        "ssl.SSLCertVerificationError": _certificate,
        "urllib.HTTPError 401": lambda: _urllib_status(401),
        "httpx.HTTPStatusError 401": lambda: _httpx_status(401),
        "httpx.HTTPStatusError 403": lambda: _httpx_status(403),
        "requests.HTTPError 401": lambda: _requests_status(401),
        "aiohttp.ClientResponseError 401": lambda: _aiohttp_status(401),
        "psycopg.InvalidPassword": lambda: _psycopg("28P01", 'password authentication failed for user "shop"'),
        "redis.AuthenticationError": lambda: _redis("AuthenticationError", "invalid username-password pair"),
    },
    ErrorCode.VALIDATION: {
        "builtins.ValueError": _validation,
        "builtins.TypeError": lambda: TypeError("unsupported operand type(s) for +: 'int' and 'str'"),
        "sqlite3.IntegrityError": lambda: _sqlite("INSERT INTO plan VALUES (NULL)"),
        "urllib.HTTPError 404": lambda: _urllib_status(404),
        "httpx.HTTPStatusError 404": lambda: _httpx_status(404),
        "httpx.HTTPStatusError 422": lambda: _httpx_status(422),
        "requests.HTTPError 400": lambda: _requests_status(400),
        "aiohttp.ClientResponseError 404": lambda: _aiohttp_status(404),
        "psycopg.UniqueViolation": lambda: _psycopg("23505", "duplicate key value violates unique constraint"),
        "sqlalchemy.IntegrityError": _sqlalchemy_integrity,
        "redis.ResponseError": lambda: _redis("ResponseError", "wrong number of arguments for 'get' command"),
    },
    ErrorCode.INTERNAL: {
        "builtins.SystemError": lambda: SystemError("error return without exception set"),
        "builtins.AssertionError": lambda: AssertionError("an invariant that is none"),
        "builtins.NotImplementedError": lambda: NotImplementedError("not on this platform"),
        "psycopg.InternalError": lambda: _psycopg("XX000", "cache lookup failed"),
    },
    ErrorCode.UNKNOWN: {
        "builtins.Exception": lambda: Exception("something"),
        "upright.Unrecognised": lambda: Unrecognised("nobody knows this one"),
    },
}
