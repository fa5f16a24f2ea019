"""An SQLite file for several threads and processes: short transactions, on disk when they return."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import weakref
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from upright.strategies.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SqliteFile"]

_IDLE = 4
_BUSY_TIMEOUT = 10.0  # seconds to wait for the transactions of others


class SqliteFile:
    """Lends out connections, each to one user at a time, so that nothing is shared that would want a lock.

    The file is in WAL mode, where readers do not wait for writers, and each commit is synced: when a
    transaction has returned, its changes survive `kill -9` and loss of power. A forked child opens its own
    connections.

    Args:
        path: The file; made with its schema if it is missing. Its folder must exist.
        schema: Statements that make what is missing.

    Raises:
        ConfigError: If `path` is no path, or its folder does not exist.
        sqlite3.DatabaseError: If the file is no SQLite database, or is damaged.
    """

    def __init__(self, path: str | os.PathLike[str], schema: str) -> None:
        if not isinstance(path, str | os.PathLike) or not os.fspath(path):
            raise ConfigError("SqliteFile.path", path, "the path of a file")
        self.path = Path(path).absolute()
        if not self.path.parent.is_dir():
            raise ConfigError("SqliteFile.path", str(path), "a file in a folder that exists")
        self._idle: deque[sqlite3.Connection] = deque()
        self._pid = os.getpid()
        self._finalizer = weakref.finalize(self, _close_all, self._idle, self._pid)
        is_new = not self.path.exists()
        with self.transaction() as connection:
            for statement in filter(str.strip, schema.split(";\n")):
                connection.execute(statement)
        if is_new:
            _sync_folder(self.path.parent)

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """A write transaction, committed when the block ends and rolled back when it raises.

        Args:
            durable: Whether the commit waits for the disk. Without, it survives the end of this process, and
                becomes durable with the next one that waits.
        """
        connection = self._borrow()
        try:
            if not durable:
                # Not OFF: a checkpoint would then not be synced either, and loss of power could damage the file.
                connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
            if not durable:
                connection.execute("PRAGMA synchronous=FULL")
        except BaseException:
            # Closing rolls back, and needs no judgement of what state the connection is in.
            connection.close()
            raise
        self._give_back(connection)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for single SELECT statements."""
        connection = self._borrow()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._give_back(connection)

    def close(self) -> None:
        """Close the idle connections; later use opens new ones."""
        _close_all(self._idle, self._pid)

    def _borrow(self) -> sqlite3.Connection:
        if self._pid != os.getpid():
            # SQLite forbids carrying a connection across a fork; the parent's are left alone, never closed here.
            self._finalizer.detach()
            self._idle, self._pid = deque(), os.getpid()
            self._finalizer = weakref.finalize(self, _close_all, self._idle, self._pid)
        try:
            return self._idle.pop()
        except IndexError:
            return self._open()

    def _give_back(self, connection: sqlite3.Connection) -> None:
        if self._pid == os.getpid() and len(self._idle) < _IDLE:
            self._idle.append(connection)
        else:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
        except BaseException:
            connection.close()
            raise
        return connection


def _close_all(idle: deque[sqlite3.Connection], pid: int) -> None:
    while pid == os.getpid():
        try:
            idle.pop().close()
        except IndexError:
            return


def _sync_folder(folder: Path) -> None:
    # SQLite syncs what it writes into the file, but a new file's name stands in its folder.
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
