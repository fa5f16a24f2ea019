"""Fallback: a simpler lesson from a smaller model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upright.strategies.errors import ConfigError
from upright.strategies.fallback.chain import FallbackStep, NothingToOfferError, Substitute
from upright.strategies.fallback.chat_completion import complete_chat, require_client
from upright.strategies.options import require_count, require_seconds
from upright.strategies.procedure import run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from upright.strategies.procedure import Procedure

__all__ = ["SimplifiedTutoring", "question_of"]

_SYSTEM = "You are a patient tutor. Explain in at most five short sentences, with one example, without formatting."


def question_of(context: Mapping[str, Any]) -> str:
    """The learner's question: `context["question"]` or `["prompt"]`, else the first text among the arguments.

    Raises:
        NothingToOfferError: If there is none.
    """
    arguments = [*context.get("args", ()), *context.get("kwargs", {}).values()]
    for found in (context.get("question"), context.get("prompt"), *arguments):
        if isinstance(found, str) and found.strip():
            return found
    raise NothingToOfferError("there is no question in the context")


class SimplifiedTutoring(FallbackStep):
    """Asks a smaller model, through any OpenAI-compatible endpoint, with a prompt that asks for less.

    Degradation: a simpler answer, by a smaller model; the result names it. Put it on another provider than the
    one that it stands in for, or it will fail with it. A blocking client does not block an event loop.

    Args:
        client: httpx.Client, httpx.AsyncClient or requests.Session, with authorization and base URL in it.
        model: Which model.
        url: Where `/chat/completions` is.
        question: Takes the question from the context; see `question_of`.
        system: What the model is told to be.
        max_tokens: Length of the answer, at least 1.
        within: Seconds for the request, above 0: in all with an asyncio client, and with a blocking one for each
            of connecting, sending and waiting for more of the answer.
        name: What results and the ranking call it.
        timeout: Seconds after which the step is abandoned; None leaves it to `within`.
        weight: See FallbackStep.

    Raises:
        ConfigError: If a value is not allowed.
    """

    def __init__(
        self,
        client: Any,
        *,
        model: str,
        url: str = "/chat/completions",
        question: Callable[[Mapping[str, Any]], str] = question_of,
        system: str = _SYSTEM,
        max_tokens: int = 300,
        within: float = 10.0,
        name: str = "simplified tutoring",
        timeout: float | None = None,
        weight: float = 1.0,
    ) -> None:
        asynchronous = require_client("SimplifiedTutoring.client", client, url)
        if not isinstance(model, str) or not model:
            raise ConfigError("SimplifiedTutoring.model", model, "the name of a model")
        if not callable(question):
            raise ConfigError("SimplifiedTutoring.question", question, "callable with the context")
        if not isinstance(system, str):
            raise ConfigError("SimplifiedTutoring.system", system, "a text")
        require_count("SimplifiedTutoring.max_tokens", max_tokens, least=1)
        require_seconds("SimplifiedTutoring.within", within, above=True)
        self._client = client
        self._model = model
        self._url = url
        self._question = question
        self._system = system
        self._max_tokens = max_tokens
        self._within = within
        super().__init__(
            name,
            self._tutor_async if asynchronous else self._tutor,
            timeout,
            degradation=f"simplified, by {model}",
            weight=weight,
            blocking=not asynchronous,
        )

    def _tutor(self, context: Mapping[str, Any]) -> Any:
        return run(self._ask(self._question(context)))

    async def _tutor_async(self, context: Mapping[str, Any]) -> Substitute:
        # A coroutine function, so that a timeout cancels it on the caller's own loop.
        return await self._tutor(context)  # type: ignore[no-any-return]

    def _ask(self, question: str) -> Procedure[Substitute]:
        text = yield from complete_chat(
            self._client,
            self._url,
            model=self._model,
            messages=[{"role": "system", "content": self._system}, {"role": "user", "content": question}],
            max_tokens=self._max_tokens,
            within=self._within,
        )
        return Substitute(text, self.degradation)
