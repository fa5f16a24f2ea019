"""The outcomes of an operation's last calls, and the rates read from them.

A log is a bounded deque of outcomes `(ended, took, failed)`: when the call ended on the monotonic clock, how
many seconds it took, and whether it failed. `deque.append` is one atomic step and drops the oldest at the
limit, so any number of threads log without a lock and without waiting; the rates are worked out by whoever
asks, from a copy. A log is never cleared: starting anew means publishing a new one, and what late callers
still write into the old one is lost, as it should be.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias, TypeVar

__all__ = ["Log", "Outcome", "Rates", "WindowType", "copied", "rates_of"]

T = TypeVar("T")

Outcome: TypeAlias = tuple[float, float, bool]
"""When it ended (monotonic seconds), how many seconds it took, and whether it failed."""

Log: TypeAlias = deque[Outcome]
"""Outcomes, oldest first, with a maximum length."""


class WindowType(StrEnum):
    """What `window_size` counts."""

    COUNT = "COUNT"
    """The last so many calls."""
    TIME = "TIME"
    """The calls that ended in the last so many seconds."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What a window holds.

    Attributes:
        calls: Outcomes in it.
        failures: Those that failed.
        slow: Those that took longer than the limit, failed or not.
    """

    calls: int = 0
    failures: int = 0
    slow: int = 0

    @property
    def failure_rate(self) -> float:
        """Share of the calls that failed, 0 to 1; 0 without calls."""
        return self.failures / self.calls if self.calls else 0.0

    @property
    def slow_rate(self) -> float:
        """Share of the calls that were slow, 0 to 1; 0 without calls."""
        return self.slow / self.calls if self.calls else 0.0


def copied(log: deque[T]) -> tuple[T, ...]:
    """A copy of a deque that other threads may be writing to.

    Copying is one step on a Python with the global lock. Elsewhere a writer may change the deque under the
    copy, which Python reports; a few attempts find a moment between two writers, and if none does, the
    entries read so far make do.
    """
    for _ in range(8):
        try:
            return tuple(log)
        except RuntimeError:  # "deque mutated during iteration"
            continue
    seen: list[T] = []
    with suppress(RuntimeError):
        seen.extend(log)
    return tuple(seen)


def rates_of(log: Log, *, slow: float, since: float = float("-inf")) -> Rates:
    """The rates over a log.

    Args:
        log: The outcomes.
        slow: A call that took more seconds than this is slow.
        since: Only calls that ended at this moment or later; by default all that the log still holds.

    Examples:
        >>> log = deque([(1.0, 0.1, False), (2.0, 0.1, True), (3.0, 9.0, False)], maxlen=100)
        >>> rates_of(log, slow=5.0).failure_rate, rates_of(log, slow=5.0, since=2.0).failure_rate
        (0.3333333333333333, 0.5)
    """
    calls = failures = slow_calls = 0
    for ended, took, failed in copied(log):
        if ended >= since:
            calls += 1
            failures += failed
            slow_calls += took > slow
    return Rates(calls, failures, slow_calls)
