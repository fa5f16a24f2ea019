"""The durable queue and a list that stands for it do the same things in any order."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from upright.strategies.fallback.offline_queue import KeyConflictError, OfflineQueue, QueueFullError

if TYPE_CHECKING:
    import sqlite3

KEYS = st.sampled_from("abcdef")
LIMIT = 4
ATTEMPTS = 2


class OutboxMachine(RuleBasedStateMachine):
    """Puts, replays that go well or badly, poison, a new process and a full disk."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="upright-outbox-"))
        self.entries: list[list[Any]] = []  # key, payload, attempts
        self.poison: dict[str, int] = {}
        self.done: set[str] = set()
        self.open()

    def open(self) -> None:
        self.queue = OfflineQueue(self.folder / "queue.db", limit=LIMIT, max_attempts=ATTEMPTS)

    def teardown(self) -> None:
        self.queue.close()
        shutil.rmtree(self.folder)

    @rule(key=KEYS, payload=st.integers(0, 1))
    def put(self, key: str, payload: int) -> None:
        known = {entry[0]: entry[1] for entry in self.entries} | self.poison
        if key in known and known[key] != payload:
            with pytest.raises(KeyConflictError):
                self.queue.put(payload, key=key)
        elif key in known or key in self.done:
            assert self.queue.put(payload, key=key) == key
        elif len(known) >= LIMIT:
            with pytest.raises(QueueFullError):
                self.queue.put(payload, key=key)
        else:
            assert self.queue.put(payload, key=key) == key
            self.entries.append([key, payload, 0])

    @rule()
    def replay_all(self) -> None:
        taken: list[str] = []
        result = self.queue.replay(lambda key, _payload: taken.append(key))
        assert taken == [entry[0] for entry in self.entries]
        assert (result.replayed, result.left, result.error) == (len(taken), 0, None)
        self.done |= set(taken)
        self.entries.clear()

    @precondition(lambda self: self.entries)
    @rule(error=st.sampled_from([ConnectionError("down"), ValueError("bad"), RuntimeError("odd")]))
    def the_first_fails(self, error: Exception) -> None:
        first = self.entries[0]

        def handle(key: str, _payload: Any) -> None:
            raise error if key == first[0] else ConnectionError("down")

        self.queue.replay(handle)
        if isinstance(error, ConnectionError):
            return  # an outage is no fault of the entry
        first[2] += 1
        if isinstance(error, ValueError) or first[2] >= ATTEMPTS:
            self.entries.pop(0)
            self.poison[first[0]] = first[1]

    @precondition(lambda self: self.poison)
    @rule(data=st.data(), again=st.booleans())
    def deal_with_poison(self, data: st.DataObject, again: bool) -> None:  # noqa: FBT001 - a rule's argument
        key = data.draw(st.sampled_from(sorted(self.poison)))
        payload = self.poison.pop(key)
        if again:
            assert self.queue.retry_poison(key)
            self.entries.append([key, payload, 0])
        else:
            assert self.queue.discard_poison(key)

    @rule()
    def a_new_process(self) -> None:
        self.queue.close()
        self.open()

    @precondition(lambda self: self.entries)
    @rule()
    def an_outage_while_the_disk_is_full(self) -> None:
        self.queue.close()
        connect = self.queue._file._open

        def limited() -> sqlite3.Connection:
            connection = connect()
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            connection.execute(f"PRAGMA max_page_count={pages}")
            return connection

        self.queue._file._open = limited  # type: ignore[method-assign]

        def fail(_key: str, _payload: Any) -> None:
            raise ConnectionError("x" * 5_000)

        self.queue.replay(fail)
        self.queue._file._open = connect  # type: ignore[method-assign]
        self.queue.close()

    @invariant()
    def it_holds_what_the_model_holds(self) -> None:
        assert len(self.queue) == len(self.entries)
        assert {entry.key: entry.payload for entry in self.queue.poison()} == self.poison


TestOutboxMachine = OutboxMachine.TestCase
TestOutboxMachine.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
