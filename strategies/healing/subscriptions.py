"""What a connection is subscribed to, so that the next one can be: in order, and without what nobody wants any more."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from upright.strategies.errors import ConfigError
from upright.strategies.options import require_count, require_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SubscriptionBook"]


class SubscriptionBook:
    """The live topics, in the order they were first asked for.

    The caller brings the clock: every `now` is a reading of one monotonic clock.

    Args:
        limit: How many topics it holds, at least 1.

    Raises:
        ConfigError: If `limit` is not an int >= 1.

    Examples:
        >>> book = SubscriptionBook()
        >>> book.add("prices", now=0.0), book.add("alarms", now=0.0, ttl=5.0), book.add("prices", now=1.0)
        (True, True, False)
        >>> book.expire(now=5.0), list(book)
        (['alarms'], ['prices'])
    """

    def __init__(self, limit: int = 10_000) -> None:
        require_count("WebSocketManager.max_subscriptions", limit, least=1)
        self._limit = limit
        self._until: dict[str, float] = {}

    def add(self, topic: str, *, now: float, ttl: float | None = None) -> bool:
        """Note a topic, or renew it where it is noted; True if it is new.

        Args:
            topic: A text that is not empty.
            now: The present.
            ttl: Seconds after which it is stale unless renewed, above 0; None never.

        Raises:
            ConfigError: If a value is not allowed, or the book is full.
        """
        if not isinstance(topic, str) or not topic:
            raise ConfigError("WebSocketManager.subscribe.topic", topic, "a text that is not empty")
        if ttl is not None:
            require_seconds("WebSocketManager.subscribe.ttl", ttl, above=True)
        new = topic not in self._until
        if new and len(self._until) >= self._limit:
            raise ConfigError("WebSocketManager.subscribe.topic", topic, f"one of at most {self._limit} topics")
        self._until[topic] = math.inf if ttl is None else now + ttl
        return new

    def remove(self, topic: str) -> bool:
        """Forget a topic; True if it was noted."""
        return self._until.pop(topic, None) is not None

    def expire(self, now: float) -> list[str]:
        """Forget the stale topics, and return them in order."""
        stale = [topic for topic, until in self._until.items() if until <= now]
        for topic in stale:
            del self._until[topic]
        return stale

    def next_expiry(self) -> float | None:
        """When the next topic becomes stale; None if none does."""
        first = min(self._until.values(), default=math.inf)
        return None if math.isinf(first) else first

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._until))

    def __len__(self) -> int:
        return len(self._until)

    def __contains__(self, topic: object) -> bool:
        return topic in self._until
