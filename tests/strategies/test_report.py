from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from types import MappingProxyType
from typing import Any

import pytest

from upright.strategies.classification import Classification
from upright.strategies.codes import ErrorCode
from upright.strategies.errors import ConfigError
from upright.strategies.report import (
    ErrorReport,
    RecoveryId,
    RecoveryMethod,
    RecoveryResult,
    RecoveryStatus,
    RecoveryStep,
    Stage,
    StepOutcome,
)


class HostileError(Exception):
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


# Names of the contract


@pytest.mark.parametrize(
    ("enum", "names"),
    [
        (RecoveryStatus, "SUCCEEDED HEALED RECOVERED CIRCUIT_OPEN FAILED"),
        (RecoveryMethod, "SELF_HEALING FALLBACK RETRY"),
        (Stage, "HEALING BREAKER FALLBACK RETRY"),
        (StepOutcome, "SUCCEEDED FAILED SKIPPED JOINED"),
    ],
)
def test_the_words_are_spelled_as_promised_and_are_their_own_text(enum: Any, names: str) -> None:
    assert [member.name for member in enum] == names.split()
    assert all(str(member) == member.name for member in enum)


# Reports


def test_a_report_is_classified_when_it_is_made() -> None:
    report = ErrorReport(ConnectionResetError("gone"), "database_query", "orders-db")
    assert (report.code, report.permanent) == (ErrorCode.NETWORK, False)


def test_an_error_is_classified_once() -> None:
    looks = 0

    class CountedError(Exception):
        @property
        def sqlstate(self) -> str:
            nonlocal looks
            looks += 1
            return "40001"

    report = ErrorReport(CountedError(), "query")
    before = looks
    report.with_context(a=1).to_dict()
    assert (report.code, report.permanent, report.recovery_id.code) == (
        ErrorCode.DATABASE_CONNECTION,
        False,
        report.code,
    )
    assert looks == before == 1


def test_a_classification_that_is_given_is_kept() -> None:
    known = Classification(ErrorCode.RATE_LIMITED, permanent=False, retry_after=3.0)
    assert ErrorReport(ValueError(), "query", classification=known).classification is known


def test_the_recovery_id_is_the_code_and_the_resource_or_else_the_operation() -> None:
    error = ConnectionResetError()
    assert ErrorReport(error, "query", "orders-db").recovery_id == (ErrorCode.NETWORK, "orders-db")
    assert ErrorReport(error, "query").recovery_id == (ErrorCode.NETWORK, "query")
    assert str(ErrorReport(error, "query").recovery_id) == "NETWORK:query"
    assert ErrorReport(error, "query").target == "query"


def test_created_at_is_monotonic() -> None:
    before = time.monotonic()
    assert before <= ErrorReport(OSError(), "query").created_at <= time.monotonic()
    assert ErrorReport(OSError(), "query", created_at=5.0).created_at == 5.0


def test_a_report_cannot_be_changed() -> None:
    report = ErrorReport(OSError(), "query", context={"a": 1})
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.operation = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        report.context["a"] = 2  # type: ignore[index]


def test_a_later_change_of_the_given_context_does_not_reach_the_report() -> None:
    context = {"a": 1}
    report = ErrorReport(OSError(), "query", context=context)
    context["a"] = 2
    assert report.context == {"a": 1}


def test_more_context_makes_another_report_of_the_same_failure() -> None:
    report = ErrorReport(OSError(), "query", "db", context={"a": 1}, call=print, epoch=4)
    richer = report.with_context(predicted_risk=0.7)
    assert dict(richer.context) == {"a": 1, "predicted_risk": 0.7}
    assert dict(report.context) == {"a": 1}
    for field in ("error", "operation", "resource", "call", "epoch", "created_at", "classification"):
        assert getattr(richer, field) is getattr(report, field)


def test_reports_are_equal_only_to_themselves() -> None:
    error = OSError()
    first, second = ErrorReport(error, "query"), ErrorReport(error, "query")
    assert first != second
    assert len({first, second}) == 2


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"error": "text"}, "error"),
        ({"error": OSError}, "error"),
        ({"operation": ""}, "operation"),
        ({"operation": None}, "operation"),
        ({"resource": ""}, "resource"),
        ({"resource": 3}, "resource"),
        ({"context": None}, "context"),
        ({"context": [("a", 1)]}, "context"),
        ({"call": "query"}, "call"),
        ({"epoch": 1.0}, "epoch"),
        ({"epoch": True}, "epoch"),
    ],
    ids=str,
)
def test_a_wrong_report_is_refused_where_it_is_made(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ErrorReport(**{"error": OSError(), "operation": "query", **changed})
    assert caught.value.field == f"ErrorReport.{field}"


def test_a_report_of_what_passes_through_is_permanent() -> None:
    assert ErrorReport(asyncio.CancelledError(), "query").permanent


def test_a_report_leaves_as_redacted_json() -> None:
    report = ErrorReport(
        ValueError("bad dsn postgresql://a:hunter2@db/x"),
        "query",
        "mail jane@x.org",
        context=MappingProxyType({"password": "hunter2", "n": 1}),
        call=lambda: "hunter2",
        epoch=3,
        created_at=1.5,
    )
    shown = report.to_dict()
    assert "hunter2" not in json.dumps(shown, allow_nan=False)
    assert shown == {
        "error": {"type": "ValueError", "message": "bad dsn postgresql://a:[redacted]@db/x"},
        "code": "VALIDATION",
        "permanent": True,
        "reason": "builtins.ValueError",
        "retry_after": None,
        "operation": "query",
        "resource": "mail [email]",
        "context": {"password": "[redacted]", "n": 1},
        "has_call": True,
        "epoch": 3,
        "created_at": 1.5,
    }


def test_a_hostile_error_can_be_reported_and_shown() -> None:
    report = ErrorReport(HostileError(), "query", context={"error": HostileError()})
    json.dumps(report.to_dict())
    assert "HostileError" in repr(report)


def test_the_repr_of_a_report_gives_nothing_away() -> None:
    report = ErrorReport(ValueError("hunter2"), "query", context={"password": "hunter2"})
    assert repr(report) == "ErrorReport(ValueError, 'VALIDATION:query', operation='query')"


# Results


def test_a_result_leaves_as_redacted_json() -> None:
    step = RecoveryStep(Stage.FALLBACK, "cached data", StepOutcome.SUCCEEDED, 0.01, "3 s old, token=abc")
    result = RecoveryResult(
        RecoveryId(ErrorCode.NETWORK, "orders-db"),
        RecoveryStatus.RECOVERED,
        RecoveryMethod.FALLBACK,
        value={"password": "hunter2", "rows": [1]},
        error=OSError("password=hunter2"),
        wait_time=0.0,
        duration=0.25,
        degraded=True,
        steps=(step,),
        operation="query",
        resource="orders-db",
        code=ErrorCode.NETWORK,
        started_at=1.0,
    )
    shown = result.to_dict(value=True)
    assert "hunter2" not in json.dumps(shown, allow_nan=False)
    assert shown.pop("value") == {"password": "[redacted]", "rows": [1]}
    assert shown == result.to_dict()
    assert shown == {
        "recovery_id": "NETWORK:orders-db",
        "status": "RECOVERED",
        "method": "FALLBACK",
        "value_type": "dict",
        "error": {"type": "OSError", "message": "password=[redacted]"},
        "wait_time": 0.0,
        "duration": 0.25,
        "joined": False,
        "degraded": True,
        "steps": [
            {
                "stage": "FALLBACK",
                "strategy": "cached data",
                "outcome": "SUCCEEDED",
                "duration": 0.01,
                "detail": "3 s old, token=[redacted]",
            }
        ],
        "operation": "query",
        "resource": "orders-db",
        "code": "NETWORK",
        "started_at": 1.0,
    }


def test_a_success_has_no_recovery() -> None:
    result = RecoveryResult(None, RecoveryStatus.SUCCEEDED, value=3)
    shown = result.to_dict()
    assert (shown["recovery_id"], shown["method"], shown["error"], shown["code"]) == (None, None, None, None)
    assert repr(result) == "RecoveryResult(SUCCEEDED, recovery_id='None')"


def test_the_repr_of_a_result_gives_nothing_away() -> None:
    result = RecoveryResult(
        RecoveryId(ErrorCode.NETWORK, "db"), RecoveryStatus.HEALED, RecoveryMethod.SELF_HEALING, value="hunter2"
    )
    assert repr(result) == "RecoveryResult(HEALED, SELF_HEALING, recovery_id='NETWORK:db')"
