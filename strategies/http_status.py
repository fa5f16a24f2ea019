"""What an HTTP status and a Retry-After header say."""

from __future__ import annotations

import calendar
import math
import re
from email.utils import parsedate_tz
from typing import Any

from upright.strategies.codes import ErrorCode
from upright.strategies.verdict import Verdict

__all__ = ["parse_retry_after", "retry_after_of_headers", "verdict_of_status"]

_EXACT = {
    401: Verdict(ErrorCode.AUTHENTICATION, permanent=True),
    403: Verdict(ErrorCode.AUTHENTICATION, permanent=True),
    407: Verdict(ErrorCode.AUTHENTICATION, permanent=True),  # proxy authentication required
    408: Verdict(ErrorCode.API_TIMEOUT),  # the server gave up waiting for the request
    425: Verdict(ErrorCode.API_UNAVAILABLE),  # too early
    429: Verdict(ErrorCode.RATE_LIMITED),
    504: Verdict(ErrorCode.API_TIMEOUT),  # gateway timeout
    511: Verdict(ErrorCode.AUTHENTICATION, permanent=True),  # network authentication required
}
_CLIENT = Verdict(ErrorCode.VALIDATION, permanent=True)
_SERVER = Verdict(ErrorCode.API_UNAVAILABLE)


def verdict_of_status(status: int) -> Verdict | None:
    """The verdict on a response's status; None below 400, which is no error.

    4xx is permanent except 408, 425 and 429; 5xx is transient except 511.
    """
    if not 400 <= status <= 599:
        return None
    return _EXACT.get(status) or (_CLIENT if status < 500 else _SERVER)


def retry_after_of_headers(headers: Any, wall: float | None = None) -> float | None:
    """Seconds that a response's headers ask to wait; None where they ask for nothing that can be read.

    Args:
        headers: Any mapping of header names; plain dicts are looked up in the usual two spellings.
        wall: The present as Unix time, for a Retry-After that is a date. The response's own Date header
            is preferred, since the difference of two readings of the server's clock is free of skew.
    """
    value = _header(headers, "Retry-After")
    if value is None:
        return None
    server = _header(headers, "Date")
    now = None if server is None else _unix_time(server)
    return parse_retry_after(value, wall if now is None else now)


def parse_retry_after(value: str, wall: float | None = None) -> float | None:
    """Seconds to wait from a Retry-After value, never below 0; None if it cannot be read.

    Args:
        value: Seconds (also with a fraction, which RFC 9110 does not allow and servers send), or an
            HTTP date in any of its three forms.
        wall: The present as Unix time; without it a date cannot be turned into seconds.

    Examples:
        >>> parse_retry_after("120")
        120.0
        >>> parse_retry_after("Thu, 01 Jan 1970 00:02:00 GMT", wall=100.0)
        20.0
    """
    text = value.strip()
    if re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,18})?", text):
        return float(text)
    at = _unix_time(text)
    if at is None or wall is None:
        return None
    return max(0.0, at - wall)


def _header(headers: Any, name: str) -> str | None:
    for spelling in (name, name.lower()):
        value = headers.get(spelling)
        if isinstance(value, str) and len(value) <= 100:
            return value
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return str(value)
    return None


def _unix_time(text: str) -> float | None:
    try:
        parsed = parsedate_tz(text)
        if parsed is None:
            return None
        return float(calendar.timegm((*parsed[:6], 0, 0, 0)) - (parsed[9] or 0))
    except (ValueError, OverflowError, IndexError, TypeError):  # a date that no calendar has
        return None
