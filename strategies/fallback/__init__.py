"""What to answer instead: fallback steps, chains and what they keep their answers in."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upright.strategies.fallback.audio_recording import AudioRecording as AudioRecording
    from upright.strategies.fallback.audio_recording import Recording as Recording
    from upright.strategies.fallback.cached_data import CachedData as CachedData
    from upright.strategies.fallback.cached_response import CachedResponse as CachedResponse
    from upright.strategies.fallback.chain import FallbackChain as FallbackChain
    from upright.strategies.fallback.chain import FallbackStep as FallbackStep
    from upright.strategies.fallback.chain import NothingToOfferError as NothingToOfferError
    from upright.strategies.fallback.chain import RefusedError as RefusedError
    from upright.strategies.fallback.chain import Substitute as Substitute
    from upright.strategies.fallback.chains import ai_tutoring as ai_tutoring
    from upright.strategies.fallback.chains import database_query as database_query
    from upright.strategies.fallback.chains import voice_session as voice_session
    from upright.strategies.fallback.local_storage import LocalStorage as LocalStorage
    from upright.strategies.fallback.local_store import LocalStore as LocalStore
    from upright.strategies.fallback.memory_store import MemoryStore as MemoryStore
    from upright.strategies.fallback.offline_mode import OfflineMode as OfflineMode
    from upright.strategies.fallback.offline_mode import Queued as Queued
    from upright.strategies.fallback.offline_queue import OfflineQueue as OfflineQueue
    from upright.strategies.fallback.read_only import ReadOnlyError as ReadOnlyError
    from upright.strategies.fallback.read_only import ReadOnlyMode as ReadOnlyMode
    from upright.strategies.fallback.redis_store import RedisStore as RedisStore
    from upright.strategies.fallback.remembering import AnswerStore as AnswerStore
    from upright.strategies.fallback.remembering import call_key as call_key
    from upright.strategies.fallback.remembering import prompt_key as prompt_key
    from upright.strategies.fallback.simplified_tutoring import SimplifiedTutoring as SimplifiedTutoring
    from upright.strategies.fallback.text_chat import ChatTurn as ChatTurn
    from upright.strategies.fallback.text_chat import TextChat as TextChat
    from upright.strategies.fallback.text_only import TextOnly as TextOnly
    from upright.strategies.fallback.wav_file import AudioFormat as AudioFormat

_HOMES = {
    "AnswerStore": "remembering",
    "AudioFormat": "wav_file",
    "AudioRecording": "audio_recording",
    "CachedData": "cached_data",
    "CachedResponse": "cached_response",
    "ChatTurn": "text_chat",
    "FallbackChain": "chain",
    "FallbackStep": "chain",
    "LocalStorage": "local_storage",
    "LocalStore": "local_store",
    "MemoryStore": "memory_store",
    "NothingToOfferError": "chain",
    "OfflineMode": "offline_mode",
    "OfflineQueue": "offline_queue",
    "Queued": "offline_mode",
    "ReadOnlyError": "read_only",
    "ReadOnlyMode": "read_only",
    "Recording": "audio_recording",
    "RedisStore": "redis_store",
    "RefusedError": "chain",
    "SimplifiedTutoring": "simplified_tutoring",
    "Substitute": "chain",
    "TextChat": "text_chat",
    "TextOnly": "text_only",
    "ai_tutoring": "chains",
    "call_key": "remembering",
    "database_query": "chains",
    "prompt_key": "remembering",
    "voice_session": "chains",
}

__all__ = [
    "AnswerStore",
    "AudioFormat",
    "AudioRecording",
    "CachedData",
    "CachedResponse",
    "ChatTurn",
    "FallbackChain",
    "FallbackStep",
    "LocalStorage",
    "LocalStore",
    "MemoryStore",
    "NothingToOfferError",
    "OfflineMode",
    "OfflineQueue",
    "Queued",
    "ReadOnlyError",
    "ReadOnlyMode",
    "Recording",
    "RedisStore",
    "RefusedError",
    "SimplifiedTutoring",
    "Substitute",
    "TextChat",
    "TextOnly",
    "ai_tutoring",
    "call_key",
    "database_query",
    "prompt_key",
    "voice_session",
]


def __getattr__(name: str) -> Any:
    # Looked up when first used: an application pays for the steps that it has.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
