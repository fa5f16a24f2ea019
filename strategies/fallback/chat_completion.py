"""One request to an OpenAI-compatible endpoint, through the application's own HTTP client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upright.strategies.errors import ConfigError
from upright.strategies.fallback.chain import NothingToOfferError
from upright.strategies.procedure import Within

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from upright.strategies.procedure import Procedure

__all__ = ["complete_chat", "require_client"]


def require_client(field: str, client: Any) -> None:
    """Refuse what cannot post.

    Raises:
        ConfigError: Naming `field`.
    """
    if not callable(getattr(client, "post", None)):
        raise ConfigError(field, client, "an httpx.Client, an httpx.AsyncClient or a requests.Session")


def complete_chat(
    client: Any,
    url: str,
    *,
    model: str,
    messages: Sequence[Mapping[str, str]],
    max_tokens: int,
    within: float,
) -> Procedure[str]:
    """Ask for one completion; returns its text.

    Args:
        client: httpx.Client, httpx.AsyncClient or requests.Session, with authorization and base URL in it.
        url: Where `/chat/completions` is; relative with a client of httpx that has a base URL.
        model: Which model.
        messages: The conversation, as role and content.
        max_tokens: Length of the answer.
        within: Seconds for the request.

    Raises:
        NothingToOfferError: If the answer holds no text.
        Exception: What the client raises, an HTTP status of 400 and above included.
    """
    body = {"model": model, "messages": [dict(message) for message in messages], "max_tokens": max_tokens}
    response = yield Within(within, client.post(url, json=body, timeout=within))
    response.raise_for_status()
    try:
        text = response.json()["choices"][0]["message"]["content"]
    except (LookupError, TypeError) as error:
        raise NothingToOfferError("the endpoint's answer holds no text") from error
    if not isinstance(text, str) or not text.strip():
        raise NothingToOfferError("the endpoint's answer holds no text")
    return text
