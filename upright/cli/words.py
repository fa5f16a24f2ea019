"""How values are said on a terminal: short, with units, and harmless."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

__all__ = ["ago", "clean", "clock", "count", "duration", "percent"]

# What could move the cursor, change colours or reverse the reading direction: C0, DEL, C1, and bidi
# controls; and surrogates, which cannot be written at all.
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(text: Any) -> str:
    """Return text that cannot steer a terminal: control characters are shown as escapes.

    Examples:
        >>> clean("evil\\x1b[2J")
        'evil\\\\x1b[2J'
    """
    return _CONTROLS.sub(lambda found: found.group().encode("unicode_escape").decode(), str(text))


def duration(seconds: float | None) -> str:
    """Say a duration in its two largest units.

    Examples:
        >>> [duration(s) for s in (0.0004, 0.25, 4.2, 75, 7500, 200000, None)]
        ['400 µs', '250 ms', '4.2 s', '1 min 15 s', '2 h 5 min', '2 d 7 h', '-']
    """
    if seconds is None:
        return "-"
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{int(seconds)} s"
    whole = round(seconds)
    if whole < 3600:
        return _two(whole, "min", 60, "s", 1)
    if whole < 86400:
        return _two(whole, "h", 3600, "min", 60)
    return _two(whole, "d", 86400, "h", 3600)


def _two(seconds: int, large: str, size: int, small: str, part: int) -> str:
    rest = seconds % size // part
    return f"{seconds // size} {large}" + (f" {rest} {small}" if rest else "")


def ago(seconds: float) -> str:
    """Say how long ago something was.

    Examples:
        >>> ago(0.2), ago(42.0)
        ('just now', '42 s ago')
    """
    return "just now" if seconds < 1 else f"{duration(seconds)} ago"


def clock(at: float | None) -> str:
    """Say a Unix time as local time of day; with the date if it is not of today."""
    if at is None:
        return "-"
    moment = datetime.fromtimestamp(at).astimezone()
    today = moment.date() == datetime.now().astimezone().date()
    return moment.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S")


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Say how many.

    Examples:
        >>> count(1, "call"), count(3, "call"), count(2, "retry", "retries")
        ('1 call', '3 calls', '2 retries')
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def percent(rate: float | None) -> str:
    """Say a rate.

    Examples:
        >>> percent(0.125), percent(None)
        ('12 %', '-')
    """
    return "-" if rate is None else f"{rate * 100:.0f} %"
