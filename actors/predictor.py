"""The predictor: looks at the host at every interval, and says what is about to go wrong.

Two actors share the work, so that a collector which hangs on a strange `/proc` takes no history with it. The
collector reads the metrics and tells them. The predictor feeds its engine, publishes the risk, and leaves a
snapshot of the engine with the collector after each reading. A new incarnation of the predictor asks for that
snapshot and carries on; readings that come before it wait. A new collector has none, and is given one with the next
reading.
"""

from __future__ import annotations

import logging
import platform
from collections import deque
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from upright.actors.actor import SupervisedActor
from upright.actors.breaker import TightenCircuits
from upright.actors.events import AlertJudged, AlertRaised, PredictionMade
from upright.actors.log import get_logger
from upright.actors.messages import SystemMessage
from upright.strategies.prediction.accuracy import Accuracy
from upright.strategies.prediction.engine import PredictionEngine
from upright.strategies.prediction.metrics import FACTORS, SystemMetrics
from upright.strategies.report import ErrorReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.actors.board import Board
    from upright.actors.directory import Directory
    from upright.strategies.prediction.alert import Alert, Prediction
    from upright.strategies.predictor_options import PredictorOptions

__all__ = ["CollectorActor", "PredictedPressure", "PredictorActor", "Reading"]

_SHOWN: Final = 120  # readings kept for the status: an hour at the standard interval
_WAITING: Final = 16  # readings kept while the snapshot is on its way


class PredictedPressure(MemoryError):  # noqa: N818 - it has not failed yet
    """Memory is about to run out; reported by the predictor so that it is cleaned up before it does."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The host's metrics. From: the collector, every interval. To: the predictor. Reply: none."""

    metrics: SystemMetrics


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
class _Tick:
    """It is time for a reading."""


class CollectorActor(SupervisedActor):
    """Receives: `KeepState`, `WantState`. Replies: none.

    Owns: the newest state that the predictor left. Blocks on: reading the host's metrics.

    Args:
        directory: Where the predictor is found.
        collect: Reads the metrics: `collect(now) -> SystemMetrics`.
        interval: Seconds between readings.
        is_on: Tells whether the flag error_predictor is on.
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
        self._state: bytes | None = None
        self._took = 0.0

    def on_start(self) -> None:
        self.send_after(min(1.0, self._interval), _Tick())

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, _Tick):
            self.send_after(self._interval, _Tick())
            if self._is_on():
                began = monotonic()
                metrics = self._collect(began)
                self._took = monotonic() - began
                self._directory["predictor"].send_unbounded(Reading(metrics))
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

    @property
    def status_details(self) -> dict[str, Any]:  # type: ignore[override]
        """How often the host is read, and how long that took last."""
        return {"interval": self._interval, "reading_took": round(self._took, 4)}


class PredictorActor(SupervisedActor):
    """Receives: `Reading`. Replies: none.

    Owns: the engine of this host, and the record of how good its alerts were. Blocks on: nothing.

    Args:
        board: Where the risk is published and events are told.
        directory: Where the collector, the breaker and the orchestrator are found.
        options: Interval, limits, and whether to act on alerts.
    """

    def __init__(self, board: Board, directory: Directory, options: PredictorOptions) -> None:
        super().__init__()
        self._board = board
        self._directory = directory
        self._options = options
        self._host = platform.node() or "localhost"
        self._engine: PredictionEngine | None = None
        self._accuracy = Accuracy(options.limits)
        self._waiting: deque[Reading] = deque(maxlen=_WAITING)
        self._recent: deque[tuple[float, int]] = deque(maxlen=_SHOWN)
        self._last: tuple[SystemMetrics, Prediction] | None = None
        self._tightened = False

    def on_start(self) -> None:
        if self._address.starts > 1:
            self._directory["collector"].send_unbounded(WantState())
        else:
            self._engine = PredictionEngine(self._options.limits, interval=self._options.interval)

    def on_receive(self, message: Any) -> Any:
        if not isinstance(message, Reading):
            return super().on_receive(message)
        if self._engine is None:
            self._waiting.append(message)
        else:
            self._observe(self._engine, message.metrics)
        return None

    def on_system_message(self, message: Any) -> None:
        if not isinstance(message, LeftState):
            super().on_system_message(message)
            return
        if self._engine is not None:
            return
        if message.state is None:
            self._engine = PredictionEngine(self._options.limits, interval=self._options.interval)
        else:
            self._engine = PredictionEngine.restore(message.state)
        while self._waiting:
            self._observe(self._engine, self._waiting.popleft().metrics)

    def _observe(self, engine: PredictionEngine, metrics: SystemMetrics) -> None:
        prediction = engine.observe(metrics)
        self._directory["collector"].post(KeepState(engine.snapshot()))
        self._board.risk = prediction.risk.score
        self._last = (metrics, prediction)
        self._recent.append((metrics.at, prediction.risk.points))
        self._board.publish(PredictionMade(self._host, metrics, prediction))
        if prediction.alert is not None:
            self._raise_alert(prediction.alert)
        for verdict in self._accuracy.observe(metrics, prediction.alert, FACTORS):
            self._board.publish(AlertJudged(self._host, verdict.factor, verdict.came_true, verdict.missed))
        self._tighten(prediction)

    def _raise_alert(self, alert: Alert) -> None:
        get_logger("predictor").log(
            logging.WARNING,
            "alert_raised",
            host=self._host,
            kind=alert.kind.value,
            factor=alert.factor,
            eta_seconds=None if alert.eta_seconds is None else round(alert.eta_seconds),
            reason=alert.reason,
        )
        self._board.publish(AlertRaised(self._host, alert))
        if self._options.act and alert.factor == "memory":
            error = PredictedPressure(alert.reason)
            self._directory["orchestrator"].tell(ErrorReport(error, "predictor", "memory"))

    def _tighten(self, prediction: Prediction) -> None:
        """Make the circuits stricter while errors are foretold, if the predictor is to act."""
        wanted = self._options.act and "error_rate" in prediction.active
        if wanted != self._tightened:
            self._tightened = wanted
            self._directory["breaker"].send_unbounded(TightenCircuits(wanted))

    @property
    def status_details(self) -> dict[str, Any]:  # type: ignore[override]
        """The newest risk with its factors, what is forecast, and how good the alerts were so far."""
        last, accuracy = self._last, self._accuracy
        details: dict[str, Any] = {
            "host": self._host,
            "alerts_judged": accuracy.alerts,
            "precision": accuracy.precision,
            "recall": accuracy.recall,
            "recent_points": [points for _, points in list(self._recent)],
        }
        if last is not None:
            metrics, prediction = last
            details.update(
                risk=prediction.risk.score,
                level=prediction.risk.level.name,
                factors=list(prediction.risk.factors),
                alerting=list(prediction.active),
                forecasts=[
                    {
                        "factor": forecast.factor,
                        "eta_seconds": round(forecast.eta_seconds),
                        "confidence": round(forecast.confidence, 2),
                        "reason": forecast.reason,
                    }
                    for forecast in prediction.forecasts
                ],
                metrics={factor: metrics.value(factor) for factor in FACTORS},
            )
        return details
