"""The monitor: keeps the history of recoveries and the figures of the tree, for everybody to read.

What it keeps lives in a MonitorState, made once per tree, so that a crash of the actor loses at most the event in
hand, and readers never wait for the actor.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from dataclasses import dataclass
from heapq import merge
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from upright.actors.events import (
    AlertJudged,
    AlertRaised,
    CircuitChanged,
    HealingEnded,
    PredictionMade,
    RecoveryEscalated,
    RecoveryFinished,
    RecoveryStarted,
)
from upright.actors.exits import describe
from upright.actors.letters import dead_letters
from upright.actors.log import get_logger
from upright.actors.subscriber import Subscriber
from upright.strategies.history import HistoryEntry
from upright.strategies.metrics import RecoveryTimes, ResilienceMetrics
from upright.strategies.options import require_count
from upright.strategies.redaction import redact_text
from upright.strategies.report import RecoveryStatus
from upright.strategies.window import copied

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from upright.actors.board import Board

__all__ = ["CatchUp", "EventLine", "MonitorActor", "MonitorState"]

_EVENTS: Final = 200
_KEPT_AWAY: Final = 5  # one entry for a call that a circuit kept away, for so many others
_NOTED_AGAIN: Final = 10.0  # seconds after which it is an event again that an operation's calls are kept away
_MAX_FAULTS: Final = 3  # a listener that raised so often in a row is let go


@dataclass(frozen=True, slots=True)
class CatchUp:
    """Answer once everything that was told before has been taken in.

    From: `Tree.history` and its kind. To: the monitor. Reply: None.
    """


class EventLine(NamedTuple):
    """One event, for people.

    Attributes:
        at: Unix time.
        name: The event's stable name; docs/telemetry.md lists them.
        text: What happened, redacted when it is read: most events never are.
    """

    at: float
    name: str
    text: str


class MonitorState:
    """What the monitor knows; written by its actor, read by any thread without asking and without waiting.

    Args:
        board: Where callers and actors count.
        history_limit: Recoveries that are kept, at least 1; the oldest goes first, see `history`.
        counts: Gives what others count, by the name of the metric: `breaker_trips`, `restarts`, `zombies`. Names that
            are no metric are ignored, and without it those three are 0, but for the trips that the monitor was told.
        name: The monitor's own, under which the board counts what it lost.

    Raises:
        ConfigError: If `history_limit` is below 1.
    """

    def __init__(
        self,
        board: Board,
        history_limit: int = 1_000,
        counts: Callable[[], Mapping[str, int]] | None = None,
        name: str = "monitor",
    ) -> None:
        require_count("MonitorState.history_limit", history_limit, least=1)
        self._board = board
        self._counts = counts
        self._name = name
        self._limit = history_limit
        self._history: deque[HistoryEntry] = deque(maxlen=history_limit)
        # Calls that an open circuit kept away, of which an outage has thousands: they must not push out how it began.
        self._kept_away: deque[HistoryEntry] = deque(maxlen=max(1, history_limit // _KEPT_AWAY))
        self._noted: dict[str, float] = {}  # operations whose calls are being kept away, and when that was noted last
        self._events: deque[EventLine] = deque(maxlen=_EVENTS)
        self._listeners: dict[int, Callable[[Any], object]] = {}
        self._faults: Counter[int] = Counter()
        self._tokens = count()
        self.times = RecoveryTimes()
        # Answers by (status, method): at most a handful of keys. Shared answers are counted here and not listed.
        self._answers: Counter[tuple[str, str]] = Counter()
        self.joined_answers = 0
        self.listed = 0
        self.trips = 0
        self.escalations = 0
        self.alerts_issued = 0
        self.alerts_true = 0
        self.alerts_false = 0
        self.alerts_missed = 0

    @property
    def answers(self) -> dict[tuple[str, ...], int]:
        """Every answer by status and method, also those that a full mailbox refused."""
        return dict(Counter[tuple[str, ...]](self._answers) + self.lost)

    @property
    def lost(self) -> Counter[tuple[str, ...]]:
        """Answers that a full mailbox refused: counted, but not in the history."""
        return self._board.refused(self._name, "RecoveryFinished")

    def history(self, limit: int | None = None) -> list[HistoryEntry]:
        """Return the newest recoveries, at most `limit`, oldest first. Shared answers are not among them.

        Of calls that an open circuit kept away, a fifth of `history_limit` is kept: they push out nothing else.
        """
        both = merge(copied(self._history), copied(self._kept_away), key=lambda entry: entry.number)
        return _newest(both, self._limit if limit is None else min(limit, self._limit))

    def outline(self, limit: int) -> list[HistoryEntry]:
        """Return the same with the newest alone of each operation's calls that a circuit kept away."""
        newest = {entry.operation: entry for entry in copied(self._kept_away)}
        both = merge(copied(self._history), newest.values(), key=lambda entry: entry.number)
        return _newest(both, limit)

    def events(self, limit: int | None = None) -> list[EventLine]:
        """Return the newest events, at most `limit` and 200, oldest first."""
        found = _newest(copied(self._events), limit)
        return [line._replace(text=redact_text(line.text)) for line in found]

    def metrics(self) -> ResilienceMetrics:
        """Return the figures as of now."""
        board = self._board
        counts = self._counts() if self._counts is not None else {}
        return ResilienceMetrics(
            healing_attempts=board.healing_attempts.value,
            healing_successes=board.healing_successes.value,
            breaker_trips=counts.get("breaker_trips", self.trips),
            fallback_activations=board.fallback_activations.value,
            retries=board.retries.value,
            joined_reports=board.joined_reports.value,
            recovery_time_mean=self.times.mean,
            recovery_time_p99=self.times.percentile(0.99),
            alerts_issued=self.alerts_issued,
            alerts_true=self.alerts_true,
            restarts=counts.get("restarts", 0),
            zombies=counts.get("zombies", 0),
            dead_letters=dead_letters.count,
        )

    # Listeners.

    def listen(self, listener: Callable[[Any], object]) -> Callable[[], None]:
        """Have every event passed to `listener`, in the monitor's thread; it must be quick and must not block.

        One that raises is logged, and after the third time in a row let go.

        Returns:
            Call it to stop listening; any number of times, from any thread.
        """
        token = next(self._tokens)
        self._listeners[token] = listener

        def stop() -> None:
            self._listeners.pop(token, None)
            self._faults.pop(token, None)

        return stop

    def pass_on(self, event: Any) -> None:
        """Pass an event to all listeners; for the monitor."""
        for token, listener in list(self._listeners.items()):
            try:
                listener(event)
            except Exception as error:  # the application's own; the monitor has to go on
                self._faults[token] += 1
                let_go = self._faults[token] >= _MAX_FAULTS
                if let_go:
                    self._listeners.pop(token, None)
                    self._faults.pop(token, None)
                get_logger("monitor").log(
                    logging.WARNING, "listener_failed", error=redact_text(describe(error)), let_go=let_go
                )
            else:
                self._faults.pop(token, None)

    # Writing: by the monitor.

    def note(self, name: str, text: str) -> None:
        """Add an event to those for people."""
        self._events.append(EventLine(time.time(), name, text))

    def finished(self, event: RecoveryFinished) -> None:
        """Take in an answer."""
        result = event.result
        self._answers[event.counted_as] += 1
        if result.joined:
            self.joined_answers += 1
            return
        self.listed += 1
        entry = HistoryEntry.of(result, self.listed)
        if result.status is RecoveryStatus.CIRCUIT_OPEN and result.recovery_id is None:
            self._kept_away.append(entry)
            if self._is_noted(result.operation):
                return
        else:
            self._history.append(entry)
        if result.status in (RecoveryStatus.HEALED, RecoveryStatus.RECOVERED):
            self.times.add(result.duration)
        self.note("recovery_finished", f"{result.operation}: {result.status} in {took(result.duration)}")

    def _is_noted(self, operation: str) -> bool:
        """Whether it was noted lately that calls of an operation are kept away; if not, that is to be done now."""
        now = time.monotonic()
        last = self._noted.get(operation)
        if last is not None and now - last < _NOTED_AGAIN:
            return True
        self._noted.pop(operation, None)
        self._noted[operation] = now
        if len(self._noted) > _EVENTS:
            del self._noted[next(iter(self._noted))]
        return False

    def judged(self, event: AlertJudged) -> None:
        """Take in what has become of an alert, or that there was none."""
        if event.missed:
            self.alerts_missed += 1
            outcome = "was missed"
        elif event.came_true:
            self.alerts_true += 1
            outcome = "came true"
        else:
            self.alerts_false += 1
            outcome = "did not come true"
        self.note("alert_judged", f"{event.factor} {outcome}")


class MonitorActor(Subscriber):
    """Receives: the events of upright.actors.events. Replies: nothing.

    Owns: every change of its MonitorState. Blocks on: nothing; listeners must not block it either.

    Args:
        state: Made once per tree; it outlives this actor.
        board: Where the events come from.
    """

    def __init__(self, state: MonitorState, board: Board) -> None:
        super().__init__()
        self._state = state
        self._board = board

    def on_receive(self, message: Any) -> Any:
        state = self._state
        if isinstance(message, RecoveryFinished):
            state.finished(message)
        elif isinstance(message, RecoveryStarted):
            state.note("recovery_started", str(message.recovery_id))
        elif isinstance(message, HealingEnded):
            outcome = "healed" if message.healed else "skipped" if message.skipped else "not healed"
            shared = f", shared by {message.joined}" if message.joined else ""
            state.note("healing_ended", f"{message.recovery_id}: {outcome} in {took(message.duration)}{shared}")
        elif isinstance(message, RecoveryEscalated):
            state.escalations += 1
            text = f"{message.recovery_id}: {message.attempts} healings failed, next in {message.cooldown:g} s"
            state.note("recovery_escalated", text)
        elif isinstance(message, CircuitChanged):
            state.trips += message.new == "OPEN"
            state.note("circuit_changed", f"{message.operation}: {message.old} to {message.new}, {message.reason}")
        elif isinstance(message, AlertRaised):
            state.alerts_issued += 1
            state.note("alert_raised", message.alert.reason)
        elif isinstance(message, AlertJudged):
            state.judged(message)
        elif isinstance(message, CatchUp):
            return None
        elif not isinstance(message, PredictionMade):
            return super().on_receive(message)
        state.pass_on(message)
        return None

    @property
    def status_details(self) -> dict[str, Any]:  # type: ignore[override]
        """How much is kept and has been counted, and how many events were lost to a full mailbox."""
        state = self._state
        return {
            "history": len(state.history()),
            "listed": state.listed,
            "joined_answers": state.joined_answers,
            "unlisted_answers": self._board.unlisted_answers.value,
            "answers": {" ".join(filter(None, key)): number for key, number in sorted(state.answers.items())},
            "alerts": {
                "issued": state.alerts_issued,
                "true": state.alerts_true,
                "false": state.alerts_false,
                "missed": state.alerts_missed,
            },
            "lost": state.lost.total(),
        }


def took(seconds: float) -> str:
    """Say a duration in the unit that fits it."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def _newest(entries: Iterable[Any], limit: int | None) -> list[Any]:
    kept = list(entries)
    return kept if limit is None else kept[max(0, len(kept) - limit) :] if limit > 0 else []
