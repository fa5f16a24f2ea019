"""What an exception carries beside its type: SQLSTATE, HTTP status, SQLite's result code, SMTP reply, errno."""

from __future__ import annotations

import errno
import math
from typing import TYPE_CHECKING, Any

from upright.strategies.codes import ErrorCode
from upright.strategies.foreign import Interruption, plain_text
from upright.strategies.http_status import retry_after_of_headers, verdict_of_status
from upright.strategies.smtp_reply import verdict_of_smtp_replies
from upright.strategies.sqlstate import verdict_of_sqlstate, verdict_of_startup_message
from upright.strategies.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["attribute", "evidence_of", "retry_after_of"]

_MAX_TEXT = 4_000

_NETWORK = Verdict(ErrorCode.NETWORK)
_LOST = Verdict(ErrorCode.DATABASE_CONNECTION)
_INVALID = Verdict(ErrorCode.VALIDATION, permanent=True)
_DENIED = Verdict(ErrorCode.AUTHENTICATION, permanent=True)
_CORRUPT = Verdict(ErrorCode.INTERNAL, permanent=True)
_WEBSOCKET = Verdict(ErrorCode.WEBSOCKET_DISCONNECTED)

_UNREACHABLE = (
    "ECONNREFUSED",
    "ECONNRESET",
    "ECONNABORTED",
    "EPIPE",
    "ENETUNREACH",
    "ENETDOWN",
    "ENETRESET",
    "EHOSTUNREACH",
    "EHOSTDOWN",
    "ETIMEDOUT",
    "ENOTCONN",
    "EADDRNOTAVAIL",
    "ESHUTDOWN",
)
_ERRNOS: Mapping[int, Verdict] = {
    # Not every system has all of them.
    **{getattr(errno, name): _NETWORK for name in _UNREACHABLE if hasattr(errno, name)},
    errno.ENOMEM: Verdict(ErrorCode.MEMORY_PRESSURE),
}

# SQLite's primary result codes (sqlite.org/rescode.html), which an extended code carries in its low byte.
_SQLITE: Mapping[int, Verdict] = {
    1: _INVALID,  # ERROR: syntax, no such table
    2: Verdict(ErrorCode.INTERNAL),  # INTERNAL
    3: _DENIED,  # PERM
    4: _LOST,  # ABORT
    5: _LOST,  # BUSY
    6: _LOST,  # LOCKED
    7: Verdict(ErrorCode.MEMORY_PRESSURE),  # NOMEM
    8: _LOST,  # READONLY: also a file that was replaced underneath
    9: _LOST,  # INTERRUPT
    10: _LOST,  # IOERR
    11: _CORRUPT,  # CORRUPT
    13: _LOST,  # FULL
    14: _LOST,  # CANTOPEN
    15: _LOST,  # PROTOCOL
    17: _LOST,  # SCHEMA
    18: _INVALID,  # TOOBIG
    19: _INVALID,  # CONSTRAINT
    20: _INVALID,  # MISMATCH
    21: _INVALID,  # MISUSE
    23: _DENIED,  # AUTH
    25: _INVALID,  # RANGE
    26: _CORRUPT,  # NOTADB
}

# Replies that redis-py gives no type of their own; they open the text of a ResponseError.
_CACHE = Verdict(ErrorCode.CACHE_UNAVAILABLE)
_REDIS_REPLIES: Mapping[str, Verdict] = {
    "BUSY": _CACHE,
    "CLUSTERDOWN": _CACHE,
    "LOADING": _CACHE,
    "MASTERDOWN": _CACHE,
    "MISCONF": _CACHE,
    "NOREPLICAS": _CACHE,
    "OOM": _CACHE,
    "READONLY": _CACHE,
    "TRYAGAIN": _CACHE,
    "UNKILLABLE": _CACHE,
    "NOAUTH": _DENIED,
    "NOPERM": _DENIED,
    "WRONGPASS": _DENIED,
}


def attribute(error: object, name: str) -> Any:
    """`error.name`, or None where there is none or looking at it fails."""
    try:
        return getattr(error, name, None)
    except (KeyboardInterrupt, Interruption):
        raise
    except BaseException:  # a property of a foreign class may do anything
        return None


def evidence_of(error: Exception, name: str, verdict: Verdict | None) -> tuple[Verdict, str] | None:
    """The verdict on what the instance carries, and what that was; None where it carries nothing known.

    Args:
        error: The instance.
        name: Package and name of the nearest known type, or of its own where none is known.
        verdict: What that type says.
    """
    for field in ("sqlstate", "pgcode"):
        state = attribute(error, field)
        if isinstance(state, str) and len(state) == 5:
            found = verdict_of_sqlstate(state.upper())
            if found is not None:
                return found, f"SQLSTATE {state.upper()}"
    package = name.partition(".")[0]
    status = _status_of(error, package)
    if status is not None:
        found = verdict_of_status(status)
        if found is not None:
            if found.code is not ErrorCode.RATE_LIMITED and not found.permanent and _is_websocket(name):
                found = _WEBSOCKET
            return found, f"HTTP {status}"
    if isinstance(error, OSError):
        number = error.errno
        found = _ERRNOS.get(number) if isinstance(number, int) else None
        # Name resolution has numbers of its own, and they overlap with the errnos.
        if found is not None and package != "socket":
            return found, f"errno {errno.errorcode.get(number or 0, number)}"
    return _evidence_in_text(error, name, package, verdict)


def retry_after_of(error: Exception, wall: float | None) -> float | None:
    """Seconds that the other side asked to wait: its Retry-After header, or a `retry_after` of the error."""
    stated = attribute(error, "retry_after")
    if isinstance(stated, int | float) and not isinstance(stated, bool) and math.isfinite(stated) and stated >= 0:
        return float(stated)
    for holder in (attribute(error, "response"), error):
        headers = attribute(holder, "headers")
        if headers is not None and callable(attribute(headers, "get")):
            found = retry_after_of_headers(headers, wall)
            if found is not None:
                return found
    return None


def _status_of(error: Exception, package: str) -> int | None:
    candidates = [attribute(attribute(error, "response"), "status_code"), attribute(error, "status_code")]
    if package == "aiohttp":
        candidates.append(attribute(error, "status"))
    elif package == "urllib":
        candidates.append(attribute(error, "code"))
    for candidate in candidates:
        if isinstance(candidate, int) and not isinstance(candidate, bool):
            return int(candidate)
    return None


def _is_websocket(name: str) -> bool:
    return name.startswith("websockets.") or name == "aiohttp.WSServerHandshakeError"


def _evidence_in_text(error: Exception, name: str, package: str, verdict: Verdict | None) -> tuple[Verdict, str] | None:
    if package == "sqlite3":
        return _evidence_of_sqlite(error, name)
    if package == "smtplib" and name not in ("smtplib.SMTPConnectError", "smtplib.SMTPHeloError"):
        return _evidence_of_smtp(error, verdict)
    if package == "sqlalchemy" and attribute(error, "connection_invalidated") is True:
        return _LOST, "connection invalidated"
    if package in ("psycopg", "psycopg2") and verdict is not None and verdict.code is ErrorCode.DATABASE_CONNECTION:
        found = verdict_of_startup_message(_text(error))
        return None if found is None else (found, "refused at startup")
    if name == "redis.ResponseError":
        reply = _text(error).partition(" ")[0]
        found = _REDIS_REPLIES.get(reply)
        return None if found is None else (found, f"redis {reply}")
    return None


def _evidence_of_smtp(error: Exception, verdict: Verdict | None) -> tuple[Verdict, str] | None:
    recipients = attribute(error, "recipients")  # address: (code, text)
    codes = [reply[0] for reply in recipients.values()] if isinstance(recipients, dict) else []
    codes = codes or [attribute(error, "smtp_code")]
    found = verdict_of_smtp_replies(codes)
    if found is None or (found.permanent and verdict == _DENIED):
        return None
    return found, f"SMTP {codes[0]}"


def _evidence_of_sqlite(error: Exception, name: str) -> tuple[Verdict, str] | None:
    code = attribute(error, "sqlite_errorcode")
    if isinstance(code, int):
        found = _SQLITE.get(code & 0xFF)
        if found is not None:
            return found, f"SQLite {attribute(error, 'sqlite_errorname') or code}"
    text = _text(error).lower()
    if "closed database" in text:
        return _LOST, "closed database"
    if name == "sqlite3.OperationalError" and any(
        words in text for words in ("syntax error", "no such", "has no column", "already exists")
    ):
        return _INVALID, name
    return None


def _text(error: Exception) -> str:
    return (plain_text(error) or "")[:_MAX_TEXT]
