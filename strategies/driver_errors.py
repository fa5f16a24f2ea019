"""The exception types that are known by name: top package and class, for no library is imported here.

A key is the first part of the type's module and its qualified name. Libraries move their exceptions between
private modules from one release to the next (`httpx._exceptions`, `aiohttp.client_exceptions`), and the
classes keep their names. Subclasses are found along the MRO, nearest first, so a line is only needed where a
type means something else than its base.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from upright.strategies.codes import ErrorCode
from upright.strategies.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["KNOWN_TYPES", "RPC_PACKAGES"]

RPC_PACKAGES = frozenset({"aiohttp", "grpc", "http", "httpcore", "httpx", "requests", "urllib", "urllib3", "xmlrpc"})
"""Packages inside which a bare TimeoutError is an API's and not the network's."""

_DATABASE = Verdict(ErrorCode.DATABASE_CONNECTION)
_MAYBE_DATABASE = Verdict(ErrorCode.DATABASE_CONNECTION, weak=True)
_CONFLICT = Verdict(ErrorCode.DATABASE_CONNECTION, healable=False)
_TIMEOUT = Verdict(ErrorCode.API_TIMEOUT)
_API = Verdict(ErrorCode.API_UNAVAILABLE)
_MAYBE_API = Verdict(ErrorCode.API_UNAVAILABLE, weak=True)
_NETWORK = Verdict(ErrorCode.NETWORK)
_MAYBE_NETWORK = Verdict(ErrorCode.NETWORK, weak=True)
_MEMORY = Verdict(ErrorCode.MEMORY_PRESSURE)
_WEBSOCKET = Verdict(ErrorCode.WEBSOCKET_DISCONNECTED)
_MAYBE_WEBSOCKET = Verdict(ErrorCode.WEBSOCKET_DISCONNECTED, weak=True)
_CACHE = Verdict(ErrorCode.CACHE_UNAVAILABLE)
_CACHE_CONFLICT = Verdict(ErrorCode.CACHE_UNAVAILABLE, healable=False)
_DENIED = Verdict(ErrorCode.AUTHENTICATION, permanent=True)
_INVALID = Verdict(ErrorCode.VALIDATION, permanent=True)
_MISUSE = Verdict(ErrorCode.INTERNAL, permanent=True)
_BROKEN = Verdict(ErrorCode.INTERNAL)


def _named(package: str, groups: Mapping[Verdict, str]) -> dict[str, Verdict]:
    return {f"{package}.{name}": verdict for verdict, names in groups.items() for name in names.split()}


# The names of PEP 249, which mean the same in every driver.
_DBAPI: Mapping[Verdict, str] = {
    _DATABASE: "OperationalError InterfaceError",
    _MAYBE_DATABASE: "Error DatabaseError",
    _INVALID: "IntegrityError DataError ProgrammingError NotSupportedError",
    _BROKEN: "InternalError",
}

_HTTPX: Mapping[Verdict, str] = {
    _TIMEOUT: "TimeoutException",
    _API: "RemoteProtocolError DecodingError TooManyRedirects",
    _MAYBE_API: "HTTPStatusError",
    _MAYBE_NETWORK: "HTTPError NetworkError ProxyError ConnectionNotAvailable",
    _INVALID: "UnsupportedProtocol LocalProtocolError InvalidURL",
    _MISUSE: "StreamError CookieConflict",
}

KNOWN_TYPES: Mapping[str, Verdict] = {
    **_named(
        "builtins",
        {
            _INVALID: "ValueError TypeError",
            _MISUSE: "AssertionError NotImplementedError NameError ImportError SyntaxError",
            _BROKEN: "SystemError",
            _MEMORY: "MemoryError",
            # A TimeoutError is an OSError that may stand for an API's; see classification.py.
            _NETWORK: "ConnectionError TimeoutError",
        },
    ),
    **_named("socket", {_NETWORK: "gaierror herror"}),
    **_named("ssl", {_NETWORK: "SSLError", _DENIED: "SSLCertVerificationError"}),
    **_named("asyncio", {_NETWORK: "IncompleteReadError"}),
    **_named(
        "smtplib",
        {
            _NETWORK: "SMTPServerDisconnected",
            _MAYBE_API: "SMTPException",
            # Before any mail was offered, so that no reply is about one.
            _API: "SMTPConnectError SMTPHeloError",
            _DENIED: "SMTPAuthenticationError",
            _INVALID: "SMTPNotSupportedError",
        },
    ),
    **_named(
        "http",
        {
            _API: "RemoteDisconnected IncompleteRead BadStatusLine LineTooLong",
            _MAYBE_API: "HTTPException",
            _INVALID: "InvalidURL",
            _MISUSE: "ImproperConnectionState",
        },
    ),
    **_named("urllib", {_MAYBE_NETWORK: "URLError", _MAYBE_API: "HTTPError", _API: "ContentTooShortError"}),
    **_named("psycopg", _DBAPI),
    **_named("psycopg2", _DBAPI),
    **_named("sqlite3", {**_DBAPI, _INVALID: _DBAPI[_INVALID] + " InterfaceError", _DATABASE: "OperationalError"}),
    **_named(
        "sqlalchemy",
        {
            # Wrappers of the driver's own errors, which have the say when they can be seen.
            _MAYBE_DATABASE: "DBAPIError OperationalError InterfaceError",
            Verdict(ErrorCode.VALIDATION, permanent=True, weak=True): (
                "StatementError IntegrityError DataError ProgrammingError NotSupportedError"
            ),
            Verdict(ErrorCode.INTERNAL, weak=True): "InternalError",
            _DATABASE: "TimeoutError DisconnectionError PendingRollbackError ResourceClosedError",
            _CONFLICT: "StaleDataError",
            _INVALID: ("NoResultFound MultipleResultsFound NoSuchTableError NoSuchColumnError NoReferenceError"),
            _MISUSE: "SQLAlchemyError",
        },
    ),
    **_named(
        "redis",
        {
            _CACHE: (
                "RedisError ConnectionError TimeoutError BusyLoadingError ReadOnlyError OutOfMemoryError"
                " ClusterError TryAgainError AskError MovedError RedisClusterException"
            ),
            _CACHE_CONFLICT: "WatchError LockError",
            _DENIED: ("AuthenticationError AuthorizationError NoPermissionError AuthenticationWrongNumberOfArgsError"),
            _INVALID: ("ResponseError DataError ClusterCrossSlotError CrossSlotTransactionError InvalidPipelineStack"),
            _MISUSE: "ChildDeadlockedError IncorrectPolicyType",
        },
    ),
    **_named("httpx", _HTTPX),
    **_named("httpcore", {**_HTTPX, _MAYBE_NETWORK: "NetworkError ProxyError ConnectionNotAvailable ProtocolError"}),
    **_named(
        "requests",
        {
            _TIMEOUT: "Timeout",
            _API: "ChunkedEncodingError ContentDecodingError RetryError TooManyRedirects",
            _MAYBE_API: "HTTPError",
            _MAYBE_NETWORK: "RequestException ConnectionError",
            _INVALID: "InvalidURL InvalidSchema MissingSchema InvalidHeader URLRequired InvalidJSONError",
            _MISUSE: "UnrewindableBodyError StreamConsumedError",
        },
    ),
    **_named(
        "urllib3",
        {
            _TIMEOUT: "TimeoutError",
            _API: "IncompleteRead InvalidChunkLength DecodeError ResponseError",
            _MAYBE_NETWORK: "HTTPError NewConnectionError",
            _NETWORK: "NameResolutionError",
            _INVALID: "LocationValueError InvalidHeader HostChangedError",
            _MISUSE: "UnrewindableBodyError TimeoutStateError ResponseNotChunked BodyNotHttplibCompatible",
        },
    ),
    **_named(
        "aiohttp",
        {
            _TIMEOUT: "ServerTimeoutError",
            _API: "ServerDisconnectedError ClientPayloadError ContentTypeError TooManyRedirects",
            _MAYBE_API: "ClientResponseError",
            _MAYBE_WEBSOCKET: "WSServerHandshakeError",
            _MAYBE_NETWORK: "ClientError",
            _DENIED: "ClientConnectorCertificateError ServerFingerprintMismatch",
            _INVALID: "InvalidURL NonHttpUrlClientError",
        },
    ),
    **_named(
        "websockets",
        {
            _WEBSOCKET: "ConnectionClosed",
            _MAYBE_WEBSOCKET: "WebSocketException",
            _INVALID: "InvalidURI InvalidProxy",
            _MISUSE: "InvalidState ConcurrencyError",
        },
    ),
    "grpc.RpcError": _MAYBE_API,
    "upright.NotConnectedError": _WEBSOCKET,
}
"""The verdict on each known type."""
