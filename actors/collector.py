"""The collector: reads the host at every interval, and keeps what the predictor must not forget.

It is an actor of its own, so that a reading which hangs or fails takes no history with it. After each reading the
predictor leaves a snapshot of its state here; a new incarnation of the predictor asks for it and carries on. A new
collector has none, and asks the predictor for one at once. All of that travels by message.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from upright.actors.actor import SupervisedActor
from upright.actors.messages import SystemMessage
from upright.strategies.clock import get_clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.actors.directory import Directory
    from upright.strategies.prediction.metrics import SystemMetrics

__all__ = ["CollectorActor", "KeepState", "LeftState", "Paused", "Reading", "WantKept", "WantState"]


@dataclass(frozen=True, slots=True)
class Reading:
    """The host's metrics. From: the collector, every interval. To: the predictor. Reply: none."""

    metrics: SystemMetrics


@dataclass(frozen=True, slots=True)
class Paused:
    """The flag error_predictor was switched off. From: the collector, once. To: the predictor. Reply: none."""


@dataclass(frozen=True, slots=True)
class KeepState(SystemMessage):
    """The predictor's state after a reading. From: the predictor. To: the collector. Reply: none."""

    state: bytes


@dataclass(frozen=True, slots=True)
class WantState:
    """A new predictor asks for what its predecessor left. To: the collector. Reply: a `LeftState`, told."""


@dataclass(frozen=True, slots=True)
class LeftState(SystemMessage):
    """What the predecessor left; None if nothing. From: the collector. To: the predictor. Reply: none."""

    state: bytes | None


@dataclass(frozen=True, slots=True)
class WantKept(SystemMessage):
    """A new collector asks for the state that it is to keep. To: the predictor. Reply: a `KeepState`, posted."""


@dataclass(frozen=True, slots=True)
class _Tick:
    """It is time for a reading."""


class CollectorActor(SupervisedActor):
    """Receives: `KeepState`, `WantState`. Replies: none.

    Owns: the newest state that the predictor left. Blocks on: reading the host's metrics.

    Args:
        directory: Where the predictor is found.
        collect: Reads the metrics: `collect(now) -> SystemMetrics`, `now` on the clock that the actors go by.
        interval: Seconds between readings; the first comes after one second, or one interval if that is shorter.
        is_on: Tells whether the flag error_predictor is on; nothing is read while it is off.
    """

    def __init__(
        self,
        directory: Directory,
        collect: Callable[[float], SystemMetrics],
        interval: float,
        is_on: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._directory = directory
        self._collect = collect
        self._interval = interval
        self._is_on = is_on
        self._clock = get_clock()
        self._state: bytes | None = None
        self._took: float | None = None
        self._paused = False

    def on_start(self) -> None:
        self.send_after(min(1.0, self._interval), _Tick())
        if self._address.starts > 1 and "predictor" in self._directory:
            self._directory["predictor"].post(WantKept())

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, _Tick):
            self.send_after(self._interval, _Tick())
            self._tick()
        elif isinstance(message, WantState):
            self._directory["predictor"].post(LeftState(self._state))
        else:
            return super().on_receive(message)
        return None

    def on_system_message(self, message: Any) -> None:
        if isinstance(message, KeepState):
            self._state = message.state
        else:
            super().on_system_message(message)

    def _tick(self) -> None:
        if self._is_on():
            began = monotonic()
            metrics = self._collect(self._clock.now())
            self._took = monotonic() - began
            self._paused = False
            self._directory["predictor"].send_unbounded(Reading(metrics))
        elif not self._paused:
            self._paused = True
            self._directory["predictor"].send_unbounded(Paused())

    @property
    def status_details(self) -> dict[str, Any]:  # type: ignore[override]
        """How often the host is read, how long the last reading took, and whether reading is switched off."""
        took = self._took
        return {
            "interval": self._interval,
            "reading_took": None if took is None else round(took, 4),
            "paused": self._paused,
            "kept_bytes": len(self._state or b""),
        }
