"""What must not grow: threads, descriptors, objects and memory, looked at in quiet moments."""

from __future__ import annotations

import gc
import sys
import threading
from dataclasses import asdict, dataclass
from statistics import median
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import psutil

from upright.strategies.healing import MemoryCleanup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from upright.tree import Tree

__all__ = ["Level", "Levels"]

_ENOUGH = 40  # rounds: a quarter of fewer says more about the tree that happens to run than about growth
_SOME = 6  # rounds: of fewer nothing is judged, of less than enough only what grows by a multiple of what is tolerated
_MULTIPLE = 3
_ZOMBIES_END = 5.0  # seconds; a thread that hangs in C is gone after half a second


@dataclass(frozen=True, slots=True)
class Level:
    """One quiet moment.

    Attributes:
        threads: Without zombies and idle workers, of which there may be a few.
        zombies: Detached threads that still run.
        descriptors: Open file descriptors.
        objects: That the garbage collector knows of.
        blocks: Blocks of up to 512 bytes that Python's allocator has given out: everything but large buffers.
        rss: MiB of resident memory, once free pages have been given back.
    """

    threads: int
    zombies: int
    descriptors: int
    objects: int
    blocks: int
    rss: float


# How far the median of the last quarter may be above that of the second: what is more grows without limit.
_TOLERATED: dict[str, Callable[[float], float]] = {
    "threads": lambda _before: 1,
    "zombies": lambda _before: 1,
    "descriptors": lambda _before: 4,
    "objects": lambda before: 0.15 * before,
    "blocks": lambda before: 0.15 * before,
    # More, since blocks in use cannot be moved together: Python held 37 MiB for 27 in use after 4 000 faults, and 46
    # for 30 after 16 000.
    "rss": lambda before: 0.25 * before + 8,
}


class Levels:
    """The levels of all rounds, oldest first."""

    def __init__(self) -> None:
        self.all: list[Level] = []

    def measure(self, tree: Tree) -> Level:
        """Look at the process while the tree rests."""
        parts, process = tree._parts, psutil.Process()  # noqa: SLF001 - idle workers are no leak
        deadline = monotonic() + _ZOMBIES_END
        memory = MemoryCleanup()
        while True:
            memory.clean()
            zombies = sum(len(address.zombies) for address in parts.directory.walk())
            if zombies == 0 or monotonic() > deadline:
                break
            sleep(0.05)
        idle = len(parts.healers._idle) + len(parts.steps._idle)  # noqa: SLF001
        level = Level(
            threads=threading.active_count() - zombies - idle,
            zombies=zombies,
            descriptors=process.num_fds(),
            objects=len(gc.get_objects()),
            blocks=sys.getallocatedblocks(),
            rss=round(process.memory_info().rss / 2**20, 1),
        )
        self.all.append(level)
        return level

    def growth(self) -> Iterator[str]:
        """Yield, in words, what has grown; nothing of a run of fewer than 6 rounds, see `is_judged`."""
        before, after = self.quarters()
        multiple = 1 if len(self.all) >= _ENOUGH else _MULTIPLE
        for name, tolerated in _TOLERATED.items() if before else ():
            if after[name] > before[name] + multiple * tolerated(before[name]):
                yield f"{name} from {before[name]:g} to {after[name]:g}"

    @property
    def is_judged(self) -> bool:
        """Whether there are rounds enough to say anything about growth."""
        return len(self.all) >= _SOME

    def quarters(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return the medians of the second quarter of the rounds, after caches have filled, and of the last."""
        count = len(self.all)
        if count < _SOME:
            return {}, {}
        return _medians(self.all[count // 4 : count // 2]), _medians(self.all[-(count // 4) :])


def _medians(levels: list[Level]) -> dict[str, Any]:
    rows = [asdict(level) for level in levels]
    return {name: round(median(row[name] for row in rows), 1) for name in rows[0]}
