"""Fallback: text that needs nobody to make it up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upright.strategies.errors import ConfigError
from upright.strategies.fallback.chain import FallbackStep

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["TextOnly"]

_DEFAULT = "The tutor is not available right now. Your question is noted; please go on with the written material."


class TextOnly(FallbackStep):
    """The last of the tutoring chain: a prepared text, or one that a function finds in prepared material.

    Degradation: no dialogue. It depends on nothing that could fail, unless the function does.

    Args:
        text: The text, or `text(context)` that returns it; it may be `async def`.
        name: What results and the ranking call it.
        timeout: Seconds, for a function that looks something up.
        weight: See FallbackStep; half by default, since a text that never fails must not replace a tutor that
            seldom does.

    Raises:
        ConfigError: If a value is not allowed.
    """

    def __init__(
        self,
        text: str | Callable[[Mapping[str, Any]], Any] = _DEFAULT,
        *,
        name: str = "text only",
        timeout: float | None = None,
        weight: float = 0.5,
    ) -> None:
        if callable(text):
            provide = text
        elif isinstance(text, str) and text:
            provide = _Prepared(text)
        else:
            raise ConfigError("TextOnly.text", text, "a text that is not empty, or callable with the context")
        super().__init__(name, provide, timeout, degradation="text only, prepared beforehand", weight=weight)


class _Prepared:
    def __init__(self, text: str) -> None:
        self._text = text

    def __call__(self, _context: Mapping[str, Any]) -> str:
        return self._text
