"""How to heal: each strategy ends with a proof that the resource works."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upright.strategies.healing.api import ApiRetry as ApiRetry
    from upright.strategies.healing.base import HealingFailed as HealingFailed
    from upright.strategies.healing.base import HealingStrategy as HealingStrategy
    from upright.strategies.healing.database import DatabaseReconnection as DatabaseReconnection
    from upright.strategies.healing.memory import MemoryCleanup as MemoryCleanup
    from upright.strategies.healing.redis import RedisReconnection as RedisReconnection
    from upright.strategies.healing.websocket import WebSocketReconnection as WebSocketReconnection
    from upright.strategies.healing.websocket_manager import WebSocketManager as WebSocketManager
    from upright.strategies.healing.websocket_session import NotConnectedError as NotConnectedError

_HOMES = {
    "ApiRetry": "upright.strategies.healing.api",
    "DatabaseReconnection": "upright.strategies.healing.database",
    "HealingFailed": "upright.strategies.healing.base",
    "HealingStrategy": "upright.strategies.healing.base",
    "MemoryCleanup": "upright.strategies.healing.memory",
    "NotConnectedError": "upright.strategies.healing.websocket_session",
    "RedisReconnection": "upright.strategies.healing.redis",
    "WebSocketManager": "upright.strategies.healing.websocket_manager",
    "WebSocketReconnection": "upright.strategies.healing.websocket",
}

__all__ = [
    "ApiRetry",
    "DatabaseReconnection",
    "HealingFailed",
    "HealingStrategy",
    "MemoryCleanup",
    "NotConnectedError",
    "RedisReconnection",
    "WebSocketManager",
    "WebSocketReconnection",
]


def __getattr__(name: str) -> Any:
    # Looked up when first used: an application pays for the strategies that it has.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
