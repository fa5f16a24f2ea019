"""How many restarts are too many: the restart intensity of OTP supervisors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from upright.strategies.options import require_count, require_seconds

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterable

__all__ = ["RestartWindow"]


@dataclass(frozen=True, slots=True)
class RestartWindow:
    """Allow at most `intensity` restarts in any `period` seconds.

    The caller brings the clock and keeps the history: both are readings of one monotonic clock. The
    window is the precise `[now - period, now]`, both ends included. OTP's `supervisor:add_restart/1` is
    the same rule in whole seconds, which makes its real window up to one second longer than `period`.

    Args:
        intensity: Restarts allowed within the window; 0 allows none.
        period: Length of the window in seconds, above 0.

    Raises:
        ConfigError: If `intensity` is no int >= 0, or `period` no finite number > 0.

    Examples:
        >>> from collections import deque
        >>> window, history = RestartWindow(intensity=1, period=5.0), deque()
        >>> window.record(history, 10.0), window.record(history, 15.0)
        (True, False)
    """

    intensity: int = 1
    period: float = 5.0

    def __post_init__(self) -> None:
        require_count("RestartWindow.intensity", self.intensity)
        require_seconds("RestartWindow.period", self.period, above=True)

    def record(self, history: deque[float], now: float) -> bool:
        """Count one restart request at `now`; whether it is allowed.

        The check comes before the restart: intensity I allows I restarts within a window, and the
        (I + 1)th request is refused. A refused request is counted too. Group restarts are one request;
        each retry after a failed start is one more.

        Args:
            history: Times of earlier requests, oldest first, kept by the caller between calls and
                changed here. Never longer than `intensity + 1`: an older time could not change an answer.
            now: Time of this request, not earlier than any in `history`.
        """
        start = now - self.period
        while history and history[0] < start:
            history.popleft()
        history.append(now)
        while len(history) > self.intensity + 1:
            history.popleft()
        return len(history) <= self.intensity

    def allows(self, history: Iterable[float], now: float) -> bool:
        """Whether a restart at `now` would be allowed; counts nothing.

        Examples:
            >>> RestartWindow(intensity=1, period=5.0).allows([10.0], now=15.1)
            True
        """
        start = now - self.period
        return sum(1 for at in history if at >= start) < self.intensity
