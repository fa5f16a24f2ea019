"""What a mail server's answer says: RFC 5321 section 4.2.1, 4yz not now, 5yz never; RFC 4954 for authentication."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upright.strategies.codes import ErrorCode
from upright.strategies.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["verdict_of_smtp_replies"]

_LATER = Verdict(ErrorCode.API_UNAVAILABLE)
_NEVER = Verdict(ErrorCode.VALIDATION, permanent=True)
_DENIED = Verdict(ErrorCode.AUTHENTICATION, permanent=True)
_AUTHENTICATION = frozenset({530, 534, 535, 538})


def verdict_of_smtp_replies(codes: Iterable[Any]) -> Verdict | None:
    """The verdict on a mail, by the reply to each of its recipients, or the one to itself; None if there is none.

    Permanent only if every reply is: what was refused for now alone is worth sending again.
    """
    known = [code for code in codes if isinstance(code, int) and 400 <= code <= 599]
    if not known:
        return None
    if any(code < 500 for code in known):
        return _LATER
    return _DENIED if all(code in _AUTHENTICATION for code in known) else _NEVER
