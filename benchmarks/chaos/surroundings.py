"""What goes wrong around a process: steps of the wall clock, a full disk, a Sentry that hangs."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

import sentry_sdk

from upright.strategies.fallback.offline_queue import OfflineQueue

if TYPE_CHECKING:
    import random
    import sqlite3

__all__ = ["Surroundings"]


class Surroundings:
    """The clock, the disk and the Sentry of one process; `close` puts them right again.

    Attributes:
        folder: For files.
        queue: A durable queue whose disk may be full.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="upright-chaos-")
        self.folder = Path(self._folder.name)
        self._time = time.time
        self._offset = 0.0
        time.time = lambda: self._time() + self._offset
        self.queue = OfflineQueue(self.folder / "outbox.db", limit=100_000, remember=1_000)
        self._disk_is_full = False
        self._open = self.queue._file._open  # noqa: SLF001 - SQLite itself then reports that the disk is full
        self.queue._file._open = self._connect  # type: ignore[method-assign]  # noqa: SLF001
        self._endpoint = _BlackHole()
        self._sentry_hangs = False
        sentry_sdk.init(
            dsn=f"http://public@127.0.0.1:{self._endpoint.port}/1",
            auto_enabling_integrations=False,
            default_integrations=False,
            shutdown_timeout=0,
            before_send=self._before_send,
        )

    def turn(self, rng: random.Random) -> str:
        """Let something go wrong, or right again; returns what."""
        dice = rng.random()
        if dice < 0.4:
            self._offset += rng.uniform(-1e7, 1e7)  # seconds; no window may care
            return "clock step"
        if dice < 0.7:
            self._sentry_hangs = not self._sentry_hangs
            return "Sentry hangs" if self._sentry_hangs else "Sentry answers again"
        self.fill_disk(not self._disk_is_full)
        return "disk full" if self._disk_is_full else "disk freed"

    def put_right(self) -> None:
        """End the full disk and the hanging hook; the endpoint goes on hanging."""
        self._sentry_hangs = False
        self.fill_disk(False)

    def fill_disk(self, full: bool) -> None:  # noqa: FBT001 - what it is to be
        """Let the queue's file grow no further, or again."""
        self._disk_is_full = full
        self.queue.close()

    def close(self) -> None:
        """Put everything right again."""
        time.time = self._time
        sentry_sdk.get_client().close(timeout=0)
        self._endpoint.close()
        self.queue.close()
        self._folder.cleanup()

    def _connect(self) -> sqlite3.Connection:
        connection = self._open()
        if self._disk_is_full:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            connection.execute(f"PRAGMA max_page_count={pages}")
        return connection

    def _before_send(self, event: Any, _hint: Any) -> Any:
        if self._sentry_hangs:
            sleep(0.5)  # in the thread that hands the event over
        return event


class _BlackHole:
    """An endpoint that takes connections and requests, and never answers."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._taken: list[socket.socket] = []
        self._thread = threading.Thread(target=self._take, name="black-hole", daemon=True)
        self._thread.start()

    def _take(self) -> None:
        with suppress(OSError):
            while True:
                taken, _ = self._listening.accept()
                self._taken.append(taken)
                if len(self._taken) > 8:
                    self._taken.pop(0).close()

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for taken in self._taken:
            taken.close()
        self._thread.join(1.0)
