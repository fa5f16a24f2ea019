"""The words of a recovery: the report that asks for one, and the result that answers it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, fields
from enum import StrEnum
from itertools import repeat
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from upright.strategies.classification import Classification, classify
from upright.strategies.codes import ErrorCode
from upright.strategies.errors import ConfigError
from upright.strategies.foreign import is_mapping, is_of, kind_of
from upright.strategies.options import MAX_NAME, count_rule, is_count, is_finite_number, require_name
from upright.strategies.origin import Origin, take_origin
from upright.strategies.redaction import redact, redact_error, redact_text, type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "ErrorReport",
    "RecoveryId",
    "RecoveryMethod",
    "RecoveryResult",
    "RecoveryStatus",
    "RecoveryStep",
    "Stage",
    "StepOutcome",
]

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_SET: Final = object.__setattr__  # past what makes a report frozen
_UNCLASSIFIED = Classification(ErrorCode.UNKNOWN, permanent=False, reason="not classified yet")


class RecoveryStatus(StrEnum):
    """How a recovery, or a call that needed none, came out."""

    SUCCEEDED = "SUCCEEDED"
    """Nothing failed."""
    HEALED = "HEALED"
    """The resource was repaired, and the repair was proven."""
    RECOVERED = "RECOVERED"
    """The call got a value by a fallback or a retry."""
    CIRCUIT_OPEN = "CIRCUIT_OPEN"
    """The circuit breaker keeps calls away for `wait_time` seconds."""
    FAILED = "FAILED"
    """Nothing helped; `error` is the first failure."""


class RecoveryMethod(StrEnum):
    """What a recovery succeeded by."""

    SELF_HEALING = "SELF_HEALING"
    FALLBACK = "FALLBACK"
    RETRY = "RETRY"


class Stage(StrEnum):
    """Where in the decision flow a step was taken, in the order of the flow."""

    HEALING = "HEALING"
    BREAKER = "BREAKER"
    FALLBACK = "FALLBACK"
    RETRY = "RETRY"


class StepOutcome(StrEnum):
    """What became of one step."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    """Switched off by a flag, not applicable, or out of attempts."""
    JOINED = "JOINED"
    """Somebody else's recovery of the same failure was already under way, and its outcome was shared."""


class RecoveryId(NamedTuple):
    """What makes two failures the same one: recoveries of equal ids are merged.

    Attributes:
        code: The kind of failure.
        target: The resource, or the operation where the failure has no resource.
    """

    code: ErrorCode
    target: str

    def __str__(self) -> str:
        return f"{self.code}:{self.target}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ErrorReport:
    """An error that asks to be recovered from; classified when it is made, and never again.

    Two reports are equal only if they are the same one, for each is answered on its own.

    Args:
        error: The exception, with its traceback.
        operation: What failed, as the application names it ("database_query").
        resource: What it failed on ("orders-db"); None if that has no name of its own.
        context: What a strategy may need to know. Copied; the values are not.
        call: The failed call, to be made again without arguments; None if it cannot be repeated. It is made in a
            worker's thread: a coroutine runs on an event loop of its own.
        epoch: The resource's epoch when the failed call began; None counts as now.
        created_at: Monotonic seconds; now unless given.
        classification: Given only by who has classified the error already.
        origin: The request that it comes from; that of whoever makes the report unless given.

    Attributes:
        target: What is to be recovered: the resource, or the operation where there is none.
        recovery_id: What makes two reports ask for the same recovery.

    Raises:
        ConfigError: If `error` is no exception, `operation` no text of 1 to 1 000 characters, `resource` neither
            None nor such a text, `context` no mapping, `call` not callable, or a number is none.
    """

    error: BaseException
    operation: str
    resource: str | None = None
    context: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    call: Callable[[], Any] | None = None
    epoch: int | None = None
    created_at: float = field(default_factory=time.monotonic)
    classification: Classification = _UNCLASSIFIED
    origin: Origin | None = field(default_factory=take_origin)
    target: str = field(init=False)
    recovery_id: RecoveryId = field(init=False)

    def __post_init__(self) -> None:
        operation, resource, context = self.operation, self.resource, self.context
        if not is_of(self.error, BaseException):
            raise ConfigError("ErrorReport.error", self.error, "an exception")
        if type(operation) is not str or not 0 < len(operation) <= MAX_NAME:
            operation = require_name("ErrorReport.operation", operation)
            _SET(self, "operation", operation)
        if resource is not None and (type(resource) is not str or not 0 < len(resource) <= MAX_NAME):
            resource = require_name("ErrorReport.resource", resource)
            _SET(self, "resource", resource)
        if self.call is not None and not callable(self.call):
            raise ConfigError("ErrorReport.call", self.call, "None or callable without arguments")
        if self.epoch is not None and not is_count(self.epoch):
            raise ConfigError("ErrorReport.epoch", self.epoch, f"None, or {count_rule(self.epoch, 0)}")
        if not is_finite_number(self.created_at):
            raise ConfigError("ErrorReport.created_at", self.created_at, "a finite number of seconds")
        if context is not _NOTHING and type(context) is not MappingProxyType:
            if type(context) is not dict and not is_mapping(context):
                raise ConfigError("ErrorReport.context", context, "a mapping")
            _SET(self, "context", _copy_of(context))
        if self.classification is _UNCLASSIFIED:
            _SET(self, "classification", classify(self.error))
        target = resource or operation
        _SET(self, "target", target)
        _SET(self, "recovery_id", RecoveryId(self.classification.code, target))

    @property
    def code(self) -> ErrorCode:
        """The kind of failure."""
        return self.classification.code

    @property
    def permanent(self) -> bool:
        """The same call would fail again: nothing is healed, retried or counted."""
        return self.classification.permanent

    def with_context(self, **extra: Any) -> Self:
        """The same report, knowing more."""
        known = object.__new__(type(self))  # without looking again at what was found right
        list(map(_SET, repeat(known), _REPORT_FIELDS, _VALUES(self)))
        _SET(known, "context", MappingProxyType({**self.context, **extra}))
        return known

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-safe data, redacted; the call is named, not shown."""
        return {
            "error": _error_dict(self.error),
            "code": str(self.code),
            "permanent": self.permanent,
            "reason": self.classification.reason,
            "retry_after": self.classification.retry_after,
            "operation": redact_text(self.operation),
            "resource": _text_or_none(self.resource),
            "context": redact(self.context),
            "has_call": self.call is not None,
            "epoch": self.epoch,
            "created_at": self.created_at,
        }

    def __repr__(self) -> str:
        # Not the generated one, which would show the context and whatever the error's repr contains.
        return f"ErrorReport({type_name(self.error)}, {str(self.recovery_id)!r}, operation={self.operation!r})"


_REPORT_FIELDS: Final = tuple(one.name for one in fields(ErrorReport))
_VALUES: Final = attrgetter(*_REPORT_FIELDS)


def _copy_of(context: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return MappingProxyType(dict(context)) if context else _NOTHING
    except Exception as error:  # a mapping of the application's own class
        allowed = f"a mapping that can be read (it raised {kind_of(error)})"
        raise ConfigError("ErrorReport.context", context, allowed) from error


@dataclass(frozen=True, slots=True)
class RecoveryStep:
    """One thing that was tried, or deliberately not.

    Attributes:
        stage: Where in the flow.
        strategy: Name of the healing strategy or fallback step, of the operation's breaker, or "retry".
        outcome: What became of it.
        duration: Seconds it took.
        detail: Why it failed or was skipped, how stale a value is; for people, without secrets.
    """

    stage: Stage
    strategy: str
    outcome: StepOutcome
    duration: float = 0.0
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The step as JSON-safe data, redacted."""
        return {
            "stage": str(self.stage),
            "strategy": redact_text(self.strategy),
            "outcome": str(self.outcome),
            "duration": self.duration,
            "detail": redact_text(self.detail),
        }


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RecoveryResult:
    """What became of a failure, with everything that was tried.

    Attributes:
        recovery_id: Of what failure; None if nothing failed.
        status: How it came out.
        method: What it succeeded by; None if it did not, or needed nothing.
        value: The call's value, or a fallback's.
        error: The first failure; None unless something failed.
        wait_time: Seconds to wait before the next call, above 0 only with CIRCUIT_OPEN.
        duration: Seconds from the report to this answer.
        joined: This answer was shared with the recovery of an earlier report of the same failure.
        degraded: The value is a substitute: stale, simpler or partial. `degradation` says how.
        steps: What was tried, in order.
        operation: What failed.
        resource: What it failed on.
        code: The kind of failure; None if nothing failed.
        started_at: When, as Unix time, for people and logs; everything measured is monotonic.
        age: Seconds since a degraded value was the real one, where it is from before; else None.
    """

    recovery_id: RecoveryId | None
    status: RecoveryStatus
    method: RecoveryMethod | None = None
    value: Any = None
    error: BaseException | None = None
    wait_time: float = 0.0
    duration: float = 0.0
    joined: bool = False
    degraded: bool = False
    steps: tuple[RecoveryStep, ...] = ()
    operation: str = ""
    resource: str | None = None
    code: ErrorCode | None = None
    started_at: float = 0.0
    age: float | None = None

    @property
    def degradation(self) -> str:
        """In what way a degraded value is less than the real one, in the words of the step that gave it; else ""."""
        return self.steps[-1].detail if self.degraded and self.steps else ""

    def to_dict(self, *, value: bool = False) -> dict[str, Any]:
        """The result as JSON-safe data, redacted.

        Args:
            value: Show the value too, redacted and cut to size. Left out by default, for it is the
                application's own data and no business of a log; its type is named.
        """
        shown = {
            "recovery_id": None if self.recovery_id is None else redact_text(str(self.recovery_id)),
            "status": str(self.status),
            "method": None if self.method is None else str(self.method),
            "value_type": type_name(self.value),
            "error": None if self.error is None else _error_dict(self.error),
            "wait_time": self.wait_time,
            "duration": self.duration,
            "joined": self.joined,
            "degraded": self.degraded,
            "steps": [step.to_dict() for step in self.steps],
            "operation": redact_text(self.operation),
            "resource": _text_or_none(self.resource),
            "code": None if self.code is None else str(self.code),
            "started_at": self.started_at,
        }
        if self.age is not None:
            shown["age"] = self.age
        if value:
            shown["value"] = redact(self.value)
        return shown

    def __repr__(self) -> str:
        # Not the generated one, which would show the value and whatever the error's repr contains.
        method = "" if self.method is None else f", {self.method}"
        return f"RecoveryResult({self.status}{method}, recovery_id={str(self.recovery_id)!r})"


def _error_dict(error: BaseException) -> dict[str, Any]:
    return {"type": type_name(error), "message": redact_error(error)}


def _text_or_none(text: str | None) -> str | None:
    return None if text is None else redact_text(text)
