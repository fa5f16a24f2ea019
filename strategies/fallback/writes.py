"""Whether a call writes, as far as its arguments tell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["is_certain_write", "is_write"]

_SQL_READS: Final = ("select", "with", "show", "explain", "values", "table")
_READS: Final = (*_SQL_READS, "get", "find", "list", "read", "fetch", "load")
_CHANGING: Final = frozenset({"insert", "update", "delete", "merge", "into", "replace", "truncate", "drop", "alter"})
_SQL_WRITE: Final = re.compile(
    r"\s*(insert\s+(or\s+\w+\s+)?into|replace\s+into|update\s+\S+.*\bset\b|delete\s+from|merge\s+into|truncate"
    r"|(create|drop|alter)\s+(table|index|view|schema|database|unique|temp|temporary|materialized))\b",
    re.IGNORECASE | re.DOTALL,
)
_LOOKED_AT: Final = 10_000  # characters


def is_write(context: Mapping[str, Any]) -> bool:
    """Whether a call writes: as `context["write"]` says, else unless its first text argument begins like a read.

    In doubt it writes: serving a write as a read would lose it. A `WITH` that changes data counts as a write, and
    so does a statement that follows a `SELECT` after a semicolon.

    Examples:
        >>> is_write({"args": ("SELECT 1",)}), is_write({"args": ("UPDATE t SET x = 1",)}), is_write({})
        (False, True, True)
    """
    stated = context.get("write")
    if isinstance(stated, bool):
        return stated
    text = _first_text(context)
    if text is None or len(text) > _LOOKED_AT:
        return True
    words = re.findall(r"\w+", text.lower())
    if not words or words[0] not in _READS:
        return True
    if words[0] == "explain" and "analyze" in words:
        return True
    return words[0] in _SQL_READS and not _CHANGING.isdisjoint(words)


def is_certain_write(context: Mapping[str, Any]) -> bool:
    """Whether a call writes without doubt: `context["write"]` says so, or its first text argument is SQL that does.

    Examples:
        >>> is_certain_write({"args": ("DELETE FROM t",)}), is_certain_write({"args": ("update firmware",)})
        (True, False)
    """
    stated = context.get("write")
    if isinstance(stated, bool):
        return stated
    text = _first_text(context)
    return text is not None and _SQL_WRITE.match(text[:_LOOKED_AT]) is not None


def _first_text(context: Mapping[str, Any]) -> str | None:
    for found in (*context.get("args", ()), *context.get("kwargs", {}).values()):
        if isinstance(found, str):
            return found
    return None
