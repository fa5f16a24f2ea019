"""Numbers in words, for the reason of an alert."""

from __future__ import annotations

__all__ = ["amount", "describe", "duration", "title"]

_TITLES = {
    "memory": "memory",
    "response_time": "response time",
    "error_rate": "error rate",
    "connections": "connections",
    "cpu": "CPU",
}


def title(factor: str) -> str:
    """Return the factor as a person says it."""
    return _TITLES[factor]


def amount(factor: str, value: float) -> str:
    """Return a value with its unit.

    Examples:
        >>> amount("memory", 0.853), amount("response_time", 1234.5), amount("connections", 812.0)
        ('85.3 %', '1234 ms', '812')
    """
    if factor == "response_time":
        return f"{value:.0f} ms"
    if factor == "connections":
        return f"{value:.0f}"
    return f"{value * 100:.3g} %"


def duration(seconds: float) -> str:
    """Return seconds as a person says them.

    Examples:
        >>> duration(45), duration(1500), duration(7500)
        ('45 s', '25 min', '2 h 5 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def describe(
    factor: str,
    value: float,
    target: float,
    limit: float,
    slope: float,
    window: float,
    eta: float,
    span: tuple[float, float],
) -> str:
    """Return the reason of a forecast."""
    if target > limit:
        bound = f"{amount(factor, target)} (above {amount(factor, limit)} this host lives without harm)"
    else:
        bound = f"its limit of {amount(factor, target)}"
    return (
        f"{title(factor)} is at {amount(factor, value)}, a record high, and has grown steadily by "
        f"{amount(factor, slope)} a minute for {duration(window)}: it reaches {bound} in about {duration(eta)} "
        f"({duration(span[0])} to {duration(span[1])})"
    )
