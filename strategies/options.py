"""Checks that the option dataclasses share: one rule a function, refused where the value is given.

`bool` is refused wherever a number is asked for, since `attempts=True` is a mistake and not 1; NaN and
the infinities are refused because every comparison with them silently picks a side.
"""

from __future__ import annotations

import math
from typing import Any

from upright.strategies.errors import ConfigError

__all__ = ["is_finite_number", "require_count", "require_fraction", "require_seconds"]


def require_seconds(field: str, value: Any, *, least: float = 0.0, above: bool = False) -> None:
    """Refuse what is not a finite number >= `least`, or > `least` where `above` is set.

    Raises:
        ConfigError: Naming `field` (as `Type.field`), the value and the rule.
    """
    rule = f"a finite number {'>' if above else '>='} {least:g}"
    if not is_finite_number(value) or value < least or (above and value == least):
        raise ConfigError(field, value, rule)


def require_fraction(field: str, value: Any, *, zero: bool = True) -> None:
    """Refuse what is not a number from 0 to 1; 0 itself is refused unless `zero` is set.

    Raises:
        ConfigError: Naming `field` (as `Type.field`), the value and the rule.
    """
    rule = "a number from 0 to 1" if zero else "a number above 0 and at most 1"
    if not is_finite_number(value) or not 0 <= value <= 1 or (value == 0 and not zero):
        raise ConfigError(field, value, rule)


def require_count(field: str, value: Any, *, least: int = 0) -> None:
    """Refuse what is not an int >= `least`.

    Raises:
        ConfigError: Naming `field` (as `Type.field`), the value and the rule.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(field, value, f"an int >= {least}")


def is_finite_number(value: Any) -> bool:
    """Whether this is an int or a float, and neither a bool nor NaN nor infinite, nor too large for a float."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an int too large for a float
        return False
