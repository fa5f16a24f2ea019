"""Reading a settings file: only what is one, and no more of it than anybody writes by hand."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MAX_FILE", "UnfitFile", "read_file"]

MAX_FILE: Final = 1_048_576
"""Bytes of a settings file."""


class UnfitFile(Exception):  # noqa: N818 - turned into a problem with its origin by whoever reads
    """A file cannot be settings; the text says what it should be."""


def read_file(path: Path) -> bytes:
    """Return the content of a settings file.

    A pipe or a device is refused unread: it could hang, or never end.

    Raises:
        FileNotFoundError: There is none.
        UnfitFile: It cannot be read, is no regular file, or is larger than `MAX_FILE`.
    """
    try:
        content = _content(path)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UnfitFile(f"a file that can be read ({getattr(error, 'strerror', None) or error})") from None
    if len(content) > MAX_FILE:
        raise UnfitFile(f"a file of at most {MAX_FILE} bytes")
    return content


def _content(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnfitFile("a file that can be read (this is no regular file)")
        content = b""
        while len(content) <= MAX_FILE and (chunk := os.read(descriptor, MAX_FILE + 1 - len(content))):
            content += chunk
        return content
    finally:
        os.close(descriptor)
