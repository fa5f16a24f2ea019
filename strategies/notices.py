"""Recovery notices: what an application may tell its own users while it recovers.

A sentence says what a person at a screen can do with: it names no host, no exception and no mechanism. The fields
beside it are for the application, which may well have better words of its own for its operations.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from upright.strategies.codes import ErrorCode
from upright.strategies.redaction import redact_text
from upright.strategies.report import RecoveryMethod, RecoveryStatus, Stage, StepOutcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from upright.strategies.report import RecoveryId, RecoveryResult, RecoveryStep

__all__ = ["NoticeKind", "RecoveryNotice", "Severity", "notice_of_healing", "notice_of_result", "notice_of_start"]


class NoticeKind(StrEnum):
    """Where a recovery stands."""

    STARTED = "started"
    """A failure was noticed and is being recovered from."""
    PROGRESS = "progress"
    """It is not healed, and goes on."""
    HEALED = "healed"
    """It is over, and everything works again."""
    DEGRADED = "degraded"
    """The user gets a substitute: older, simpler or partial."""
    FAILED = "failed"
    """The user gets nothing, for now."""


class Severity(StrEnum):
    """How loudly to say it."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


_SEVERITIES: Final = {
    NoticeKind.STARTED: Severity.WARNING,
    NoticeKind.PROGRESS: Severity.WARNING,
    NoticeKind.HEALED: Severity.INFO,
    NoticeKind.DEGRADED: Severity.WARNING,
    NoticeKind.FAILED: Severity.ERROR,
}

# What the trouble is, to a person. Codes that are missing here say "Something went wrong".
_TROUBLES: Final[Mapping[ErrorCode, str]] = {
    ErrorCode.DATABASE_CONNECTION: "We have trouble reaching our data",
    ErrorCode.API_TIMEOUT: "A service that we depend on is slow to answer",
    ErrorCode.API_UNAVAILABLE: "A service that we depend on is not available",
    ErrorCode.RATE_LIMITED: "We are sending more requests than a service allows",
    ErrorCode.NETWORK: "The network is unreliable at the moment",
    ErrorCode.MEMORY_PRESSURE: "We are running under heavy load",
    ErrorCode.WEBSOCKET_DISCONNECTED: "The live connection was interrupted",
    ErrorCode.CACHE_UNAVAILABLE: "Some things may take longer than usual",
}
_DEFAULT_TROUBLE: Final = "Something went wrong"


@dataclass(frozen=True, slots=True)
class RecoveryNotice:
    """One piece of news about a recovery, fit for an end user.

    Attributes:
        kind: Where the recovery stands.
        severity: How loudly to say it.
        sentence: What to tell the user, in plain English.
        operation: What failed, as the application names it.
        resource: What it failed on; None if that has no name of its own.
        code: The kind of failure; None if unknown.
        recovery_id: The same for all notices of one recovery; None for a call that an open circuit kept away.
        retry_in: Seconds after which it is worth trying again; None if that is not known.
        at: When, as Unix time.
    """

    kind: NoticeKind
    sentence: str
    operation: str
    resource: str | None = None
    code: ErrorCode | None = None
    recovery_id: RecoveryId | None = None
    retry_in: float | None = None
    at: float = field(default_factory=time.time)

    @property
    def severity(self) -> Severity:
        """How loudly to say it."""
        return _SEVERITIES[self.kind]

    def to_dict(self) -> dict[str, Any]:
        """The notice as JSON-safe data, redacted."""
        return {
            "kind": str(self.kind),
            "severity": str(self.severity),
            "sentence": self.sentence,
            "operation": redact_text(self.operation),
            "resource": None if self.resource is None else redact_text(self.resource),
            "code": None if self.code is None else str(self.code),
            "recovery_id": None if self.recovery_id is None else redact_text(str(self.recovery_id)),
            "retry_in": self.retry_in,
            "at": self.at,
        }


def notice_of_start(recovery_id: RecoveryId, operation: str, resource: str | None) -> RecoveryNotice:
    """The notice of a recovery that begins."""
    code = recovery_id.code
    sentence = f"{_trouble(code)}. We are working on it."
    return RecoveryNotice(NoticeKind.STARTED, sentence, operation, resource, code, recovery_id)


def notice_of_healing(
    recovery_id: RecoveryId,
    operation: str,
    resource: str | None,
    *,
    healed: bool,
    retry_in: float | None = None,
) -> RecoveryNotice:
    """The notice of a healing that has ended; a failed one is progress, since the recovery goes on."""
    code = recovery_id.code
    if healed:
        sentence = "Everything works again. Thank you for your patience."
        return RecoveryNotice(NoticeKind.HEALED, sentence, operation, resource, code, recovery_id)
    sentence = f"{_trouble(code)}. It takes longer than expected; we keep trying."
    return RecoveryNotice(NoticeKind.PROGRESS, sentence, operation, resource, code, recovery_id, retry_in)


def notice_of_result(result: RecoveryResult) -> RecoveryNotice | None:
    """The notice of a call's or report's answer; None where there is no news for a user.

    A shared answer is no news, and neither is a healed one: the healing itself was announced.
    """
    if result.joined or result.status in (RecoveryStatus.SUCCEEDED, RecoveryStatus.HEALED):
        return None
    retry_in = result.wait_time or None
    if result.degraded or result.method is RecoveryMethod.FALLBACK:
        kind, sentence = NoticeKind.DEGRADED, _degraded_sentence(result.steps)
    elif result.status is RecoveryStatus.RECOVERED:
        kind, sentence = NoticeKind.HEALED, "That took a second try, but it worked."
    else:
        kind, sentence = NoticeKind.FAILED, f"{_trouble(result.code)}. {_advice(retry_in)}"
    return RecoveryNotice(kind, sentence, result.operation, result.resource, result.code, result.recovery_id, retry_in)


def _trouble(code: ErrorCode | None) -> str:
    return _TROUBLES.get(code, _DEFAULT_TROUBLE) if code is not None else _DEFAULT_TROUBLE


def _advice(retry_in: float | None) -> str:
    if retry_in is None:
        return "Please try again in a moment."
    seconds = max(1, round(retry_in))
    if seconds < 90:
        return f"Please try again in {seconds} second{'' if seconds == 1 else 's'}."
    return f"Please try again in about {round(seconds / 60)} minutes."


def _degraded_sentence(steps: tuple[RecoveryStep, ...]) -> str:
    """Say how the value is a substitute, in the words of the fallback step that gave it, if it has any."""
    for step in reversed(steps):
        if step.stage is Stage.FALLBACK and step.outcome is StepOutcome.SUCCEEDED and step.detail:
            return f"You are seeing a limited version for now ({redact_text(step.detail)})."
    return "You are seeing a limited version for now."
