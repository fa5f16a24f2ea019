"""Remembering good answers while there are any, to give them again, with their age, when there are none."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import inspect
import json
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from upright.strategies.errors import ConfigError
from upright.strategies.fallback.chain import NothingToOfferError
from upright.strategies.foreign import is_coroutine_function
from upright.strategies.procedure import run
from upright.strategies.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.strategies.procedure import Procedure

__all__ = ["AnswerStore", "Remembered", "call_key", "prompt_key"]

F = TypeVar("F", bound="Callable[..., Any]")

_REST: Final = 5.0  # seconds for which a store that failed, or was slow, is spared
_SLOW: Final = 0.25  # seconds above which remembering one answer is slow


def call_key(*args: Any, **kwargs: Any) -> str:
    """The same text for the same arguments: their JSON, with type and repr of what JSON does not know.

    Long ones are replaced by their SHA-256.

    Raises:
        ConfigError: If the repr of an argument is its address, as it is by default: another object may have it
            tomorrow, and would get the answer of this one. Give the store a `key` that names what matters.

    Examples:
        >>> call_key(7, plan="pro")
        '[[7],{"plan":"pro"}]'
    """
    text = json.dumps([args, kwargs], sort_keys=True, default=_named, separators=(",", ":"))
    return text if len(text) <= 200 else hashlib.sha256(text.encode()).hexdigest()


def prompt_key(*args: Any, **kwargs: Any) -> str:
    """A key that looks past the case and the spacing of texts: for questions that people type.

    Examples:
        >>> prompt_key("What is  PI?") == prompt_key("what is pi?")
        True
    """
    return call_key(*map(_plain, args), **{name: _plain(value) for name, value in kwargs.items()})


def _named(value: Any) -> Any:
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, set | frozenset):
        # The order of a set's repr differs from process to process.
        return {kind: sorted(call_key(member) for member in value)}
    text = repr(value)
    if " at 0x" in text:
        raise ConfigError(
            "call_key", value, "arguments with a text of their own; give the store a key= that names what matters"
        )
    return {kind: text}


def _plain(value: Any) -> Any:
    return " ".join(value.casefold().split()) if isinstance(value, str) else value


class Remembered(NamedTuple):
    """An answer from before.

    Attributes:
        value: The answer.
        age: Seconds since it was given.
    """

    value: Any
    age: float


class AnswerStore(ABC):
    """Where the answers of one function are remembered, keyed by the arguments of the call that they answered.

    Args:
        key: Makes the key from the arguments of a call.
        now: Monotonic seconds.

    Attributes:
        blocking: `put` and `get` wait for a disk or a network.
        asynchronous: `put` and `get` return awaitables.
        lost: Answers that could not be remembered, or were not because the store was spared.
    """

    blocking = False
    asynchronous = False

    def __init__(self, key: Callable[..., str] = call_key, now: Callable[[], float] = time.monotonic) -> None:
        if not callable(key):
            raise ConfigError(f"{type(self).__name__}.key", key, "callable with the arguments of a call")
        self.key = key
        self.lost = Tally()
        self._clock = now
        self._spared_until = float("-inf")
        self._function = ""

    @abstractmethod
    def put(self, key: str, value: Any) -> Any:
        """Remember a value; an earlier one of the same key is replaced."""

    @abstractmethod
    def get(self, key: str) -> Any:
        """What is `Remembered` under a key; None if nothing is, or it is too old."""

    def recall(self, *args: Any, **kwargs: Any) -> Any:
        """The `Remembered` answer to a call with these arguments; an awaitable of it if the store is asynchronous.

        Raises:
            NothingToOfferError: If none is remembered.
        """
        return run(self.recalling(args, kwargs))

    def recalling(self, args: Any, kwargs: Any) -> Procedure[Remembered]:
        """The same as a procedure."""
        found = yield self.get(self.key(*args, **kwargs))
        if found is None:
            raise NothingToOfferError("nothing is remembered for these arguments")
        return found  # type: ignore[no-any-return]

    def remembering(self, function: F) -> F:
        """Decorate the operation (def or async def), so that each of its answers is remembered.

        Inside of `protect`: what a fallback answered is no new answer. A store that fails is no reason to fail
        for an operation that has succeeded, so its errors are dropped, and counted as `lost`; one that has failed,
        or taken more than 250 ms, is spared for 5 s, so that a cache that hangs slows nobody down for long. A
        blocking store does not block an event loop.

        Raises:
            ConfigError: If the store answers for another function already, whose answers it would mix up with
                those of this one; or is asynchronous, and `function` is not.
        """
        name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', function)}"
        if self._function not in ("", name):
            raise ConfigError(
                f"{type(self).__name__}.remembering",
                name,
                f"the one function whose answers it keeps, {self._function}; give each function a store of its own",
            )
        if is_coroutine_function(function):

            @functools.wraps(function)
            async def remember_async(*args: Any, **kwargs: Any) -> Any:
                value = await function(*args, **kwargs)
                began = self._clock()
                if began >= self._spared_until:
                    try:
                        if self.blocking:
                            await asyncio.to_thread(self._put, args, kwargs, value)
                        else:
                            await self._put_async(args, kwargs, value)
                    except Exception:
                        self._spare()
                    else:
                        self._look_at(began)
                else:
                    self.lost.add()
                return value

            self._function = name
            return remember_async  # type: ignore[return-value]
        if self.asynchronous:
            raise ConfigError(f"{type(self).__name__}.remembering", name, "an async def, as the store's client is")

        @functools.wraps(function)
        def remember(*args: Any, **kwargs: Any) -> Any:
            value = function(*args, **kwargs)
            began = self._clock()
            if began >= self._spared_until:
                try:
                    self._put(args, kwargs, value)
                except Exception:
                    self._spare()
                else:
                    self._look_at(began)
            else:
                self.lost.add()
            return value

        self._function = name
        return remember  # type: ignore[return-value]

    def _put(self, args: Any, kwargs: Any, value: Any) -> None:
        self.put(self.key(*args, **kwargs), value)

    async def _put_async(self, args: Any, kwargs: Any, value: Any) -> None:
        done = self.put(self.key(*args, **kwargs), value)
        if inspect.isawaitable(done):
            await done

    def _look_at(self, began: float) -> None:
        ended = self._clock()
        if ended - began > _SLOW:
            self._spared_until = ended + _REST

    def _spare(self) -> None:
        self.lost.add()
        self._spared_until = self._clock() + _REST
