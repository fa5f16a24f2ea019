"""What several rows need: a booted tree, functions that work and fail, and the floor of a call."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import upright
from upright.strategies.healing.base import HealingStrategy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from upright.tree import Tree

__all__ = ["HEALABLE", "Nothing", "bare", "bare_async", "booted", "down", "down_async", "wrapped", "wrapped_async"]

HEALABLE = "healable"
"""The resource that `Nothing` heals; failures of others go on without a healing."""


class Nothing(HealingStrategy):
    """Repairs nothing, and says it did: what a healing costs beside the repair."""

    name = "nothing"

    def can_handle(self, report: Any) -> bool:
        return bool(report.resource == HEALABLE)

    def heal(self, report: Any) -> None:
        pass

    def verify(self, report: Any) -> None:
        pass


@contextmanager
def booted(*strategies: Any, **config: Any) -> Iterator[Tree]:
    """A whole tree in its standard configuration, but for what is given; without its socket, for other processes."""
    with upright.boot({"control": {"enabled": False}, **config}, strategies=[Nothing(), *strategies]) as tree:
        yield tree


def bare() -> int:
    """Succeed."""
    return 1


async def bare_async() -> int:
    """Succeed."""
    return 1


def down(*_: Any) -> Any:
    """Fail."""
    raise ConnectionError("down")


async def down_async(*_: Any) -> Any:
    """Fail."""
    raise ConnectionError("down")


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """The floor of a protected call: what any decorator costs that looks at exceptions."""

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception:  # noqa: TRY203 - that is the floor
            raise

    return call


def wrapped_async(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same for coroutine functions."""

    async def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return await function(*args, **kwargs)
        except Exception:  # noqa: TRY203 - that is the floor
            raise

    return call
