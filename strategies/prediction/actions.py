"""What to do before a factor fails: one suggestion each, worded for the person who is woken."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ACTIONS", "suggest"]

ACTIONS: Mapping[str, str] = MappingProxyType(
    {
        "memory": "run the memory cleanup (gc, registered caches, malloc_trim), then restart the worker that grows",
        "response_time": "serve cached or simplified responses, and lower the timeouts towards the slow dependency",
        "error_rate": "tighten the circuit breakers and look at the newest deployment or the failing dependency",
        "connections": "close idle connections, cap the pools, and shed new clients until the count falls",
        "cpu": "postpone batch work, lower the concurrency, or add a worker",
    }
)


def suggest(factors: Iterable[str]) -> tuple[str, ...]:
    """Return the suggested action of each factor, in the given order."""
    return tuple(ACTIONS[factor] for factor in factors)
