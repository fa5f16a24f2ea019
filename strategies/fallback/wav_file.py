"""A WAV file that grows: playable after every write, and continued where it ended."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from upright.strategies.errors import ConfigError, UprightError
from upright.strategies.options import is_count, require_count

if TYPE_CHECKING:
    from types import TracebackType

fcntl: Any = None
with suppress(ImportError):  # not on Windows
    import fcntl

__all__ = ["AudioFormat", "RecordingFullError", "WavFile", "WrongFormatError"]

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_MAX_DATA = 2**32 - 1 - _HEADER.size  # the sizes in the header have 32 bits


class RecordingFullError(UprightError):
    """A recording, or the folder of recordings, has reached its limit; nothing was written."""


class WrongFormatError(UprightError):
    """The file to continue is no WAV file of the same format."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """Uncompressed PCM.

    Args:
        rate: Frames a second, at least 1, and such that a second has less than 4 GiB.
        channels: Samples a frame, 1 to 8 191.
        width: Bytes a sample, 1 to 8; 2 is what speech services take.

    Raises:
        ConfigError: If a value is not allowed.
    """

    rate: int = 16_000
    channels: int = 1
    width: int = 2

    def __post_init__(self) -> None:
        require_count("AudioFormat.rate", self.rate, least=1)
        require_count("AudioFormat.channels", self.channels, least=1)
        require_count("AudioFormat.width", self.width, least=1)
        for name, most in (("channels", 8_191), ("width", 8), ("rate", 2**32 // self.frame - 1)):
            if (value := getattr(self, name)) > most:
                raise ConfigError(f"AudioFormat.{name}", value, f"an int from 1 to {most}")

    @property
    def frame(self) -> int:
        """Bytes of a frame."""
        return self.channels * self.width

    def header(self, size: int) -> bytes:
        """The 44 bytes before `size` bytes of samples.

        Raises:
            ConfigError: `size` is no int from 0 to what a WAV file can hold.
        """
        if not is_count(size) or size > _MAX_DATA:
            raise ConfigError("AudioFormat.header.size", size, f"an int from 0 to {_MAX_DATA}")
        return _HEADER.pack(
            b"RIFF",
            _HEADER.size - 8 + size,
            b"WAVE",
            b"fmt ",
            16,
            1,  # PCM
            self.channels,
            self.rate,
            self.rate * self.frame,
            self.frame,
            8 * self.width,
            b"data",
            size,
        )


class WavFile:
    """Appends samples to a file and keeps its header true: what was written can be played, whenever the process dies.

    Opened again it goes on; half a frame that a crash left is cut off. Whoever else opens it
    meanwhile, in this process or another, waits until it is closed (on systems with `flock`).

    Args:
        path: The file; made if it is missing.
        format: Of the samples.
        limit: Bytes of samples at most.

    Raises:
        WrongFormatError: If there is a file that is something else.
    """

    def __init__(self, path: Path, format: AudioFormat, limit: int) -> None:  # noqa: A002 - the field's word
        self.path = Path(path)
        self._format = format
        self._limit = min(limit, _MAX_DATA) // format.frame * format.frame
        # Opened to append at first: that makes the file where it is missing, and empties none that another makes.
        self.path.open("ab").close()
        self._file: IO[bytes] = self.path.open("r+b", buffering=0)
        try:
            if fcntl is not None:
                fcntl.flock(self._file.fileno(), fcntl.LOCK_EX)
            self.size = self._resume()
        except BaseException:
            self._file.close()
            raise

    @property
    def seconds(self) -> float:
        """Length of what was recorded."""
        return self.size / (self._format.rate * self._format.frame)

    def write(self, samples: bytes) -> None:
        """Append whole frames.

        Raises:
            ValueError: If `samples` holds part of a frame.
            RecordingFullError: If they do not fit; then none is written.
        """
        if len(samples) % self._format.frame:
            raise ValueError(f"samples must be whole frames of {self._format.frame} bytes, got {len(samples)}")
        if self.size + len(samples) > self._limit:
            raise RecordingFullError(f"{self.path.name} has reached its limit of {self._limit} bytes")
        self._file.seek(_HEADER.size + self.size)
        left = memoryview(samples)
        while left:  # a file without a buffer may take part of it at a time
            left = left[self._file.write(left) :]
        self.size += len(samples)
        # The header last: until then the file is as it was before.
        self._write_header()

    def sync(self) -> None:
        """Wait until it is on disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _resume(self) -> int:
        end = self._file.seek(0, os.SEEK_END)
        self._file.seek(0)
        there = self._file.read(_HEADER.size)
        ours = self._format.header(0)
        if end < _HEADER.size and ours.startswith(there):  # new, or it was to be when the process died
            self._write_header_of(0)
            return 0
        # All but the two sizes, which a crash may have left behind the samples.
        if there[:4] != ours[:4] or there[8:40] != ours[8:40]:
            raise WrongFormatError(f"{self.path.name} is no WAV file of {self._format}")
        size = (end - _HEADER.size) // self._format.frame * self._format.frame
        self._file.truncate(_HEADER.size + size)
        self._write_header_of(size)
        return size

    def _write_header(self) -> None:
        self._write_header_of(self.size)

    def _write_header_of(self, size: int) -> None:
        self._file.seek(0)
        self._file.write(self._format.header(size))
