"""What is measured of a host, and the limits it is held against."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from upright.strategies.errors import ConfigError
from upright.strategies.options import require_fraction, require_seconds

__all__ = ["FACTORS", "Limits", "SystemMetrics"]

FACTORS = ("memory", "response_time", "error_rate", "connections", "cpu")
"""The five factors, heaviest first."""

_FRACTIONS = ("memory", "error_rate", "cpu", "pressure")
_READINGS = ("memory", "response_ms", "error_rate", "connections", "cpu", "requests", "pressure")


@dataclass(frozen=True, slots=True)
class SystemMetrics:
    """One reading of a host. Any value may be None, which means unknown; 0 is a measurement.

    Noise may push a fraction a little outside of 0 to 1, so that is accepted; above 2 it is taken for a
    percentage and refused.

    Args:
        at: When it was read, in seconds of a monotonic clock.
        memory: Used fraction of what the process may use: of the cgroup's limit where there is one, else of the host.
        response_ms: Mean response time since the last reading in milliseconds; None without traffic.
        error_rate: Fraction of the requests since the last reading that failed; None without traffic.
        connections: Open TCP connections.
        cpu: Used fraction of the CPU time available to the process.
        requests: Requests since the last reading. Optional: it lets the predictor tell load from trouble.
        pressure: Memory pressure as a fraction: the kernel's "some avg10" / 100 (PSI), None where there is none.

    Raises:
        ConfigError: If a value is no finite number, or a fraction is above 2.
    """

    at: float
    memory: float | None = None
    response_ms: float | None = None
    error_rate: float | None = None
    connections: float | None = None
    cpu: float | None = None
    requests: float | None = None
    pressure: float | None = None

    def __post_init__(self) -> None:
        if not _is_number(self.at):
            raise ConfigError("SystemMetrics.at", self.at, "a finite number of seconds")
        for name in _READINGS:
            value = getattr(self, name)
            if value is not None and not _is_number(value):
                raise ConfigError(f"SystemMetrics.{name}", value, "a finite number, or None if unknown")
        for name in _FRACTIONS:
            value = getattr(self, name)
            if value is not None and value > 2:
                raise ConfigError(f"SystemMetrics.{name}", value, "a fraction from 0 to 1 (not a percentage), or None")

    def value(self, factor: str) -> float | None:
        """Return the reading of one of `FACTORS`."""
        return self.response_ms if factor == "response_time" else getattr(self, factor)


@dataclass(frozen=True, slots=True)
class Limits:
    """Above which value a factor counts as breached. A value equal to its limit is no breach.

    Args:
        memory: Fraction, above 0, at most 1.
        response_ms: Milliseconds, above 0.
        error_rate: Fraction, above 0, at most 1.
        connections: Number, above 0.
        cpu: Fraction, above 0, at most 1.

    Raises:
        ConfigError: If a limit is outside of its range.
    """

    memory: float = 0.85
    response_ms: float = 5000.0
    error_rate: float = 0.05
    connections: float = 1000.0
    cpu: float = 0.90

    def __post_init__(self) -> None:
        for name in ("memory", "error_rate", "cpu"):
            require_fraction(f"Limits.{name}", getattr(self, name), zero=False)
        for name in ("response_ms", "connections"):
            require_seconds(f"Limits.{name}", getattr(self, name), above=True)

    def of(self, factor: str) -> float:
        """Return the limit of one of `FACTORS`."""
        limit: float = self.response_ms if factor == "response_time" else getattr(self, factor)
        return limit


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    return abs(value) < 1 << 1000
