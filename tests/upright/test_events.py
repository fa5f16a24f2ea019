"""Every event is understood by everybody who is told: a message that nobody knows is a warning in the user's log."""

from __future__ import annotations

from typing import Any

import pytest

import upright
from upright.actors import events
from upright.strategies.prediction import Alert, AlertKind, PredictionEngine, SystemMetrics
from upright.strategies.report import ErrorReport, RecoveryResult, RecoveryStatus

REPORT = ErrorReport(ConnectionError("down"), "op")
METRICS = SystemMetrics(0.0, 0.5, 10.0, 0.0, 5, 0.1)
RESULT = RecoveryResult(recovery_id=REPORT.recovery_id, status=RecoveryStatus.FAILED, error=REPORT.error)
EVENTS: list[Any] = [
    events.RecoveryStarted(REPORT.recovery_id, REPORT),
    events.HealingEnded(REPORT.recovery_id, REPORT, False, False, (), 1.0, 0),
    events.RecoveryEscalated(REPORT.recovery_id, REPORT, 3, 60.0),
    events.RecoveryFinished(RESULT, REPORT),
    events.CircuitChanged("op", "CLOSED", "OPEN", "test"),
    events.PredictionMade("host", METRICS, PredictionEngine().observe(METRICS)),
    events.AlertRaised("host", Alert(AlertKind.BREACH, "memory", None, None, "over", (), 1.0)),
    events.AlertJudged("host", "memory", came_true=True),
]


def test_there_is_one_of_each_kind() -> None:
    assert {type(event).__name__ for event in EVENTS} == set(events.__all__)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_is_understood_by_all_who_are_told(event: Any, caplog: pytest.LogCaptureFixture) -> None:
    config = {"control": {"enabled": False}, "flags": {"error_predictor": False}}
    with upright.boot(config) as tree:
        tree.parts.board.publish(event)
        assert {address.name for address in tree.parts.board.subscribers} >= {"monitor", "tracker"}
    assert [record.getMessage() for record in caplog.records if record.name == "pykka"] == []
