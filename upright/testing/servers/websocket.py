"""A small real WebSocket server with topics, that fails as it is told: drops, stalls, refuses, is gone."""

from __future__ import annotations

import asyncio
import contextlib
import http
import itertools
import json
import logging
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from upright.strategies.errors import ConfigError
from upright.strategies.options import require_between, require_count
from upright.testing.loop import LoopThread
from upright.testing.servers.http import require_headers
from upright.testing.servers.process import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from websockets.http11 import Request, Response

__all__ = ["WebSocketServer"]

_REMEMBERED = 1_000


class WebSocketServer:
    """A WebSocket server on the loopback interface, in a thread of its own.

    A message that is the JSON object `{"subscribe": topic}` or `{"unsubscribe": topic}` is a client's wish for
    what `publish` sends. Everything else goes to `handler`, whose answers are sent back in order.

    | fault          | open connections                  | new connections         |
    |----------------|-----------------------------------|-------------------------|
    | `drop()`       | reset                             | work                    |
    | `kill()`       | reset                             | refused                 |
    | `stop()`       | told goodbye (close code 1001)    | refused                 |
    | `stall()`      | open, but nothing comes, no pong  | wait for the handshake  |
    | `refuse(503)`  | work                              | answered with a status  |

    `start()` ends `kill` and `stop`; `resume()` ends `stall` and `refuse`.

    Args:
        handler: Answers a message with any number of messages; by default the same message comes back.
        replay: So many of the last messages of a topic are sent to each new subscriber, as brokers with a
            history do; 0 sends none.

    Raises:
        ConfigError: `handler` cannot be called, or `replay` is no count.
    """

    def __init__(
        self,
        handler: Callable[[str | bytes], Iterable[str | bytes]] | None = None,
        *,
        replay: int = 0,
    ) -> None:
        require_count("WebSocketServer.replay", replay)
        if handler is not None and not callable(handler):
            raise ConfigError("WebSocketServer.handler", handler, "None, or a function of a message")
        self.handler = handler or (lambda message: [message])
        self.host = LOOPBACK
        self.port = free_port()
        self.received: deque[str | bytes] = deque(maxlen=_REMEMBERED)
        """What clients sent, oldest first, subscriptions included; the newest 1 000."""
        self.accepted = 0
        """Connections that were ever accepted."""
        self._replay = replay
        self._history: deque[tuple[str, str]] = deque(maxlen=_REMEMBERED)
        self._ids = itertools.count(1)
        self._topics: dict[ServerConnection, list[str]] = {}
        self._status: int | None = None
        self._headers: Mapping[str, str] = {}
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: Server | None = None
        self._thread = LoopThread("websocket-server")
        try:
            self.start()
        except BaseException:
            self._thread.close()
            raise

    @property
    def url(self) -> str:
        """Where it is; the same across restarts."""
        return f"ws://{self.host}:{self.port}"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, for a FaultProxy in between."""
        return self.host, self.port

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._topics)

    @property
    def subscriptions(self) -> list[list[str]]:
        """The topics of each open connection, in the order they were asked for."""
        return self._thread.call(lambda: [list(topics) for topics in self._topics.values()])

    def publish(self, topic: str, data: Any) -> int:
        """Send `{"topic": ..., "id": ..., "data": ...}` to every subscriber, once per subscription.

        Ids rise by one for the server's whole life, restarts included.

        Returns:
            How many were sent.
        """
        return self._thread.run(self._publish(topic, data))

    def broadcast(self, message: str | bytes) -> int:
        """Send a message as it is to every open connection; returns to how many."""
        return self._thread.run(self._send_all([(connection, message) for connection in list(self._topics)]))

    def start(self) -> Self:
        """Listen at its address; nothing happens if it does."""
        self._thread.run(self._listen())
        return self

    def stop(self) -> None:
        """Close every connection with 1001 ("going away"), and refuse new ones."""
        self._thread.run(self._stop())

    def kill(self) -> None:
        """Be gone as after a crash: every connection reset, new ones refused."""
        self._thread.run(self._die())

    def drop(self) -> int:
        """Reset every open connection while new ones work; returns how many there were."""
        return self._thread.call(self._reset_all)

    def stall(self) -> None:
        """Close nothing and answer nothing: no message, no pong, no handshake."""
        self._thread.call(self._set_flowing, False)

    def refuse(self, status: int = 503, headers: Mapping[str, str] | None = None) -> None:
        """Answer new handshakes with an HTTP status.

        Raises:
            ConfigError: If `status` is not from 400 to 599, or a header does not fit into a line of HTTP.
        """
        require_between("WebSocketServer.refuse.status", status, 400, 599)
        if headers is not None:
            require_headers("WebSocketServer.refuse.headers", headers)
        self._headers = dict(headers or {})
        self._status = status

    def resume(self) -> None:
        """End a stall, which delivers what was held back, and a refusal."""
        self._status = None
        self._thread.call(self._set_flowing, True)

    def close(self) -> None:
        """Be gone for good."""
        with contextlib.suppress(RuntimeError, TimeoutError):
            self.resume()
            self.kill()
        self._thread.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # What follows runs in the server's own thread.

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await serve(
                self._serve,
                self.host,
                self.port,
                process_request=self._shake_hands,
                ping_interval=None,  # a stalled server does not hang up, and a slow client is the test's business
                close_timeout=1.0,
                logger=logging.getLogger("upright.testing.websocket"),
                reuse_address=True,
            )

    async def _stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await server.wait_closed()

    async def _die(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close(close_connections=False)
            self._reset_all()
            # Handshakes that a stall held back are answered by nobody.
            await asyncio.sleep(0)

    def _reset_all(self) -> int:
        connections = list(self._topics)
        for connection in connections:
            with contextlib.suppress(OSError, AttributeError):
                # Lingering for no time makes close() send RST instead of FIN.
                sock = connection.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.transport.abort()
            self._topics.pop(connection, None)
        return len(connections)

    def _set_flowing(self, flowing: bool) -> None:  # noqa: FBT001 - a state, not a mode
        for connection in self._topics:
            with contextlib.suppress(RuntimeError):
                if flowing:
                    connection.transport.resume_reading()
                else:
                    connection.transport.pause_reading()
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _shake_hands(self, connection: ServerConnection, _request: Request) -> Response | None:
        await self._flowing.wait()
        if self._server is None:
            connection.transport.abort()
        if self._status is None:
            return None
        response = connection.respond(http.HTTPStatus(self._status), "refused\n")
        for name, value in self._headers.items():
            response.headers[name] = value
        return response

    async def _serve(self, connection: ServerConnection) -> None:
        self.accepted += 1
        self._topics[connection] = []
        try:
            async for message in connection:
                self.received.append(message)
                await self._flowing.wait()
                for answer in self._answers(connection, message):
                    await connection.send(answer)
        except (ConnectionClosed, OSError):
            pass
        finally:
            self._topics.pop(connection, None)

    def _answers(self, connection: ServerConnection, message: str | bytes) -> Iterable[str | bytes]:
        verb, topic = _wish_of(message)
        topics = self._topics.get(connection, [])
        if verb == "subscribe":
            topics.append(topic)
            past = [text for about, text in self._history if about == topic]
            return past[-self._replay :] if self._replay else []
        if verb == "unsubscribe":
            with contextlib.suppress(ValueError):
                topics.remove(topic)
            return []
        return self.handler(message)

    async def _publish(self, topic: str, data: Any) -> int:
        text = json.dumps({"topic": topic, "id": next(self._ids), "data": data})
        self._history.append((topic, text))
        wanted = [(connection, text) for connection, topics in self._topics.items() for t in topics if t == topic]
        return await self._send_all(wanted)

    async def _send_all(self, messages: Sequence[tuple[ServerConnection, str | bytes]]) -> int:
        if not self._flowing.is_set():
            return 0
        sent = 0
        for connection, message in messages:
            with contextlib.suppress(ConnectionClosed, OSError):
                await connection.send(message)
                sent += 1
        return sent


def _wish_of(message: str | bytes) -> tuple[str, str]:
    """Return what a client wants of which topic; ("", "") for a message of its own."""
    if isinstance(message, str) and message.startswith("{"):
        with contextlib.suppress(ValueError):
            content = json.loads(message)
            for verb in ("subscribe", "unsubscribe"):
                if isinstance(content, dict) and list(content) == [verb] and isinstance(content[verb], str):
                    return verb, content[verb]
    return "", ""
