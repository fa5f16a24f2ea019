"""Fallback: the conversation goes on in writing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from upright.strategies.errors import ConfigError
from upright.strategies.fallback.chain import FallbackStep, Substitute
from upright.strategies.foreign import is_coroutine_function
from upright.strategies.procedure import run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from upright.strategies.procedure import Procedure

__all__ = ["ChatTurn", "TextChat"]

_NOTICE = "Voice is not available right now; let us continue in writing."


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """What a voice session is given to go on in writing.

    Attributes:
        notice: To show to the person.
        reply: What the chat answers to what was said last.
    """

    notice: str
    reply: Any


class TextChat(FallbackStep):
    """Answers a turn of a voice session by text, and says so to the person.

    Degradation: no voice.

    Args:
        reply: `reply(context)` makes the text answer; it may be `async def`.
        notice: What the person is told.
        name: What results and the ranking call it.
        timeout: Seconds that the reply may take.
        weight: See FallbackStep.

    Raises:
        ConfigError: If a value is not allowed.
    """

    def __init__(
        self,
        reply: Callable[[Mapping[str, Any]], Any],
        *,
        notice: str = _NOTICE,
        name: str = "text chat",
        timeout: float | None = None,
        weight: float = 1.0,
    ) -> None:
        if not callable(reply):
            raise ConfigError("TextChat.reply", reply, "callable with the context")
        if not isinstance(notice, str):
            raise ConfigError("TextChat.notice", notice, "a text")
        self._reply = reply
        self._notice = notice
        provide = self._turn_async if is_coroutine_function(reply) else self._turn
        super().__init__(name, provide, timeout, degradation="text instead of voice", weight=weight)

    def _turn(self, context: Mapping[str, Any]) -> Any:
        return run(self._take_turn(context))

    async def _turn_async(self, context: Mapping[str, Any]) -> Substitute:
        # Marked as a coroutine function, so that a timeout cancels it on the caller's own loop.
        return Substitute(ChatTurn(self._notice, await self._reply(context)), self.degradation)

    def _take_turn(self, context: Mapping[str, Any]) -> Procedure[Substitute]:
        reply = yield self._reply(context)
        return Substitute(ChatTurn(self._notice, reply), self.degradation)
