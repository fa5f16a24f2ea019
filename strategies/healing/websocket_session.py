"""One WebSocket that outlives its connections: it lives on one event loop, and everything here runs there.

Guarantees:
    1. Messages are delivered in the order they came, those of an old connection before those of the next.
    2. At most one connection is subscribed at a time: the old one is cut before the next asks for its topics, so
       a server that is well sends nothing twice. What it sends again on purpose (a history for new subscribers)
       is recognised by `message_id`.
    3. Topics are asked for once on each connection, in the order they were first subscribed to.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from time import monotonic
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from upright.strategies.errors import UprightError
from upright.strategies.healing.websocket_delivery import note_handler_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Mapping

    from websockets.asyncio.client import ClientConnection

    from upright.strategies.healing.subscriptions import SubscriptionBook

__all__ = ["NotConnectedError", "WebSocketSession"]

_REMEMBERED_IDS = 10_000
_CLOSE_WITHIN = 2.0  # seconds for the closing handshake, and for what is left to deliver
_LIVENESS_WITHIN = 1.0  # seconds for the pong of a connection that looks alive


class NotConnectedError(UprightError, ConnectionError):
    """There is no WebSocket connection: not started, stopped, or not reconnected yet. Code WEBSOCKET_DISCONNECTED."""


class WebSocketSession:
    """The connection, its reader, and the replay of subscriptions.

    Args:
        url: Where to connect.
        book: The topics, which the application may have filled already.
        deliver: Takes one message, and returns when the next may come.
        lost: Told why a connection ended that nobody had closed.
        subscribe: Makes the message that asks for a topic; None for a message that need not be sent.
        unsubscribe: Makes the message that ends it.
        message_id: What makes two messages the same one; None of it for a message without identity.
        options: Arguments of `websockets.connect`.
    """

    def __init__(
        self,
        url: str,
        book: SubscriptionBook,
        *,
        deliver: Callable[[str | bytes], Awaitable[None]],
        lost: Callable[[BaseException], Awaitable[None]],
        subscribe: Callable[[str], str | bytes | None] | None,
        unsubscribe: Callable[[str], str | bytes | None] | None,
        message_id: Callable[[str | bytes], Hashable] | None,
        options: Mapping[str, Any],
    ) -> None:
        self._url = url
        self._book = book
        self._deliver = deliver
        self._tell_lost = lost
        self._subscribe = subscribe
        self._unsubscribe = unsubscribe
        self._message_id = message_id
        self._options = options
        self._connection: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._connecting: asyncio.Task[None] | None = None
        # Topics that the present connection was asked for. Noted before the message is sent, so that two tasks
        # never ask for the same one.
        self._asked: set[str] = set()
        self._replaying = False
        self._expiry: asyncio.TimerHandle | None = None
        self._side_tasks: set[asyncio.Task[None]] = set()
        self._seen: OrderedDict[Hashable, None] = OrderedDict()
        self._closed = False
        self.connections = 0
        """Connections that were ever made."""
        self.duplicates = 0
        """Messages that were dropped because one of the same id had been delivered."""

    @property
    def is_open(self) -> bool:
        """Whether the connection looks alive; only a pong proves it."""
        connection = self._connection
        return connection is not None and connection.state.name == "OPEN"

    async def reconnect(self, within: float) -> None:
        """Connect unless the present connection answers a ping; who asks meanwhile shares the outcome.

        Args:
            within: Seconds for the opening handshake.

        Raises:
            NotConnectedError: After `close`.
            Exception: What websockets raises when it cannot connect.
        """
        if self._closed:
            raise NotConnectedError("the WebSocket manager is stopped")
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._reconnect(within))
            self._connecting.add_done_callback(self._connected)
        # A caller that gives up does not end the attempt of the others.
        await asyncio.shield(self._connecting)

    def _connected(self, task: asyncio.Task[None]) -> None:
        self._connecting = None
        if not task.cancelled():
            task.exception()  # whoever waits gets it; if nobody does any more it is not asyncio's to complain

    async def _reconnect(self, within: float) -> None:
        if self.is_open:
            try:
                await self.ping(min(within, _LIVENESS_WITHIN))
            except Exception:  # not alive after all, however it shows
                self._cut()
            else:
                return
        else:
            self._cut()
        connection = await connect(self._url, open_timeout=within, **self._options)
        if self._closed:
            connection.transport.abort()
            raise NotConnectedError("the WebSocket manager was stopped meanwhile")
        previous, self._connection, self._asked = self._reader, connection, set()
        self.connections += 1
        # Before the topics are asked for: two sides that both only send would wait for each other.
        self._reader = asyncio.get_running_loop().create_task(self._read(connection, previous))
        await self._replay(connection)

    def _cut(self) -> None:
        """Reset the old connection: what might be half-open is not waited for."""
        if self._connection is not None:
            self._connection.transport.abort()

    async def _replay(self, connection: ClientConnection) -> None:
        self._replaying = True
        try:
            self._book.expire(monotonic())
            while (topic := next((topic for topic in self._book if topic not in self._asked), None)) is not None:
                await self._ask(connection, topic)
        finally:
            self._replaying = False

    async def _ask(self, connection: ClientConnection, topic: str) -> None:
        self._asked.add(topic)
        message = self._subscribe(topic) if self._subscribe is not None else None
        if message is not None:
            await connection.send(message)

    async def _read(self, connection: ClientConnection, previous: asyncio.Task[None] | None) -> None:
        if previous is not None:
            # What came on the old connection is delivered first.
            await asyncio.wait([previous])
        try:
            while True:
                message = await connection.recv()
                if self._is_new(message):
                    await self._deliver(message)
        except ConnectionClosed as error:
            if connection is self._connection and not self._closed and self._connecting is None:
                await self._tell_lost(error)

    def _is_new(self, message: str | bytes) -> bool:
        if self._message_id is None:
            return True
        try:
            identity = self._message_id(message)
        except Exception:  # a message of another kind: rather twice than never
            note_handler_error(self._message_id)
            return True
        if identity is None:
            return True
        if identity in self._seen:
            self.duplicates += 1
            return False
        self._seen[identity] = None
        if len(self._seen) > _REMEMBERED_IDS:
            self._seen.popitem(last=False)
        return True

    async def send(self, message: str | bytes) -> None:
        """Send a message on the present connection.

        Raises:
            NotConnectedError: If there is none.
            websockets.ConnectionClosed: If it has ended.
        """
        if self._connection is None or self._closed:
            raise NotConnectedError("the WebSocket is not connected")
        await self._connection.send(message)

    async def ping(self, within: float) -> None:
        """Ping, and wait for the pong.

        Raises:
            NotConnectedError: If there is no connection.
            TimeoutError: If no pong comes in time.
            websockets.ConnectionClosed: If the connection has ended.
        """
        if self._connection is None or self._closed:
            raise NotConnectedError("the WebSocket is not connected")
        async with asyncio.timeout(within):
            await (await self._connection.ping())

    async def subscribe(self, topic: str, ttl: float | None) -> None:
        """Note a topic and ask for it; while there is no connection it is asked for on the next one."""
        self._book.add(topic, now=monotonic(), ttl=ttl)
        self.watch_expiry()
        connection = self._connection
        if connection is None or not self.is_open or self._replaying or topic in self._asked:
            return
        with contextlib.suppress(ConnectionError, ConnectionClosed):  # the next connection is asked for it
            await self._ask(connection, topic)

    async def unsubscribe(self, topic: str) -> None:
        """Forget a topic, and say so if the present connection was asked for it."""
        if self._book.remove(topic):
            await self._say_unsubscribed(topic)

    async def _say_unsubscribed(self, topic: str) -> None:
        connection = self._connection
        if topic not in self._asked:
            return
        self._asked.discard(topic)
        message = self._unsubscribe(topic) if self._unsubscribe is not None else None
        if message is not None and connection is not None and self.is_open:
            with contextlib.suppress(ConnectionError, ConnectionClosed):
                await connection.send(message)

    def watch_expiry(self) -> None:
        """Wake up when the next topic becomes stale."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        due = self._book.next_expiry()
        if due is not None and not self._closed:
            loop = asyncio.get_running_loop()
            self._expiry = loop.call_later(max(0.0, due - monotonic()), self._expire)

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        for topic in self._book.expire(monotonic()):
            task = loop.create_task(self._say_unsubscribed(topic))
            self._side_tasks.add(task)
            task.add_done_callback(self._side_tasks.discard)
        self.watch_expiry()

    async def close(self, caller: asyncio.Task[Any] | None) -> None:
        """Say goodbye, deliver what came until then, and end everything; bounded in time.

        Args:
            caller: The task that waits for this: the reader is not waited for by what it is itself waiting for.
        """
        self._closed = True
        if self._expiry is not None:
            self._expiry.cancel()
        mine = asyncio.current_task()
        ending = [task for task in (self._connecting, *self._side_tasks) if task is not None and task is not mine]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        connection, reader = self._connection, self._reader
        if connection is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_CLOSE_WITHIN):
                    await connection.close()
            connection.transport.abort()
        if reader is not None and reader not in (mine, caller):
            await asyncio.wait([reader], timeout=_CLOSE_WITHIN)
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
