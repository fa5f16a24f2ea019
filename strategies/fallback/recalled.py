"""The steps that give an answer from before: cached response, cached data, local storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upright.strategies.errors import ConfigError
from upright.strategies.fallback.chain import FallbackStep, NothingToOfferError, Substitute
from upright.strategies.fallback.remembering import AnswerStore
from upright.strategies.options import require_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RecalledStep", "age_text"]


class RecalledStep(FallbackStep):
    """Gives the answer that the same arguments got before, and says how old it is.

    Args:
        store: Where the operation's answers are remembered; decorate the operation with `store.remembering`.
        max_age: Seconds after which an answer is too old for this step, above 0; None leaves it to the store.
        name: See FallbackStep.
        timeout: See FallbackStep.

    Raises:
        ConfigError: If a value is not allowed.
    """

    origin = "cached"

    def __init__(
        self, store: AnswerStore, *, max_age: float | None = None, name: str, timeout: float | None = None
    ) -> None:
        kind = type(self).__name__
        if not isinstance(store, AnswerStore):
            raise ConfigError(f"{kind}.store", store, "an AnswerStore")
        if max_age is not None:
            require_seconds(f"{kind}.max_age", max_age, above=True)
        self.store = store
        self._max_age = max_age
        super().__init__(name, self._recall, timeout, degradation=f"{self.origin}, may be stale")

    def _recall(self, context: Mapping[str, Any]) -> Substitute:
        found = self.store.recall(*context.get("args", ()), **context.get("kwargs", {}))
        if self._max_age is not None and found.age > self._max_age:
            raise NothingToOfferError(f"the answer is {age_text(found.age)} old")
        return Substitute(found.value, f"{self.origin} {age_text(found.age)} ago")


def age_text(seconds: float) -> str:
    """A length of time as people say it.

    Example:
        >>> age_text(4.2), age_text(90), age_text(7_300)
        ('4.2 s', '1.5 min', '2.0 h')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3_600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3_600:.1f} h"
