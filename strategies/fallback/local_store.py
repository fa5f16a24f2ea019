"""Answers remembered in an SQLite file: they outlive the process and need no server."""

from __future__ import annotations

import json
import os  # noqa: TC003 - in the signature
import time
from typing import TYPE_CHECKING, Any

from upright.strategies.errors import ConfigError
from upright.strategies.fallback.remembering import AnswerStore, Remembered, call_key
from upright.strategies.options import require_count, require_seconds
from upright.strategies.sqlite_file import SqliteFile

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LocalStore"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    at REAL NOT NULL,
    UNIQUE (namespace, key)
);
CREATE INDEX IF NOT EXISTS oldest ON answers (namespace, number);
CREATE TABLE IF NOT EXISTS sizes (
    namespace TEXT PRIMARY KEY,
    size INTEGER NOT NULL
);
"""


class LocalStore(AnswerStore):
    """Remembers up to `limit` answers as JSON in a file; the one that was longest not put again goes first.

    Safe from any thread and from several processes. What was put survives the end of the process at once, and
    loss of power from the next sync on: these are copies, and not worth a wait for the disk each.

    Args:
        path: The file; `-wal` and `-shm` appear beside it.
        namespace: Tells the stores that share a file apart, each with a limit of its own; one for each function,
            since two may be called with the same arguments.
        limit: Answers at most, at least 1.
        max_age: Seconds after which an answer is too old to be given, above 0; None for never.
        key: Makes the key from the arguments of a call.
        wall: Unix time: ages outlive the process, and with it every monotonic clock.

    Raises:
        ConfigError: If a value is not allowed.
    """

    blocking = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        namespace: str = "",
        *,
        limit: int = 10_000,
        max_age: float | None = None,
        key: Callable[..., str] = call_key,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(key)
        require_count("LocalStore.limit", limit, least=1)
        if max_age is not None:
            require_seconds("LocalStore.max_age", max_age, above=True)
        if not isinstance(namespace, str):
            raise ConfigError("LocalStore.namespace", namespace, "a text")
        self.limit = limit
        self._namespace = namespace
        self._max_age = max_age
        self._wall = wall
        self._file = SqliteFile(path, _SCHEMA)

    def put(self, key: str, value: Any) -> None:
        """Remember a value.

        Raises:
            ConfigError: If it is no JSON data.
        """
        try:
            text = json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigError("LocalStore.put.value", value, f"JSON data ({error})") from error
        name = self._namespace
        with self._file.transaction(durable=False) as db:
            replaced = db.execute("DELETE FROM answers WHERE namespace = ? AND key = ?", [name, key]).rowcount
            db.execute(
                "INSERT INTO answers (namespace, key, value, at) VALUES (?, ?, ?, ?)", [name, key, text, self._wall()]
            )
            if replaced:
                return
            # Counted here, since counting the rows would take longer with each of them.
            (size,) = db.execute(
                "INSERT INTO sizes VALUES (?, 1) ON CONFLICT (namespace) DO UPDATE SET size = size + 1 RETURNING size",
                [name],
            ).fetchone()
            if size > self.limit:
                removed = db.execute(
                    "DELETE FROM answers WHERE number IN"
                    " (SELECT number FROM answers WHERE namespace = ? ORDER BY number LIMIT ?)",
                    [name, size - self.limit],
                ).rowcount
                db.execute("UPDATE sizes SET size = size - ? WHERE namespace = ?", [removed, name])

    def get(self, key: str) -> Remembered | None:
        """What is remembered under a key."""
        with self._file.reading() as db:
            row = db.execute(
                "SELECT value, at FROM answers WHERE namespace = ? AND key = ?", [self._namespace, key]
            ).fetchone()
        if row is None:
            return None
        age = max(0.0, self._wall() - row[1])
        if self._max_age is not None and age > self._max_age:
            return None
        return Remembered(json.loads(row[0]), age)

    def close(self) -> None:
        """Close the file; using the store again opens it again."""
        self._file.close()

    def __len__(self) -> int:
        with self._file.reading() as db:
            row = db.execute("SELECT size FROM sizes WHERE namespace = ?", [self._namespace]).fetchone()
        return 0 if row is None else int(row[0])

    def __bool__(self) -> bool:
        return True
