"""Messages that reached nobody: kept for a look, counted for ever.

A message becomes a dead letter when its actor ended before coming to it, when the actor crashed or was detached
while handling it, or when its mailbox was full. The asker (if any) has got its typed error all the same: this is
for the operator who wants to know what was lost.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from upright.strategies.options import require_count
from upright.strategies.tally import Tally

__all__ = ["DeadLetter", "DeadLetters", "dead_letters"]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message that was not handled to its end.

    Attributes:
        to: Name of the actor it was sent to.
        message: The message itself, not a copy.
        reason: Why it reached nobody, in words.
        at: Monotonic seconds when it was given up.
    """

    to: str
    message: Any
    reason: str
    at: float = field(default_factory=monotonic)


class DeadLetters:
    """The newest dead letters, oldest first, and how many there have been.

    Safe to use from any thread. Holds at most `limit` letters; older ones are dropped, the count is not.

    Args:
        limit: How many letters are kept for inspection.
    """

    def __init__(self, limit: int = 256) -> None:
        require_count("DeadLetters.limit", limit)
        self._letters: deque[DeadLetter] = deque(maxlen=limit)
        self._tally = Tally()

    def add(self, to: str, message: Any, reason: str) -> None:
        """Keep a letter and count it."""
        self._tally.add()
        self._letters.append(DeadLetter(to, message, reason))

    @property
    def count(self) -> int:
        """How many letters there have been since the process started."""
        return self._tally.value

    def recent(self, limit: int | None = None) -> list[DeadLetter]:
        """Return the newest letters, at most `limit`, oldest first."""
        if limit is not None:
            require_count("DeadLetters.recent.limit", limit)
        letters = list(self._letters)
        return letters if limit is None else letters[max(0, len(letters) - limit) :]

    def clear(self) -> None:
        """Forget the kept letters; the count stays."""
        self._letters.clear()


dead_letters = DeadLetters()
"""The dead letters of this process."""
