"""What is kept of a recovery once it is over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from upright.strategies.foreign import shown
from upright.strategies.redaction import redact_text, type_name

if TYPE_CHECKING:
    from upright.strategies.codes import ErrorCode
    from upright.strategies.report import (
        RecoveryId,
        RecoveryMethod,
        RecoveryResult,
        RecoveryStatus,
        RecoveryStep,
    )

__all__ = ["HistoryEntry"]

_TEXT = 1_000  # characters of an error's text that are kept


@dataclass(frozen=True, slots=True, repr=False)
class HistoryEntry:
    """A RecoveryResult without what would keep the application's memory alive: its value, and the exception itself.

    The fields of the same names mean the same as in RecoveryResult.

    Attributes:
        error_type: Qualified name of the first failure's type; None if nothing failed.
        error_text: Its text as it is, at most 1 000 characters; `error` is the one to show.
        number: Counts the entries of one tree, from 1, so that a reader who polls knows what is new.
    """

    recovery_id: RecoveryId | None
    status: RecoveryStatus
    method: RecoveryMethod | None
    operation: str
    resource: str | None
    code: ErrorCode | None
    started_at: float
    duration: float
    wait_time: float
    joined: bool
    degraded: bool
    steps: tuple[RecoveryStep, ...]
    error_type: str | None
    error_text: str
    number: int = 0

    @classmethod
    def of(cls, result: RecoveryResult, number: int = 0) -> HistoryEntry:
        """Take down what is worth keeping of a result."""
        error = result.error
        return cls(
            result.recovery_id,
            result.status,
            result.method,
            result.operation,
            result.resource,
            result.code,
            result.started_at,
            result.duration,
            result.wait_time,
            result.joined,
            result.degraded,
            result.steps,
            None if error is None else type_name(error),
            _text_of(error),
            number,
        )

    @property
    def error(self) -> str | None:
        """The first failure as `type: text`, redacted; None if nothing failed."""
        if self.error_type is None:
            return None
        text = redact_text(self.error_text)
        return f"{self.error_type}: {text}" if text else self.error_type

    def to_dict(self) -> dict[str, Any]:
        """The entry as JSON-safe data, redacted; its keys are those of `RecoveryResult.to_dict`, and `number`."""
        return {
            "number": self.number,
            "recovery_id": None if self.recovery_id is None else redact_text(str(self.recovery_id)),
            "status": str(self.status),
            "method": None if self.method is None else str(self.method),
            "error": None
            if self.error_type is None
            else {"type": self.error_type, "message": redact_text(self.error_text)},
            "wait_time": self.wait_time,
            "duration": self.duration,
            "joined": self.joined,
            "degraded": self.degraded,
            "steps": [step.to_dict() for step in self.steps],
            "operation": redact_text(self.operation),
            "resource": None if self.resource is None else redact_text(self.resource),
            "code": None if self.code is None else str(self.code),
            "started_at": self.started_at,
        }

    def __repr__(self) -> str:
        method = "" if self.method is None else f", {self.method}"
        return f"HistoryEntry({self.status}{method}, operation={self.operation!r})"


def _text_of(error: BaseException | None) -> str:
    return "" if error is None else shown(error, _TEXT, str)
