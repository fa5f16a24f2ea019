"""A WebSocket by a manager in plain code, and by one on an event loop."""

from __future__ import annotations

import asyncio
import itertools
import json
import queue
from typing import Any

from benchmarks.healing.component import AsyncComponent, Component, Fault
from upright.strategies.healing.websocket import WebSocketReconnection
from upright.strategies.healing.websocket_manager import WebSocketManager
from upright.testing.proxy import FaultProxy
from upright.testing.servers.websocket import WebSocketServer

__all__ = ["AsyncSocket", "Socket"]

_WITHIN = 0.5  # seconds that the application waits for an answer
_CONNECT_WITHIN = 5.0  # for a handshake, and for the pong: a machine may be busy, and what is refused says so at once


class _Server:
    """The server and the proxy before it, with what can be done to them."""

    def __init__(self) -> None:
        self.server = WebSocketServer()
        self.proxy = FaultProxy(self.server.address)
        self.url = f"ws://{self.proxy.address[0]}:{self.proxy.address[1]}"
        server, proxy = self.server, self.proxy
        self.faults = [
            Fault("connection dropped", server.drop),
            Fault("server killed, started again", server.kill, server.start, (0.0, 0.4)),
            Fault("server stopped, started again", server.stop, server.start, (0.0, 0.4)),
            Fault("server stalls (no pong)", server.stall, server.resume, (0.7, 1.2)),
            Fault("connection half-open", proxy.half_open),
            Fault("handshake refused for a while", lambda: self._refuse(503), server.resume, (0.0, 0.4)),
            Fault("credentials revoked", lambda: self._refuse(401), server.resume, (0.0, 0.3), hopeless=True),
        ]

    def _refuse(self, status: int) -> None:
        self.server.refuse(status)
        self.server.drop()

    def close(self) -> None:
        self.proxy.close()
        self.server.close()


def _options() -> dict[str, Any]:
    return {
        "subscribe": lambda topic: json.dumps({"subscribe": topic}),
        "ping_interval": 0.3,
        "ping_timeout": 0.3,
        "open_timeout": 2.0,
    }


class Socket(Component):
    """A manager in plain code."""

    def __init__(self) -> None:
        super().__init__("websocket")
        self._server = _Server()
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._numbers = itertools.count()
        self._manager = WebSocketManager(self._server.url, on_message=self._answers.put, **_options())
        for topic in ("a", "b", "c"):
            self._manager.subscribe(topic)
        self._manager.start()
        self.heal_by(WebSocketReconnection(self._manager, resource=self.name, connect_timeout=_CONNECT_WITHIN))
        self.faults = self._server.faults

    def use(self) -> object:
        """Send, and wait for the answer."""
        text = str(next(self._numbers))
        self._manager.send(text)
        try:
            while self._answers.get(timeout=_WITHIN) != text:
                pass
        except queue.Empty:
            raise TimeoutError("no answer") from None
        return text

    def close(self) -> None:
        """End both."""
        self._manager.stop()
        self._server.close()


class AsyncSocket(AsyncComponent):
    """A manager on an event loop."""

    def __init__(self) -> None:
        super().__init__("websocket by asyncio")
        self._server = _Server()
        self._numbers = itertools.count()
        self.loop.run(self._make())
        self.faults = self._server.faults

    async def _make(self) -> None:
        self._answers: asyncio.Queue[str] = asyncio.Queue()
        self._manager = WebSocketManager(self._server.url, on_message=self._answers.put, **_options())
        for topic in ("a", "b", "c"):
            await self._manager.subscribe(topic)
        await self._manager.start()
        self.heal_by(WebSocketReconnection(self._manager, resource=self.name, connect_timeout=_CONNECT_WITHIN))

    async def use_async(self) -> object:
        """Send, and wait for the answer."""
        text = str(next(self._numbers))
        await self._manager.send(text)
        async with asyncio.timeout(_WITHIN):
            while await self._answers.get() != text:
                pass
        return text

    async def close_async(self) -> None:
        """End the manager."""
        await self._manager.stop()

    def close(self) -> None:
        """End both."""
        super().close()
        self._server.close()
