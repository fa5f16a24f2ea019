"""The error codes: what kind of failure it is, and what each kind allows by default."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TRAITS", "CodeTraits", "ErrorCode"]


class ErrorCode(StrEnum):
    """What kind of failure an error is; its value is its name, in logs, metrics and JSON alike."""

    DATABASE_CONNECTION = "DATABASE_CONNECTION"
    API_TIMEOUT = "API_TIMEOUT"
    API_UNAVAILABLE = "API_UNAVAILABLE"
    RATE_LIMITED = "RATE_LIMITED"
    NETWORK = "NETWORK"
    MEMORY_PRESSURE = "MEMORY_PRESSURE"
    WEBSOCKET_DISCONNECTED = "WEBSOCKET_DISCONNECTED"
    CACHE_UNAVAILABLE = "CACHE_UNAVAILABLE"
    AUTHENTICATION = "AUTHENTICATION"
    VALIDATION = "VALIDATION"
    INTERNAL = "INTERNAL"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class CodeTraits:
    """What a code allows unless a classification says otherwise.

    Attributes:
        summary: What has happened, as half a sentence for people.
        permanent: The same call will fail again however often it is made. A permanent error is never
            healed, retried or counted, whatever the three below say.
        healable: A healing strategy may be asked; each still decides with its own `can_handle`.
        retryable: The call may be made again after a wait.
        counted: The circuit breaker takes it as evidence against the operation.
    """

    summary: str
    permanent: bool = False
    healable: bool = True
    retryable: bool = True
    counted: bool = True


def _permanent(summary: str) -> CodeTraits:
    return CodeTraits(summary, permanent=True, healable=False, retryable=False, counted=False)


TRAITS: Mapping[ErrorCode, CodeTraits] = MappingProxyType(
    {
        ErrorCode.DATABASE_CONNECTION: CodeTraits("the database cannot be used"),
        ErrorCode.API_TIMEOUT: CodeTraits("a remote service did not answer in time"),
        ErrorCode.API_UNAVAILABLE: CodeTraits("a remote service is failing"),
        ErrorCode.RATE_LIMITED: CodeTraits("a remote service asks for fewer requests"),
        ErrorCode.NETWORK: CodeTraits("the network or the other side of a connection is gone"),
        ErrorCode.MEMORY_PRESSURE: CodeTraits("memory is running out"),
        ErrorCode.WEBSOCKET_DISCONNECTED: CodeTraits("a WebSocket connection was lost"),
        ErrorCode.CACHE_UNAVAILABLE: CodeTraits("the cache cannot be used"),
        ErrorCode.AUTHENTICATION: _permanent("credentials or certificates are refused"),
        ErrorCode.VALIDATION: _permanent("the request itself is wrong"),
        ErrorCode.INTERNAL: CodeTraits("the program itself is wrong"),
        ErrorCode.UNKNOWN: CodeTraits("something failed in a way that is not known"),
    }
)
"""The traits of every code. Unknown is not permanent: what nobody recognised deserves a second try."""
