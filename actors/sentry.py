"""Saying something to Sentry, as a guest: the application has initialised it, or nothing is said.

Each event is sent under the scope of the request that failed, and passes a last event processor that redacts it
whole. That processor fails closed: an event that it cannot redact is not sent.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from upright.actors.exits import describe
from upright.actors.log import get_logger
from upright.strategies.foreign import Interruption, is_of, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from upright.strategies.event_redaction import EventRedactor
    from upright.strategies.origin import Origin

__all__ = ["Draft", "capture", "clean_scope", "ignore_own_log_lines", "is_on"]


@dataclass(frozen=True, slots=True)
class Draft:
    """One event before Sentry sees it; not redacted yet.

    Attributes:
        kind: What the rate limit counts it as.
        level: "warning" or "error".
        message: What happened, in one line.
        fingerprint: What makes Sentry group it with others.
        tags: Few and of few values.
        details: The context "upright".
        crumbs: (Unix time, text, whether it is bad), oldest first.
        error: The exception; None to send the message alone.
        origin: Where it comes from; None sends it without any scope of the application but the global one.
    """

    kind: str
    level: str
    message: str
    fingerprint: tuple[str, ...]
    tags: Mapping[str, str]
    details: Mapping[str, Any]
    crumbs: tuple[tuple[float, str, bool], ...] = ()
    error: BaseException | None = None
    origin: Origin | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


class _CannotBeShown(Exception):  # noqa: N818 - a fact about what is to be sent
    """An event cannot be made of this, or not be redacted."""


def is_on() -> bool:
    """Whether the application has initialised Sentry."""
    sentry = sys.modules.get("sentry_sdk")
    try:
        return sentry is not None and bool(sentry.is_initialized())
    except Exception:  # half imported: not yet
        return False


def ignore_own_log_lines() -> bool:
    """Keep upright's log lines from becoming events besides the incident's; True once that is done.

    It concerns the logger "upright" alone, and events and breadcrumbs alone: Sentry Logs still get the lines.
    """
    if not is_on():
        return False
    from sentry_sdk.integrations.logging import ignore_logger  # noqa: PLC0415 - imported by whoever initialised it

    ignore_logger("upright")
    return True


def capture(draft: Draft, redactor: EventRedactor, *, local_variables: bool = True) -> bool:
    """Hand an event to Sentry's client; True if it was taken.

    What the client's transport does with it, and how long that takes, is its own affair; so this may block.
    """
    if not is_on():
        return False
    context = draft.origin.context.copy() if draft.origin is not None else copy_context()
    try:
        return bool(context.run(_capture, draft, redactor, local_variables))
    except (KeyboardInterrupt, Interruption):
        raise
    except BaseException as broken:
        if draft.error is None or (is_of(broken, Exception) and not is_of(broken, _CannotBeShown)):
            raise
        # Something in the exception or its frames cannot be looked at: the incident is told all the same.
        why = f"{kind_of(draft.error)}, not shown: {describe(broken)}"
        bare = replace(draft, error=None, extra={**draft.extra, "exception": why})
        return bool(context.run(_capture, bare, redactor, local_variables))


def _capture(draft: Draft, redactor: EventRedactor, local_variables: bool) -> str | None:  # noqa: FBT001 - run()
    import sentry_sdk  # noqa: PLC0415 - is_on() says that it is imported
    from sentry_sdk.utils import event_from_exception  # noqa: PLC0415

    event: dict[str, Any] = {"message": draft.message}
    if draft.error is not None:
        options = dict(sentry_sdk.get_client().options)
        if not local_variables:
            options["include_local_variables"] = False
        mechanism = {"type": "upright", "handled": True}
        # Without the hint that goes with it, for Sentry's deduplication would drop the second event of an incident, or
        # the only one if the application has just captured the same exception.
        try:
            of_error, _ = event_from_exception(draft.error, client_options=options, mechanism=mechanism)
        except Exception as broken:
            raise _CannotBeShown(describe(broken)) from None
        event = {**of_error, **event}
    event |= {
        "level": draft.level,
        "logger": "upright",
        "fingerprint": list(draft.fingerprint),
        "contexts": {"upright": dict(draft.details)},
    }
    if draft.extra:
        event["extra"] = dict(draft.extra)

    unfit: list[str] = []
    done: list[bool] = []

    # Sentry swallows whatever a processor raises, also the interrupt of an abandoned worker, and goes on with the event
    # as it was. So it is emptied before anything else, and dropped afterwards unless it was redacted.
    def redact(prepared: Any, hint: Any) -> Any:
        hint["attachments"] = []  # bytes that cannot be looked through
        whole = dict(prepared)
        prepared.clear()
        try:
            redacted = redactor.redact(whole)
        except Exception as error:
            get_logger("tracker").warning("sentry_event_dropped", reason=f"not redactable: {kind_of(error)}")
            unfit.append(describe(error))
            return None
        done.append(True)
        return redacted

    def drop_unless_redacted(prepared: Any, _hint: Any) -> Any:
        return prepared if done else None

    scope = draft.origin.scope if draft.origin is not None else None
    with clean_scope(scope) as current:
        for at, text, bad in draft.crumbs:
            current.add_breadcrumb(
                category="upright",
                message=text,
                level="warning" if bad else "info",
                timestamp=datetime.fromtimestamp(at, UTC),
            )
        current.set_level(draft.level)  # that of the application's scope would win over the event's
        for name, value in draft.tags.items():
            current.set_tag(name, value)
        current.add_event_processor(redact)
        current.add_event_processor(drop_unless_redacted)
        event_id: str | None = current.capture_event(event)
    if unfit:
        raise _CannotBeShown(unfit[0])
    return event_id


@contextmanager
def clean_scope(isolation: Any = None) -> Iterator[Any]:
    """Work under a scope of one's own, on top of `isolation` or of an empty one; Sentry must be on.

    An actor's thread has inherited the isolation scope of whoever started it, whose tags mean nothing here.
    """
    import sentry_sdk  # noqa: PLC0415 - is_on() says that it is imported
    from sentry_sdk.scope import ScopeType, use_isolation_scope  # noqa: PLC0415

    if isolation is None:
        isolation = sentry_sdk.Scope(ty=ScopeType.ISOLATION)
    with use_isolation_scope(isolation), sentry_sdk.new_scope() as current:
        yield current
