"""The language of the control socket: one JSON object a line, in both directions.

    request   {"v": 1, "id": 7, "command": "history", "args": {"limit": 20}}
    answer    {"v": 1, "id": 7, "ok": true, "result": [...]}
    refusal   {"v": 1, "id": 7, "ok": false, "error": {"kind": "unknown_command", "message": "..."}}

Nothing but JSON is read, so nothing that is sent can run code. A request of another major version is refused with
the version that is spoken here. Fields that are not known are ignored, so that either side may learn new ones.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from enum import Enum, StrEnum
from typing import Any, Final

from upright.actors.errors import Reply
from upright.actors.exits import describe
from upright.strategies.foreign import shown

__all__ = ["MAX_ANSWER", "MAX_REQUEST", "VERSION", "ErrorKind", "Refused", "answer", "parse", "plain", "refusal"]

VERSION: Final = 1
MAX_REQUEST: Final = 65_536
"""Bytes of one request, its line end included."""
MAX_ANSWER: Final = 16 * 1_048_576
"""Bytes of one answer; a longer one becomes a refusal that says so."""

_MAX_DEPTH: Final = 64
_MAX_TEXT: Final = 10_000  # characters of the `repr` of what JSON does not know


class ErrorKind(StrEnum):
    """Why a request was not answered with a result."""

    BAD_REQUEST = "bad_request"
    """Not a JSON object with a command, or arguments that the command does not take."""
    VERSION = "version"
    """Another version of this language."""
    UNKNOWN_COMMAND = "unknown_command"
    TOO_LARGE = "too_large"
    """The request or its answer is longer than allowed."""
    BUSY = "busy"
    """Too many connections or requests at once."""
    FORBIDDEN = "forbidden"
    """From a process of another user."""
    REFUSED = "refused"
    """The command said no: a wrong name or value."""
    FAILED = "failed"
    """The command raised an unexpected exception."""


class Refused(Reply):
    """A request is not answered with a result.

    Attributes:
        kind: Why, for programs.
        message: Why, for people.
    """

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


def parse(line: bytes) -> tuple[Any, str, dict[str, Any]]:
    """Return id, command and arguments of a request.

    Raises:
        Refused: It is not one, or of another version.
    """
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Refused(ErrorKind.BAD_REQUEST, f"a request must be one line of JSON: {error}") from None
    if not isinstance(request, dict):
        raise Refused(ErrorKind.BAD_REQUEST, "a request must be a JSON object")
    version, command, args = request.get("v"), request.get("command"), request.get("args", {})
    if version != VERSION:
        raise Refused(ErrorKind.VERSION, f"this process speaks version {VERSION}, the request is of {shown(version)}")
    if not isinstance(command, str):
        raise Refused(ErrorKind.BAD_REQUEST, '"command" must be a string')
    if not isinstance(args, dict):
        raise Refused(ErrorKind.BAD_REQUEST, '"args" must be an object')
    return request.get("id"), command, args


def answer(request_id: Any, result: Any) -> bytes:
    """Return the line that answers a request with a result."""
    line = _line({"v": VERSION, "id": request_id, "ok": True, "result": result})
    if len(line) > MAX_ANSWER:
        why = f"the answer has {len(line)} bytes, allowed are {MAX_ANSWER}; ask for less, with a limit"
        return refusal(request_id, Refused(ErrorKind.TOO_LARGE, why))
    return line


def refusal(request_id: Any, refused: Refused) -> bytes:
    """Return the line that refuses a request."""
    error = {"kind": refused.kind.value, "message": refused.message}
    return _line({"v": VERSION, "id": request_id, "ok": False, "error": error})


def _line(document: dict[str, Any]) -> bytes:
    try:
        return _encoded(document)
    except Exception:  # something that JSON has not: rare, so it is looked for only then, in a copy
        return _encoded(plain(document))


def _encoded(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), allow_nan=False, default=plain).encode() + b"\n"


def plain(value: Any, depth: int = 0) -> Any:
    """Return `value` as JSON has it.

    Dataclasses and what has a `to_dict()` become objects, enums their value if that is a text or an int and else their
    name, NaN and the infinities null, an exception its type and text, anything else its `repr`, cut to 10 000
    characters.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Enum):
        return value.value if isinstance(value.value, str | int) else value.name
    if depth >= _MAX_DEPTH:
        return "..."
    if isinstance(value, BaseException):
        return _shown(value)
    if callable(to_dict := getattr(value, "to_dict", None)) and not isinstance(value, type):
        return plain(to_dict(), depth + 1)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name), depth + 1) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {_key(key): plain(one, depth + 1) for key, one in list(value.items())}
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray | memoryview):
        return [plain(one, depth + 1) for one in list(value)]
    return _shown(value)


def _key(key: Any) -> str:
    return key if isinstance(key, str) else json.dumps(key) if key is None or isinstance(key, int) else str(plain(key))


def _shown(value: Any) -> str:
    return describe(value, _MAX_TEXT) if isinstance(value, BaseException) else shown(value, _MAX_TEXT)
