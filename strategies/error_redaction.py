"""Errors fit for a log: the traceback as it is, the texts without secrets."""

from __future__ import annotations

from typing import Final

from upright.strategies.redaction import redact_error, redact_text

__all__ = ["redacted_error"]

_MAX_ERRORS: Final = 50  # of one chain; what lies deeper is left out


def redacted_error(error: BaseException) -> BaseException:
    """Return the error itself, or one that prints like it without its secrets.

    The latter only if a text or note of it, of a cause, or of a member of a group holds a secret. It has the names of
    the classes, the tracebacks, causes and contexts of the original, and prints as that does; it is no instance of the
    original's class, and has none of its attributes.
    """
    try:
        chain: dict[int, BaseException] = {}
        _collect(error, chain)
        if len(chain) < _MAX_ERRORS and not any(_tells(one) for one in chain.values()):
            return error
        return _copy(error, chain)
    except Exception as trouble:  # whatever a foreign error does when it is looked at
        return RuntimeError(
            f"<{type(error).__qualname__} not shown, since looking at it raised {type(trouble).__name__}>"
        )


def _collect(error: BaseException | None, chain: dict[int, BaseException]) -> None:
    if error is None or id(error) in chain or len(chain) >= _MAX_ERRORS:
        return
    chain[id(error)] = error
    for one in (error.__cause__, error.__context__, *_members(error)):
        _collect(one, chain)


def _members(error: BaseException) -> tuple[BaseException, ...]:
    return error.exceptions if isinstance(error, BaseExceptionGroup) else ()


def _notes(error: BaseException) -> list[str]:
    return [str(note) for note in getattr(error, "__notes__", ())]


def _tells(error: BaseException) -> bool:
    return redact_error(error) != str(error) or any(redact_text(note) != note for note in _notes(error))


def _copy(error: BaseException, chain: dict[int, BaseException]) -> BaseException:
    copies: dict[int, BaseException] = {}
    for one in chain.values():
        _bare(one, copies)
    for known, one in chain.items():
        copy = copies[known]
        for note in _notes(one):
            copy.add_note(redact_text(note))
        copy.__cause__ = copies.get(id(one.__cause__))
        copy.__context__ = copies.get(id(one.__context__))
        copy.__suppress_context__ = one.__suppress_context__
        copy.__traceback__ = one.__traceback__
    return copies[id(error)]


def _bare(error: BaseException, copies: dict[int, BaseException]) -> BaseException:
    """The copy of one error, without what it is linked to: links may form a cycle, members of groups cannot."""
    if id(error) not in copies:
        cls, text = type(error), redact_error(error)
        names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__str__": lambda _self: text}
        inner = [_bare(one, copies) for one in _members(error)[:_MAX_ERRORS]]
        copies[id(error)] = (
            type(cls.__name__, (BaseExceptionGroup,), names)(text, inner)
            if inner
            else type(cls.__name__, (Exception,), names)(text)
        )
    return copies[id(error)]
