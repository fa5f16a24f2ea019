"""The tutor: a language model behind an OpenAI-compatible endpoint, its healing, and the chain `ai_tutoring`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

import upright
from upright.strategies.fallback import CachedResponse, SimplifiedTutoring, TextOnly, ai_tutoring
from upright.strategies.healing import ApiRetry

if TYPE_CHECKING:
    from .settings import Settings

__all__ = ["Tutor"]


class Tutor:
    """Answers questions.

    While the model is away, an answer that was given before comes again, else a smaller model answers, else the
    learner is sent to the book.
    """

    def __init__(self, settings: Settings) -> None:
        self.client = httpx.Client(base_url=settings.model_url, timeout=2.0)
        self.small = httpx.Client(base_url=settings.small_model_url, timeout=2.0)
        cached = CachedResponse()
        self.strategies = [
            ApiRetry(self.client, resource="model", verify=f"{settings.model_url}/models"),
            ai_tutoring(
                cached,
                SimplifiedTutoring(self.small, model="small-1", within=1.0),
                TextOnly("The tutor is away. Please read the chapter once more; your question is not lost."),
            ),
        ]
        # A completion that is asked for twice costs twice and harms nobody: it may be made again.
        protect = upright.protect("ai_tutoring", resource="model", idempotent=True)
        self._ask = protect(cached.remembering(self._complete))

    def explain(self, question: str) -> upright.RecoveryResult:
        """Answer a question."""
        return upright.call("ai_tutoring", self._ask, question)

    def close(self) -> None:
        """Let the connections go."""
        self.client.close()
        self.small.close()

    def _complete(self, question: str) -> str:
        messages = [{"role": "user", "content": question}]
        response = self.client.post("/chat/completions", json={"model": "large-1", "messages": messages})
        response.raise_for_status()
        return str(response.json()["choices"][0]["message"]["content"])
