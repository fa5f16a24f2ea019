"""A clock that stands still until a test moves it."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Self

from upright.strategies.clock import set_clock
from upright.strategies.errors import ConfigError
from upright.strategies.options import is_finite_number, require_seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from upright.strategies.clock import Clock

__all__ = ["FakeClock"]


class FakeClock:
    """Monotonic time by hand: timers, backoffs, windows and hang limits pass without waiting.

    As a context manager it is the process's clock for the block. Actors keep the clock under which they were
    started. Shutdown times and timeouts of asks are real waits and stay real.

    Args:
        start: What `now()` says first.

    Examples:
        >>> with FakeClock() as clock:
        ...     before = clock.now()
        ...     clock.advance(60.0)
        ...     clock.now() - before
        60.0
    """

    def __init__(self, start: float = 1000.0) -> None:
        if not is_finite_number(start):
            raise ConfigError("FakeClock.start", start, "a finite number of seconds")
        self._now = start
        self._wakes: list[Callable[[], Callable[[], object] | None]] = []
        self._previous: Clock | None = None

    def now(self) -> float:
        """Return the seconds that the clock shows."""
        return self._now

    def wait_for(self, _deadline: float) -> float | None:
        """Return None: only `advance` brings a moment nearer."""
        return None

    def attach(self, wake: Callable[[], Any]) -> None:
        """Call `wake` after each `advance`; a bound method is held weakly, so no actor is kept alive by its clock."""
        if len(self._wakes) % 64 == 63:
            self._wakes = [ref for ref in self._wakes if ref() is not None]
        self._wakes.append(weakref.WeakMethod(wake) if hasattr(wake, "__self__") else lambda: wake)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass, then wake whoever waits for a moment.

        Raises:
            ConfigError: If `seconds` is negative: the clock is monotonic. (A ValueError.)
        """
        require_seconds("FakeClock.advance.seconds", seconds)
        self._now += seconds
        for ref in list(self._wakes):
            wake = ref()
            if wake is not None:
                wake()

    def __enter__(self) -> Self:
        self._previous = set_clock(self)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if self._previous is not None:
            set_clock(self._previous)
