"""Who does it: state and a mailbox each."""

from upright.actors.actor import SupervisedActor
from upright.actors.address import Address
from upright.actors.errors import (
    ActorKilled,
    ActorStopped,
    AskTimeout,
    ForkedActor,
    Ignore,
    MailboxFull,
    Reply,
    SelfAsk,
)
from upright.actors.exits import NORMAL, Crashed, ExitReason, Hung, Killed, Normal, Shutdown, is_clean
from upright.actors.letters import DeadLetter, DeadLetters, dead_letters
from upright.actors.messages import Down
from upright.actors.monitors import MonitorRef
from upright.actors.timers import Timer

__all__ = [
    "NORMAL",
    "ActorKilled",
    "ActorStopped",
    "Address",
    "AskTimeout",
    "Crashed",
    "DeadLetter",
    "DeadLetters",
    "Down",
    "ExitReason",
    "ForkedActor",
    "Hung",
    "Ignore",
    "Killed",
    "MailboxFull",
    "MonitorRef",
    "Normal",
    "Reply",
    "SelfAsk",
    "Shutdown",
    "SupervisedActor",
    "Timer",
    "dead_letters",
    "is_clean",
]
