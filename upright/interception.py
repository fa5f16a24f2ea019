"""The place where protected calls can be intercepted before they are made: what fault injection plugs into.

An intercepted operation is switched to another path as a whole, so that the hot path of all the others, and its own
before and afterwards, has nothing to ask: see Binding.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["INTERCEPTED", "entered", "entered_async", "follow", "intercept", "intercepted", "interceptor_of"]

# Wrappers by operation, the newest last. Each tuple is replaced as a whole.
_wrappers: dict[str, tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...]] = {}
_bindings: weakref.WeakSet[Any] = weakref.WeakSet()  # what `refresh()`es itself when a wrapper comes or goes


class _Diverted:
    """Stands where the breaker of an intercepted operation stands, and says that no call simply passes."""

    passes: Final = False

    @property
    def snapshot(self) -> _Diverted:
        """Itself."""
        return self


INTERCEPTED: Final = _Diverted()


def intercept(operation: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Callable[[], None]:
    """Have every protected call of an operation made through `wrapper`, in whatever tree of this process.

    Args:
        operation: Its name.
        wrapper: Takes the function, returns what is called in its place; once for each call, also for its repetitions.

    Returns:
        Ends it; a second call does nothing.
    """
    _wrappers[operation] = (*_wrappers.get(operation, ()), wrapper)
    _refresh()

    def end() -> None:
        left = tuple(other for other in _wrappers.get(operation, ()) if other is not wrapper)
        if left:
            _wrappers[operation] = left
        else:
            _wrappers.pop(operation, None)
        _refresh()

    return end


def interceptor_of(operation: str) -> Callable[[Callable[..., Any]], Callable[..., Any]] | None:
    """Return what wraps the calls of an operation now; None if nothing does."""
    wrappers = _wrappers.get(operation)
    if not wrappers:
        return None

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        for wrapper in wrappers:
            function = wrapper(function)
        return function

    return wrap


def intercepted(operation: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what is to be called in place of `function`: itself, unless the operation is intercepted."""
    if not _wrappers:
        return function
    wrap = interceptor_of(operation)
    return function if wrap is None else wrap(function)


def entered(operation: str) -> None:
    """Raise what an interception has for a block that begins; see `Tree.boundary`."""
    if _wrappers:
        intercepted(operation, _nothing)()


async def entered_async(operation: str) -> None:
    """The same where a block of a coroutine begins."""
    if _wrappers:
        await intercepted(operation, _nothing_async)()


def follow(binding: Any) -> None:
    """Have `binding.refresh()` called whenever an interception begins or ends; held weakly."""
    _bindings.add(binding)


def _refresh() -> None:
    for binding in list(_bindings):
        binding.refresh()


def _nothing() -> None:
    """Stand for the block of a boundary."""


async def _nothing_async() -> None:
    """Stand for the block of a boundary in a coroutine."""
