"""Answers remembered in Redis: shared by all processes of a service."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any

from upright.strategies.errors import ConfigError
from upright.strategies.fallback.remembering import AnswerStore, Remembered, call_key
from upright.strategies.options import require_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RedisStore"]


class RedisStore(AnswerStore):
    """Remembers answers as JSON under a prefix; Redis itself drops them when they are too old.

    How many it holds is bounded by `max_age` and by Redis' own `maxmemory`. Ages are taken by the wall clock,
    since several hosts share them, and are never below 0.

    Args:
        client: A blocking client of redis-py. It should have short timeouts: it is asked when things are bad.
        prefix: Before each key.
        max_age: Seconds that an answer is kept, above 0.
        key: Makes the key from the arguments of a call.
        wall: Unix time.

    Raises:
        ConfigError: If a value is not allowed.
    """

    def __init__(
        self,
        client: Any,
        *,
        prefix: str = "upright:",
        max_age: float = 86_400.0,
        key: Callable[..., str] = call_key,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(key)
        require_seconds("RedisStore.max_age", max_age, above=True)
        if not all(hasattr(client, name) for name in ("get", "set")) or _is_async(client):
            raise ConfigError("RedisStore.client", client, "a blocking client of redis-py")
        self._client = client
        self._prefix = prefix
        self._max_age = max_age
        self._wall = wall

    def put(self, key: str, value: Any) -> None:
        """Remember a value, which must be JSON data."""
        text = json.dumps([self._wall(), value])
        self._client.set(self._prefix + key, text, px=max(1, math.ceil(self._max_age * 1_000)))

    def get(self, key: str) -> Remembered | None:
        """What is remembered under a key."""
        text = self._client.get(self._prefix + key)
        if text is None:
            return None
        at, value = json.loads(text)
        return Remembered(value, max(0.0, self._wall() - at))


def _is_async(client: Any) -> bool:
    return any("asyncio" in cls.__module__ for cls in type(client).__mro__)
