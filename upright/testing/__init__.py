"""Faults and real servers to try resilience on; nothing is imported before it is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upright.testing.clock import FakeClock as FakeClock
    from upright.testing.proxy import FaultProxy as FaultProxy
    from upright.testing.servers.http import HttpServer as HttpServer
    from upright.testing.servers.postgres import PostgresServer as PostgresServer
    from upright.testing.servers.redis import RedisServer as RedisServer
    from upright.testing.servers.websocket import WebSocketServer as WebSocketServer

# Where each name is defined. Lazy, because most of them need a package that only tests and the demo install.
_HOMES = {
    "FakeClock": "upright.testing.clock",
    "FaultProxy": "upright.testing.proxy",
    "HttpServer": "upright.testing.servers.http",
    "PostgresServer": "upright.testing.servers.postgres",
    "RedisServer": "upright.testing.servers.redis",
    "WebSocketServer": "upright.testing.servers.websocket",
}

__all__ = ["FakeClock", "FaultProxy", "HttpServer", "PostgresServer", "RedisServer", "WebSocketServer"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
