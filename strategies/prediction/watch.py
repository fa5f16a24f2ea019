"""One host under watch: the engine, and the record of how good its alerts have been, as one thing to hand over."""

from __future__ import annotations

import pickle
from collections import deque
from typing import TYPE_CHECKING, Final

from upright.strategies.errors import ConfigError
from upright.strategies.prediction.accuracy import Accuracy
from upright.strategies.prediction.metrics import FACTORS

if TYPE_CHECKING:
    from upright.strategies.prediction.accuracy import Verdict
    from upright.strategies.prediction.alert import Prediction
    from upright.strategies.prediction.engine import PredictionEngine
    from upright.strategies.prediction.metrics import SystemMetrics

__all__ = ["Watch"]

_SHOWN: Final = 120


class Watch:
    """Predicts, and judges its own alerts by what came of them.

    Args:
        engine: Which predicts; it belongs to the watch from then on.

    Attributes:
        accuracy: How good the alerts have been so far.
        points: The risk points of the newest 120 readings, oldest first.
    """

    def __init__(self, engine: PredictionEngine) -> None:
        self._engine = engine
        self.accuracy = Accuracy(self._engine.limits)
        self.points: deque[int] = deque(maxlen=_SHOWN)

    def observe(self, metrics: SystemMetrics) -> tuple[Prediction, list[Verdict]]:
        """Take in the next reading: what it means, and which earlier alerts are judged by it."""
        prediction = self._engine.observe(metrics)
        self.points.append(prediction.risk.points)
        return prediction, self.accuracy.observe(metrics, prediction.alert, FACTORS)

    def snapshot(self) -> bytes:
        """Return the whole state as immutable bytes, to be handed to a successor by message."""
        return pickle.dumps(self, protocol=pickle.HIGHEST_PROTOCOL)

    @staticmethod
    def restore(snapshot: bytes) -> Watch:
        """Return a watch that carries on where `snapshot` was taken. Only for bytes from the same process.

        Raises:
            ConfigError: If the bytes hold something else.
        """
        watch = pickle.loads(snapshot)  # noqa: S301 - our own bytes, handed from thread to thread
        if not isinstance(watch, Watch):
            raise ConfigError("Watch.restore", type(watch).__name__, "bytes made by snapshot()")
        return watch
