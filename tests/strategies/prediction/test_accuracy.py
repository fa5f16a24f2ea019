from __future__ import annotations

from upright.strategies.prediction.accuracy import Accuracy, Verdict
from upright.strategies.prediction.alert import Alert, AlertKind
from upright.strategies.prediction.metrics import FACTORS, Limits, SystemMetrics

FORETOLD = Alert(AlertKind.FORECAST, "memory", 600.0, (300.0, 1200.0), "grows", ())
BREACHED = Alert(AlertKind.BREACH, "memory", None, None, "is high", ())


def see(accuracy: Accuracy, at: float, memory: float | None, alert: Alert | None = None) -> list[Verdict]:
    return accuracy.observe(SystemMetrics(at, memory=memory), alert, FACTORS)


def test_before_the_first_alert_nothing_is_known() -> None:
    accuracy = Accuracy(Limits())
    assert (accuracy.precision, accuracy.recall) == (None, None)


def test_a_forecast_comes_true_when_the_limit_is_reached_in_time() -> None:
    accuracy = Accuracy(Limits())
    assert see(accuracy, 0.0, 0.7, FORETOLD) == []
    assert see(accuracy, 600.0, 0.86) == [Verdict("memory", came_true=True)]
    assert (accuracy.precision, accuracy.recall) == (1.0, 1.0)
    assert see(accuracy, 630.0, 0.87) == []


def test_a_forecast_that_does_not_is_false_once() -> None:
    accuracy = Accuracy(Limits())
    see(accuracy, 0.0, 0.7, FORETOLD)
    assert see(accuracy, 2400.0, 0.7) == []
    assert see(accuracy, 2430.0, 0.7) == [Verdict("memory", came_true=False)]
    assert (accuracy.precision, accuracy.recall) == (0.0, None)


def test_a_limit_reached_without_a_word_is_missed() -> None:
    accuracy = Accuracy(Limits())
    assert see(accuracy, 0.0, 0.9) == [Verdict("memory", came_true=False, missed=True)]
    assert (accuracy.precision, accuracy.recall) == (None, 0.0)
    assert see(accuracy, 30.0, 0.9, BREACHED) == [Verdict("memory", came_true=True)]


def test_an_unknown_value_decides_nothing() -> None:
    accuracy = Accuracy(Limits())
    see(accuracy, 0.0, 0.9)
    assert see(accuracy, 30.0, None) == []
    assert see(accuracy, 60.0, 0.9) == []  # it is still the same breach
    assert accuracy.breaches == 1
