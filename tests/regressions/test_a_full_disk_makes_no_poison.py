"""On a full disk an outage, or a success that could not be remembered, made poison of sound entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from upright.strategies.fallback.offline_queue import OfflineQueue

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OfflineQueue]:
    """A queue of three entries whose file cannot grow any more: SQLite itself says that the disk is full."""
    queue = OfflineQueue(tmp_path / "queue.db", max_attempts=2)
    for number in range(3):
        queue.put([number, "x" * 3_950])
    queue.close()
    connect = queue._file._open

    def limited() -> sqlite3.Connection:
        connection = connect()
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages}")
        return connection

    monkeypatch.setattr(queue._file, "_open", limited)
    yield queue
    queue.close()


def test_an_outage_on_a_full_disk_sets_no_entry_aside(full: OfflineQueue) -> None:
    def fail(_key: str, _payload: Any) -> None:
        raise ConnectionError("down " * 300)

    for _ in range(10):
        full.replay(fail)
    assert full.poison() == []
    assert len(full) == 3


def test_what_is_done_on_a_full_disk_is_done_once(full: OfflineQueue) -> None:
    done: list[int] = []
    for _ in range(5):
        full.replay(lambda _key, payload: done.append(payload[0]))
    assert done == [0, 1, 2]
    assert full.poison() == []
