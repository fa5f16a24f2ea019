"""At most so many at once, without a lock: permits in a deque, and waiters who are handed one.

A permit is an item in a deque, whose `popleft` decides who has it. Whoever finds none leaves a future behind; who
gives a permit back hands it to the oldest future that is still waiting.
"""

from __future__ import annotations

from collections import deque

from upright.actors.reply import ReplyFuture

__all__ = ["Gate"]


class Gate:
    """Let at most `limit` through at a time.

    Args:
        limit: How many may be inside at once, at least 1.
    """

    __slots__ = ("_permits", "_waiting", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._permits: deque[None] = deque([None] * limit)
        self._waiting: deque[ReplyFuture[None]] = deque()

    def enter(self) -> ReplyFuture[None]:
        """Return a future that is answered once there is a permit; then `leave()` must be called, once."""
        future: ReplyFuture[None] = ReplyFuture()
        self._waiting.append(future)
        self._hand_out()
        return future

    def give_up(self, future: ReplyFuture[None]) -> bool:
        """Stop waiting; False if the permit has come meanwhile, and must be given back with `leave()`."""
        return future.answer(None)

    def leave(self) -> None:
        """Give the permit back."""
        self._permits.append(None)
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting:
            try:
                permit = self._permits.popleft()
            except IndexError:
                return
            try:
                future = self._waiting.popleft()
            except IndexError:
                self._permits.append(permit)
                continue  # somebody may have come to wait before the permit was back
            if not future.answer(None):
                self._permits.append(permit)  # it had given up
