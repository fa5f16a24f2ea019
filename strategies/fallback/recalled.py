"""The steps that give an answer from before: cached response, cached data, local storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from upright.strategies.errors import ConfigError
from upright.strategies.fallback.chain import FallbackStep, NothingToOfferError, Substitute
from upright.strategies.fallback.remembering import AnswerStore, call_key, prompt_key
from upright.strategies.fallback.writes import is_certain_write
from upright.strategies.options import require_seconds
from upright.strategies.procedure import run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from upright.strategies.procedure import Procedure

__all__ = ["RecalledStep", "age_text"]

F = TypeVar("F", bound="Callable[..., Any]")

_PLAIN: Final = frozenset({str, int, bool, type(None)})  # equal values of one of these types have equal keys
_MAX_KEYS: Final = 1_000  # arguments whose key is known without making it; all forgotten at the limit
_MAX_TEXT: Final = 1_000  # characters of arguments worth keeping for that


class RecalledStep(FallbackStep):
    """Gives the answer that the same arguments got before, and says how old it is.

    Args:
        store: Where the operation's answers are remembered; decorate the operation with `remembering`.
        max_age: Seconds after which an answer is too old for this step, above 0; None leaves it to the store.
        name: See FallbackStep.
        timeout: See FallbackStep.
        weight: See FallbackStep.

    Raises:
        ConfigError: If a value is not allowed.
    """

    origin = "cached"
    answers_writes = False
    """Whether a call that writes may be answered; what a write was answered before is no proof that it was done."""

    def __init__(
        self,
        store: AnswerStore,
        *,
        max_age: float | None = None,
        name: str,
        timeout: float | None = None,
        weight: float = 1.0,
    ) -> None:
        kind = type(self).__name__
        if not isinstance(store, AnswerStore):
            raise ConfigError(f"{kind}.store", store, "an AnswerStore")
        if max_age is not None:
            require_seconds(f"{kind}.max_age", max_age, above=True)
        self.store = store
        self._max_age = max_age
        super().__init__(
            name,
            self._recall_async if store.asynchronous else self._recall,
            timeout,
            degradation=f"{self.origin}, may be stale",
            weight=weight,
            blocking=store.blocking,
        )
        self._keys: dict[Any, str] = {}
        # Another key function may look at more than the arguments, such as the tenant of the request.
        self._keeps_keys = store.key in (call_key, prompt_key)
        if not store.asynchronous:
            self.glance = self._glance

    def remembering(self, function: F) -> F:
        """Decorate the operation, inside of `protect`, so that each answer is remembered; see AnswerStore."""
        return self.store.remembering(function)

    @property
    def details(self) -> dict[str, Any]:
        """Which store, and how many answers it could not take."""
        return {"store": type(self.store).__name__, "lost": self.store.lost.value}

    def _glance(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        types = tuple(map(type, args))
        keeps = self._keeps_keys and not kwargs and _PLAIN.issuperset(types)
        key = self._keys.get((args, types)) if keeps else None
        if key is None:
            if not self.answers_writes and is_certain_write({"args": args, "kwargs": kwargs}):
                raise NothingToOfferError("the call writes, and was not made")
            key = self.store.key(*args, **kwargs)
            if keeps and sum(len(text) for text in args if isinstance(text, str)) <= _MAX_TEXT:
                if len(self._keys) >= _MAX_KEYS:
                    self._keys.clear()
                self._keys[(args, types)] = key
        found = self.store.get(key)
        if found is None:
            raise NothingToOfferError("nothing is remembered for these arguments")
        if self._max_age is not None and found.age > self._max_age:
            raise NothingToOfferError(f"the answer is {age_text(found.age)} old")
        return found.value

    def _recall(self, context: Mapping[str, Any]) -> Any:
        return run(self._recalling(context))

    async def _recall_async(self, context: Mapping[str, Any]) -> Substitute:
        # A coroutine function, so that a timeout cancels it on the caller's own loop.
        found = run(self._recalling(context))
        return found if isinstance(found, Substitute) else await found

    def _recalling(self, context: Mapping[str, Any]) -> Procedure[Substitute]:
        if not self.answers_writes and is_certain_write(context):
            raise NothingToOfferError("the call writes, and was not made")
        found = yield from self.store.recalling(context.get("args", ()), context.get("kwargs", {}))
        if self._max_age is not None and found.age > self._max_age:
            raise NothingToOfferError(f"the answer is {age_text(found.age)} old")
        return Substitute(found.value, f"{self.origin} {age_text(found.age)} ago", found.age)


def age_text(seconds: float) -> str:
    """A length of time as people say it.

    Examples:
        >>> age_text(4.2), age_text(90), age_text(7_300), age_text(300_000)
        ('4.2 s', '1.5 min', '2.0 h', '3.5 d')
    """
    for limit, length, unit in ((60, 1, "s"), (3_600, 60, "min"), (86_400, 3_600, "h")):
        if seconds < limit:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds / 86_400:.1f} d"
