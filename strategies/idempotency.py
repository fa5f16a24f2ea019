"""Whether a failed call may be made again."""

from __future__ import annotations

from typing import Final

from upright.strategies.evidence import attribute

__all__ = ["IDEMPOTENT", "is_repeatable"]

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})  # RFC 9110, section 9.2.2


def is_repeatable(error: BaseException, allowed: bool | None) -> bool:  # noqa: FBT001 - three-valued, not a switch
    """Whether the call that failed with `error` may be made again.

    Args:
        error: Its failure. httpx, requests and aiohttp leave the request on it, and the request has a method.
        allowed: What the operation says about itself; None leaves it to the method of the HTTP request, if the
            error comes from one, and is True for everything else.
    """
    if allowed is not None:
        return allowed
    for name in ("request", "request_info"):
        method = attribute(attribute(error, name), "method")
        if isinstance(method, str):
            return method.upper() in IDEMPOTENT
    return True
