"""A mailbox with two lanes, without a lock: user messages in order, system messages ahead of them.

The user lane is CPython's `SimpleQueue`, whose `put`, `get` and `qsize` are atomic C calls. The system lane is a
deque beside it; whoever appends to it also puts the token WAKE into the user lane (once, until it is consumed), so
that one blocking `get` waits for both.

Guarantees
    1. What was put is taken exactly once: by the actor, or by a bounce after the lane was closed.
    2. No message is lost at closing. The closer sets `closed` and then bounces; a sender puts and then looks at
       `closed`. Whichever of the two comes later finds the message. (Stock pykka loses about 0.06 % of the asks
       that race with a stop.)
    3. Messages keep their order per sender across restarts: the lane outlives the incarnation that reads it.

A lane that was closed stays closed. A child slot that is started again gets a new lane, so a late sender with a
hold of the old one cannot take messages out of the new one.
"""

from __future__ import annotations

from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from upright.actors.reply import Answer

__all__ = ["DEFAULT_MAILBOX_LIMIT", "WAKE", "Item", "Lane"]

DEFAULT_MAILBOX_LIMIT: Final = 10_000

# A message and where its answer goes. A bare tuple, because making one costs a tenth of making an object.
Item: TypeAlias = "tuple[Any, Answer | None]"

WAKE: Final[Item] = ("look at the system lane", None)


class Lane(SimpleQueue[Item]):
    """The messages that wait for one child slot, from one opening to one closing.

    Attributes:
        closed: Nothing will be taken out any more but by a bounce. Set once, never cleared.
        system: System messages, oldest first; they are never refused.
        head: Messages handed back by an incarnation that was detached in the act of taking them.
        woken: A WAKE is in the queue. Cleared by the reader before it looks at `system`, so a sender that sees it
            set may rely on the reader to come.
    """

    __slots__ = ("closed", "head", "system", "woken")

    def __init__(self) -> None:
        self.closed = False
        self.system: deque[Any] = deque()
        self.head: deque[Item] = deque()
        self.woken = False

    @property
    def depth(self) -> int:
        """How many user messages wait."""
        return max(0, self.qsize() - self.woken) + len(self.head)

    def post(self, message: Any) -> None:
        """Put a system message; the caller looks at `closed` afterwards."""
        self.system.append(message)
        self.wake()

    def wake(self) -> None:
        """Make the reader look at the system lane, `head` and its own flags."""
        # CPython neither switches threads nor interrupts this one between the two, so none sees the one without
        # the other for longer than the other needs.
        if not self.woken:
            self.woken = True
            try:
                self.put(WAKE)
            except BaseException:
                self.woken = False
                raise

    def hand_back(self, item: Item) -> None:
        """Return a message that was taken but not handled, to be the next one."""
        self.head.appendleft(item)
        self.wake()

    def drain(self, take: Callable[[Any, Answer | None], None]) -> None:
        """Empty the lane from any thread; `take` gets each message that nobody else got, system ones first.

        An exception (Ctrl-C may come in any line of the main thread) passes through when the lane is empty: others wait
        for the answers to what lies in it.
        """
        try:
            self._drain(take)
        except BaseException:
            self.drain(take)
            raise

    def _drain(self, take: Callable[[Any, Answer | None], None]) -> None:
        while self.system:
            try:
                message = self.system.popleft()
            except IndexError:
                break
            take(message, None)
        for item in self.rest():
            take(*item)

    def rest(self) -> Iterator[Item]:
        """Take out one user message after another, as long as there are any that nobody else gets."""
        while self.head:
            try:
                yield self.head.popleft()
            except IndexError:
                break
        while not self.empty():
            try:
                item = self.get_nowait()
            except Exception:  # queue.Empty: somebody else was faster
                break
            if item is WAKE:
                self.woken = False
            else:
                yield item
