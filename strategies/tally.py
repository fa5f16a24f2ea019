"""A counter that any number of threads may raise without a lock and without losing one."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Tally"]


class Tally:
    """Counts events from many threads.

    `n += 1` on an attribute loses counts between its load and its store, and a lock would make callers
    wait for each other. One step of an `itertools.count` is atomic. Taking a number in order to read would
    count the reader too, and subtracting the readers' own counter is wrong while two of them read at once;
    the counter's `repr`, which names the next number and takes none, is exact at every moment.

    Attributes:
        add: Count one event; what it returns means nothing.

    Examples:
        >>> tally = Tally()
        >>> for _ in range(3):
        ...     _ = tally.add()
        >>> tally.value, tally.value
        (3, 3)
    """

    __slots__ = ("_count", "add")

    add: Callable[[], object]

    def __init__(self) -> None:
        self._count = itertools.count()
        self.add = self._count.__next__

    @property
    def value(self) -> int:
        """How many times `add` was called; never less than an earlier reading."""
        return int(repr(self._count)[len("count(") : -1])

    def __repr__(self) -> str:
        return f"Tally({self.value})"
