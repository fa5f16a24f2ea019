"""What the actors have decided, published for everybody to read: immutable snapshots, one writer each.

Callers read here without asking, so a protected call never waits for an actor to learn what is so already. Every
entry is replaced as a whole by the one actor that owns it; nobody changes an entry in place.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from upright.strategies.tally import Tally

if TYPE_CHECKING:
    from upright.actors.address import Address
    from upright.actors.reply import ReplyFuture
    from upright.strategies.healing.base import HealingStrategy
    from upright.strategies.report import RecoveryId

__all__ = ["Board", "Proof"]

_MAX_RESOURCES: Final = 10_000  # resources whose epoch is remembered; the one healed longest ago goes first


class Proof(NamedTuple):
    """That a resource was healed.

    Attributes:
        epoch: How many proven healings it has had.
        healed_at: Monotonic seconds of the last of them; 0.0 if there was none.
    """

    epoch: int = 0
    healed_at: float = 0.0

    def epoch_at(self, started_at: float) -> int:
        """Return the epoch under which a call began that started at `started_at`."""
        return self.epoch - 1 if self.epoch and started_at < self.healed_at else self.epoch


@dataclass(slots=True, repr=False)  # of the whole tree; Sentry asks for the repr of every local variable
class Board:
    """The published state of one tree.

    Attributes:
        proofs: By resource. Written by the worker whose healing was proven, since whoever asked for that may be gone.
        healing: By resource, settled with True or False when the healing now under way ends. Written by the
            orchestrator.
        recovering: Recoveries in flight, with the number of reports that were merged into each without a message.
            Written by the orchestrator.
        strategies: The healing strategies, in the order in which they are tried. Replaced by `register`.
        risk: The predictor's present risk score, or None before its first reading. Written by the predictor.
        not_closed: How many circuits are not closed. Written by the breaker.
        catches_up: Whether a fallback chain has something that is put off until a resource works again. Written by
            `register`.
        subscribers: Who is told events. Replaced by the tree.
        lost_events: Events that a subscriber could not take, and messages that an actor could not.
        refused_events: The former by the subscriber's name, the event's class, and what else is counted of it.
        healings: What is being healed, by recovery id; healing_failures, the failed attempts by recovery id; and
            healing_totals, [attempts, proven] by strategy: the healing actor's own, kept here so that neither its crash
            nor an operator who replaces it has anything forgotten.
        escalations: Recovery ids that used up their attempts.
        healing_attempts: Strategies that were run. Raised by the healing actor.
        healing_successes: Those that were proven. Raised by the healing actor.
        joined_reports: Reports that shared the recovery of an earlier one.
        refused_reports: Reports that nobody could take.
        fallback_activations: Values that a fallback chain gave.
        unlisted_answers: Of those, the ones for open circuits that came too fast to be told one by one.
        retries: Calls that were made again by the retry stage.
    """

    proofs: OrderedDict[str, Proof] = field(default_factory=OrderedDict)
    healing: dict[str, ReplyFuture[bool]] = field(default_factory=dict)
    recovering: dict[RecoveryId, Tally] = field(default_factory=dict)
    strategies: tuple[HealingStrategy, ...] = ()
    risk: float | None = None
    not_closed: int = 0
    catches_up: bool = False
    subscribers: tuple[Address[Any], ...] = ()
    lost_events: Tally = field(default_factory=Tally)
    refused_events: dict[tuple[str, str, tuple[str, ...]], Tally] = field(default_factory=dict)
    healings: dict[RecoveryId, Any] = field(default_factory=dict)
    healing_failures: OrderedDict[RecoveryId, Any] = field(default_factory=OrderedDict)
    healing_totals: dict[str, list[int]] = field(default_factory=dict)
    escalations: Tally = field(default_factory=Tally)
    healing_attempts: Tally = field(default_factory=Tally)
    healing_successes: Tally = field(default_factory=Tally)
    joined_reports: Tally = field(default_factory=Tally)
    refused_reports: Tally = field(default_factory=Tally)
    fallback_activations: Tally = field(default_factory=Tally)
    unlisted_answers: Tally = field(default_factory=Tally)
    retries: Tally = field(default_factory=Tally)

    def proof(self, name: str) -> Proof:
        """Return what is known of a resource's last proven healing; epoch 0 if there was none."""
        return self.proofs.get(name, _BLANK)

    def epoch_at(self, name: str, started_at: float) -> int:
        """Return the epoch of a resource under which a call began that started at `started_at`."""
        return self.proof(name).epoch_at(started_at)

    def healed(self, name: str) -> None:
        """Raise the epoch of a resource."""
        proofs = self.proofs
        proofs[name] = Proof(self.proof(name).epoch + 1, monotonic())
        proofs.move_to_end(name)
        if len(proofs) > _MAX_RESOURCES:
            for old in list(proofs)[: _MAX_RESOURCES // 10]:
                proofs.pop(old, None)

    def let_go(self) -> None:
        """Have nobody wait for a healing any more: there is no tree that will end it."""
        for healing in list(self.healing.values()):
            healing.answer(False)

    def publish(self, event: Any) -> None:
        """Tell an event to all subscribers; one that cannot take it loses it, and that is counted."""
        for subscriber in self.subscribers:
            try:
                subscriber.tell(event)
            except Exception:
                self.lost_events.add()
                self._refused(subscriber, event)

    def refused(self, subscriber: str, kind: str) -> Counter[tuple[str, ...]]:
        """Return how many events of a kind (their class's name) a subscriber has lost, by what they count as."""
        found = list(self.refused_events.items())
        return Counter({key[2]: tally.value for key, tally in found if key[:2] == (subscriber, kind)})

    def _refused(self, subscriber: Any, event: Any) -> None:
        # Subscribers and kinds of events are few, so this stays small.
        key = (getattr(subscriber, "name", "?"), type(event).__name__, getattr(event, "counted_as", ()))
        self.refused_events.setdefault(key, Tally()).add()


_BLANK: Final = Proof()
