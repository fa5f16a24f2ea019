"""Redaction: what may leave the process of a value, a message or an error, as plain JSON-safe data.

Everything that ends in Sentry, a log, a metric, the control socket or a file goes through here first. What
comes out is built of dict, list, str, int, float, bool and None alone, is bounded in depth, width and length,
and holds no secret that has a telling name or shape (secret_shapes.py). Nothing that a value does when it is
looked at makes redaction fail: it may be cyclic, enormous, raise from `__repr__`, or lie about its length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from upright.strategies.foreign import Interruption, kind_of, plain_text
from upright.strategies.options import require_count
from upright.strategies.secret_shapes import CARD, SECRET, hide_secrets, is_card_number, is_secret_name

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["REDACTOR", "RedactionLimits", "Redactor", "redact", "redact_error", "redact_text", "type_name"]

# A character budget for looking at a text, above that of showing it: hiding the secrets shortens it.
_CUT = " [cut]"
_READ_FACTOR = 2


@dataclass(frozen=True, slots=True)
class RedactionLimits:
    """How much of a value is looked at; the rest is said to be there and not shown.

    Args:
        depth: Levels of nesting, at least 1.
        items: Items of one container, at least 1.
        nodes: Items altogether, at least 1.
        text: Characters of one text, at least 100.

    Raises:
        ConfigError: If one of them is smaller, or no int.
    """

    depth: int = 8
    items: int = 100
    nodes: int = 5_000
    text: int = 4_000

    def __post_init__(self) -> None:
        require_count("RedactionLimits.depth", self.depth, least=1)
        require_count("RedactionLimits.items", self.items, least=1)
        require_count("RedactionLimits.nodes", self.nodes, least=1)
        require_count("RedactionLimits.text", self.text, least=100)


class Redactor:
    """Makes values safe to send away; holds settings only, so one may serve every thread.

    Args:
        names: Names of keys that hold a secret besides the built-in ones, in any case.
        limits: How much of a value is looked at.

    Examples:
        >>> redactor = Redactor(names=["diagnosis"])
        >>> redactor.data({"user": "u1", "Diagnosis": "flu", "dsn": "postgresql://app:hunter2@db/app"})
        {'user': 'u1', 'Diagnosis': '[redacted]', 'dsn': 'postgresql://app:[redacted]@db/app'}
    """

    __slots__ = ("_limits", "_names")

    def __init__(self, names: Iterable[str] = (), limits: RedactionLimits | None = None) -> None:
        self._names = frozenset(name.lower() for name in names)
        self._limits = RedactionLimits() if limits is None else limits

    def text(self, text: str) -> str:
        """The text without its secrets, at most `limits.text` characters long, and such that UTF-8 can encode it."""
        limit = self._limits.text
        hidden = self._hidden(text, limit)
        if hidden.isascii():
            return hidden
        escaped = hidden.encode(errors="backslashreplace").decode()
        return escaped if len(escaped) <= limit else escaped[: limit - len(_CUT)] + _CUT

    def _hidden(self, text: str, limit: int) -> str:
        looked_at = limit * _READ_FACTOR
        cut = len(text) > looked_at
        # Where the text is cut a secret may lose the end by which it is known, so the last word goes too.
        hidden = hide_secrets(_without_last_word(text[:looked_at]) if cut else text)
        if not cut and len(hidden) <= limit:
            return hidden
        return hidden[: limit - len(_CUT)] + _CUT

    def data(self, value: Any) -> Any:
        """The value as JSON-safe data without its secrets."""
        return _Walk(self, self._limits).visit(value, self._limits.depth)

    def error(self, error: BaseException) -> str:
        """The error's text without its secrets; its type's name where the text cannot be had."""
        text = plain_text(error)
        return f"<{type_name(error)} without a readable text>" if text is None else self.text(text)

    def is_secret_name(self, name: str, value: object = "?") -> bool:
        """Whether what stands under this name is not to be shown."""
        return is_secret_name(name, value) or (name[:200].lower() in self._names and value is not None)


class _Walk:
    """One pass over one value: keeps count of the nodes and knows the containers that it is inside of."""

    __slots__ = ("_inside", "_left", "_limits", "_redactor")

    def __init__(self, redactor: Redactor, limits: RedactionLimits) -> None:
        self._redactor = redactor
        self._limits = limits
        self._left = limits.nodes
        self._inside: set[int] = set()

    def visit(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            return "<not shown>"
        try:
            return self._visit(value, depth)
        except (KeyboardInterrupt, Interruption):
            raise
        except BaseException:  # anything a value does when it is looked at
            return f"<unreadable {type_name(value)}>"

    def _visit(self, value: Any, depth: int) -> Any:
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str):
            return self._redactor.text(str.__str__(value))
        if isinstance(value, int):
            return _number(int.__index__(value))
        if isinstance(value, float):
            number = float.__float__(value)
            return number if math.isfinite(number) else str(number)
        if isinstance(value, bytes | bytearray | memoryview):
            return f"<{type_name(value)} of {len(value)}>"
        if isinstance(value, BaseException):
            return {"type": type_name(value), "message": self._redactor.error(value)}
        if isinstance(value, Mapping | AbstractSet | list | tuple):
            return self._visit_container(value, depth)
        return self._redactor.text(repr(value))

    def _visit_container(self, value: Any, depth: int) -> Any:
        if id(value) in self._inside:
            return "<cycle>"
        if depth <= 0:
            return f"<{type_name(value)} not shown>"
        self._inside.add(id(value))
        try:
            if isinstance(value, Mapping):
                return self._visit_mapping(value, depth - 1)
            return self._visit_items(value, depth - 1)
        finally:
            self._inside.discard(id(value))

    def _visit_items(self, value: Any, depth: int) -> Any:
        items = list(islice(value, self._limits.items + 1))
        if _is_secret_pair(items, self._redactor):
            return [self.visit(items[0], depth), SECRET]
        shown = [self.visit(item, depth) for item in items[: self._limits.items]]
        if len(items) > self._limits.items:
            shown.append("<more not shown>")
        return shown

    def _visit_mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        items = list(islice(value.items(), self._limits.items + 1))
        # {"name": "password", "value": "..."} is how forms, headers and environments are listed.
        listed = any(
            isinstance(key, str) and key in ("name", "key", "header") and self._is_secret(item, "?")
            for key, item in items
        )
        for key, item in items[: self._limits.items]:
            name = self._name(key, shown)
            if self._is_secret("password" if listed and key == "value" else key, item):
                shown[name] = SECRET
            else:
                shown[name] = self.visit(item, depth)
        if len(items) > self._limits.items:
            shown["<more>"] = "<not shown>"
        return shown

    def _is_secret(self, name: Any, value: Any) -> bool:
        return isinstance(name, str) and self._redactor.is_secret_name(str.__str__(name), value)

    def _name(self, key: Any, taken: dict[str, Any]) -> str:
        name = self.visit(key, 1)
        text = name if isinstance(name, str) else str(name)
        if text not in taken:
            return text
        # Two keys that look alike once their secrets are gone.
        number = 2
        while f"{text} ({number})" in taken:
            number += 1
        return f"{text} ({number})"


def type_name(value: Any) -> str:
    """The qualified name of a value's type, without `builtins.`."""
    return kind_of(value, qualified=True)


def _is_secret_pair(items: list[Any], redactor: Redactor) -> bool:
    """Whether this is one header or parameter, written as a pair of a name and its value."""
    if len(items) != 2 or not isinstance(items[0], str):
        return False
    return redactor.is_secret_name(str.__str__(items[0]), items[1])


def _number(number: int) -> int | str:
    if number.bit_length() > 256:  # Python refuses to print the largest, and nobody reads them
        return f"<int of {number.bit_length()} bits>"
    return CARD if number > 10**12 and is_card_number(str(number)) else number


def _without_last_word(text: str) -> str:
    words = text.rstrip("0123456789 -")  # the first half of a card number
    at = max(words.rfind(" "), words.rfind("\n"), words.rfind("\t"))
    return words[: at + 1]


REDACTOR = Redactor()
"""The one with the built-in names and limits."""

redact = REDACTOR.data
redact_text = REDACTOR.text
redact_error = REDACTOR.error
