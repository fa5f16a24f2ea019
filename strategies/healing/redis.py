"""Bring a Redis back: forget dead connections, find who takes writes now, prove it with a ping and a write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upright.strategies.backoff import Backoff
from upright.strategies.codes import ErrorCode
from upright.strategies.errors import ConfigError
from upright.strategies.healing.base import HealingStrategy
from upright.strategies.healing.effort import Effort
from upright.strategies.healing.redis_target import Endpoint, NotMasterError, RedisTarget
from upright.strategies.healing.scope import Scope
from upright.strategies.options import require_seconds
from upright.strategies.procedure import Within, home_loop, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from upright.strategies.procedure import Procedure
    from upright.strategies.report import ErrorReport

__all__ = ["RedisReconnection"]

_MAX_ASKED = 16  # servers per attempt; replicas may name further ones


class RedisReconnection(HealingStrategy):
    """Reconnects a client of redis-py, where need be to another server.

    Heals a server that was stopped, killed, restarted or is loading its data, connections that a network has cut
    or left half-open, a server that has become a replica (READONLY), and one that is gone while another has taken
    over. A wrong password, missing permissions and wrong commands are permanent, and no case for it.

    What it does: close the pool's idle connections (those in use are replaced when they come back), then ask the
    server on a connection of its own whether it is there and a master. If not it asks the one that the replica
    follows, and `addresses` in their order; the client's pool is pointed to the first that will do, for good. A
    client of Sentinel finds its master itself.

    Args:
        client: A redis.Redis or redis.asyncio.Redis, with a pool of its own: a pool shared by several clients is
            healed for all of them. A client of Redis Cluster heals itself.
        resource: Name of the Redis as the protected operations give it. None takes every report of code
            CACHE_UNAVAILABLE: right for an application with one Redis.
        addresses: Host and port of other servers that may take over.
        writes: Whether the application writes. If not, a replica will do, and the proof is a ping alone.
        probe_key: Key that the proof writes, with a life of one second. None writes nothing: what a ping and the
            server's role say must do.
        timeout: Seconds for the healing with its proof, at least 1.
        connect_timeout: Seconds to connect and for each answer while healing, above 0.
        backoff: Waits between attempts; None grows them from 50 ms to 0.5 s.
        reset: Called before reconnecting, for what else the application keeps that belongs to old connections.

    Raises:
        ConfigError: If a value is not allowed.

    Examples:
        >>> import redis
        >>> RedisReconnection(redis.Redis(port=6379), resource="sessions").name
        'redis reconnection'
    """

    name = "redis reconnection"

    def __init__(
        self,
        client: Any,
        *,
        resource: str | None = None,
        addresses: Sequence[tuple[str, int]] = (),
        writes: bool = True,
        probe_key: str | None = "upright:probe",
        timeout: float = 30.0,
        connect_timeout: float = 1.0,
        backoff: Backoff | None = None,
        reset: Callable[[], Any] | None = None,
    ) -> None:
        require_seconds("RedisReconnection.timeout", timeout, least=1.0)
        require_seconds("RedisReconnection.connect_timeout", connect_timeout, above=True)
        if reset is not None and not callable(reset):
            raise ConfigError("RedisReconnection.reset", reset, "None or callable without arguments")
        if probe_key is not None and (not isinstance(probe_key, str) or not probe_key):
            raise ConfigError("RedisReconnection.probe_key", probe_key, "None or a text that is not empty")
        self.timeout = timeout
        self._target = RedisTarget(client)
        self._scope = Scope(resource, frozenset({ErrorCode.CACHE_UNAVAILABLE}))
        first = self._target.endpoint
        self._others = [*([first] if first else []), *(_endpoint(address) for address in addresses)]
        self._writes = bool(writes)
        self._probe_key = probe_key
        self._connect_timeout = connect_timeout
        self._reset = reset
        # A tenth is left for the proof, and for an attempt that began at the last moment.
        self._effort = Effort(seconds=0.9 * timeout, backoff=backoff or Backoff(0.05, 0.5))
        self._home = home_loop()

    @property
    def address(self) -> tuple[str, int] | None:
        """Where the client connects to now; None where that is no host and port (a socket file, Sentinel)."""
        return self._target.endpoint

    def can_handle(self, report: ErrorReport) -> bool:
        """A failed connection to this Redis, or one that leads to a replica."""
        return self._scope.holds(report)

    def heal(self, report: ErrorReport) -> Any:  # noqa: ARG002 - every failure is healed the same way
        """Forget the old connections, then look for a server until one will do.

        Raises:
            HealingFailed: If time is up, or the server refuses for good.
        """
        return run(self._heal(), self._home)

    def verify(self, report: ErrorReport) -> Any:  # noqa: ARG002 - as above
        """Ping, and write the probe key, through the application's own client."""
        return run(self._prove(), self._home)

    def _heal(self) -> Procedure[None]:
        if self._reset is not None:
            yield self._reset()
        yield from self._target.forget()
        yield from self._effort.until_used(lambda left: self._find(min(self._connect_timeout, max(0.1, left))))

    def _find(self, within: float) -> Procedure[None]:
        present = self._target.endpoint
        first_error: Exception | None = None
        asked: list[Endpoint | None] = []
        queue: list[Endpoint | None] = [present, *self._others] if present else [None]
        while queue and len(asked) < _MAX_ASKED:
            endpoint = queue.pop(0)
            if endpoint in asked:
                continue
            asked.append(endpoint)
            try:
                master = yield from self._target.ask_role(endpoint, within)
                if master is not None and self._writes:
                    if present is not None:
                        queue.insert(0, master)
                    raise NotMasterError(f"a replica of {master.host}:{master.port} takes no writes")
            except Exception as error:  # the next may be well
                first_error = first_error or error
                continue
            if endpoint is not None and endpoint != present:
                yield from self._target.repoint(endpoint)
            yield Within(within, self._target.client.ping())
            return
        raise first_error or NotMasterError("no server to ask")

    def _prove(self) -> Procedure[None]:
        client, within = self._target.client, self._connect_timeout
        yield Within(within, client.ping())
        if not self._writes or self._probe_key is None:
            return
        try:
            yield Within(within, client.set(self._probe_key, "1", px=1_000))
        except Exception as error:
            # An ACL that keeps the client off this key says nothing against the server.
            if not any(cls.__name__ == "NoPermissionError" for cls in type(error).__mro__):
                raise


def _endpoint(address: Any) -> Endpoint:
    pair = isinstance(address, tuple | list) and len(address) == 2
    if not pair or not isinstance(address[0], str) or not isinstance(address[1], int) or isinstance(address[1], bool):
        raise ConfigError("RedisReconnection.addresses", address, "pairs of host and port")
    return Endpoint(address[0], address[1])
