"""Work that must not be lost while its database is down: put into a durable queue, done in order when that is back."""

from __future__ import annotations

import sqlite3
from collections import deque
from itertools import pairwise
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from benchmarks.chaos.resources import OutageError
from upright.actors.fallback import WorksAgain
from upright.strategies.errors import CircuitOpenError
from upright.strategies.fallback.chain import FallbackChain
from upright.strategies.fallback.offline_mode import OfflineMode, Queued

if TYPE_CHECKING:
    import random
    import threading
    from collections.abc import Callable

    from benchmarks.chaos.resources import Resources
    from upright.strategies.fallback.offline_queue import OfflineQueue
    from upright.tree import Tree

__all__ = ["Outbox"]

_EMPTY_WITHIN = 30.0  # seconds that a healed tree gets to deliver what was put off


class Outbox:
    """Saves that are taken down on disk while the resource "store" is down, and delivered by the tree.

    Args:
        queue: Where they are taken down.
        resources: Holds "store".

    Attributes:
        accepted: Numbers that a caller was promised and that are not delivered yet.
        delivered: How many were, from the queue.
        refused: How often the disk was full.
    """

    def __init__(self, queue: OfflineQueue, resources: Resources) -> None:
        self.queue = queue
        self.resources = resources
        self.accepted: deque[int] = deque()
        self.delivered = self.refused = 0
        self._arrived: deque[int] = deque()
        self._numbers = iter(range(1, 10**12))
        resources.add("store")
        queue.put = self._counted(queue.put)  # type: ignore[method-assign]
        mode = OfflineMode(queue, self._deliver, payload=lambda context: [context["args"][0], "x" * 2_000])
        self.chain = FallbackChain("save", [mode])

    def save(self, tree: Tree, stopped: threading.Event, rng: random.Random, fault: Callable[[str, str], None]) -> None:
        """Save one number after another until stopped."""

        @tree.protect("save", resource="store", heal_wait=0.0, retry_attempts=1)
        def save(_number: int) -> str:
            return self.resources.by_name["store"].use()

        while not stopped.is_set():
            number = next(self._numbers)
            try:
                value = save(number)
            except (OutageError, CircuitOpenError):
                pass  # not promised, not taken down
            except BaseException as error:
                fault("an exception changed", f"save: {error!r}")
            else:
                if isinstance(value, Queued):
                    self.accepted.append(number)
            sleep(rng.random() * 0.02)

    def check(self, tree: Tree, fault: Callable[[str, str], None]) -> None:
        """After a round, with the disk and the store in order: what was accepted is delivered, in order."""
        self.resources.by_name["store"].down_since = None
        deadline = monotonic() + _EMPTY_WITHIN
        while len(self.queue) and monotonic() < deadline:
            tree["fallback"].send_unbounded(WorksAgain(resource="store"))
            sleep(0.05)
        arrived = list(self._arrived)
        self._arrived.clear()
        aside = {entry.payload[0] for entry in self.queue.poison()}
        for entry in self.queue.poison():
            self.queue.discard_poison(entry.key)
        missing = set(self.accepted) - set(arrived) - aside
        if missing:
            fault("an outbox entry was lost", f"{sorted(missing)[:5]} ({len(missing)} of {len(self.accepted)})")
        if aside:
            fault("an outbox entry was set aside", f"{sorted(aside)[:5]}")
        if any(later < earlier for earlier, later in pairwise(arrived)):
            fault("the outbox was delivered out of order", f"{arrived[:200]}")
        self.delivered += len(set(arrived))
        self.accepted.clear()

    def _deliver(self, _key: str, payload: Any) -> None:
        self.resources.by_name["store"].use()
        self._arrived.append(payload[0])

    def _counted(self, put: Callable[..., str]) -> Callable[..., str]:
        def counting(payload: Any, *, key: str | None = None) -> str:
            try:
                return put(payload, key=key)
            except sqlite3.OperationalError:
                self.refused += 1
                raise

        return counting
