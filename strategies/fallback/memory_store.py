"""Answers remembered in this process: the fastest store, gone with the process."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from upright.strategies.fallback.remembering import AnswerStore, Remembered, call_key
from upright.strategies.options import require_count, require_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MemoryStore"]


class MemoryStore(AnswerStore):
    """Remembers up to `limit` answers; the one that was longest not put again goes first.

    Safe from any thread. Values are kept as they are, not copied: whoever changes one changes the memory.

    Args:
        limit: Answers at most, at least 1.
        max_age: Seconds after which an answer is too old to be given, above 0; None for never.
        key: Makes the key from the arguments of a call.
        now: Monotonic seconds.

    Raises:
        ConfigError: If a value is not allowed.
    """

    def __init__(
        self,
        limit: int = 1_000,
        *,
        max_age: float | None = None,
        key: Callable[..., str] = call_key,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(key, now)
        require_count("MemoryStore.limit", limit, least=1)
        if max_age is not None:
            require_seconds("MemoryStore.max_age", max_age, above=True)
        self.limit = limit
        self._max_age = max_age
        # In the order they were put. Each access is one operation that no other thread can come into; two
        # threads that make room at once may at worst forget one answer too many.
        self._entries: dict[str, tuple[float, Any]] = {}

    def put(self, key: str, value: Any) -> None:
        """Remember a value."""
        entries = self._entries
        entries.pop(key, None)
        entries[key] = (self._clock(), value)
        while len(entries) > self.limit:
            # RuntimeError: another thread changed it in between; it makes room, too.
            with contextlib.suppress(StopIteration, RuntimeError):
                entries.pop(next(iter(entries)), None)

    def get(self, key: str) -> Remembered | None:
        """What is remembered under a key."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        age = self._clock() - entry[0]
        if self._max_age is not None and age > self._max_age:
            self._entries.pop(key, None)
            return None
        return Remembered(entry[1], age)

    def clear(self) -> None:
        """Forget everything; for `MemoryCleanup`."""
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)

    def __bool__(self) -> bool:
        return True
