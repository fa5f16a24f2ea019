"""Where time comes from: monotonic seconds, replaceable in tests.

Windows, timers and backoffs read this clock and no other. A test that installs a controllable clock (see
`upright.testing`) makes time pass without waiting.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Clock", "SystemClock", "get_clock", "set_clock"]


class Clock(Protocol):
    """Monotonic time, and how long to wait for a moment of it."""

    def now(self) -> float:
        """Return monotonic seconds; the zero point means nothing."""
        ...

    def wait_for(self, deadline: float, /) -> float | None:
        """Return the real seconds to wait for `deadline`, or None: wait until `wake` is called."""
        ...

    def attach(self, wake: Callable[[], object], /) -> None:
        """Ask to be woken whenever the clock was moved by hand; held weakly where that is possible."""
        ...


class SystemClock:
    """`time.monotonic`, which no change of the wall clock can move."""

    now = staticmethod(time.monotonic)

    def wait_for(self, deadline: float) -> float | None:
        """Return the seconds from now to `deadline`, at least 0."""
        left = deadline - time.monotonic()
        return max(0.0, left)

    def attach(self, wake: Callable[[], object]) -> None:
        """Do nothing: nobody moves this clock."""


_clock: Clock = SystemClock()


def get_clock() -> Clock:
    """Return the clock that actors started from now on will read."""
    return _clock


def set_clock(clock: Clock) -> Clock:
    """Install `clock` for the whole process and return the one it replaces; actors already running keep theirs."""
    global _clock
    previous, _clock = _clock, clock
    return previous
