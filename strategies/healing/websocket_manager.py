"""The WebSocketManager: owns a WebSocket, its subscriptions and their replay, for plain code and for asyncio."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from upright.strategies.errors import ConfigError
from upright.strategies.healing.subscriptions import SubscriptionBook
from upright.strategies.healing.websocket_delivery import DeliveryThread, LoopThread, note_handler_error
from upright.strategies.healing.websocket_session import NotConnectedError, WebSocketSession
from upright.strategies.options import require_count, require_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable, Mapping
    from types import TracebackType

__all__ = ["WebSocketManager"]


class WebSocketManager:
    """A WebSocket connection that can be brought back, with its subscriptions.

    Started in plain code it runs on threads of its own: every method blocks, and `on_message` is called by one
    thread, one message after another. Started in a coroutine it runs on that event loop and needs no thread:
    `start`, `stop`, `send`, `subscribe`, `unsubscribe` return awaitables, and `on_message` is called (and awaited,
    if it is a coroutine function) on the loop. What was begun goes on whether it is awaited or not.

    It does not reconnect by itself: when to is decided in one place, by the healing of the tree, with its flags,
    limits and circuits. A `send` on a lost connection raises what makes a protected call heal it, and
    `on_disconnect` reports a loss that no call would notice:

        manager = WebSocketManager(
            "wss://voice.example/", on_message=play, subscribe=wanted, unsubscribe=unwanted,
            on_disconnect=lambda error: upright.report(error, operation="voice", resource="voice-socket"))
        upright.boot(strategies=[WebSocketReconnection(manager, resource="voice-socket")])

    Subscriptions outlive connections. While there is none, `subscribe` notes the topic for the next one. A topic
    with a `ttl` that nobody renewed in time is dropped: unsubscribed from the present connection, and not asked for
    on the next. What is sent during an outage is not kept: see `upright.strategies.fallback.OfflineQueue`.

    Args:
        url: A ws:// or wss:// URL.
        on_message: Called with each message, text as str and binary as bytes. What it raises is logged, and the
            next message comes. None drops them.
        subscribe: Makes the message that asks the server for a topic; it may return None for nothing to send.
        unsubscribe: Makes the message that ends a subscription.
        on_disconnect: Called with the exception when a connection has ended that was not stopped here, where
            `on_message` is called, after the last message.
        message_id: Gives what makes two messages the same one, None for a message that has no identity. With it a
            message that the server sends again after a reconnection is dropped; the last 10 000 are remembered.
        ping_interval: Seconds between pings that keep the connection alive and notice that it is dead; None never.
        ping_timeout: Seconds for the pong, after which the connection is given up; None never.
        open_timeout: Seconds for `start` to connect, above 0.
        connect_options: Further arguments of `websockets.connect`: additional_headers, ssl, subprotocols, ...
        max_pending: Messages that may wait for a slow `on_message` before the server is slowed down; one that is
            slower than its server for longer than `ping_interval + ping_timeout` loses the connection. Plain code
            only; on an event loop a message waits for the one before it.
        max_subscriptions: Topics at most.

    Raises:
        ConfigError: If a value is not allowed.
    """

    def __init__(
        self,
        url: str,
        *,
        on_message: Callable[[Any], Any] | None = None,
        subscribe: Callable[[str], str | bytes | None] | None = None,
        unsubscribe: Callable[[str], str | bytes | None] | None = None,
        on_disconnect: Callable[[BaseException], Any] | None = None,
        message_id: Callable[[Any], Hashable] | None = None,
        ping_interval: float | None = 20.0,
        ping_timeout: float | None = 20.0,
        open_timeout: float = 10.0,
        connect_options: Mapping[str, Any] | None = None,
        max_pending: int = 1_000,
        max_subscriptions: int = 10_000,
    ) -> None:
        if not isinstance(url, str) or not url.startswith(("ws://", "wss://")):
            raise ConfigError("WebSocketManager.url", url, "a ws:// or wss:// URL")
        functions = {
            "on_message": on_message,
            "subscribe": subscribe,
            "unsubscribe": unsubscribe,
            "on_disconnect": on_disconnect,
            "message_id": message_id,
        }
        for name, function in functions.items():
            if function is not None and not callable(function):
                raise ConfigError(f"WebSocketManager.{name}", function, "None or callable")
        for name, seconds in (("ping_interval", ping_interval), ("ping_timeout", ping_timeout)):
            if seconds is not None:
                require_seconds(f"WebSocketManager.{name}", seconds, above=True)
        require_seconds("WebSocketManager.open_timeout", open_timeout, above=True)
        require_count("WebSocketManager.max_pending", max_pending, least=1)
        self.url = url
        self._on_message = on_message
        self._on_disconnect = on_disconnect
        self._subscribe = subscribe
        self._unsubscribe = unsubscribe
        self._message_id = message_id
        self._options = {
            "close_timeout": 1.0,
            **(connect_options or {}),
            "ping_interval": ping_interval,
            "ping_timeout": ping_timeout,
        }
        self.open_timeout = open_timeout
        self._max_pending = max_pending
        self._book = SubscriptionBook(max_subscriptions)
        self._life: _Life | None = None
        # The application's loop that it was started on, kept after a start that failed: a healing goes on there.
        self._home: asyncio.AbstractEventLoop | None = None
        self._stopped = False
        # Two threads may start or stop it at the same time. Held for the change of state, never while waiting.
        self._changing = threading.Lock()

    # Life.

    def start(self) -> Any:
        """Connect and ask for the topics that are noted; nothing happens if it is connected.

        Raises:
            Exception: What websockets raises when it cannot connect. Nothing is left running then; a healing, or
                the next `start`, tries again.
        """
        self._stopped = False
        return self.reconnect(self.open_timeout)

    def stop(self) -> Any:
        """Close the connection and end the threads. Subscriptions are kept for another `start`."""
        self._stopped = True
        with self._changing:
            life, self._life, self._home = self._life, None, None
        if life is None or not life.loop.is_running():
            return _nothing()
        closing = life.session.close(_current_task())
        if life.thread is None:
            return self._run(life, closing)
        running = _running_loop()
        if running is None:
            life.end(closing)
            return None
        return running.run_in_executor(None, life.end, closing)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    # Use.

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection that looks alive."""
        life = self._life
        return life is not None and life.session.is_open

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """The topics that are noted, in the order they were first subscribed to."""
        return tuple(self._book)

    @property
    def duplicates(self) -> int:
        """Messages that were dropped because they had been delivered before, since the last start."""
        life = self._life
        return 0 if life is None else life.session.duplicates

    def send(self, message: str | bytes) -> Any:
        """Send a message.

        Raises:
            NotConnectedError: If there is no connection (code WEBSOCKET_DISCONNECTED).
            websockets.ConnectionClosed: If the connection has ended (the same code).
        """
        life = self._alive()
        return self._run(life, life.session.send(message))

    def subscribe(self, topic: str, ttl: float | None = None) -> Any:
        """Note a topic and ask the server for it; one that is noted is renewed and not asked for again.

        Args:
            topic: A text that is not empty.
            ttl: Seconds after which it is dropped unless subscribed to again, above 0; None never.

        Raises:
            ConfigError: If a value is not allowed, or there are too many topics.
        """
        life = self._life
        if life is None:
            self._book.add(topic, now=monotonic(), ttl=ttl)
            return _nothing()
        return self._run(life, life.session.subscribe(topic, ttl))

    def unsubscribe(self, topic: str) -> Any:
        """Forget a topic, and tell the server; nothing happens if it is not noted."""
        life = self._life
        if life is None:
            self._book.remove(topic)
            return _nothing()
        return self._run(life, life.session.unsubscribe(topic))

    def reconnect(self, within: float | None = None) -> Any:
        """Connect again unless the connection answers a ping; stale topics are dropped, the others asked for in order.

        Args:
            within: Seconds for the opening handshake; None takes `open_timeout`.

        Raises:
            NotConnectedError: If it was stopped, or the event loop it belongs to has ended.
            Exception: What websockets raises when it cannot connect.
        """
        if within is not None:
            require_seconds("WebSocketManager.reconnect.within", within, above=True)
        if self._stopped:
            raise NotConnectedError("the WebSocket manager is stopped")
        seconds = self.open_timeout if within is None else within
        life = self._begin()
        return self._run(life, self._connect(life, seconds))

    def ping(self, within: float = 5.0) -> Any:
        """Ping the server, and wait for its pong.

        Raises:
            NotConnectedError: If there is no connection.
            TimeoutError: If no pong comes within so many seconds.
            websockets.ConnectionClosed: If the connection has ended.
        """
        require_seconds("WebSocketManager.ping.within", within)
        life = self._alive()
        return self._run(life, life.session.ping(within))

    # Where it runs.

    def _alive(self) -> _Life:
        life = self._life
        if life is None:
            raise NotConnectedError("the WebSocket is not connected: it was not started, or stopped")
        return life

    def _begin(self) -> _Life:
        with self._changing:
            if self._life is not None:
                return self._life
            if self._home is None:
                self._home = _running_loop()
            thread = delivery = None
            if self._home is None:
                thread = LoopThread("upright-websocket")
                delivery = DeliveryThread("upright-websocket-messages", self._max_pending)
            elif not self._home.is_running():
                raise NotConnectedError("the event loop that the WebSocket manager was started on does not run")
            session = WebSocketSession(
                self.url,
                self._book,
                deliver=functools.partial(_tell, delivery, self._on_message),
                lost=functools.partial(_tell, delivery, self._on_disconnect),
                subscribe=self._subscribe,
                unsubscribe=self._unsubscribe,
                message_id=self._message_id,
                options=self._options,
            )
            loop = self._home if thread is None else thread.loop
            assert loop is not None  # noqa: S101 - one of the two is there
            self._life = _Life(session, loop, thread, delivery)
            return self._life

    async def _connect(self, life: _Life, seconds: float) -> None:
        session = life.session
        session.watch_expiry()
        try:
            await session.reconnect(seconds)
        except BaseException:
            if session.connections == 0:  # it never began
                with self._changing:
                    if self._life is life:
                        self._life = None
                await session.close(None)
                life.end_threads()
            raise

    def _run(self, life: _Life, work: Coroutine[Any, Any, None]) -> Any:
        """Run a coroutine where it belongs: waiting for it in plain code, returning an awaitable in a coroutine."""
        running, loop = _running_loop(), life.loop
        if loop is running:
            task: asyncio.Future[None] = loop.create_task(work)
        elif not loop.is_running():
            work.close()
            raise NotConnectedError("the WebSocket manager is stopped, or its event loop does not run")
        else:
            future = asyncio.run_coroutine_threadsafe(work, loop)
            if running is None:
                try:
                    return future.result()
                except BaseException:
                    future.cancel()  # this worker is being stopped
                    if self._life is not life:
                        life.end_threads()  # told to end by themselves: here they can be waited for
                    raise
            task = asyncio.wrap_future(future)
        # It goes on whether it is awaited or not, and then its exception is nobody's to complain about.
        task.add_done_callback(lambda done: None if done.cancelled() else done.exception() and None)
        return task

    def __repr__(self) -> str:
        state = "connected" if self.is_connected else "stopped" if self._stopped else "not connected"
        return f"<WebSocketManager {state}, {len(self._book)} subscriptions>"


@dataclass(frozen=True, slots=True)
class _Life:
    """What runs from a start to the next stop.

    Attributes:
        session: The connection.
        loop: Where it lives.
        thread: Of the loop; None on a loop of the application's.
        delivery: Calls `on_message`; None on a loop of the application's, where it is called on the loop.
    """

    session: WebSocketSession
    loop: asyncio.AbstractEventLoop
    thread: LoopThread | None
    delivery: DeliveryThread | None

    def end(self, closing: Coroutine[Any, Any, None]) -> None:
        """Close the session, let the messages that came be handled, and end the threads."""
        asyncio.run_coroutine_threadsafe(closing, self.loop).result()
        self.end_threads()

    def end_threads(self) -> None:
        """End the threads, if there are any."""
        if self.delivery is not None:
            self.delivery.close()
        if self.thread is not None:
            self.thread.close()


async def _tell(delivery: DeliveryThread | None, function: Callable[[Any], Any] | None, argument: Any) -> None:
    """Call a function of the application: by its thread, or here."""
    if function is None:
        return
    if delivery is not None:
        await delivery.put(function, argument)
        return
    try:
        answer = function(argument)
        if inspect.isawaitable(answer):
            await answer
    except Exception:
        note_handler_error(function)


def _current_task() -> asyncio.Task[Any] | None:
    return None if _running_loop() is None else asyncio.current_task()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _nothing() -> Any:
    """Return what says "done": None in plain code, something to await in a coroutine."""
    running = _running_loop()
    if running is None:
        return None
    done = running.create_future()
    done.set_result(None)
    return done
