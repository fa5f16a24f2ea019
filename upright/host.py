"""How the host of a tree is read: what the collector measures, with what the tree's own calls amounted to."""

from __future__ import annotations

import weakref
from time import monotonic
from typing import TYPE_CHECKING

from upright.strategies.prediction.collector import Collector
from upright.strategies.traffic import traffic_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upright.actors.operation import Operation, Operations
    from upright.strategies.prediction.metrics import SystemMetrics
    from upright.strategies.window import Log

__all__ = ["HostReader"]


class HostReader:
    """Takes readings; each covers the calls that ended since the last one.

    Belongs to the collector actor, which alone calls `read`. Bounded by the operations that are known.

    Args:
        operations: The tree's operations, whose outcome logs give error rate, response time and request count.

    Attributes:
        collector: Reads the rest; what it has a hook for comes from there. Replaced by `register`.
    """

    def __init__(self, operations: Operations) -> None:
        self.collector = Collector()
        self._operations = operations
        # The logs are in monotonic time, whatever clock the actors go by.
        self._since = monotonic()
        # What each operation had at the last reading: its log, and how many calls its circuit had kept away.
        self._seen: weakref.WeakKeyDictionary[Operation, tuple[Log, int]] = weakref.WeakKeyDictionary()

    def read(self, at: float) -> SystemMetrics:
        """Return the reading at `at`, a time on the clock that the actors go by."""
        now = monotonic()
        rejected = 0
        logs: list[Log] = []
        for operation, log, kept_away in self._looked_at():
            before = self._seen.get(operation)
            logs.append(log)
            if before is not None and before[0] is not log:
                # The circuit has changed its state since, and with it the log: the failures are in the old one.
                logs.append(before[0])
            rejected += max(0, kept_away - (0 if before is None else before[1]))
            self._seen[operation] = (log, kept_away)
        traffic = traffic_of(logs, since=self._since, now=now, rejected=rejected)
        self._since = now
        own = {
            "response_ms": traffic.response_ms,
            "error_rate": traffic.error_rate,
            "requests": float(traffic.requests),
        }
        hooks = self.collector.hooks
        return self.collector.collect(at, **{name: value for name, value in own.items() if name not in hooks})

    def _looked_at(self) -> Iterator[tuple[Operation, Log, int]]:
        for operation in self._operations:
            yield operation, operation.breaker.snapshot.log, operation.rejected
