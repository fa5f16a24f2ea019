"""A durable queue for what cannot be done now: kept on disk, replayed in order when it can."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from upright.strategies.classification import classify
from upright.strategies.codes import ErrorCode
from upright.strategies.errors import ConfigError, UprightError
from upright.strategies.failure_text import failure_text
from upright.strategies.options import require_count, require_name
from upright.strategies.procedure import run
from upright.strategies.sqlite_file import SqliteFile

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from upright.strategies.procedure import Procedure

__all__ = [
    "KeyConflictError",
    "OfflineQueue",
    "PoisonEntry",
    "QueueFullError",
    "Replay",
    "ReplayRunningError",
]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    payload TEXT NOT NULL,
    put_at REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    last_error TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS poison (
    seq INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    payload TEXT NOT NULL,
    put_at REAL NOT NULL,
    attempts INTEGER NOT NULL,
    last_error TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS done (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE
);
"""

_BLAMELESS = frozenset(set(ErrorCode) - {ErrorCode.UNKNOWN, ErrorCode.INTERNAL})


class QueueFullError(UprightError):
    """The queue holds as many entries as it may; nothing was put."""


class KeyConflictError(UprightError):
    """The key is that of a queued entry with another payload; nothing was put."""


class ReplayRunningError(UprightError):
    """Another thread or process is replaying this queue, and two would break the order."""


@dataclass(frozen=True, slots=True)
class PoisonEntry:
    """An entry that was set aside because it failed by itself.

    Attributes:
        key: Its idempotency key.
        payload: What was put.
        put_at: When, as Unix time, for people.
        attempts: How often the handler was given it.
        error: What the handler raised last, without secrets; empty if it ended the process.
    """

    key: str
    payload: Any
    put_at: float
    attempts: int
    error: str


@dataclass(frozen=True, slots=True)
class Replay:
    """What became of a replay.

    Attributes:
        replayed: Entries that the handler took.
        set_aside: Entries that were set aside as poison.
        left: Entries still queued, those put meanwhile included.
        error: Why it ended early: a failure that is no fault of the entry; None if it did not.
    """

    replayed: int
    set_aside: int
    left: int
    error: BaseException | None = None


class OfflineQueue:
    """Keeps operations on disk until they can be done. Safe from any thread and from several processes.

    Promises: what `put` has returned for is not lost, by `kill -9` or loss of power either; entries are replayed
    in the order they were put; each at least once, and more often only if the process dies between the handler's
    return and the next instant. A handler that must not act twice compares the key.

    An entry that fails by itself must not hold up those behind it: it is set aside when the handler raises a
    permanent error, or has raised what nobody knows, or ended the process, `max_attempts` times.

    Args:
        path: The file. Beside it appear `-wal`, `-shm` and `-replay`.
        limit: Entries at most, poison included; at least 1.
        max_attempts: See above; at least 1.
        max_payload: Characters of one payload as JSON at most; at least 1.
        remember: Keys of replayed entries that are remembered, the oldest go first: putting one of them again
            does nothing, for it has been done. At least 0.

    Raises:
        ConfigError: If a value is not allowed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        limit: int = 10_000,
        max_attempts: int = 5,
        max_payload: int = 1_000_000,
        remember: int = 10_000,
    ) -> None:
        require_count("OfflineQueue.limit", limit, least=1)
        require_count("OfflineQueue.max_attempts", max_attempts, least=1)
        require_count("OfflineQueue.max_payload", max_payload, least=1)
        require_count("OfflineQueue.remember", remember)
        self.limit = limit
        self._max_attempts = max_attempts
        self._max_payload = max_payload
        self._remember = remember
        # The entry that this process has begun without a verdict: its replay was interrupted, its worker killed, or the
        # disk did not take the verdict. The process lives, so that is no mark against the entry.
        self._begun = -1
        self._file = SqliteFile(path, _SCHEMA)

    def put(self, payload: Any, *, key: str | None = None) -> str:
        """Put an operation; returns its key when it is on disk.

        Args:
            payload: JSON data: dicts with text keys, lists, texts, numbers, True, False, None.
            key: Its idempotency key. The same key with the same payload again puts nothing. None makes one up.

        Raises:
            ConfigError: If `payload` is no JSON data or too long, or `key` is no text of 1 to 1 000
                characters.
            QueueFullError: If the queue is full.
            KeyConflictError: If the key is queued with another payload.
            sqlite3.Error: If the disk does not take it.
        """
        text = self._to_json(payload)
        if key is None:
            key = uuid.uuid4().hex
        else:
            key = require_name("OfflineQueue.put.key", key)
            if key != key.encode(errors="replace").decode():
                raise ConfigError("OfflineQueue.put.key", key, "a text that UTF-8 can encode")
        with self._file.transaction() as db:
            known = db.execute(
                "SELECT payload FROM entries WHERE key = ?1 UNION ALL SELECT payload FROM poison WHERE key = ?1",
                [key],
            ).fetchone()
            if known is not None:
                if known[0] != text:
                    raise KeyConflictError(f"key {key!r} is queued with another payload")
                return key
            if db.execute("SELECT 1 FROM done WHERE key = ?", [key]).fetchone() is not None:
                return key
            (count,) = db.execute("SELECT (SELECT count(*) FROM entries) + (SELECT count(*) FROM poison)").fetchone()
            if count >= self.limit:
                raise QueueFullError(f"the queue holds {count} entries, its limit is {self.limit}")
            db.execute("INSERT INTO entries (key, payload, put_at) VALUES (?, ?, ?)", [key, text, time.time()])
        return key

    @overload
    def replay(  # type: ignore[overload-overlap]
        self, handler: Callable[[str, Any], Awaitable[Any]], *, until: Callable[[], bool] | None = None
    ) -> Awaitable[Replay]: ...

    @overload
    def replay(self, handler: Callable[[str, Any], object], *, until: Callable[[], bool] | None = None) -> Replay: ...

    def replay(
        self, handler: Callable[[str, Any], Any], *, until: Callable[[], bool] | None = None
    ) -> Replay | Awaitable[Replay]:
        """Give each entry that is queued now to the handler, in order, and remove it when that returns.

        Args:
            handler: `handler(key, payload)`; raising means that it was not done. With an `async def`, or
                anything that returns an awaitable, the replay must be awaited, too.
            until: Asked before each entry whether to end here, and leave the rest; None never does.

        Returns:
            What became of it. A failure that is no fault of the entry, such as a connection that is down again,
            ends the replay and leaves the entry the first in line.

        Raises:
            ReplayRunningError: If a replay is running elsewhere.
        """
        return run(self._replay(handler, until))

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    def __len__(self) -> int:
        """Entries that wait to be replayed."""
        with self._file.reading() as db:
            return int(db.execute("SELECT count(*) FROM entries").fetchone()[0])

    def __bool__(self) -> bool:
        # An empty queue is a queue all the same, and `queue or default` must not replace it.
        return True

    def poison(self) -> list[PoisonEntry]:
        """The entries that were set aside, oldest first."""
        with self._file.reading() as db:
            rows = db.execute("SELECT key, payload, put_at, attempts, last_error FROM poison ORDER BY seq").fetchall()
        return [PoisonEntry(key, json.loads(text), at, tries, error) for key, text, at, tries, error in rows]

    def retry_poison(self, key: str) -> bool:
        """Queue an entry that was set aside again, as the last; False if there is none of this key."""
        with self._file.transaction() as db:
            moved = db.execute(
                "INSERT INTO entries (key, payload, put_at) SELECT key, payload, put_at FROM poison WHERE key = ?",
                [key],
            )
            db.execute("DELETE FROM poison WHERE key = ?", [key])
            return moved.rowcount > 0

    def discard_poison(self, key: str) -> bool:
        """Give up an entry that was set aside; False if there is none of this key."""
        with self._file.transaction() as db:
            return db.execute("DELETE FROM poison WHERE key = ?", [key]).rowcount > 0

    def close(self) -> None:
        """Close the file; using the queue again opens it again."""
        self._file.close()

    def _replay(self, handler: Callable[[str, Any], Any], until: Callable[[], bool] | None) -> Procedure[Replay]:
        replayed = set_aside = 0
        failure: BaseException | None = None
        with self._only_replay():
            with self._file.reading() as db:
                (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM entries").fetchone()
            while failure is None and not (until is not None and until()):
                entry = self._begin_next(last)
                if entry is None:
                    break
                seq, key, payload, attempts = entry
                if attempts > self._max_attempts:
                    self._set_aside(seq, None)  # it has ended the process each time
                    set_aside += 1
                    continue
                try:
                    yield handler(key, payload)
                except Exception as error:
                    found = classify(error)
                    blameless = found.code in _BLAMELESS and not found.permanent
                    if found.permanent or (attempts >= self._max_attempts and not blameless):
                        self._set_aside(seq, error)
                        set_aside += 1
                    else:
                        self._keep(seq, error, blameless=blameless)
                        failure = error
                    self._begun = -1
                except BaseException as error:  # cancelled or interrupted: no verdict on the entry
                    self._keep(seq, error, blameless=True)
                    self._begun = -1
                    raise
                else:
                    try:
                        self._finish(seq, key)
                    except BaseException as error:
                        # Interrupted, since this worker is given up; that comes once. The entry is done, and would be
                        # done again for want of a few milliseconds.
                        if not isinstance(error, Exception):
                            self._finish(seq, key)
                        raise
                    self._begun = -1
                    replayed += 1
        return Replay(replayed, set_aside, len(self), failure)

    @contextlib.contextmanager
    def _only_replay(self) -> Iterator[None]:
        # Whoever has begun an exclusive transaction on this empty file is the one that replays. The operating
        # system ends it with the process, so that nothing has to expire after a crash.
        path = self._file.path
        guard = sqlite3.connect(
            path.with_name(path.name + "-replay"), timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            try:
                guard.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                raise ReplayRunningError(f"{path.name} is being replayed elsewhere") from error
            yield
        finally:
            guard.close()

    def _begin_next(self, last: int) -> tuple[int, str, Any, int] | None:
        # Counted before the handler runs, or an entry that ends the process would be tried for ever.
        with self._file.transaction(durable=False) as db:
            row = db.execute(
                "UPDATE entries SET attempts = attempts + (seq != ?)"
                " WHERE seq = (SELECT min(seq) FROM entries) AND seq <= ?"
                " RETURNING seq, key, payload, attempts",
                [self._begun, last],
            ).fetchone()
            self._begun = -1 if row is None else row[0]
        return None if row is None else (row[0], row[1], json.loads(row[2]), row[3])

    def _finish(self, seq: int, key: str) -> None:
        try:
            with self._file.transaction() as db:
                db.execute("DELETE FROM entries WHERE seq = ?", [seq])
                db.execute("INSERT OR REPLACE INTO done (key) VALUES (?)", [key])
                db.execute("DELETE FROM done WHERE number <= (SELECT max(number) FROM done) - ?", [self._remember])
        except sqlite3.OperationalError:
            # A full disk has no room to remember the key, but what is done must not be done again for that.
            with self._file.transaction() as db:
                db.execute("DELETE FROM entries WHERE seq = ?", [seq])

    def _keep(self, seq: int, error: BaseException, *, blameless: bool) -> None:
        try:
            with self._file.transaction() as db:
                db.execute(
                    "UPDATE entries SET last_error = ?, attempts = attempts - ? WHERE seq = ?",
                    [failure_text(error), int(blameless), seq],
                )
        except sqlite3.OperationalError:
            # A full disk has no room for the text, but an outage must not make poison of the entry for that.
            with self._file.transaction() as db:
                db.execute("UPDATE entries SET attempts = attempts - ? WHERE seq = ?", [int(blameless), seq])

    def _set_aside(self, seq: int, error: Exception | None) -> None:
        with self._file.transaction() as db:
            db.execute(
                "INSERT INTO poison SELECT seq, key, payload, put_at, min(attempts, ?), coalesce(?, last_error)"
                " FROM entries WHERE seq = ?",
                [self._max_attempts, None if error is None else failure_text(error), seq],
            )
            db.execute("DELETE FROM entries WHERE seq = ?", [seq])

    def _to_json(self, payload: Any) -> str:
        try:
            # Sorted, so that equal payloads are equal texts.
            text = json.dumps(payload, sort_keys=True, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigError("OfflineQueue.put.payload", payload, f"JSON data ({error})") from error
        if len(text) > self._max_payload:
            raise ConfigError(
                "OfflineQueue.put.payload",
                f"{text[:50]}... ({len(text)} characters)",
                f"at most {self._max_payload} characters of JSON",
            )
        return text
