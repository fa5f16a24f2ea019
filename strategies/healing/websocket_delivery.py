"""How messages reach an application that has no event loop: by a thread of their own, in order, and bounded."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sys
import threading
from typing import TYPE_CHECKING, Any

from upright.strategies.error_redaction import redacted_error

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DeliveryThread", "LoopThread", "note_handler_error"]

_END_WITHIN = 5.0  # seconds for a handler to finish when the manager stops

_log = logging.getLogger("upright.websocket")


def note_handler_error(function: Callable[..., Any]) -> None:
    """Log what a function of the application has raised; called while that is being handled."""
    name = getattr(function, "__qualname__", type(function).__qualname__)
    error = sys.exc_info()[1]
    _log.error(
        "websocket_handler_failed",
        exc_info=None if error is None else redacted_error(error),
        extra={"handler": name},
    )


class LoopThread:
    """An event loop in a daemon thread; everything that runs there shares it, so nothing there needs a lock."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        running = threading.Event()
        self.loop.call_soon(running.set)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        running.wait(_END_WITHIN)

    def _run(self) -> None:
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()

    def close(self) -> None:
        """End the loop, and wait for its thread unless this is it. A second call waits only."""
        with contextlib.suppress(RuntimeError):  # ended before
            self.loop.call_soon_threadsafe(self.loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join(_END_WITHIN)


class DeliveryThread:
    """Calls the application's functions one after another, so that a slow one delays no pong.

    Args:
        name: Of the thread.
        limit: How many calls may wait; then `put` waits, and the server is slowed down through TCP.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._queue: queue.SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]] | None] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(limit)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def put(self, function: Callable[..., Any], *args: Any) -> None:
        """Have a function called after those before it; returns when it is queued. From one loop only."""
        self._loop = asyncio.get_running_loop()
        await self._room.acquire()
        self._queue.put((function, args))

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            function, args = work
            try:
                function(*args)
            except Exception:
                note_handler_error(function)
            try:
                if self._loop is not None:
                    self._loop.call_soon_threadsafe(self._room.release)
            except RuntimeError:  # the loop has ended: nobody waits for room
                continue

    def close(self) -> None:
        """End when what is queued has been called; wait for that, up to a limit, unless this is the thread."""
        self._queue.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join(_END_WITHIN)
