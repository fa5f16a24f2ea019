"""The predictor: feeds what the collector reads to its engine, and says what is about to go wrong.

Pure know-how does the predicting (upright.strategies.prediction); this actor publishes the risk, tells alerts and
what became of them, and acts on them where that was asked for. Its history survives it: see the collector.
"""

from __future__ import annotations

import logging
import platform
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from upright.actors.actor import SupervisedActor
from upright.actors.breaker import TightenCircuits
from upright.actors.collector import KeepState, LeftState, Paused, Reading, WantKept, WantState
from upright.actors.events import AlertJudged, AlertRaised, PredictionMade
from upright.actors.log import get_logger
from upright.strategies.prediction.engine import PredictionEngine
from upright.strategies.prediction.metrics import FACTORS
from upright.strategies.prediction.watch import Watch
from upright.strategies.report import ErrorReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.actors.board import Board
    from upright.actors.directory import Directory
    from upright.strategies.prediction.alert import Alert, Prediction
    from upright.strategies.prediction.metrics import SystemMetrics
    from upright.strategies.predictor_options import PredictorOptions

__all__ = ["PredictedPressure", "PredictorActor"]

_WAITING: Final = 16  # readings kept while the snapshot is on its way; the oldest goes first


class PredictedPressure(MemoryError):  # noqa: N818 - it has not failed yet
    """Memory is about to run out; reported by the predictor so that it is cleaned up before it does."""


class PredictorActor(SupervisedActor):
    """Receives: `Reading`, `Paused`. Replies: none.

    Owns: the watch over this host, with the record of how good its alerts were. Blocks on: nothing.

    Args:
        board: Where the risk is published and events are told.
        directory: Where the collector, the breaker and the orchestrator are found.
        options: Interval, limits, and whether to act on alerts.
        may_act: Tells whether acting is allowed at the moment, where the options ask for it.
    """

    def __init__(
        self,
        board: Board,
        directory: Directory,
        options: PredictorOptions,
        may_act: Callable[[], bool] = lambda: True,
    ) -> None:
        super().__init__()
        self._board = board
        self._directory = directory
        self._options = options
        self._may_act = may_act
        self._host = platform.node() or "localhost"
        self._watch: Watch | None = None
        self._waiting: deque[Reading] = deque(maxlen=_WAITING)
        self._last: tuple[SystemMetrics, Prediction] | None = None
        # Whether the breaker was told to tighten. A successor does not know, and says it again.
        self._tightened: bool | None = False

    def on_start(self) -> None:
        if self._address.starts > 1:
            self._tightened = None
            self._directory["collector"].send_unbounded(WantState())
        else:
            self._watch = self._new_watch()

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, Reading):
            if self._watch is None:
                self._waiting.append(message)
            else:
                self._observe(self._watch, message.metrics)
        elif isinstance(message, Paused):
            self._board.risk = None
            self._tighten(wanted=False)
        else:
            return super().on_receive(message)
        return None

    def on_system_message(self, message: Any) -> None:
        if isinstance(message, WantKept):
            if self._watch is not None:
                self._directory["collector"].post(KeepState(self._watch.snapshot()))
        elif not isinstance(message, LeftState):
            super().on_system_message(message)
        elif self._watch is None:
            self._watch = self._new_watch() if message.state is None else Watch.restore(message.state)
            while self._waiting:
                self._observe(self._watch, self._waiting.popleft().metrics)

    def _new_watch(self) -> Watch:
        return Watch(PredictionEngine.of(self._options))

    def _observe(self, watch: Watch, metrics: SystemMetrics) -> None:
        prediction, verdicts = watch.observe(metrics)
        self._directory["collector"].post(KeepState(watch.snapshot()))
        self._board.risk = prediction.risk.score
        self._last = (metrics, prediction)
        self._board.publish(PredictionMade(self._host, metrics, prediction))
        if prediction.alert is not None:
            self._raise_alert(prediction.alert)
        for verdict in verdicts:
            self._board.publish(AlertJudged(self._host, verdict.factor, verdict.came_true, verdict.missed))
        self._tighten(wanted="error_rate" in prediction.active)

    def _raise_alert(self, alert: Alert) -> None:
        get_logger("predictor").log(
            logging.WARNING,
            "alert_raised",
            host=self._host,
            kind=alert.kind.value,
            factor=alert.factor,
            eta_seconds=None if alert.eta_seconds is None else round(alert.eta_seconds),
            reason=alert.reason,
            actions=list(alert.actions),
        )
        self._board.publish(AlertRaised(self._host, alert))
        if alert.factor == "memory" and self._options.act and self._may_act():
            error = PredictedPressure(alert.reason)
            self._directory["orchestrator"].tell(ErrorReport(error, "predictor", "memory"))

    def _tighten(self, *, wanted: bool) -> None:
        """Make the circuits stricter while errors are foretold, if the predictor is to act."""
        wanted = wanted and self._options.act and self._may_act()
        if wanted != self._tightened:
            self._tightened = wanted
            self._directory["breaker"].send_unbounded(TightenCircuits(wanted))

    @property
    def status_details(self) -> dict[str, Any]:  # type: ignore[override]
        """The newest risk with its factors, what is forecast, and how good the alerts were so far."""
        last, watch = self._last, self._watch
        details: dict[str, Any] = {"host": self._host, "acting": self._options.act}
        if watch is not None:
            accuracy = watch.accuracy
            details.update(
                alerts_judged=accuracy.alerts,
                alerts_true=accuracy.true,
                breaches=accuracy.breaches,
                breaches_foretold=accuracy.foretold,
                precision=accuracy.precision,
                recall=accuracy.recall,
                recent_points=list(watch.points),
            )
        if last is not None:
            details.update(_details_of(*last))
        return details


def _details_of(metrics: SystemMetrics, prediction: Prediction) -> dict[str, Any]:
    return {
        "at": metrics.at,
        "risk": prediction.risk.score,
        "level": prediction.risk.level.name,
        "factors": list(prediction.risk.factors),
        "alerting": list(prediction.active),
        "actions": list(prediction.risk.actions),
        "forecasts": [
            {
                "factor": forecast.factor,
                "eta_seconds": round(forecast.eta_seconds),
                "eta_range": [round(end) for end in forecast.eta_range],
                "confidence": round(forecast.confidence, 2),
                "reason": forecast.reason,
            }
            for forecast in prediction.forecasts
        ],
        "metrics": {factor: metrics.value(factor) for factor in FACTORS},
        "requests": metrics.requests,
        "pressure": metrics.pressure,
    }
