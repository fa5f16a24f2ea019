"""Answering later: what an actor has accepted and not yet answered, kept beside the mailbox.

A handler that cannot answer at once takes a ticket with `self.defer()`, returns, and answers the ticket when it can.
Tickets belong to the child slot and not to the incarnation that took them. So nothing that was accepted is lost: an
actor class with `keeps_tickets` finds the tickets of its predecessor in `self.open_tickets()` and carries on; of
every other class they are failed when the incarnation ends. When the slot is closed, all are failed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from upright.actors.interrupt import shielded

if TYPE_CHECKING:
    from upright.actors.reply import Answer

__all__ = ["Carried", "Ledger", "Ticket"]


class Ticket:
    """One accepted message, to be answered once. An `Answer` itself; safe from any thread.

    Attributes:
        message: What was accepted.
        asked: Somebody waits for the answer (it was an ask, not a tell).
        note: Whatever the actor wants its next incarnation to find beside the message.
        handovers: How many incarnations ended while they held it. A message that is itself the reason shows here.
    """

    __slots__ = ("_ledger", "_reply", "handovers", "message", "note")

    def __init__(self, ledger: Ledger, message: Any, reply: Answer | None) -> None:
        self._ledger = ledger
        self._reply = reply
        self.message = message
        self.note: Any = None
        self.handovers = 0

    @property
    def asked(self) -> bool:
        """Whether somebody waits for the answer."""
        return self._reply is not None

    @property
    def settled(self) -> bool:
        """Whether who asked has its answer already: it sent the same request twice, not knowing of the first."""
        return bool(getattr(self._reply, "done", False))

    def answer(self, value: Any) -> bool:
        """Give the answer and close the ticket; False if it was closed before. Still open if the answer raises."""
        with shielded():
            if not self._ledger.take(self):
                return False
            try:
                return self._reply is None or self._reply.answer(value)
            except BaseException:
                self._ledger.put_back(self)
                raise

    def fail(self, error: BaseException) -> bool:
        """Give an exception for an answer and close the ticket; as `answer` does."""
        with shielded():
            if not self._ledger.take(self):
                return False
            try:
                return self._reply is None or self._reply.fail(error)
            except BaseException:
                self._ledger.put_back(self)
                raise

    def withdraw(self) -> Answer | None:
        """Close the ticket without answering and return where its answer goes; None if it was closed before."""
        return self._reply if self._ledger.take(self) else None


@dataclass(slots=True, eq=False)
class Carried:
    """Work that one incarnation leaves to the next, which must find out whether it was the reason of a crash.

    Whatever is done about it is done inside `with work:`. If that is left by an exception, or never, the next
    incarnation sees it in `crashes` and can give up this work and no other.
    """

    in_hand: bool = field(default=False, init=False)
    crashes: int = field(default=0, init=False)

    def __enter__(self) -> None:
        self.in_hand = True

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.in_hand = False

    def found(self) -> None:
        """Note that an incarnation ended which may have had it in hand."""
        self.crashes += self.in_hand
        self.in_hand = False


class Ledger:
    """The open tickets of one child slot, oldest first. `dict.pop` decides who closes a ticket, and so it is one."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[Ticket, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open(self, message: Any, reply: Answer | None, note: Any = None) -> Ticket:
        """Accept a message."""
        ticket = Ticket(self, message, reply)
        ticket.note = note
        self._open[ticket] = None
        return ticket

    def take(self, ticket: Ticket) -> bool:
        """Remove a ticket; False if somebody else has."""
        return self._open.pop(ticket, self) is None

    def put_back(self, ticket: Ticket) -> None:
        """Open a ticket again that could not be answered: whoever comes next can. An answer given twice counts once."""
        self._open[ticket] = None

    def tickets(self) -> list[Ticket]:
        """Return the open tickets, oldest first."""
        return list(self._open)

    def hand_over(self) -> None:
        """Note on every open ticket that another incarnation ended without answering it."""
        for ticket in self.tickets():
            ticket.handovers += 1
