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
    key TEXT NOT NULL UNIQUE,
    value TEXT NOT NULL,
    at REAL NOT NULL
);
"""


class LocalStore(AnswerStore):
    """Remembers up to `limit` answers as JSON in a file; the one that was longest not put again goes first.

    Safe from any thread and from several processes. What was put survives the end of the process at once, and
    loss of power from the next sync on: these are copies, and not worth a wait for the disk each.

    Args:
        path: The file; `-wal` and `-shm` appear beside it.
        limit: Answers at most, at least 1.
        max_age: Seconds after which an answer is too old to be given, above 0; None for never.
        key: Makes the key from the arguments of a call.
        wall: Unix time: ages outlive the process, and with it every monotonic clock.

    Raises:
        ConfigError: If a value is not allowed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
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
        self.limit = limit
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
        with self._file.transaction(durable=False) as db:
            db.execute("DELETE FROM answers WHERE key = ?", [key])
            db.execute("INSERT INTO answers (key, value, at) VALUES (?, ?, ?)", [key, text, self._wall()])
            db.execute(
                "DELETE FROM answers WHERE number IN"
                " (SELECT number FROM answers ORDER BY number DESC LIMIT -1 OFFSET ?)",
                [self.limit],
            )

    def get(self, key: str) -> Remembered | None:
        """What is remembered under a key."""
        with self._file.reading() as db:
            row = db.execute("SELECT value, at FROM answers WHERE key = ?", [key]).fetchone()
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
            return int(db.execute("SELECT count(*) FROM answers").fetchone()[0])

    def __bool__(self) -> bool:
        return True
