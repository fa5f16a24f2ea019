"""Recovery notices: what an application may tell its own users while it recovers.

A sentence says what a person at a screen can do with: it names no host, no exception and no mechanism. The fields
beside it are for the application, which may well have better words of its own for its operations; they are redacted,
since what reaches a browser has left the process.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, Any, Final

from upright.strategies.codes import ErrorCode
from upright.strategies.redaction import redact_text
from upright.strategies.report import RecoveryMethod, RecoveryStatus, Stage, StepOutcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from upright.strategies.report import RecoveryId, RecoveryResult, RecoveryStep

__all__ = [
    "NoticeFilter",
    "NoticeKind",
    "RecoveryNotice",
    "Severity",
    "notice_of_circuit",
    "notice_of_healing",
    "notice_of_result",
    "notice_of_start",
]


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
        operation: What failed, as the application names it; redacted.
        resource: What it failed on; None if that has no name of its own; redacted.
        code: The kind of failure; None if unknown.
        recovery_id: The same for all notices of one recovery; None for a call that an open circuit kept away; redacted.
        retry_in: Seconds after which it is worth trying again; None if that is not known.
        at: When, as Unix time.
    """

    kind: NoticeKind
    sentence: str
    operation: str
    resource: str | None = None
    code: ErrorCode | None = None
    recovery_id: str | None = None
    retry_in: float | None = None
    at: float = field(default_factory=time.time)

    @property
    def severity(self) -> Severity:
        """How loudly to say it."""
        return _SEVERITIES[self.kind]

    def to_dict(self) -> dict[str, Any]:
        """The notice as JSON-safe data."""
        return {
            "kind": str(self.kind),
            "severity": str(self.severity),
            "sentence": self.sentence,
            "operation": self.operation,
            "resource": self.resource,
            "code": None if self.code is None else str(self.code),
            "recovery_id": self.recovery_id,
            "retry_in": self.retry_in,
            "at": self.at,
        }


def notice_of_start(recovery_id: RecoveryId, operation: str, resource: str | None) -> RecoveryNotice:
    """The notice of a recovery that begins."""
    sentence = f"{_trouble(recovery_id.code)}. We are working on it."
    return _notice(NoticeKind.STARTED, sentence, operation, resource, recovery_id.code, recovery_id)


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
        return _notice(NoticeKind.HEALED, sentence, operation, resource, code, recovery_id)
    sentence = f"{_trouble(code)}. It takes longer than expected; we keep trying."
    return _notice(NoticeKind.PROGRESS, sentence, operation, resource, code, recovery_id, retry_in)


def notice_of_circuit(operation: str) -> RecoveryNotice:
    """The notice of a circuit that has closed again: its probes found that what it calls works."""
    sentence = "Everything works again. Thank you for your patience."
    return _notice(NoticeKind.HEALED, sentence, operation, None, None, None)


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
    return _notice(kind, sentence, result.operation, result.resource, result.code, result.recovery_id, retry_in)


class NoticeFilter:
    """Tells news from repetition, so that a thousand calls that fail alike are one notice and not a thousand.

    Of each recovery (its id, else its operation) each kind of notice passes once in `repeat` seconds, whatever comes in
    between; `HEALED` passes if the last one that passed was another, so that no user is left with a bad one.
    The caller brings the clock: every `now` is a reading of one monotonic clock.

    Args:
        repeat: Seconds.
        limit: Recoveries that are remembered; the one that was heard of longest ago is forgotten first.

    Examples:
        >>> news = NoticeFilter(repeat=5.0)
        >>> failed = RecoveryNotice(NoticeKind.FAILED, "Please try again in a moment.", "checkout")
        >>> [news.passes(failed, now) for now in (0.0, 1.0, 6.0)]
        [True, False, True]
    """

    def __init__(self, repeat: float = 5.0, limit: int = 1_000) -> None:
        self._repeat = repeat
        self._limit = limit
        # By recovery, when each kind passed last; the one that passed last of all is the last key.
        self._passed: OrderedDict[str, dict[NoticeKind, float]] = OrderedDict()

    def passes(self, notice: RecoveryNotice, now: float) -> bool:
        """Whether this is news; if so it is remembered."""
        key, kind = notice.recovery_id or notice.operation, notice.kind
        passed = self._passed.setdefault(key, {})
        self._passed.move_to_end(key)
        if len(self._passed) > self._limit:
            self._passed.popitem(last=False)
        if kind is NoticeKind.HEALED:
            is_news = not passed or next(reversed(passed)) is not kind or now - passed[kind] >= self._repeat
        else:
            is_news = now - passed.get(kind, -inf) >= self._repeat
        if is_news:
            passed.pop(kind, None)
            passed[kind] = now
        return is_news


def _notice(
    kind: NoticeKind,
    sentence: str,
    operation: str,
    resource: str | None,
    code: ErrorCode | None,
    recovery_id: RecoveryId | None,
    retry_in: float | None = None,
) -> RecoveryNotice:
    return RecoveryNotice(
        kind,
        sentence,
        _name(operation),
        None if resource is None else _name(resource),
        code,
        None if recovery_id is None else _name(str(recovery_id)),
        retry_in,
    )


_name = lru_cache(maxsize=1_024)(redact_text)  # names come again and again, and are at most 1 000 characters long


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
