"""The standard chains, in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upright.strategies.fallback.chain import FallbackChain

if TYPE_CHECKING:
    from upright.strategies.fallback.audio_recording import AudioRecording
    from upright.strategies.fallback.cached_data import CachedData
    from upright.strategies.fallback.cached_response import CachedResponse
    from upright.strategies.fallback.local_storage import LocalStorage
    from upright.strategies.fallback.offline_mode import OfflineMode
    from upright.strategies.fallback.read_only import ReadOnlyMode
    from upright.strategies.fallback.simplified_tutoring import SimplifiedTutoring
    from upright.strategies.fallback.text_chat import TextChat
    from upright.strategies.fallback.text_only import TextOnly

__all__ = ["ai_tutoring", "database_query", "voice_session"]


def ai_tutoring(
    cached_response: CachedResponse,
    simplified_tutoring: SimplifiedTutoring,
    text_only: TextOnly,
    *,
    operation: str = "ai_tutoring",
) -> FallbackChain:
    """Cached response, simplified tutoring, text only: each asks for less than the one before."""
    return FallbackChain(operation, [cached_response, simplified_tutoring, text_only])


def voice_session(
    audio_recording: AudioRecording,
    text_chat: TextChat,
    offline_mode: OfflineMode,
    *,
    operation: str = "voice_session",
) -> FallbackChain:
    """Audio recording, text chat, offline mode: keep the voice, else the dialogue, else the request."""
    return FallbackChain(operation, [audio_recording, text_chat, offline_mode])


def database_query(
    cached_data: CachedData,
    read_only_mode: ReadOnlyMode,
    local_storage: LocalStorage,
    *,
    operation: str = "database_query",
) -> FallbackChain:
    """Cached data, read-only mode, local storage: fresh copies, another server, old copies."""
    return FallbackChain(operation, [cached_data, read_only_mode, local_storage])
