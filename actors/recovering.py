"""A recovery under way: what the orchestrator knows of it, kept on its tickets, where the next incarnation finds it."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from upright.actors.ledger import Carried
from upright.actors.reply import ReplyFuture, TellBack
from upright.strategies.tally import Tally

if TYPE_CHECKING:
    import asyncio

    from upright.actors.ledger import Ticket
    from upright.actors.messages import Answered
    from upright.strategies.report import ErrorReport, RecoveryId

__all__ = ["HealingReply", "Recovery"]


@dataclass(slots=True, eq=False)
class Recovery(Carried):
    """One recovery.

    Attributes:
        id: What it recovers from; at most one recovery of an id is under way.
        report: The report that began it.
        epoch: Of its resource when it began.
        loop: The event loop that the failed call ran on, or None.
        started_at: Monotonic seconds.
        waiting: Who is to be answered, and until when each waits; the first is the one that began it.
        joined: Reports that joined it by a message.
        merged: Reports that joined it without.
        done: Settled when its healing has ended; on the board meanwhile.
        reply: Where the healing actor answers; a request that is sent twice brings the same.
        asked: The request is on its way. Without, it may be all the same: a crash came in between.
        outcome: The healing actor's answer, kept until it is dealt with: a crash in between must not lose it.
        keeper: What keeps it alive once nobody waits for it any more.
        follows: It waits for the healing of the same resource that another recovery has begun.
        look_at: When the next wait is over, as the alarm of this incarnation knows.
    """

    id: RecoveryId
    report: ErrorReport
    epoch: int
    loop: asyncio.AbstractEventLoop | None
    started_at: float
    waiting: dict[Ticket, float] = field(default_factory=dict)
    joined: int = 0
    merged: Tally = field(default_factory=Tally)
    done: ReplyFuture[bool] = field(default_factory=ReplyFuture)
    reply: HealingReply | None = None
    asked: bool = False
    outcome: Answered | None = None
    keeper: Ticket | None = None
    follows: bool = False
    look_at: float = inf

    @property
    def is_being_healed(self) -> bool:
        """Whether the healing actor has been asked and has not answered yet."""
        return self.asked and self.outcome is None


class HealingReply(TellBack):
    """Tells how a healing came out, and notes it on the recovery first, where the next incarnation finds it."""

    __slots__ = ()

    def tell(self, answered: Answered, *, wake: bool = True) -> bool:
        if self.key.reply is self and self.key.outcome is None:
            self.key.outcome = answered
        return super().tell(answered, wake=wake)
