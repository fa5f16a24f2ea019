"""Answers remembered in Redis: shared by all processes of a service."""

from __future__ import annotations

import inspect
import json
import math
import time
from typing import TYPE_CHECKING, Any

from upright.strategies.errors import ConfigError
from upright.strategies.fallback.remembering import AnswerStore, Remembered, call_key
from upright.strategies.options import require_seconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["RedisStore"]


class RedisStore(AnswerStore):
    """Remembers answers as JSON under a prefix; Redis itself drops them when they are too old.

    How many it holds is bounded by `max_age` and by Redis' own `maxmemory`. Ages are taken by the wall clock,
    since several hosts share them, and are never below 0.

    Args:
        client: A client of redis-py, redis.Redis or redis.asyncio.Redis; the latter for an `async def` only. It
            must have a `socket_timeout`, and should have a short one: it is asked when things are bad.
        prefix: Before each key; one for each function, since two may be called with the same arguments.
        max_age: Seconds that an answer is kept, above 0; a day by default.
        key: Makes the key from the arguments of a call.
        wall: Unix time.

    Raises:
        ConfigError: If a value is not allowed.
    """

    def __init__(
        self,
        client: Any,
        prefix: str,
        *,
        max_age: float = 86_400.0,
        key: Callable[..., str] = call_key,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(key)
        require_seconds("RedisStore.max_age", max_age, above=True)
        if not isinstance(prefix, str) or not prefix:
            raise ConfigError("RedisStore.prefix", prefix, "a text that is not empty, such as 'prices:'")
        if not all(callable(getattr(client, name, None)) for name in ("get", "set")):
            raise ConfigError("RedisStore.client", client, "a client of redis-py")
        options = getattr(getattr(client, "connection_pool", None), "connection_kwargs", {})
        if "socket_timeout" in options and options["socket_timeout"] is None:
            raise ConfigError("RedisStore.client", client, "a client with a socket_timeout, or it may wait for ever")
        self.asynchronous = any("asyncio" in cls.__module__ for cls in type(client).__mro__)
        self.blocking = not self.asynchronous
        self._client = client
        self._prefix = prefix
        self._max_age = max_age
        self._wall = wall

    def put(self, key: str, value: Any) -> Any:
        """Remember a value.

        Raises:
            ConfigError: If it is no JSON data.
            Exception: What the client raises.
        """
        try:
            text = json.dumps([self._wall(), value], allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigError("RedisStore.put.value", value, f"JSON data ({error})") from error
        return self._client.set(self._prefix + key, text, px=max(1, math.ceil(self._max_age * 1_000)))

    def get(self, key: str) -> Any:
        """What is remembered under a key."""
        found = self._client.get(self._prefix + key)
        return self._read_later(found) if inspect.isawaitable(found) else self._read(found)

    async def _read_later(self, found: Awaitable[Any]) -> Remembered | None:
        return self._read(await found)

    def _read(self, text: Any) -> Remembered | None:
        if text is None:
            return None
        at, value = json.loads(text)
        return Remembered(value, max(0.0, self._wall() - at))
