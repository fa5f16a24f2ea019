"""What actors, addresses and supervisors tell each other on the system lane.

System messages overtake everything that waits in a mailbox and are never refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.actors.address import Address
    from upright.actors.exits import ExitReason
    from upright.actors.reply import Answer

__all__ = ["Answered", "ChildExited", "Down", "Provoke", "Stop", "SystemMessage"]


class SystemMessage:
    """Marks what the machinery tells itself: never a dead letter when it arrives too late."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Stop(SystemMessage):
    """Stop as soon as the message in hand is handled.

    From: a supervisor, or `Address.stop()`. To: any actor. Reply: after `on_stop` has run.

    Attributes:
        reason: What the actor's exit reason will be.
        reply_to: Where to answer, or None.
        incarnation: Which start of the actor is meant; another one ignores it. None means whichever runs.
    """

    reason: ExitReason
    reply_to: Answer | None = None
    incarnation: int | None = None


@dataclass(frozen=True, slots=True)
class Down(SystemMessage):
    """A monitored actor has ended for good; a restart is no Down (OTP's `DOWN`).

    From: the address that was monitored. To: the watcher's `on_receive`, once per `monitor()`. Reply: none.

    Attributes:
        address: The address that was monitored.
        reason: Why its last incarnation ended.
    """

    address: Address[Any]
    reason: ExitReason


@dataclass(frozen=True, slots=True)
class ChildExited(SystemMessage):
    """One incarnation of a child has ended; its hooks have run.

    From: the child's own thread, or whoever detached it, once per incarnation. To: its supervisor. Reply: none.

    Attributes:
        address: The child's address, the same across restarts.
        incarnation: Which start this is about, from 1. A supervisor drops a report about an incarnation that it
            has already replaced or stopped.
        reason: Why it ended.
    """

    address: Address[Any]
    incarnation: int
    reason: ExitReason


@dataclass(frozen=True, slots=True)
class Entrusted(SystemMessage):
    """Stands for the message in hand once its ticket alone answers for it; see `SupervisedActor.entrust`."""


@dataclass(slots=True, eq=False)  # not frozen, which would make it three times as dear: every asking actor gets one
class Answered(SystemMessage):
    """The answer to an ask that its sender did not wait for.

    From: whoever answered it. To: the actor that gave a `TellBack` as the ask's reply. Reply: none.

    Attributes:
        key: What the sender called the ask.
        value: The answer.
        error: The exception instead of an answer, or None.
    """

    key: Any
    value: Any = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Provoke:
    """Run a function in the actor's thread as if it were its handler: how a test crashes an actor, or has it hang.

    From: `upright.testing.inject`. To: any actor, in line with its other messages. Reply: the function's value.
    """

    function: Callable[[], Any]
