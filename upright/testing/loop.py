"""An event loop in a thread of its own, for the proxies and servers that tests talk to from outside."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["LoopThread"]

T = TypeVar("T")


class LoopThread:
    """Runs coroutines in the background and waits for them in the foreground.

    Everything that runs here shares one thread, so what it owns needs no lock: others send it work.

    Args:
        name: Of the thread.
        within: Seconds that one piece of work may take.
    """

    def __init__(self, name: str, *, within: float = 10.0) -> None:
        self._loop = asyncio.new_event_loop()
        self._within = within
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there, and return its value here.

        Raises:
            TimeoutError: If it takes too long.
        """
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(self._within)

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function there, and return its value here."""

        async def calling() -> T:
            return function(*args)

        return self.run(calling())

    def close(self) -> None:
        """Cancel what still runs there, and end the thread. A second call does nothing."""
        if self._loop.is_closed():
            return

        async def cancel_all() -> None:
            mine = asyncio.current_task()
            others = [task for task in asyncio.all_tasks() if task is not mine]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await self._loop.shutdown_asyncgens()

        with contextlib.suppress(TimeoutError):
            self.run(cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(self._within)
        self._loop.close()
