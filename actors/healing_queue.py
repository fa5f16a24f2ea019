"""Who waits for a worker to heal in: the oldest first, few asking at a time."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from typing import Generic, TypeVar

__all__ = ["WaitingLine"]

T = TypeVar("T")


@dataclass(order=True, slots=True)
class _Place(Generic[T]):
    since: float
    one: T = field(compare=False)


class WaitingLine(Generic[T]):
    """A line in which everybody knows whether a place is free only by asking for it, and comes back if it is not.

    Were all of them to ask again and again, hundreds that wait for a few that hang would keep a core busy. So it is one
    who asks at a time, and twice as many each time as long as none of them comes back.
    """

    def __init__(self) -> None:
        self._places: list[_Place[T]] = []
        self._next = 1

    def __len__(self) -> int:
        return len(self._places)

    def put(self, one: T, since: float) -> None:
        """Let somebody wait, who has been waiting since then; it has just asked in vain."""
        insort(self._places, _Place(since, one))
        self._next = 1

    def take(self) -> T | None:
        """Return who has waited longest, who is to ask now; None if nobody waits."""
        return self._places.pop(0).one if self._places else None

    def take_turn(self) -> list[T]:
        """Return those who are to ask now, after a while in which nobody was told that a place is free."""
        turn, self._places = self._places[: self._next], self._places[self._next :]
        self._next *= 2
        return [place.one for place in turn]
