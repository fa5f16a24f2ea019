"""Lessons and what learners have done with them: a PostgreSQL, its healing, and the chain `database_query`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy

import upright
from upright.strategies.fallback import CachedData, LocalStorage, OfflineQueue, ReadOnlyMode, database_query
from upright.strategies.healing import DatabaseReconnection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .settings import Settings

__all__ = ["Lessons"]

READ = "SELECT title, text FROM lessons WHERE id = :lesson"
RECORD = """
INSERT INTO progress (key, learner, lesson) VALUES (:key, :learner, :lesson) ON CONFLICT (key) DO NOTHING
"""


class Lessons:
    """Reads lessons and records progress.

    While the database is away, lessons come from memory, else from a local copy, and progress is queued on disk and
    written afterwards. The key makes sure that it counts once, however often it is written.
    """

    def __init__(self, settings: Settings) -> None:
        self.engine = sqlalchemy.create_engine(
            settings.database_url, pool_size=8, max_overflow=4, pool_timeout=2, connect_args={"connect_timeout": 2}
        )
        cached, local = CachedData(max_age=600), LocalStorage(settings.folder / "lessons.db")
        queued = ReadOnlyMode(queue=OfflineQueue(settings.folder / "progress.db"), replay=self._write_later)
        self.strategies = [
            DatabaseReconnection(self.engine, resource="postgres"),
            database_query(cached, queued, local),
        ]
        protect = upright.protect("database_query", resource="postgres", idempotent=True)
        self._fetch = protect(cached.remembering(local.remembering(self._select)))
        self._execute = protect(self._write)

    def lesson(self, number: int) -> upright.RecoveryResult:
        """Return title and text of a lesson, None if there is no such lesson."""
        return upright.call("database_query", self._fetch, READ, number)

    def record(self, key: str, learner: str, number: int) -> upright.RecoveryResult:
        """Note that a learner has finished a lesson, once for each key."""
        return upright.call(
            "database_query", self._execute, RECORD, idempotency_key=key, learner=learner, lesson=number
        )

    def close(self) -> None:
        """Let the connections go."""
        self.engine.dispose()

    def _select(self, sql: str, lesson: int) -> dict[str, str] | None:
        with self.engine.connect() as connection:
            row = connection.execute(sqlalchemy.text(sql), {"lesson": lesson}).one_or_none()
        return None if row is None else {"title": row.title, "text": row.text}

    def _write(self, sql: str, *, idempotency_key: str, learner: str, lesson: int) -> str:
        with self.engine.begin() as connection:
            connection.execute(sqlalchemy.text(sql), {"key": idempotency_key, "learner": learner, "lesson": lesson})
        return "recorded"

    def _write_later(self, _key: str, payload: Mapping[str, Any]) -> None:
        self._write(*payload["args"], **payload["kwargs"])
