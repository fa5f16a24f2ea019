"""Looking at what is not ours: values, exceptions and messages that may raise, lie or never end when they are asked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from inspect import isasyncgenfunction, isawaitable, iscoroutinefunction, isgeneratorfunction
from typing import TYPE_CHECKING, Any, Final, TypeGuard, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

__all__ = [
    "Interruption",
    "is_awaitable",
    "is_coroutine_function",
    "is_generator_function",
    "is_mapping",
    "is_of",
    "kind_of",
    "part",
    "plain_text",
    "shown",
    "traceback_of",
]

T = TypeVar("T")

_MAX_SHOWN: Final = 200

_MAX_LINKS: Final = 100  # of a chain of contexts; a longer one is not followed
_CONTEXT: Final = BaseException.__dict__["__context__"]  # past a property of a class of its own
_TRACEBACK: Final = BaseException.__dict__["__traceback__"].__get__
# Read past the metaclass, which may raise.
_NAME: Final = type.__dict__["__name__"].__get__
_QUALNAME: Final = type.__dict__["__qualname__"].__get__


def is_of(value: Any, kind: type[T]) -> TypeGuard[T]:
    """Whether a value is of a kind, by its type alone.

    `isinstance` also asks the value for its `__class__`, which may raise, or be a lie.
    """
    return issubclass(type(value), kind)


def is_awaitable(value: Any) -> TypeGuard[Awaitable[Any]]:
    """Whether a value can be awaited; quick to say no to what functions return most."""
    return value is not None and type(value) is not bool and isawaitable(value)


def is_coroutine_function(function: Any) -> bool:
    """Whether calling this gives a coroutine: an `async def`, what has one as its `__call__`, a partial of them."""
    return any(iscoroutinefunction(found) for found in _called(function))


def is_generator_function(function: Any) -> bool:
    """Whether calling this gives a generator of either kind; looks where `is_coroutine_function` does."""
    return any(isgeneratorfunction(found) or isasyncgenfunction(found) for found in _called(function))


def _called(function: Any) -> tuple[Any, Any]:
    while True:
        if is_of(function, partial):
            function = function.func
        elif is_of(function, staticmethod):
            function = function.__func__
        else:
            break
    return function, getattr(type(function), "__call__", None)  # noqa: B004 - looked at, not asked for


def is_mapping(value: Any) -> TypeGuard[Mapping[Any, Any]]:
    """Whether a value is of a mapping type, by its type alone; False where that cannot even be asked."""
    try:
        return issubclass(type(value), Mapping)
    except Exception:  # a metaclass that does not like to be compared, or hashed
        return False


def plain_text(value: Any) -> str | None:
    """Return a value's text, as a plain one and no object of a class of its own; None where it raises.

    Whatever it raises, a stray `sys.exit()` included; only what was thrown in from outside passes.
    """
    try:
        return str.__str__(str(value))
    except (KeyboardInterrupt, Interruption):
        raise
    except BaseException:
        return None


def shown(value: Any, limit: int = _MAX_SHOWN, text: Callable[[Any], str] = repr) -> str:
    """Return a value's `repr`, or another text of it, cut to `limit` characters; what it raised where it has none."""
    try:
        found = str.__str__(text(value))
    except (KeyboardInterrupt, Interruption):
        raise
    except BaseException as broken:
        if type(value) is int:  # longer than the interpreter is willing to print
            return f"<int of {value.bit_length()} bits>"
        found = f"<{kind_of(value)} whose {text.__name__}() raised {kind_of(broken)}>"
    found = _cut(found, limit)
    if found.isascii():
        return found
    return _cut(found.encode(errors="backslashreplace").decode(), limit)  # no lone surrogate


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def kind_of(value: Any, *, qualified: bool = False) -> str:
    """Return the name of a value's type, whatever the type or its metaclass does about that.

    Args:
        value: Anything.
        qualified: With the module, unless that is `builtins`.
    """
    cls = type(value)
    name: str = _QUALNAME(cls) if qualified else _NAME(cls)
    module = type.__getattribute__(cls, "__module__") if qualified else None
    if isinstance(module, str) and module != "builtins":
        name = f"{module}.{name}"
    return name[:_MAX_SHOWN]


def traceback_of(error: BaseException) -> TracebackType | None:
    """Return an exception's traceback, past a property of its class that stands before it."""
    traceback: TracebackType | None = _TRACEBACK(error)
    return traceback


def part(error: BaseException, handled: BaseException | None) -> None:
    """Take what was being handled when a call was made out of the context of what the call raised.

    A call is made again while its first failure is being handled, and Python notes that as the context of the second;
    which is a failure of its own, and is to be judged, and shown, as if it had come first.
    """
    link: BaseException | None = error
    for _ in range(_MAX_LINKS):
        if link is None or link is handled or handled is None:
            return
        context: BaseException | None = _CONTEXT.__get__(link)
        if context is handled:
            _CONTEXT.__set__(link, None)
            return
        link = context


class Interruption(BaseException):  # not an error, and nobody's to catch
    """Base of what is thrown into a thread from outside, between any two bytecodes, to end it."""
