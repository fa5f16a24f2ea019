"""Faults and real servers to try resilience on; nothing is imported before it is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upright.testing.clock import FakeClock as FakeClock
    from upright.testing.errors import error_for as error_for
    from upright.testing.errors import errors_for as errors_for
    from upright.testing.injection import Crash as Crash
    from upright.testing.injection import Injection as Injection
    from upright.testing.injection import Injector as Injector
    from upright.testing.injection import inject as inject
    from upright.testing.pacing import instant as instant
    from upright.testing.proxy import FaultProxy as FaultProxy
    from upright.testing.sentry import SentryRecorder as SentryRecorder
    from upright.testing.servers.http import HttpServer as HttpServer
    from upright.testing.servers.postgres import PostgresServer as PostgresServer
    from upright.testing.servers.redis import RedisServer as RedisServer
    from upright.testing.servers.websocket import WebSocketServer as WebSocketServer

# Where each name is defined. Lazy, because most of them need a package that only tests and the demo install.
_HOMES = {
    "Crash": "upright.testing.injection",
    "FakeClock": "upright.testing.clock",
    "FaultProxy": "upright.testing.proxy",
    "HttpServer": "upright.testing.servers.http",
    "Injection": "upright.testing.injection",
    "Injector": "upright.testing.injection",
    "PostgresServer": "upright.testing.servers.postgres",
    "RedisServer": "upright.testing.servers.redis",
    "SentryRecorder": "upright.testing.sentry",
    "WebSocketServer": "upright.testing.servers.websocket",
    "error_for": "upright.testing.errors",
    "errors_for": "upright.testing.errors",
    "inject": "upright.testing.injection",
    "instant": "upright.testing.pacing",
}

__all__ = [
    "Crash",
    "FakeClock",
    "FaultProxy",
    "HttpServer",
    "Injection",
    "Injector",
    "PostgresServer",
    "RedisServer",
    "SentryRecorder",
    "WebSocketServer",
    "error_for",
    "errors_for",
    "inject",
    "instant",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
