"""Redis by a blocking and an asyncio client, with a second server that takes over; and memory."""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio

from benchmarks.healing.component import AsyncComponent, Component, Fault, Mistake
from upright.strategies.healing.memory import MemoryCleanup
from upright.strategies.healing.redis import RedisReconnection
from upright.testing.proxy import FaultProxy
from upright.testing.servers.redis import RedisServer

__all__ = ["AsyncRedis", "FailoverRedis", "Memory", "Redis"]

_LIMITS: Any = {"socket_timeout": 0.4, "socket_connect_timeout": 0.4}  # seconds


class _Server:
    """The server and the proxy before it, with what can be done to them."""

    def __init__(self) -> None:
        self.server = RedisServer()
        self.proxy = FaultProxy(self.server.address)
        server, proxy = self.server, self.proxy
        self.faults = [
            Fault("server killed, started again", server.kill, server.start, (0.0, 0.4)),
            Fault("connection cut within an answer", lambda: proxy.drop_after(1), proxy.restore, (0.1, 0.4)),
            Fault("network down", proxy.down, proxy.restore, (0.0, 0.4)),
            Fault("connections half-open", proxy.half_open),
            Fault("network stalled", proxy.stall, proxy.restore, (0.6, 1.0)),
            Fault("server hangs", server.pause, server.resume, (0.6, 1.0)),
        ]

    def mistakes(self) -> list[Mistake]:
        host, port = self.server.address
        client = redis.Redis(host=host, port=port, retry=_no_retry())

        def wrong_type() -> None:
            client.rpush("list", "a")
            client.get("list")

        def wrong_password() -> None:
            self.server.ask("ACL SETUSER app on >right ~* +@all")
            redis.Redis(host=host, port=port, username="app", password="wrong", retry=_no_retry()).ping()

        return [Mistake("wrong type", wrong_type), Mistake("wrong password", wrong_password)]

    def close(self) -> None:
        self.proxy.close()
        self.server.close()


def _no_retry() -> Any:
    return redis.retry.Retry(redis.backoff.NoBackoff(), 0)


class Redis(Component):
    """A blocking client."""

    def __init__(self) -> None:
        super().__init__("redis")
        self._server = _Server()
        host, port = self._server.proxy.address
        self._client = redis.Redis(host=host, port=port, retry=_no_retry(), **_LIMITS)
        self.heal_by(RedisReconnection(self._client, resource=self.name, connect_timeout=2.0))
        self.faults, self.mistakes = self._server.faults, self._server.mistakes()

    def use(self) -> object:
        """Write."""
        return self._client.set("k", "v")

    def close(self) -> None:
        """End both."""
        self._client.close()
        self._server.close()


class AsyncRedis(AsyncComponent):
    """An asyncio client."""

    def __init__(self) -> None:
        super().__init__("redis by asyncio")
        self._server = _Server()
        self.loop.run(self._make())
        self.faults, self.mistakes = self._server.faults, self._server.mistakes()

    async def _make(self) -> None:
        host, port = self._server.proxy.address
        retry = redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0)
        self._client = redis.asyncio.Redis(host=host, port=port, retry=retry, **_LIMITS)
        self.heal_by(RedisReconnection(self._client, resource=self.name, connect_timeout=2.0))

    async def use_async(self) -> object:
        """Write."""
        return await self._client.set("k", "v")

    async def close_async(self) -> None:
        """End the client."""
        await self._client.aclose()

    def close(self) -> None:
        """End both."""
        super().close()
        self._server.close()


class FailoverRedis(Component):
    """Two servers that change places."""

    def __init__(self) -> None:
        super().__init__("redis with a standby")
        self._servers = [RedisServer(), RedisServer()]
        host, port = self._servers[0].address
        self._client = redis.Redis(host=host, port=port, retry=_no_retry(), **_LIMITS)
        self._strategy = RedisReconnection(
            self._client,
            resource=self.name,
            addresses=[server.address for server in self._servers],
            connect_timeout=2.0,
        )
        self.heal_by(self._strategy)
        self._down: RedisServer | None = None
        self.faults = [
            Fault("master demoted (READONLY)", self._demote, self._promote_all, (0.0, 0.3)),
            Fault("server gone, the other takes over", self._kill, self._revive, (0.0, 0.3)),
        ]

    def _present(self) -> tuple[RedisServer, RedisServer]:
        first, second = self._servers
        return (first, second) if self._strategy.address == first.address else (second, first)

    def _demote(self) -> None:
        present, other = self._present()
        other.promote()
        present.demote(other.address)

    def _promote_all(self) -> None:
        for server in self._servers:
            server.promote()

    def _kill(self) -> None:
        self._down, _ = self._present()
        self._down.kill()

    def _revive(self) -> None:
        assert self._down is not None
        self._down.start()

    def use(self) -> object:
        """Write."""
        return self._client.set("k", "v")

    def close(self) -> None:
        """End all three."""
        self._client.close()
        for server in self._servers:
            server.close()


_PAGES = 1_000  # of 20 kB each


class Memory(Component):
    """A process that holds too much."""

    def __init__(self) -> None:
        super().__init__("memory")
        self._pages: dict[int, bytes] = {}
        self.heal_by(MemoryCleanup({"pages": self._pages}, least_freed=4_000_000))
        self.faults = [Fault("cache holds all memory", self._fill)]
        self.mistakes = [Mistake("wrong value", lambda: int("no number"))]

    def _fill(self) -> None:
        self._pages.update((number, bytes([number % 251]) * 20_000) for number in range(_PAGES))

    def use(self) -> object:
        """Allocate, within a budget of 10 MB: a process that had really none left would take the campaign along."""
        if len(self._pages) == _PAGES:  # and not before: what is not there yet could not be cleared
            raise MemoryError("over budget")
        return bytearray(1_000)

    def close(self) -> None:
        """Nothing to end."""
        self._pages.clear()
