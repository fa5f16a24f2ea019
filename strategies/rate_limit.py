"""So many in any window, and a count of what was held back: a limit that hides how much it hid would be a lie."""

from __future__ import annotations

from collections import Counter, deque

from upright.strategies.options import require_count, require_seconds

__all__ = ["RateLimit"]


class RateLimit:
    """Allow at most `limit` in any `seconds`, and count the rest by kind.

    The caller brings the clock: every `now` is a reading of one monotonic clock.

    Args:
        limit: At least 1.
        seconds: Length of the window, above 0.

    Attributes:
        held: How many were held back since the last `take_held`, by kind. Kinds are few and fixed.
        held_ever: How many were held back altogether.

    Raises:
        ConfigError: If an argument is out of its range.

    Examples:
        >>> limit = RateLimit(limit=1, seconds=60.0)
        >>> limit.allows("failed", now=0.0), limit.allows("failed", now=1.0), limit.take_held()
        (True, False, {'failed': 1})
    """

    __slots__ = ("_limit", "_past", "_seconds", "held", "held_ever")

    def __init__(self, limit: int, seconds: float) -> None:
        require_count("RateLimit.limit", limit, least=1)
        require_seconds("RateLimit.seconds", seconds, above=True)
        self._limit = limit
        self._seconds = seconds
        self._past: deque[float] = deque(maxlen=limit)
        self.held: Counter[str] = Counter()
        self.held_ever = 0

    def allows(self, kind: str, now: float) -> bool:
        """Whether one more may go now; if not it is counted as held back."""
        if len(self._past) == self._limit and now - self._past[0] < self._seconds:
            self.hold(kind)
            return False
        self._past.append(now)
        return True

    def hold(self, kind: str, count: int = 1) -> None:
        """Count something that was held back for another reason."""
        self.held[kind] += count
        self.held_ever += count

    def take_held(self) -> dict[str, int]:
        """Return what was held back since the last time, and start counting anew."""
        held = dict(self.held)
        self.held.clear()
        return held
