"""When an alert begins and when it ends: for-ticks, clear-ticks, recovery margin and cool-down of one factor."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upright.strategies.prediction.alert import AlertKind

__all__ = ["Alarm"]

LOOKED_AT = 5
"""Readings that a forecast is judged over."""


@dataclass(slots=True)
class Alarm:
    """The alert state of one factor.

    Attributes:
        kind: The rule that raised the active alert; None while there is none.
        quiet: Readings in a row that would end it.
        ended: When the last alert ended.
    """

    kind: AlertKind | None = None
    quiet: int = 0
    ended: float = -math.inf
    _forecasts: list[bool] = field(default_factory=list)

    def note(self, *, forecast: bool) -> None:
        """Take in whether this reading had a forecast."""
        self._forecasts = [*self._forecasts[1 - LOOKED_AT :], forecast]

    def forecast_holds(self, needed: int) -> bool:
        """Whether at least `needed` of the last five readings had a forecast, this one included."""
        return bool(self._forecasts) and self._forecasts[-1] and sum(self._forecasts) >= needed

    def forget(self) -> None:
        """Start counting anew, after a gap."""
        self._forecasts = []

    def begin(self, kind: AlertKind) -> None:
        """Make an alert active."""
        self.kind, self.quiet = kind, 0

    def calm(self, now: float, needed: int, *, calm: bool) -> bool:
        """Take in whether this reading is calm; whether the alert ends with it."""
        self.quiet = self.quiet + 1 if calm else 0
        if self.quiet < needed:
            return False
        self.kind, self.quiet, self.ended = None, 0, now
        return True
