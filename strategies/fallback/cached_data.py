"""Fallback: the data that the same query gave before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upright.strategies.fallback.memory_store import MemoryStore
from upright.strategies.fallback.recalled import RecalledStep

if TYPE_CHECKING:
    from upright.strategies.fallback.remembering import AnswerStore

__all__ = ["CachedData"]


class CachedData(RecalledStep):
    """For data that programs ask for: arguments must be equal, and data age fast.

    Degradation: stale; the result says how old. Nothing to offer for a query that was never made, nor for
    one that writes (SQL such as INSERT, or `context["write"]`): its answer is no data.

    Args:
        store: Where data are remembered; None makes a MemoryStore of 1 000, found as `.store`.
        max_age: Seconds after which data are too old, above 0; an hour by default, None for never.
        name: What results and the ranking call it.
        timeout: Seconds; wanted with a store that is reached over a network.
        weight: See FallbackStep.

    Raises:
        ConfigError: If a value is not allowed.
    """

    def __init__(
        self,
        store: AnswerStore | None = None,
        *,
        max_age: float | None = 3_600.0,
        name: str = "cached data",
        timeout: float | None = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__(
            MemoryStore() if store is None else store, max_age=max_age, name=name, timeout=timeout, weight=weight
        )
