"""What an actor's caller can get instead of an answer.

UprightError
Reply               an answer that is raised: the actor lives on
Ignore              on_start declines to run: no actor, no error (OTP's `ignore`)
MailboxFull         the mailbox is at its limit; the message was refused, and counted
AskTimeout          no answer in time; also a pykka.Timeout and a TimeoutError
SelfAsk             an actor asked itself and would have waited for ever
ActorStopped        the actor has ended, or ended before it came to the message; also a pykka.ActorDeadError
ActorKilled       it was detached while it handled the message
ForkedActor       it lives in the process that this one was forked from
"""

from __future__ import annotations

import pykka

from upright.strategies.errors import UprightError

__all__ = [
    "ActorKilled",
    "ActorStopped",
    "AskTimeout",
    "ForkedActor",
    "Ignore",
    "MailboxFull",
    "Reply",
    "SelfAsk",
]


class Reply(UprightError):  # noqa: N818 - a base class whose subclasses name the field's own words
    """An exception that is an answer: raised in a handler, it goes to the asker and the actor lives on."""


class Ignore(UprightError):  # noqa: N818 - OTP's word
    """Raised by `on_start` (or `__init__`): this actor is not needed now. `start()` then returns None."""


class MailboxFull(UprightError):  # noqa: N818 - the contract's spelling
    """The mailbox holds `mailbox_limit` messages; this one was refused. The sender never blocks.

    Attributes:
        name: The actor's name.
        limit: Its `mailbox_limit`.
    """

    def __init__(self, name: str, limit: int) -> None:
        super().__init__(f"mailbox of {name} is full: {limit} messages wait; the message was refused")
        self.name = name
        self.limit = limit


class AskTimeout(UprightError, pykka.Timeout, TimeoutError):  # noqa: N818 - beside pykka.Timeout
    """No answer came within `timeout` seconds. The message stays queued; a late answer is discarded."""


class SelfAsk(UprightError):  # noqa: N818 - names the mistake
    """An actor asked itself and would have waited for its own answer for ever; call the method instead."""


class ActorStopped(UprightError, pykka.ActorDeadError):  # noqa: N818 - beside pykka.ActorDeadError
    """The actor is not running and will not come back by itself, or ended before it came to the message."""


class ActorKilled(ActorStopped):
    """The actor was detached (killed, hung, or out of shutdown time) while it handled the message."""


class ForkedActor(ActorStopped):
    """The actor's thread lives in the parent of this forked process; start a tree of this process's own."""
