"""How many questions a learner has asked today: a Redis, its healing, and a chain of the service's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis

import upright
from upright.strategies.healing import RedisReconnection

if TYPE_CHECKING:
    from .settings import Settings

__all__ = ["Visits"]


class Visits:
    """Counts questions. While Redis is away nothing is counted: it must not keep anybody from learning."""

    def __init__(self, settings: Settings) -> None:
        self.client = redis.Redis.from_url(settings.redis_url, socket_timeout=1.0, socket_connect_timeout=1.0)
        uncounted = upright.FallbackStep("uncounted", lambda _context: None, degradation="not counted")
        self.strategies = [
            RedisReconnection(self.client, resource="redis"),
            upright.FallbackChain("visits", [uncounted]),
        ]
        self._increment = upright.protect("visits", resource="redis")(self._add_one)

    def count(self, learner: str) -> upright.RecoveryResult:
        """Count one question of a learner, and return how many there are; None if nobody knows."""
        return upright.call("visits", self._increment, learner)

    def close(self) -> None:
        """Let the connections go."""
        self.client.close()

    def _add_one(self, learner: str) -> int:
        return int(self.client.incr(f"visits:{learner}"))
