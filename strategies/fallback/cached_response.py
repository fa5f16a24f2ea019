"""Fallback: the answer that the same question got before."""

from __future__ import annotations

from upright.strategies.fallback.memory_store import MemoryStore
from upright.strategies.fallback.recalled import RecalledStep
from upright.strategies.fallback.remembering import AnswerStore, prompt_key

__all__ = ["CachedResponse"]


class CachedResponse(RecalledStep):
    """For questions that people type: case and spacing do not matter, and answers age slowly.

    Degradation: stale; the result says how old. Nothing to offer for a question that was never answered.

    Args:
        store: Where answers are remembered; None makes a MemoryStore of 1 000 that knows questions by
            `prompt_key`, found as `.store`.
        max_age: Seconds after which an answer is too old, above 0; a day by default, None for never.
        name: What results and the ranking call it.
        timeout: Seconds; wanted with a store that is reached over a network.
        weight: See FallbackStep.

    Raises:
        ConfigError: If a value is not allowed.
    """

    answers_writes = True  # a question is no write, whatever words it begins with

    def __init__(
        self,
        store: AnswerStore | None = None,
        *,
        max_age: float | None = 86_400.0,
        name: str = "cached response",
        timeout: float | None = None,
        weight: float = 1.0,
    ) -> None:
        store = MemoryStore(key=prompt_key) if store is None else store
        super().__init__(store, max_age=max_age, name=name, timeout=timeout, weight=weight)
