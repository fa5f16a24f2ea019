"""Real errors of the real libraries: most of them raised by a real failure on the loopback."""
# ruff: noqa: FBT001 - parametrized flags

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import socket
import ssl
import struct
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from upright.strategies.classification import classify
from upright.strategies.codes import ErrorCode
from upright.strategies.driver_errors import KNOWN_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

aiohttp = pytest.importorskip("aiohttp")
httpx = pytest.importorskip("httpx")
psycopg = pytest.importorskip("psycopg")
psycopg2 = pytest.importorskip("psycopg2")
redis = pytest.importorskip("redis")
requests = pytest.importorskip("requests")
sqlalchemy = pytest.importorskip("sqlalchemy")
sqlalchemy_orm = pytest.importorskip("sqlalchemy.orm")
urllib3 = pytest.importorskip("urllib3")
websockets = pytest.importorskip("websockets")

STALL = 0.05


# Servers on the loopback that misbehave in one way each.


@contextlib.contextmanager
def serving(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that gives each connection to `handle` and then closes it; yields its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    open_connections: list[socket.socket] = []
    closing = threading.Event()

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            if closing.is_set():
                connection.close()
                return
            open_connections.append(connection)
            with contextlib.suppress(OSError):
                handle(connection)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    port: int = listener.getsockname()[1]
    try:
        yield port
    finally:
        closing.set()
        for connection in open_connections:
            connection.close()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        thread.join(5)
        listener.close()


def answering(reply: bytes) -> Callable[[socket.socket], None]:
    """Reads once, replies and closes."""

    def handle(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(reply)
        connection.shutdown(socket.SHUT_RDWR)
        connection.close()

    return handle


def http_reply(status: int, headers: str = "", body: str = "", length: int | None = None) -> bytes:
    """A whole HTTP/1.1 response; `length` may lie about the body."""
    stated = len(body) if length is None else length
    return (
        f"HTTP/1.1 {status} Whatever\r\nContent-Length: {stated}\r\nConnection: close\r\n{headers}\r\n{body}"
    ).encode()


def postgres_refusal(sqlstate: str, text: str) -> Callable[[socket.socket], None]:
    """Answers a PostgreSQL startup with an ErrorResponse."""

    def handle(connection: socket.socket) -> None:
        connection.settimeout(5)
        while True:
            head = connection.recv(8)
            length, code = struct.unpack("!II", head)
            if length > 8:
                connection.recv(length - 8)
            if code in (80877103, 80877104):  # SSLRequest, GSSENCRequest: not spoken here
                connection.sendall(b"N")
                continue
            break
        fields = b"SFATAL\0VFATAL\0C" + sqlstate.encode() + b"\0M" + text.encode() + b"\0\0"
        connection.sendall(b"E" + struct.pack("!I", len(fields) + 4) + fields)
        connection.close()

    return handle


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def failure_of(call: Callable[[], Any]) -> Exception:
    with pytest.raises(Exception) as caught:
        call()
    return caught.value


def stall(connection: socket.socket) -> None:
    connection.recv(65_536)


# Names: every one in the table exists, so that a typing mistake or a rename shows.


MODULES = {
    "builtins": ["builtins"],
    "socket": ["socket"],
    "ssl": ["ssl"],
    "asyncio": ["asyncio"],
    "smtplib": ["smtplib"],
    "http": ["http.client"],
    "urllib": ["urllib.error"],
    "psycopg": ["psycopg"],
    "psycopg2": ["psycopg2"],
    "sqlite3": ["sqlite3"],
    "sqlalchemy": ["sqlalchemy.exc", "sqlalchemy.orm.exc"],
    "redis": ["redis.exceptions"],
    "httpx": ["httpx"],
    "httpcore": ["httpcore"],
    "requests": ["requests.exceptions"],
    "urllib3": ["urllib3.exceptions"],
    "aiohttp": ["aiohttp"],
    "websockets": ["websockets.exceptions"],
    "upright": ["upright.strategies.healing"],
}


# Names that one of two sister packages has, or that came or went with a release.
ELSEWHERE = {"httpx.ConnectionNotAvailable", "httpcore.RequestError"}
SHARED_WITH_HTTPX = {
    "CookieConflict",
    "DecodingError",
    "HTTPStatusError",
    "InvalidURL",
    "StreamError",
    "TooManyRedirects",
}


@pytest.mark.parametrize("name", sorted(KNOWN_TYPES))
def test_every_known_name_is_a_real_exception(name: str) -> None:
    package, _, cls = name.partition(".")
    if package == "grpc":
        pytest.skip("grpc is not installed for tests")
    if name in ELSEWHERE or (package == "httpcore" and cls in SHARED_WITH_HTTPX):
        return
    found = [
        value
        for module in MODULES[package]
        if inspect.isclass(value := getattr(importlib.import_module(module), cls, None))
    ]
    assert found, f"{name} does not exist"
    assert issubclass(found[0], Exception)
    assert found[0].__module__.partition(".")[0] == package


# PostgreSQL


REFUSALS = [
    ("28P01", 'password authentication failed for user "app"', ErrorCode.AUTHENTICATION, True),
    ("28000", 'no pg_hba.conf entry for host "127.0.0.1"', ErrorCode.AUTHENTICATION, True),
    ("28000", 'role "app" does not exist', ErrorCode.AUTHENTICATION, True),
    ("3D000", 'database "app" does not exist', ErrorCode.VALIDATION, True),
    ("53300", "sorry, too many clients already", ErrorCode.DATABASE_CONNECTION, False),
    ("57P03", "the database system is starting up", ErrorCode.DATABASE_CONNECTION, False),
]


@pytest.mark.parametrize(("state", "text", "code", "permanent"), REFUSALS, ids=lambda value: str(value)[:20])
@pytest.mark.parametrize("driver", [psycopg, psycopg2], ids=["psycopg", "psycopg2"])
def test_a_startup_that_postgresql_refuses(
    driver: Any, state: str, text: str, code: ErrorCode, permanent: bool
) -> None:
    with serving(postgres_refusal(state, text)) as port:
        error = failure_of(lambda: driver.connect(f"host=127.0.0.1 port={port} user=app dbname=app connect_timeout=5"))
    assert isinstance(error, driver.OperationalError)
    assert (classify(error).code, classify(error).permanent) == (code, permanent)


@pytest.mark.parametrize("url", ["postgresql+psycopg", "postgresql+psycopg2"])
@pytest.mark.parametrize(
    ("state", "text", "code", "permanent"), [REFUSALS[0], REFUSALS[4]], ids=["password", "too-many"]
)
def test_sqlalchemy_hands_on_what_the_driver_says(
    url: str, state: str, text: str, code: ErrorCode, permanent: bool
) -> None:
    with serving(postgres_refusal(state, text)) as port:
        engine = sqlalchemy.create_engine(f"{url}://app@127.0.0.1:{port}/app")
        error = failure_of(engine.connect)
        engine.dispose()
    assert isinstance(error, sqlalchemy.exc.OperationalError)
    assert (classify(error).code, classify(error).permanent) == (code, permanent)


@pytest.mark.parametrize("driver", [psycopg, psycopg2], ids=["psycopg", "psycopg2"])
def test_a_refused_database_connection_is_the_databases_and_not_the_networks(driver: Any) -> None:
    error = failure_of(lambda: driver.connect(f"host=127.0.0.1 port={closed_port()} user=app dbname=app"))
    found = classify(error)
    assert (found.code, found.permanent) == (ErrorCode.DATABASE_CONNECTION, False)


@pytest.mark.parametrize(
    ("name", "code", "permanent"),
    [
        ("UniqueViolation", "VALIDATION", True),
        ("ForeignKeyViolation", "VALIDATION", True),
        ("SyntaxError", "VALIDATION", True),
        ("UndefinedTable", "VALIDATION", True),
        ("InvalidPassword", "AUTHENTICATION", True),
        ("InsufficientPrivilege", "AUTHENTICATION", True),
        ("SerializationFailure", "DATABASE_CONNECTION", False),
        ("DeadlockDetected", "DATABASE_CONNECTION", False),
        ("AdminShutdown", "DATABASE_CONNECTION", False),
        ("TooManyConnections", "DATABASE_CONNECTION", False),
        ("ReadOnlySqlTransaction", "DATABASE_CONNECTION", False),
        ("InternalError_", "INTERNAL", False),
    ],
)
def test_psycopgs_own_error_types(name: str, code: str, permanent: bool) -> None:
    # psycopg2 has the same types, and their state only when the server sent it.
    found = classify(getattr(importlib.import_module("psycopg.errors"), name)("x"))
    assert (found.code, found.permanent) == (code, permanent)


@pytest.mark.parametrize("driver", [psycopg, psycopg2], ids=["psycopg", "psycopg2"])
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("OperationalError", "DATABASE_CONNECTION"),
        ("InterfaceError", "DATABASE_CONNECTION"),
        ("DatabaseError", "DATABASE_CONNECTION"),
        ("IntegrityError", "VALIDATION"),
        ("DataError", "VALIDATION"),
        ("ProgrammingError", "VALIDATION"),
        ("NotSupportedError", "VALIDATION"),
        ("InternalError", "INTERNAL"),
    ],
)
def test_the_names_of_pep_249(driver: Any, name: str, code: str) -> None:
    assert classify(getattr(driver, name)("x")).code == code


# SQLAlchemy


def test_a_real_integrity_error_through_sqlalchemy_is_permanent() -> None:
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("create table t (x unique)"))
        connection.execute(sqlalchemy.text("insert into t values (1)"))
        error = failure_of(lambda: connection.execute(sqlalchemy.text("insert into t values (1)")))
    engine.dispose()
    assert isinstance(error, sqlalchemy.exc.IntegrityError)
    assert (classify(error).code, classify(error).permanent) == (ErrorCode.VALIDATION, True)


def test_a_pool_without_free_connections_is_a_database_connection() -> None:
    engine = sqlalchemy.create_engine(
        "sqlite://", poolclass=sqlalchemy.pool.QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.01
    )
    with engine.connect():
        error = failure_of(engine.connect)
    engine.dispose()
    assert isinstance(error, sqlalchemy.exc.TimeoutError)
    assert (classify(error).code, classify(error).permanent) == (ErrorCode.DATABASE_CONNECTION, False)


def test_an_invalidated_connection_is_a_database_connection_whatever_the_driver_said() -> None:
    error = sqlalchemy.exc.DBAPIError("select 1", {}, Exception("gone"), connection_invalidated=True)
    assert classify(error).reason == "connection invalidated"
    assert classify(error).code is ErrorCode.DATABASE_CONNECTION


@pytest.mark.parametrize(
    ("error", "code", "permanent"),
    [
        (sqlalchemy.exc.NoResultFound("x"), "VALIDATION", True),
        (sqlalchemy.exc.ArgumentError("x"), "INTERNAL", True),
        (sqlalchemy.exc.StatementError("x", "select", {}, ValueError("x")), "VALIDATION", True),
        (sqlalchemy.exc.DisconnectionError("x"), "DATABASE_CONNECTION", False),
        (sqlalchemy.exc.PendingRollbackError("x"), "DATABASE_CONNECTION", False),
        (sqlalchemy.exc.OperationalError("select", {}, Exception("x")), "DATABASE_CONNECTION", False),
        (sqlalchemy_orm.exc.StaleDataError("x"), "DATABASE_CONNECTION", False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_sqlalchemys_own_errors(error: Exception, code: str, permanent: bool) -> None:
    assert (classify(error).code, classify(error).permanent) == (code, permanent)


# Redis


def test_a_refused_redis_connection_is_the_caches() -> None:
    client = redis.Redis(port=closed_port(), retry=None)
    error = failure_of(client.ping)
    client.close()
    assert (classify(error).code, classify(error).permanent) == (ErrorCode.CACHE_UNAVAILABLE, False)


def test_a_redis_that_does_not_answer_is_unavailable() -> None:
    with serving(stall) as port:
        client = redis.Redis(port=port, socket_timeout=STALL, retry=None)
        error = failure_of(client.ping)
        client.close()
    assert isinstance(error, redis.TimeoutError)
    assert classify(error).code is ErrorCode.CACHE_UNAVAILABLE


@pytest.mark.parametrize(
    ("error", "code", "permanent"),
    [
        (redis.exceptions.BusyLoadingError("1"), "CACHE_UNAVAILABLE", False),
        (redis.exceptions.ReadOnlyError("2"), "CACHE_UNAVAILABLE", False),
        (redis.exceptions.ClusterDownError("3"), "CACHE_UNAVAILABLE", False),
        (redis.exceptions.ResponseError("MISCONF Redis is configured to"), "CACHE_UNAVAILABLE", False),
        (redis.exceptions.ResponseError("BUSY Redis is busy running a script"), "CACHE_UNAVAILABLE", False),
        (redis.exceptions.ResponseError("NOAUTH Authentication required."), "AUTHENTICATION", True),
        (redis.exceptions.ResponseError("WRONGTYPE Operation against a key"), "VALIDATION", True),
        (redis.exceptions.AuthenticationError("4"), "AUTHENTICATION", True),
        (redis.exceptions.NoPermissionError("5"), "AUTHENTICATION", True),
        (redis.exceptions.DataError("6"), "VALIDATION", True),
        (redis.exceptions.LockError("7"), "CACHE_UNAVAILABLE", False),
        (redis.exceptions.WatchError("8"), "CACHE_UNAVAILABLE", False),
    ],
    ids=lambda value: repr(value.args) if isinstance(value, Exception) else str(value),
)
def test_redis_errors(error: Exception, code: str, permanent: bool) -> None:
    assert (classify(error).code, classify(error).permanent) == (code, permanent)


# HTTP clients: the same failures through all of them


def _httpx(url: str) -> Any:
    with httpx.Client(timeout=STALL) as client:
        return client.get(url).raise_for_status().text


def _requests(url: str) -> Any:
    with requests.Session() as session:
        response = session.get(url, timeout=STALL)
        response.raise_for_status()
        return response.text


def _urllib3(url: str) -> Any:
    with urllib3.PoolManager(retries=False, timeout=STALL) as pool:
        return pool.request("GET", url).data


def _urllib(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=STALL) as response:
            return response.read()
    except urllib.error.HTTPError as error:
        error.close()  # it is the response, too
        raise


def _aiohttp(url: str) -> Any:
    async def get() -> str:
        timeout = aiohttp.ClientTimeout(total=STALL)
        async with aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session, session.get(url) as answer:
            return str(await answer.text())

    return asyncio.run(get())


CLIENTS = pytest.mark.parametrize(
    "get", [_httpx, _requests, _urllib3, _urllib, _aiohttp], ids=lambda get: get.__name__[1:]
)
RAISING_CLIENTS = pytest.mark.parametrize(
    "get", [_httpx, _requests, _urllib, _aiohttp], ids=lambda get: get.__name__[1:]
)


@CLIENTS
def test_a_refused_http_connection_is_the_networks(get: Callable[[str], Any]) -> None:
    port = closed_port()
    found = classify(failure_of(lambda: get(f"http://127.0.0.1:{port}/")))
    assert (found.code, found.permanent) == (ErrorCode.NETWORK, False)


@CLIENTS
def test_a_name_that_does_not_resolve_is_the_networks(
    get: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)  # no traffic leaves the machine
    found = classify(failure_of(lambda: get("http://upright.invalid/")))
    assert (found.code, found.permanent) == (ErrorCode.NETWORK, False)


@CLIENTS
def test_a_server_that_does_not_answer_is_an_api_timeout(get: Callable[[str], Any]) -> None:
    with serving(stall) as port:
        found = classify(failure_of(lambda: get(f"http://127.0.0.1:{port}/")))
    assert (found.code, found.permanent) == (ErrorCode.API_TIMEOUT, False)


@CLIENTS
def test_a_server_that_hangs_up_is_transient(get: Callable[[str], Any]) -> None:
    with serving(answering(b"")) as port:
        found = classify(failure_of(lambda: get(f"http://127.0.0.1:{port}/")))
    assert found.code in (ErrorCode.API_UNAVAILABLE, ErrorCode.NETWORK)
    assert not found.permanent


@CLIENTS
def test_a_body_that_ends_too_soon_is_transient(get: Callable[[str], Any]) -> None:
    with serving(answering(http_reply(200, body="half", length=4_000))) as port:
        found = classify(failure_of(lambda: get(f"http://127.0.0.1:{port}/")))
    assert found.code in (ErrorCode.API_UNAVAILABLE, ErrorCode.NETWORK)
    assert not found.permanent


@RAISING_CLIENTS
@pytest.mark.parametrize(
    ("status", "code", "permanent"),
    [
        (401, "AUTHENTICATION", True),
        (404, "VALIDATION", True),
        (422, "VALIDATION", True),
        (429, "RATE_LIMITED", False),
        (500, "API_UNAVAILABLE", False),
        (503, "API_UNAVAILABLE", False),
        (504, "API_TIMEOUT", False),
    ],
)
def test_a_status_through_each_client(get: Callable[[str], Any], status: int, code: str, permanent: bool) -> None:
    with serving(answering(http_reply(status, headers="Retry-After: 7\r\n"))) as port:
        found = classify(failure_of(lambda: get(f"http://127.0.0.1:{port}/")))
    assert (found.code, found.permanent) == (code, permanent)
    assert found.retry_after == (None if permanent else 7.0)


@RAISING_CLIENTS
def test_a_retry_after_date_through_each_client(get: Callable[[str], Any]) -> None:
    headers = "Date: Sun, 06 Nov 1994 08:49:30 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    with serving(answering(http_reply(503, headers=headers))) as port:
        found = classify(failure_of(lambda: get(f"http://127.0.0.1:{port}/")), wall=time.time())
    assert found.retry_after == 7.0


@CLIENTS
def test_a_url_that_is_none_is_permanent_or_unknown_and_never_the_apis_fault(get: Callable[[str], Any]) -> None:
    found = classify(failure_of(lambda: get("nonsense://x")))
    assert found.code in (ErrorCode.VALIDATION, ErrorCode.NETWORK)


def test_a_timeout_put_round_a_request_is_an_api_timeout() -> None:
    async def get(port: int) -> None:
        async with httpx.AsyncClient(timeout=None) as client, asyncio.timeout(STALL):
            await client.get(f"http://127.0.0.1:{port}/")

    with serving(stall) as port:
        error = failure_of(lambda: asyncio.run(get(port)))
    assert type(error) is TimeoutError
    assert classify(error).code is ErrorCode.API_TIMEOUT


def test_a_certificate_that_nobody_trusts_is_refused_for_good() -> None:
    inner = ssl.SSLCertVerificationError(1, "certificate verify failed")
    outer = httpx.ConnectError("certificate verify failed")
    outer.__cause__ = inner
    assert (classify(outer).code, classify(outer).permanent) == (ErrorCode.AUTHENTICATION, True)


def test_a_peer_that_speaks_no_tls_is_the_networks() -> None:
    with serving(answering(b"hello")) as port:
        found = classify(failure_of(lambda: _httpx(f"https://127.0.0.1:{port}/")))
    assert (found.code, found.permanent) == (ErrorCode.NETWORK, False)


# WebSockets


def test_a_websocket_that_is_dropped_is_disconnected() -> None:
    from websockets.sync.client import connect
    from websockets.sync.server import serve

    with serve(lambda connection: connection.socket.shutdown(socket.SHUT_RDWR), "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        with connect(f"ws://127.0.0.1:{port}") as client:
            error = failure_of(lambda: client.recv(timeout=5))
        server.shutdown()
        thread.join(5)
    assert isinstance(error, websockets.exceptions.ConnectionClosed)
    assert (classify(error).code, classify(error).permanent) == (ErrorCode.WEBSOCKET_DISCONNECTED, False)


@pytest.mark.parametrize(
    ("status", "code", "permanent", "retry_after"),
    [
        (401, "AUTHENTICATION", True, None),
        (404, "VALIDATION", True, None),
        (429, "RATE_LIMITED", False, 3.0),
        (503, "WEBSOCKET_DISCONNECTED", False, 3.0),
    ],
)
def test_a_handshake_that_is_refused(status: int, code: str, permanent: bool, retry_after: float | None) -> None:
    from websockets.sync.client import connect

    with serving(answering(http_reply(status, headers="Retry-After: 3\r\n"))) as port:
        error = failure_of(lambda: connect(f"ws://127.0.0.1:{port}"))
    found = classify(error)
    assert (found.code, found.permanent, found.retry_after) == (code, permanent, retry_after)


def test_a_handshake_refused_through_aiohttp() -> None:
    async def connect(port: int) -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"http://127.0.0.1:{port}/"):
            raise AssertionError

    with serving(answering(http_reply(503))) as port:
        error = failure_of(lambda: asyncio.run(connect(port)))
    assert classify(error).code is ErrorCode.WEBSOCKET_DISCONNECTED


def test_a_websocket_used_by_two_at_once_is_a_mistake_of_the_program() -> None:
    found = classify(websockets.exceptions.ConcurrencyError("x"))
    assert (found.code, found.permanent) == (ErrorCode.INTERNAL, True)
