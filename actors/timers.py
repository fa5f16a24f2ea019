"""Messages to oneself, later: timers that live and die with one incarnation of an actor."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upright.strategies.clock import Clock

__all__ = ["Timer", "Timers"]

_LONGEST_WAIT = 86_400.0  # seconds; a queue refuses to wait for centuries, and looking once a day costs nothing
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
        self.message = None
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
    """

    __slots__ = ("_cancelled", "_clock", "_heap", "_order")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = count()  # timers due at the same moment come in the order in which they were set
        self._cancelled = 0

    def __bool__(self) -> bool:
        return bool(self._heap)

    def add(self, delay: float, message: Any) -> Timer:
        """Set a timer `delay` seconds from now (0 or less: at the next turn of the loop)."""
        timer = Timer(self, self._clock.now() + delay, message)
        heapq.heappush(self._heap, (timer.due, next(self._order), timer))
        return timer

    def cancelled(self) -> None:
        """Note that a timer in the heap will never come, and sweep if there are many such."""
        self._cancelled += 1
        if self._cancelled > _LAZY_LIMIT and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].active]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def clear(self) -> None:
        """Forget all timers."""
        self._heap.clear()
        self._cancelled = 0

    def wait(self) -> float | None:
        """Return the seconds until the next timer is due: 0 when it is, None when nothing needs a real wait."""
        self._drop_cancelled()
        if not self._heap:
            return None
        due = self._heap[0][0]
        wait = 0.0 if due <= self._clock.now() else self._clock.wait_for(due)
        return None if wait is None else min(wait, _LONGEST_WAIT)

    def pop_due(self) -> Timer | None:
        """Take out the oldest timer that is due, or return None."""
        self._drop_cancelled()
        if self._heap and self._heap[0][0] <= self._clock.now():
            return heapq.heappop(self._heap)[2]
        return None

    def _drop_cancelled(self) -> None:
        while self._heap and not self._heap[0][2].active:
            heapq.heappop(self._heap)
            self._cancelled = max(0, self._cancelled - 1)
