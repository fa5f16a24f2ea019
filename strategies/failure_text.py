"""A failure in one line, for steps and logs."""

from __future__ import annotations

from upright.strategies.foreign import kind_of
from upright.strategies.redaction import redact_error

__all__ = ["failure_text"]

_MAX_LENGTH = 300


def failure_text(error: BaseException) -> str:
    """The error's type and the first line of its text, without secrets and cut to 300 characters.

    Examples:
        >>> failure_text(ValueError("no such plan"))
        'ValueError: no such plan'
    """
    text = redact_error(error).strip().partition("\n")[0]
    name = kind_of(error)
    return f"{name}: {text}"[:_MAX_LENGTH] if text else name
