"""Notices on their way to the application: each reader has a bounded stream of its own, filled by the monitor's thread.

A reader that is slow, or gone without saying so, costs its stream and nothing else: the oldest notices are dropped
and counted. What the two threads agree on travels through a queue; they share no lock.
"""

from __future__ import annotations

import asyncio
import contextlib
from _thread import TIMEOUT_MAX
from collections import deque
from itertools import count
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self

from upright.actors.events import CircuitChanged, HealingEnded, RecoveryEscalated, RecoveryFinished, RecoveryStarted
from upright.strategies.errors import ConfigError
from upright.strategies.notices import (
    NoticeFilter,
    RecoveryNotice,
    notice_of_circuit,
    notice_of_healing,
    notice_of_result,
    notice_of_start,
)
from upright.strategies.options import require_count, require_timeout
from upright.strategies.window import copied

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NoticeHub", "NoticeStream"]

_MAX_STREAMS: Final = 1_000
_KEPT: Final = 100  # the newest notices, for streams that are opened in the middle of it
_END: Final = None  # in a queue: nothing comes after this


class NoticeStream:
    """The notices of a tree as they come; made by `tree.notices()`.

    An iterator for threads and for tasks, and a context manager for both. It ends when the tree has stopped or given
    up, or when it was closed; what is in it by then is still given out. Each notice goes to one reader: open a stream
    for each.

    Args:
        limit: Notices that wait to be read at most; beyond it the oldest is dropped and counted.
        close: Called once, when the stream is closed.

    Attributes:
        dropped: How many were dropped because nobody read them in time.
    """

    def __init__(self, limit: int, close: Callable[[], object]) -> None:
        require_count("NoticeStream.limit", limit, least=1)
        self._limit = limit
        self._close = close
        self._queue: SimpleQueue[RecoveryNotice | None] = SimpleQueue()
        self._sleepers: deque[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = deque()
        self._ended = False
        self.dropped = 0

    # For the hub, in its one thread; `end` may come from any.

    def put(self, notice: RecoveryNotice) -> None:
        """Add a notice, and wake who waits for one."""
        if self._ended:
            return
        if self._queue.qsize() >= self._limit:
            with contextlib.suppress(Empty):  # a reader was faster
                self._queue.get_nowait()
                self.dropped += 1
        self._queue.put(notice)
        self._wake()

    def end(self) -> None:
        """Let nothing come any more."""
        self._ended = True
        self._queue.put(_END)
        self._wake()

    def _wake(self) -> None:
        while self._sleepers:
            try:
                loop, event = self._sleepers.popleft()
            except IndexError:
                return
            with contextlib.suppress(RuntimeError):  # its loop was closed
                loop.call_soon_threadsafe(event.set)

    # For readers.

    def close(self) -> None:
        """End the stream; from any thread, any number of times."""
        if not self._ended:
            self._close()
            self.end()

    def get(self, timeout: float | None = None) -> RecoveryNotice | None:
        """Return the next notice; None if none came within `timeout` seconds (None: no limit), or at the end."""
        require_timeout("NoticeStream.get.timeout", timeout)
        try:
            return self._taken(self._queue.get(timeout=None if timeout is None else min(max(0, timeout), TIMEOUT_MAX)))
        except Empty:
            return None

    def _taken(self, item: RecoveryNotice | None) -> RecoveryNotice | None:
        if item is _END:
            self._queue.put(_END)  # for the next reader
        return item

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> RecoveryNotice:
        notice = self.get()
        if notice is None:
            raise StopIteration
        return notice

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RecoveryNotice:
        while True:
            try:
                notice = self._taken(self._queue.get_nowait())
            except Empty:
                await self._sleep()
            else:
                if notice is None:
                    raise StopAsyncIteration
                return notice

    async def _sleep(self) -> None:
        sleeper = (asyncio.get_running_loop(), asyncio.Event())
        self._sleepers.append(sleeper)
        try:
            if self._queue.empty():  # looked at after we can be woken, so nothing is slept through
                await sleeper[1].wait()
        finally:
            with contextlib.suppress(ValueError):  # it was woken
                self._sleepers.remove(sleeper)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


class NoticeHub:
    """Makes notices of events, and hands them to the streams; made once per tree.

    Args:
        acts: Whether recovery acts; while it only observes, nobody is told that somebody works on it.
    """

    def __init__(self, acts: Callable[[], bool]) -> None:
        self._acts = acts
        self._news = NoticeFilter()
        self._kept: deque[RecoveryNotice] = deque(maxlen=_KEPT)
        self._streams: dict[int, NoticeStream] = {}
        self._numbers = count()
        self._ended = False

    def open(self, limit: int, backlog: int) -> NoticeStream:
        """Open a stream, with the newest `backlog` notices in it.

        Raises:
            ConfigError: A number is out of its range, or 1 000 streams are open already.
        """
        require_count("notices.limit", limit, least=1)
        require_count("notices.backlog", backlog, least=0)
        if len(self._streams) >= _MAX_STREAMS:
            raise ConfigError("notices.streams", len(self._streams), f"at most {_MAX_STREAMS}: close those not read")
        number = next(self._numbers)
        stream = NoticeStream(limit, lambda: self._streams.pop(number, None))
        for notice in list(copied(self._kept))[-backlog:] if backlog else ():
            stream.put(notice)
        self._streams[number] = stream
        if self._ended:  # looked at after `end` could have found it
            stream.close()
        return stream

    def take(self, event: Any) -> None:
        """Take in an event; in the monitor's thread."""
        notice = self._notice_of(event)
        if notice is None or not self._news.passes(notice, monotonic()):
            return
        self._kept.append(notice)
        for stream in list(self._streams.values()):
            stream.put(notice)

    def end(self) -> None:
        """End all streams: the tree has ended."""
        self._ended = True
        for stream in list(self._streams.values()):
            stream.close()

    def _notice_of(self, event: Any) -> RecoveryNotice | None:
        if isinstance(event, RecoveryFinished):
            # A permanent error is the application's own answer to bad input, and no outage.
            refused = event.report is not None and event.report.permanent
            return None if refused else notice_of_result(event.result)
        if isinstance(event, CircuitChanged):
            return notice_of_circuit(event.operation) if (event.old, event.new) == ("HALF_OPEN", "CLOSED") else None
        if not self._acts():
            return None
        if isinstance(event, RecoveryStarted):
            return notice_of_start(event.recovery_id, event.report.operation, event.report.resource)
        if isinstance(event, HealingEnded) and not event.skipped:
            report = event.report
            return notice_of_healing(event.recovery_id, report.operation, report.resource, healed=event.healed)
        if isinstance(event, RecoveryEscalated):
            report = event.report
            return notice_of_healing(
                event.recovery_id, report.operation, report.resource, healed=False, retry_in=event.cooldown
            )
        return None
