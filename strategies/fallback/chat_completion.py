"""One request to an OpenAI-compatible endpoint, through the application's own HTTP client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upright.strategies.errors import ConfigError, UprightError
from upright.strategies.foreign import is_coroutine_function
from upright.strategies.procedure import Within

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from upright.strategies.procedure import Procedure

__all__ = ["NoCompletionError", "complete_chat", "require_client"]


class NoCompletionError(UprightError):
    """The endpoint answered, but with no text."""


def require_client(field: str, client: Any, url: str) -> bool:
    """Refuse what cannot post to `url`; returns whether it is an asyncio client.

    Raises:
        ConfigError: Naming `field`, or its neighbour `url`.
    """
    if not callable(getattr(client, "post", None)):
        raise ConfigError(field, client, "an httpx.Client, an httpx.AsyncClient or a requests.Session")
    if not isinstance(url, str) or not url:
        raise ConfigError(f"{field.rpartition('.')[0]}.url", url, "the URL of the chat completions")
    if not url.startswith(("http://", "https://")) and not str(getattr(client, "base_url", "")):
        raise ConfigError(f"{field.rpartition('.')[0]}.url", url, "a whole URL, as the client has no base_url")
    return is_coroutine_function(client.post)


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
        NoCompletionError: If the answer holds no text.
        Exception: What the client raises, an HTTP status of 400 and above included.
    """
    body = {"model": model, "messages": [dict(message) for message in messages], "max_tokens": max_tokens}
    response = yield Within(within, client.post(url, json=body, timeout=within))
    response.raise_for_status()
    try:
        text = response.json()["choices"][0]["message"]["content"]
    except (LookupError, TypeError, ValueError) as error:
        raise NoCompletionError("the endpoint's answer is no chat completion") from error
    if not isinstance(text, str) or not text.strip():
        raise NoCompletionError("the endpoint's answer holds no text")
    return text
