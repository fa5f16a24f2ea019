"""Offline mode and read-only mode: what is put off, what is refused, and what counts as a write."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from upright.strategies.errors import ConfigError
from upright.strategies.fallback.chain import NothingToOfferError, RefusedError, Substitute
from upright.strategies.fallback.offline_mode import OfflineMode, Queued
from upright.strategies.fallback.offline_queue import OfflineQueue
from upright.strategies.fallback.read_only import ReadOnlyError, ReadOnlyMode
from upright.strategies.fallback.writes import is_certain_write, is_write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[OfflineQueue]:
    queue = OfflineQueue(tmp_path / "offline.db", limit=3)
    yield queue
    queue.close()


BAD: Any = "not callable"
CALL = {"operation": "voice_session", "args": ("hi",), "kwargs": {"idempotency_key": "turn-1"}}


# Offline mode.


def test_a_call_is_on_disk_under_its_key_when_the_step_returns(queue: OfflineQueue) -> None:
    step = OfflineMode(queue)
    given = step.provide(CALL)
    assert given == Substitute(Queued("turn-1", 1), "queued for later, 1 waiting")
    taken: list[Any] = []
    OfflineQueue(queue.path).replay(lambda key, payload: taken.append((key, payload)))
    assert taken == [
        (
            "turn-1",
            {"operation": "voice_session", "args": ["hi"], "kwargs": {"idempotency_key": "turn-1"}},
        )
    ]


def test_the_same_call_again_is_queued_once(queue: OfflineQueue) -> None:
    step = OfflineMode(queue)
    assert [step.provide(CALL).value.waiting for _ in range(3)] == [1, 1, 1]


def test_payload_and_key_are_the_applications(tmp_path: Path) -> None:
    step = OfflineMode(
        tmp_path / "q.db", payload=lambda context: {"said": context["args"][0]}, key=lambda context: context["turn"]
    )
    step.provide({"args": ("hi",), "turn": "t-9"})
    taken: list[Any] = []
    step.queue.replay(lambda key, payload: taken.append((key, payload)))
    assert taken == [("t-9", {"said": "hi"})]
    step.queue.close()


def test_a_full_queue_fails_the_step(queue: OfflineQueue) -> None:
    step = OfflineMode(queue)
    for number in range(3):
        step.provide({"args": (number,)})
    with pytest.raises(Exception, match="limit is 3"):
        step.provide({"args": (4,)})


def test_without_a_handler_there_is_nothing_to_catch_up_with(queue: OfflineQueue) -> None:
    assert OfflineMode(queue).catch_up is None


def test_catching_up_does_what_was_put_in_order_and_says_whether_something_is_left(queue: OfflineQueue) -> None:
    taken: list[Any] = []

    def handler(_key: str, payload: Any) -> None:
        if payload["args"] == [2] and len(taken) < 3:
            taken.append("down")
            raise ConnectionResetError
        taken.append(payload["args"][0])

    step = OfflineMode(queue, handler)
    for number in (1, 2, 3):
        step.provide({"args": (number,)})
    assert step.details["waiting"] == 3
    assert step.catch_up is not None
    assert [step.catch_up(), step.catch_up(), step.catch_up(), step.catch_up()][0] is True
    assert taken == [1, "down", "down", 2, 3]
    assert (step.catch_up(), step.details["waiting"], len(queue)) == (False, 0, 0)


def test_an_async_handler_catches_up_when_awaited(queue: OfflineQueue) -> None:
    taken: list[Any] = []

    async def handler(key: str, _payload: Any) -> None:
        taken.append(key)

    step = OfflineMode(queue, handler)
    step.provide(CALL)

    async def scenario() -> Any:
        assert step.catch_up is not None
        return await step.catch_up()  # type: ignore[misc]

    assert asyncio.run(scenario()) is False
    assert taken == ["turn-1"]


def test_entries_that_were_set_aside_show_in_the_details(queue: OfflineQueue) -> None:
    def refuse(_key: str, _payload: Any) -> None:
        raise ValueError("no such lesson")

    step = OfflineMode(queue, refuse)
    step.provide(CALL)
    assert step.catch_up is not None
    step.catch_up()
    assert step.details == {"queue": str(queue.path), "waiting": 0, "poison": 1}


# Read-only mode.


def test_reads_are_served_and_say_that_they_may_be_behind() -> None:
    step = ReadOnlyMode(lambda context: f"replica: {context['args'][0]}")
    assert step.provide({"args": ("SELECT 1",)}) == Substitute("replica: SELECT 1", "read-only, may be behind")


def test_writes_are_refused_and_the_chain_ends() -> None:
    step = ReadOnlyMode(lambda _: 1)
    with pytest.raises(ReadOnlyError, match="until the database is back") as caught:
        step.provide({"args": ("INSERT INTO t VALUES (1)",)})
    assert isinstance(caught.value, RefusedError)


def test_writes_are_queued_where_there_is_a_queue(queue: OfflineQueue) -> None:
    step = ReadOnlyMode(lambda _: 1, queue=queue)
    given = step.provide({"operation": "db", "args": ("DELETE FROM t",), "idempotency_key": "w-1"})
    assert given == Substitute(Queued("w-1", 1), "write queued, 1 waiting")
    assert step.details["waiting"] == 1


def test_an_async_read_is_awaited_and_async_writes_are_queued(queue: OfflineQueue) -> None:
    async def read(_: Any) -> int:
        return 7

    step = ReadOnlyMode(read, queue=queue)
    assert asyncio.run(step.provide({"write": False})).value == 7
    assert asyncio.run(step.provide({"write": True})).value.waiting == 1
    with pytest.raises(ReadOnlyError):
        asyncio.run(ReadOnlyMode(read).provide({"write": True}))


def test_without_a_place_to_read_from_reads_are_left_to_the_next_step() -> None:
    with pytest.raises(NothingToOfferError):
        ReadOnlyMode().provide({"write": False})


# What is a write.


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "  select * from t where name = 'x'",
        "(SELECT 1) UNION (SELECT 2)",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "EXPLAIN SELECT 1",
        "SHOW TABLES",
        "get",
        "find user 7",
    ],
)
def test_reads(text: str) -> None:
    assert not is_write({"args": (text,)})
    assert not is_certain_write({"args": (text,)})


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO t VALUES (1)",
        "insert or replace into t values (1)",
        "UPDATE t SET x = 1",
        "delete from t",
        "MERGE INTO t USING s ON (a = b)",
        "TRUNCATE t",
        "CREATE TABLE t (x int)",
        "drop table t",
    ],
)
def test_certain_writes(text: str) -> None:
    assert is_write({"kwargs": {"sql": text}})
    assert is_certain_write({"kwargs": {"sql": text}})


@pytest.mark.parametrize(
    "text",
    [
        "WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a",
        "EXPLAIN ANALYZE DELETE FROM t",
        "SELECT * INTO copy FROM t",
        "SELECT 1;DELETE FROM t",
        "CALL do_it()",
        "",
        "update firmware",
        "select " + "x" * 20_000,
    ],
)
def test_in_doubt_it_writes(text: str) -> None:
    assert is_write({"args": (text,)})


def test_the_context_has_the_last_word() -> None:
    for stated in (True, False):
        assert is_write({"write": stated, "args": ("SELECT 1",)}) is stated
        assert is_certain_write({"write": stated, "args": ("DELETE FROM t",)}) is stated
    assert is_write({})
    assert not is_certain_write({})


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda _: ReadOnlyMode("replica"), "ReadOnlyMode.read"),  # type: ignore[arg-type]
        (lambda _: ReadOnlyMode(is_write=True), "ReadOnlyMode.is_write"),  # type: ignore[arg-type]
        (lambda _: ReadOnlyMode(queue="q.db"), "ReadOnlyMode.queue"),  # type: ignore[arg-type]
        (lambda _: ReadOnlyMode(replay=print), "ReadOnlyMode.replay"),
        (lambda queue: ReadOnlyMode(queue=queue, key=BAD), "ReadOnlyMode.key"),
        (lambda queue: OfflineMode(queue, payload=BAD), "OfflineMode.payload"),
        (lambda queue: OfflineMode(queue, key=BAD), "OfflineMode.key"),
        (lambda queue: OfflineMode(queue, BAD), "OfflineMode.replay"),
    ],
)
def test_a_bad_option_is_refused_by_name(make: Callable[[Any], Any], field: str, queue: OfflineQueue) -> None:
    with pytest.raises(ConfigError) as caught:
        make(queue)
    assert caught.value.field == field
