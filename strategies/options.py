"""Checks that the option dataclasses share: one rule a function, refused where the value is given.

`bool` is refused wherever a number is asked for, since `attempts=True` is a mistake and not 1; NaN and
the infinities are refused because every comparison with them silently picks a side. A number of a class of its own
(numpy's, say) is one if it can be compared, added and shown like any other.
"""

from __future__ import annotations

import math
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from upright.strategies.errors import ConfigError
from upright.strategies.foreign import is_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "MAX_COUNT",
    "MAX_NAME",
    "SHORTEST_INTERVAL",
    "count_rule",
    "is_count",
    "is_finite_number",
    "require_address",
    "require_between",
    "require_bool",
    "require_count",
    "require_fraction",
    "require_name",
    "require_seconds",
    "require_text",
    "require_timeout",
]

MAX_COUNT: Final = sys.maxsize
"""The largest count: no deque, no semaphore and no column of a database counts further."""

MAX_NAME: Final = 1_000
"""Characters of a name: of an operation, a resource, a step, a strategy, a supervisor."""

SHORTEST_INTERVAL: Final = 0.001
"""Seconds between two rounds of what is done again and again; less would only keep a core busy."""

_MAX_PORT: Final = 65_535
_HOST: Final = re.compile(r"[\w.:%-]{1,255}", re.ASCII)  # a name, or an address of either family


def require_seconds(field: str, value: Any, *, least: float = 0.0, above: bool = False) -> None:
    """Refuse what is not a finite number >= `least`, or > `least` where `above` is set.

    Raises:
        ConfigError: Naming `field` (as `Type.field`), the value and the rule.
    """
    rule = f"a finite number {'>' if above else '>='} {least:g}"
    if not is_finite_number(value) or value < least or (above and value == least):
        raise ConfigError(field, value, rule)


def require_timeout(field: str, value: Any) -> None:
    """Refuse what is neither None nor a number of seconds to wait: infinity waits for ever, as None does.

    Raises:
        ConfigError: Naming `field` (as `Type.field`), the value and the rule.
    """
    kind = type(value)
    if value is None or kind is int or (kind is float and value == value):  # noqa: PLR0124 - only NaN is not itself
        return
    if kind is float or not is_finite_number(value):
        raise ConfigError(field, value, "None or a number of seconds")


def require_fraction(field: str, value: Any, *, zero: bool = True) -> None:
    """Refuse what is not a number from 0 to 1; 0 itself is refused unless `zero` is set.

    Raises:
        ConfigError: Naming `field` (as `Type.field`), the value and the rule.
    """
    rule = "a number from 0 to 1" if zero else "a number above 0 and at most 1"
    if not is_finite_number(value) or not 0 <= value <= 1 or (value == 0 and not zero):
        raise ConfigError(field, value, rule)


def require_count(field: str, value: Any, *, least: int = 0) -> None:
    """Refuse what is not an int >= `least`, or larger than anything can be counted.

    Raises:
        ConfigError: Naming `field` (as `Type.field`), the value and the rule.
    """
    if not is_count(value, least=least):
        raise ConfigError(field, value, count_rule(value, least))


def require_name(field: str, value: Any) -> str:
    """Return a name as a plain text; refuse what is no text of 1 to 1 000 characters.

    Names go into every entry of the history, every status, log line and label: longer ones would fill them all.

    Raises:
        ConfigError: Naming `field` (as `Type.field`), the value and the rule.
    """
    return require_text(field, value, f"a text of 1 to {MAX_NAME} characters", bool)


def require_text(field: str, value: Any, rule: str, allowed: Callable[[str], object]) -> str:
    """Return a text of 1 to 1 000 characters as a plain one; refuse what is none, or not `allowed`.

    Args:
        field: As `Type.field`.
        value: What was given.
        rule: What is allowed, in words.
        allowed: Says whether it is, of a text that is short enough.

    Raises:
        ConfigError: Naming `field`, the value and the rule.
    """
    text = value if type(value) is str else str.__str__(value) if is_of(value, str) else ""
    if not 0 < len(text) <= MAX_NAME or not allowed(text):
        raise ConfigError(field, value, rule)
    return text


def require_between(field: str, value: Any, least: int, most: int) -> None:
    """Refuse what is not an int from `least` to `most`.

    Raises:
        ConfigError: Naming `field` (as `Type.field`), the value and the rule.
    """
    if not is_count(value, least=least) or value > most:
        raise ConfigError(field, value, f"an int from {least} to {most}")


def require_address(field: str, value: Any) -> tuple[str, int]:
    """Return the address of a TCP server as it was given; refuse what is no pair of host and port.

    Raises:
        ConfigError: Naming `field` (as `Type.field`), the value and the rule.
    """
    if type(value) is not tuple or len(value) != 2:
        raise ConfigError(field, value, "a pair of host and port")
    host, port = value
    require_between(f"{field}.port", port, 1, _MAX_PORT)
    return require_text(f"{field}.host", host, "a host's name or address", _HOST.fullmatch), port


def require_bool(field: str, value: Any) -> None:
    """Refuse what is neither True nor False.

    Raises:
        ConfigError: Naming `field` (as `Type.field`), the value and the rule.
    """
    if type(value) is not bool:
        raise ConfigError(field, value, "true or false")


def count_rule(value: Any, least: int) -> str:
    """Say what a refused count must be; that there is an upper bound only to whom it concerns."""
    beyond = is_of(value, int) and _is_beyond(value)
    return f"an int from {least} to {MAX_COUNT}" if beyond else f"an int >= {least}"


def is_count(value: Any, *, least: int = 0) -> bool:
    """Whether this is an int from `least` to `MAX_COUNT`, and no bool."""
    return is_of(value, int) and is_finite_number(value) and least <= value <= MAX_COUNT


def is_finite_number(value: Any) -> bool:
    """Whether this is an int or a float, and neither a bool nor NaN nor infinite, nor too large for a float."""
    kind = type(value)
    plain = kind is int or kind is float  # and not `in`, which would ask a metaclass
    if not (plain or (_is_number(kind) and _behaves(value))):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an int too large for a float
        return False


def _is_number(kind: type) -> bool:
    return issubclass(kind, int | float) and kind is not bool


def _behaves(value: Any) -> bool:
    """Whether a number of a class of its own bears what will be done with it."""
    with suppress(Exception):
        _ = float(value), hash(value), repr(value), f"{value:g}"
        below, zero, above = bool(value < 0), bool(value == 0), bool(value > 0)
        return below + zero + above == 1 and value - 1 <= value * 1 <= value + 1 and bool(-value >= 0) is not above
    return False


def _is_beyond(value: int) -> bool:
    with suppress(Exception):
        return value > MAX_COUNT
    return False
