"""Messages to oneself, later: timers that live and die with one incarnation of an actor."""

from __future__ import annotations

import heapq
from itertools import count
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.strategies.clock import Clock

__all__ = ["Alarm", "Timer", "Timers"]

_LONGEST_WAIT = 86_400.0  # seconds; a queue refuses to wait for centuries, and looking once a day costs nothing
_SLACK: Final = 0.005  # seconds that an alarm may come late, at most, so that moments close together share one
_NEVER: Final = object()  # the message of a timer that was cancelled
_LAZY_LIMIT = 64  # cancelled timers are swept out of the heap when there are more of them than this and than live ones


class Timer:
    """One message that is due at a moment; `cancel()` makes it never come.

    Attributes:
        due: The moment, in seconds of the actor's clock.
        message: What `on_receive` will get.
    """

    __slots__ = ("_timers", "due", "message")

    def __init__(self, timers: Timers, due: float, message: Any) -> None:
        self._timers: Timers | None = timers
        self.due = due
        self.message = message

    @property
    def active(self) -> bool:
        """Whether the message is still to come."""
        return self._timers is not None

    def cancel(self) -> None:
        """Never deliver the message; call it from the actor's own thread. Harmless when it has come already."""
        timers, self._timers = self._timers, None
        self.message = _NEVER
        if timers is not None:
            timers.cancelled()

    def fire(self) -> Any:
        """Take the message out; the timer is then no longer active."""
        self._timers = None
        return self.message


class Timers:
    """The timers of one actor, touched by its own thread only.

    Args:
        clock: Where time comes from.

    Attributes:
        heap: The timers, the next one first, cancelled ones among them. It stays the same list: its emptiness is looked
            at for each message.
    """

    __slots__ = ("_cancelled", "_clock", "_order", "heap")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.heap: list[tuple[float, int, Timer]] = []
        self._order = count()  # timers due at the same moment come in the order in which they were set
        self._cancelled = 0

    def __bool__(self) -> bool:
        return bool(self.heap)

    def add(self, delay: float, message: Any) -> Timer:
        """Set a timer `delay` seconds from now (0 or less: at the next turn of the loop)."""
        timer = Timer(self, self._clock.now() + delay, message)
        heapq.heappush(self.heap, (timer.due, next(self._order), timer))
        return timer

    def cancelled(self) -> None:
        """Note that a timer in the heap will never come, and sweep if there are many such."""
        self._cancelled += 1
        if self._cancelled > _LAZY_LIMIT and self._cancelled * 2 > len(self.heap):
            self.heap[:] = [entry for entry in self.heap if entry[2].active]
            heapq.heapify(self.heap)
            self._cancelled = 0

    def clear(self) -> None:
        """Forget all timers."""
        self.heap.clear()
        self._cancelled = 0

    def wait(self) -> float | None:
        """Return the seconds until the next timer is due: 0 when it is, None when nothing needs a real wait."""
        heap = self.heap
        while heap:
            due, _, timer = heap[0]
            if timer.message is not _NEVER:
                wait = self._clock.wait_for(due)
                if wait is None:
                    return 0.0 if due <= self._clock.now() else None
                return min(wait, _LONGEST_WAIT)
            heapq.heappop(heap)
            self._cancelled -= 1
        return None

    def pop(self) -> Timer:
        """Take out the next timer, which `wait` has found due."""
        return heapq.heappop(self.heap)[2]


class Alarm:
    """One message to oneself at the earliest of many moments, which most often pass without being needed.

    For limits that are seldom reached. To set and cancel a timer for each thing that has one costs more than to look
    once in vain; so this one rings though what it was set for has ended meanwhile. Whoever gets the message calls
    `rang()`, deals with what is due, and calls `set()` for each of the others.

    Args:
        send_after: The actor's own.
        message: What it gets.
    """

    __slots__ = ("_at", "_message", "_send_after", "_timer")

    def __init__(self, send_after: Callable[[float, Any], Timer], message: Any) -> None:
        self._send_after = send_after
        self._message = message
        self._timer: Timer | None = None
        self._at = inf

    def set(self, moment: float) -> None:
        """Ring at that moment (monotonic seconds) if not before, or up to 5 ms later: 1 % of the time until then."""
        if moment >= self._at:
            return
        if self._timer is not None:
            self._timer.cancel()
        delay = max(0.0, moment - monotonic())
        self._at = moment
        self._timer = self._send_after(delay + min(_SLACK, delay / 100), self._message)

    def rang(self) -> None:
        """Note that the message has come."""
        self._at = inf
        self._timer = None
