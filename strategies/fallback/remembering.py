"""Remembering good answers while there are any, to give them again, with their age, when there are none."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from upright.strategies.fallback.chain import NothingToOfferError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AnswerStore", "Key", "Remembered", "call_key", "prompt_key"]

F = TypeVar("F", bound="Callable[..., Any]")

Key = "Callable[..., str]"
"""Makes the key of a call from its arguments."""


def call_key(*args: Any, **kwargs: Any) -> str:
    """The same text for the same arguments: their JSON, or the repr of what JSON does not know.

    Long ones are replaced by their SHA-256. An object whose repr holds its address has a key of its own each
    time, and so is never found: give such calls a key function that names what matters.

    Example:
        >>> call_key(7, plan="pro")
        '[[7],{"plan":"pro"}]'
    """
    text = json.dumps([args, kwargs], sort_keys=True, default=repr, separators=(",", ":"))
    return text if len(text) <= 200 else hashlib.sha256(text.encode()).hexdigest()


def prompt_key(*args: Any, **kwargs: Any) -> str:
    """A key that looks past the case and the spacing of texts: for questions that people type.

    Example:
        >>> prompt_key("What is  PI?") == prompt_key("what is pi?")
        True
    """
    return call_key(*map(_plain, args), **{name: _plain(value) for name, value in kwargs.items()})


def _plain(value: Any) -> Any:
    return " ".join(value.casefold().split()) if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class Remembered:
    """An answer from before.

    Attributes:
        value: The answer.
        age: Seconds since it was given.
    """

    value: Any
    age: float


class AnswerStore(ABC):
    """Where answers are remembered; keyed by the arguments of the call that they answered.

    Args:
        key: Makes the key from the arguments of a call.
    """

    def __init__(self, key: Callable[..., str] = call_key) -> None:
        self.key = key

    @abstractmethod
    def put(self, key: str, value: Any) -> None:
        """Remember a value; an earlier one of the same key is replaced."""

    @abstractmethod
    def get(self, key: str) -> Remembered | None:
        """What is remembered under a key; None if nothing is, or it is too old."""

    def recall(self, *args: Any, **kwargs: Any) -> Remembered:
        """The answer to a call with these arguments.

        Raises:
            NothingToOfferError: If none is remembered.
        """
        found = self.get(self.key(*args, **kwargs))
        if found is None:
            raise NothingToOfferError("nothing is remembered for these arguments")
        return found

    def remembering(self, function: F) -> F:
        """Decorate the operation (def or async def), so that each of its answers is remembered.

        Inside of `protect`: what a fallback answered is no new answer. A store that fails is no reason to fail
        for an operation that has succeeded, so its errors are dropped.
        """
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def remember_async(*args: Any, **kwargs: Any) -> Any:
                value = await function(*args, **kwargs)
                self._try_put(value, args, kwargs)
                return value

            return remember_async  # type: ignore[return-value]

        @functools.wraps(function)
        def remember(*args: Any, **kwargs: Any) -> Any:
            value = function(*args, **kwargs)
            self._try_put(value, args, kwargs)
            return value

        return remember  # type: ignore[return-value]

    def _try_put(self, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        with contextlib.suppress(Exception):  # see `remembering`
            self.put(self.key(*args, **kwargs), value)
