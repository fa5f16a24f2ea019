"""Failed healings, counted: when a failure is left alone for a while, and since when."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from upright.actors.events import RecoveryEscalated
from upright.actors.exits import describe
from upright.actors.log import get_logger

if TYPE_CHECKING:
    from collections import OrderedDict

    from upright.actors.board import Board
    from upright.strategies.healing_options import HealingOptions
    from upright.strategies.report import ErrorReport, RecoveryId, RecoveryStep

__all__ = ["Escalations"]

_MAX_REMEMBERED: Final = 1_000  # recovery ids whose failed attempts are remembered, the oldest go first


@dataclass(slots=True)
class _Failures:
    """The failed attempts of one recovery id within the window, and until when it is left alone."""

    times: deque[float] = field(default_factory=deque)
    cooling_until: float = 0.0
    escalated_after: int = 0
    last: str = ""  # what was tried last, and why that failed


class Escalations:
    """The failed attempts of every recovery id. Kept on the board, so that they survive the healing actor.

    Args:
        board: Where they are kept, and told to subscribers.
        options: Attempts, window and cool-down.
    """

    def __init__(self, board: Board, options: HealingOptions) -> None:
        self._board = board
        self._options = options
        self._failures: OrderedDict[RecoveryId, _Failures] = board.healing_failures

    def refusal(self, recovery_id: RecoveryId) -> str | None:
        """Say why nothing is tried now; None if something may be."""
        failures = self._failures.get(recovery_id)
        if failures is None:
            return None
        left = failures.cooling_until - monotonic()
        return None if left <= 0 else f"escalated: {failures.escalated_after} attempts failed, next in {left:.1f} s"

    def healed(self, recovery_id: RecoveryId) -> None:
        """Forget the failed attempts."""
        self._failures.pop(recovery_id, None)

    def attempt_failed(self, report: ErrorReport, step: RecoveryStep, *, hopeless: bool) -> bool:
        """Count a failed attempt; True if there are to be no more of them for now."""
        options, now = self._options, monotonic()
        recovery_id = report.recovery_id
        failures = self._failures.setdefault(recovery_id, _Failures())
        self._failures.move_to_end(recovery_id)
        if len(self._failures) > _MAX_REMEMBERED:
            self._failures.popitem(last=False)
        while failures.times and failures.times[0] < now - options.attempt_window:
            failures.times.popleft()
        failures.times.append(now)
        failures.last = f"{step.strategy}: {step.detail}" if step.detail else step.strategy
        if len(failures.times) < options.max_healing_attempts and not hopeless:
            return False
        attempts = failures.escalated_after = len(failures.times)
        failures.cooling_until = now + options.cooldown
        failures.times.clear()
        self._tell(RecoveryEscalated(recovery_id, report, attempts, options.cooldown))
        return True

    def _tell(self, event: RecoveryEscalated) -> None:
        self._board.escalations.add()
        get_logger("healing").log(
            logging.ERROR,
            "recovery_escalated",
            recovery_id=str(event.recovery_id),
            operation=event.report.operation,
            attempts=event.attempts,
            cooldown=event.cooldown,
            error=describe(event.report.error),
        )
        self._board.publish(event)

    @property
    def status_details(self) -> dict[str, Any]:
        """What is left alone: seconds left, for how long it has been, after how many attempts, and the last of them."""
        now = monotonic()
        cooling = [
            (str(recovery_id), failures, failures.cooling_until - now)
            for recovery_id, failures in list(self._failures.items())
            if failures.cooling_until > now
        ]
        return {
            "escalated": {name: round(left, 1) for name, _, left in cooling},
            "gave_up": {
                name: {
                    "for": round(self._options.cooldown - left, 1),
                    "attempts": failures.escalated_after,
                    "last": failures.last,
                }
                for name, failures, left in cooling
            },
            "escalations": self._board.escalations.value,
        }
