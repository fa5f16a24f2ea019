"""Fallback: record what is said, so that it can be worked on later."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upright.strategies.errors import ConfigError
from upright.strategies.fallback.chain import FallbackStep, NothingToOfferError, Substitute
from upright.strategies.fallback.wav_file import AudioFormat, RecordingFullError, WavFile
from upright.strategies.options import require_count, require_seconds

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

__all__ = ["AudioRecording", "Recording"]


@dataclass(frozen=True, slots=True)
class Recording:
    """What has been recorded of a session so far.

    Attributes:
        session: Of which session.
        path: The WAV file.
        seconds: Its length.
    """

    session: str
    path: Path
    seconds: float


class AudioRecording(FallbackStep):
    """Appends the chunks it is given to the session's WAV file; playable after each of them.

    Each call of the failed operation brings the next chunk. The file goes on where it ended, also after a crash.
    A chunk is recorded whole or not at all. Calls of one session at once are recorded one after the other.

    Degradation: recorded, not answered.

    Args:
        folder: Where recordings go, one file a session; made if it is missing.
        chunk: Takes the samples from the context: bytes or another buffer (array, numpy), or several in a row. By
            default `context["audio"]`, else the first such argument.
        session: Takes the session's name from the context; by default `context["session_id"]`, and one recording
            a call where there is none.
        format: Of the samples.
        max_seconds: Length of one recording, above 0; 10 minutes by default.
        max_recordings: Files in the folder, at least 1. None is deleted: what people said is theirs to delete.
        name: What results and the ranking call it.
        timeout: Seconds, for a disk that may be slow.
        weight: See FallbackStep.

    Raises:
        ConfigError: If a value is not allowed.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        chunk: Callable[[Mapping[str, Any]], Any] | None = None,
        session: Callable[[Mapping[str, Any]], str] | None = None,
        format: AudioFormat | None = None,  # noqa: A002 - the field's word
        max_seconds: float = 600.0,
        max_recordings: int = 1_000,
        name: str = "audio recording",
        timeout: float | None = None,
        weight: float = 1.0,
    ) -> None:
        for field, hook in (("chunk", chunk), ("session", session)):
            if hook is not None and not callable(hook):
                raise ConfigError(f"AudioRecording.{field}", hook, "None or callable with the context")
        if format is not None and not isinstance(format, AudioFormat):
            raise ConfigError("AudioRecording.format", format, "None or an AudioFormat")
        require_seconds("AudioRecording.max_seconds", max_seconds, above=True)
        require_count("AudioRecording.max_recordings", max_recordings, least=1)
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError("AudioRecording.folder", str(folder), f"a folder that can be made ({error})") from error
        self._chunk = chunk or _chunk_of
        self._session = session or _session_of
        self._format = format or AudioFormat()
        self._limit = int(min(max_seconds * self._format.rate, 2**32)) * self._format.frame
        self._max_recordings = max_recordings
        super().__init__(
            name,
            self._record,
            timeout,
            degradation="recorded for later, not answered",
            weight=weight,
            blocking=True,
        )

    def recordings(self) -> list[Path]:
        """The files, oldest first."""
        return sorted(self.folder.glob("*.wav"), key=lambda path: (path.stat().st_mtime, path.name))

    @property
    def details(self) -> dict[str, Any]:
        """Where the recordings are."""
        return {"folder": str(self.folder)}

    def _record(self, context: Mapping[str, Any]) -> Substitute:
        samples = _samples_of(self._chunk(context))
        if not samples:
            raise NothingToOfferError("the chunk holds no audio")
        session = self._session(context)
        path = self.folder / f"{_file_name(session)}.wav"
        if not path.exists() and len(self.recordings()) >= self._max_recordings:
            raise RecordingFullError(f"{self.folder.name} holds {self._max_recordings} recordings")
        with WavFile(path, self._format, self._limit) as file:
            file.write(samples)
            file.sync()
            return Substitute(Recording(session, path, file.seconds), f"recorded, {file.seconds:.1f} s so far")


def _chunk_of(context: Mapping[str, Any]) -> Any:
    audio = context.get("audio")
    if audio is not None:
        return audio
    for found in (*context.get("args", ()), *context.get("kwargs", {}).values()):
        if _is_buffer(found):
            return found
    raise NothingToOfferError("there is no audio in the context")


def _samples_of(chunk: Any) -> bytes:
    # Only buffers: bytes(5) would be five zeros and not the sample 5.
    if _is_buffer(chunk):
        return _bytes_of(chunk)
    if isinstance(chunk, Iterable) and not isinstance(chunk, str):
        parts = list(chunk)
        if all(map(_is_buffer, parts)):
            return b"".join(map(_bytes_of, parts))
    raise TypeError(f"a chunk must be bytes, another buffer, or several of them, got {type(chunk).__name__}")


def _is_buffer(value: Any) -> bool:
    try:
        memoryview(value)
    except TypeError:
        return False
    return True


def _bytes_of(buffer: Any) -> bytes:
    return memoryview(buffer).tobytes()


def _session_of(context: Mapping[str, Any]) -> str:
    session = context.get("session_id") or context.get("kwargs", {}).get("session_id")
    return str(session) if session else uuid.uuid4().hex


def _file_name(session: str) -> str:
    """A name that cannot leave the folder; different sessions keep different names."""
    if re.fullmatch(r"[A-Za-z0-9_-]{1,100}", session):
        return session
    return f"session-{uuid.uuid5(uuid.NAMESPACE_OID, session).hex}"
