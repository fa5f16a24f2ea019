"""The offline queue: durable, in order, at least once, and nothing held up by one bad entry."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upright.strategies.errors import ConfigError
from upright.strategies.fallback.offline_queue import (
    KeyConflictError,
    OfflineQueue,
    QueueFullError,
    ReplayRunningError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[OfflineQueue]:
    queue = OfflineQueue(tmp_path / "offline.db", max_attempts=3)
    yield queue
    queue.close()


def replayed_by(queue: OfflineQueue) -> list[Any]:
    taken: list[Any] = []
    queue.replay(lambda _key, payload: taken.append(payload))
    return taken


def test_entries_are_replayed_in_the_order_they_were_put(queue: OfflineQueue) -> None:
    for number in range(20):
        queue.put({"number": number}, key=f"k{number}")
    assert len(queue) == 20
    keys: list[str] = []
    result = queue.replay(lambda key, _payload: keys.append(key))
    assert keys == [f"k{number}" for number in range(20)]
    assert (result.replayed, result.left, result.error) == (20, 0, None)


def test_what_was_put_is_there_for_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "offline.db"
    first = OfflineQueue(path)
    first.put([1, "zwei", None, 3.5, {"é": True}], key="a")
    first.close()
    assert replayed_by(OfflineQueue(path)) == [[1, "zwei", None, 3.5, {"é": True}]]


def test_the_same_key_again_puts_nothing(queue: OfflineQueue) -> None:
    assert queue.put({"a": 1, "b": 2}, key="order-7") == "order-7"
    assert queue.put({"b": 2, "a": 1}, key="order-7") == "order-7"
    assert len(queue) == 1


def test_the_same_key_with_another_payload_is_refused(queue: OfflineQueue) -> None:
    queue.put(1, key="order-7")
    with pytest.raises(KeyConflictError):
        queue.put(2, key="order-7")


def test_a_key_that_was_replayed_is_not_queued_again(queue: OfflineQueue) -> None:
    queue.put(1, key="order-7")
    replayed_by(queue)
    queue.put(1, key="order-7")
    assert len(queue) == 0


def test_only_so_many_replayed_keys_are_remembered(tmp_path: Path) -> None:
    queue = OfflineQueue(tmp_path / "offline.db", remember=2)
    for key in "abc":
        queue.put(1, key=key)
    replayed_by(queue)
    for key in "abc":
        queue.put(1, key=key)
    assert len(queue) == 1
    queue.close()


def test_a_key_is_made_up_where_none_is_given(queue: OfflineQueue) -> None:
    assert queue.put(1) != queue.put(1)
    assert len(queue) == 2


def test_a_full_queue_refuses_and_says_so(tmp_path: Path) -> None:
    queue = OfflineQueue(tmp_path / "offline.db", limit=2)
    queue.put(1)
    queue.put(2, key="second")
    with pytest.raises(QueueFullError, match="limit is 2"):
        queue.put(3)
    queue.put(2, key="second")  # known already, so nothing is added
    queue.close()


def test_a_connection_that_is_down_again_ends_the_replay_and_keeps_the_order(queue: OfflineQueue) -> None:
    for number in range(3):
        queue.put(number)
    taken: list[int] = []

    def handler(_key: str, payload: int) -> None:
        if payload == 1 and not taken.count(1):
            taken.append(payload)
            raise ConnectionResetError("down again")
        taken.append(payload)

    first = queue.replay(handler)
    assert (first.replayed, first.left) == (1, 2)
    assert isinstance(first.error, ConnectionResetError)
    assert queue.replay(handler).left == 0
    assert taken == [0, 1, 1, 2]


def test_an_outage_never_makes_an_entry_poison(queue: OfflineQueue) -> None:
    queue.put(1)

    def down(_key: str, _payload: int) -> None:
        raise ConnectionRefusedError

    for _ in range(20):
        queue.replay(down)
    assert len(queue) == 1
    assert queue.poison() == []


def test_a_permanent_failure_is_set_aside_at_once_and_holds_up_nobody(queue: OfflineQueue) -> None:
    queue.put("bad", key="bad")
    queue.put("good", key="good")
    taken: list[str] = []

    def handler(_key: str, payload: str) -> None:
        if payload == "bad":
            raise ValueError("password=hunter2 no such plan")
        taken.append(payload)

    result = queue.replay(handler)
    assert taken == ["good"]
    assert (result.replayed, result.set_aside, result.left, result.error) == (1, 1, 0, None)
    (entry,) = queue.poison()
    assert (entry.key, entry.payload, entry.attempts) == ("bad", "bad", 1)
    assert entry.error.startswith("ValueError")
    assert "hunter2" not in entry.error


def test_an_unknown_failure_is_set_aside_after_its_attempts(queue: OfflineQueue) -> None:
    queue.put(1)

    def strange(_key: str, _payload: int) -> None:
        raise RuntimeError("strange")

    assert [queue.replay(strange).set_aside for _ in range(3)] == [0, 0, 1]


def test_an_entry_that_ends_the_process_is_set_aside_after_its_attempts(tmp_path: Path) -> None:
    path = tmp_path / "offline.db"
    queue = OfflineQueue(path, max_attempts=3)
    queue.put("deadly", key="deadly")
    queue.put("good", key="good")
    script = f"""
import os
from upright.strategies.fallback.offline_queue import OfflineQueue
def handler(key, payload):
    if payload == "deadly":
        os._exit(9)
    print(payload)
OfflineQueue({str(path)!r}, max_attempts=3).replay(handler)
"""
    runs = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False) for _ in range(4)
    ]
    assert [done.returncode for done in runs] == [9, 9, 9, 0]
    assert runs[-1].stdout == "good\n"
    assert [entry.key for entry in queue.poison()] == ["deadly"]
    queue.close()


def test_poison_can_be_queued_again_or_given_up(queue: OfflineQueue) -> None:
    def refuse(_key: str, _payload: int) -> None:
        raise ValueError

    queue.put(1, key="a")
    queue.put(2, key="b")
    queue.replay(refuse)
    assert queue.retry_poison("a")
    assert not queue.retry_poison("a")
    assert queue.discard_poison("b")
    assert not queue.discard_poison("b")
    assert queue.poison() == []
    assert replayed_by(queue) == [1]


def test_an_async_handler_makes_an_async_replay(queue: OfflineQueue) -> None:
    taken: list[int] = []

    async def handler(_key: str, payload: int) -> None:
        await asyncio.sleep(0)
        if payload == 2:
            raise ConnectionResetError
        taken.append(payload)

    for number in range(4):
        queue.put(number)

    async def scenario() -> None:
        result = await queue.replay(handler)
        assert (result.replayed, result.left) == (2, 2)
        assert isinstance(result.error, ConnectionResetError)

    asyncio.run(scenario())
    assert taken == [0, 1]


def test_a_cancelled_replay_keeps_the_entry_and_lets_others_replay(queue: OfflineQueue) -> None:
    queue.put(1)

    async def scenario() -> None:
        began = asyncio.Event()

        async def handler(_key: str, _payload: int) -> None:
            began.set()
            await asyncio.sleep(60)

        for _ in range(5):
            began.clear()
            replay = asyncio.ensure_future(queue.replay(handler))
            await began.wait()
            replay.cancel()
            with pytest.raises(asyncio.CancelledError):
                await replay

    asyncio.run(scenario())
    assert replayed_by(queue) == [1]


def test_two_replays_at_once_are_refused(queue: OfflineQueue) -> None:
    queue.put(1)

    def handler(_key: str, _payload: int) -> None:
        with pytest.raises(ReplayRunningError):
            queue.replay(handler)

    assert queue.replay(handler).replayed == 1


def test_what_is_put_while_replaying_waits_for_the_next_replay(queue: OfflineQueue) -> None:
    queue.put(0)
    assert queue.replay(lambda _key, payload: queue.put(payload + 1)).left == 1


def test_many_threads_put_without_loss(tmp_path: Path) -> None:
    queue = OfflineQueue(tmp_path / "offline.db")

    def put(thread: int) -> None:
        for number in range(20):
            queue.put([thread, number], key=f"{thread}-{number}")

    threads = [threading.Thread(target=put, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = replayed_by(queue)
    assert len(taken) == 160
    for owner in range(8):
        assert [number for by, number in taken if by == owner] == list(range(20))
    queue.close()


def test_a_forked_child_uses_connections_of_its_own(queue: OfflineQueue, tmp_path: Path) -> None:
    script = f"""
import os
from upright.strategies.fallback.offline_queue import OfflineQueue
queue = OfflineQueue({str(tmp_path / "offline.db")!r})
queue.put("parent")
child = os.fork()
queue.put("child" if child == 0 else "parent again")
if child:
    raise SystemExit(os.waitpid(child, 0)[1])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(replayed_by(queue)) == ["child", "parent", "parent again"]


@pytest.mark.parametrize("payload", [{1, 2}, object(), float("nan"), b"bytes", "x" * 200])
def test_a_payload_that_is_no_json_or_too_long_is_refused(tmp_path: Path, payload: Any) -> None:
    queue = OfflineQueue(tmp_path / "offline.db", max_payload=100)
    with pytest.raises(ConfigError):
        queue.put(payload)
    assert len(queue) == 0
    queue.close()


def test_bad_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        OfflineQueue(tmp_path / "missing" / "offline.db")
    with pytest.raises(ConfigError):
        OfflineQueue(tmp_path / "offline.db", limit=0)
    (tmp_path / "no.db").write_bytes(b"x" * 4096)
    with pytest.raises(sqlite3.DatabaseError):
        OfflineQueue(tmp_path / "no.db")


@settings(max_examples=20, deadline=None)
@given(operations=st.lists(st.sampled_from(["put", "fail", "replay"]), max_size=25))
def test_whatever_happens_nothing_is_lost_or_out_of_order(
    tmp_path_factory: pytest.TempPathFactory, operations: list[str]
) -> None:
    queue = OfflineQueue(tmp_path_factory.mktemp("queue") / "offline.db")
    put: list[int] = []
    taken: list[int] = []

    def failing(_key: str, payload: int) -> None:
        if payload % 3 == 2:
            raise ConnectionResetError
        taken.append(payload)

    for operation in [*operations, "replay"]:
        if operation == "put":
            queue.put(len(put))
            put.append(len(put))
        else:
            queue.replay(failing if operation == "fail" else lambda _key, payload: taken.append(payload))
    queue.close()
    assert taken == put


_PUTTING = """
import sys
from upright.strategies.fallback.offline_queue import OfflineQueue
queue, number = OfflineQueue(sys.argv[1], limit=1_000_000), int(sys.argv[2])
while True:
    queue.put(number, key=str(number))
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    number += 1
"""
_REPLAYING = """
import sys
from upright.strategies.fallback.offline_queue import OfflineQueue
def handler(key, payload):
    sys.stdout.write(f"{payload}\\n")
    sys.stdout.flush()
OfflineQueue(sys.argv[1], limit=1_000_000).replay(handler)
"""


def _run_and_kill(script: str, path: Path, first: int, lines: int) -> list[int]:
    """Run until so many lines have come, then kill -9; what is half written counts as not said."""
    process = subprocess.Popen([sys.executable, "-c", script, str(path), str(first)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said: list[str] = []
    for line in process.stdout:
        said.append(line)
        if len(said) == lines:
            process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    return [int(line) for line in said if line.endswith("\n")]


def _kill_again_and_again(path: Path, kills: int) -> tuple[int, int]:
    promised: list[int] = []
    handled: list[int] = []
    for round_ in range(kills // 2):
        # The next number after the last promise: what was put and not promised is put again under its key.
        first = promised[-1] + 1 if promised else 0
        promised += _run_and_kill(_PUTTING, path, first, lines=3 + round_ % 17)
        handled += _run_and_kill(_REPLAYING, path, 0, lines=1 + round_ % 11)
    queue = OfflineQueue(path, limit=1_000_000)
    queue.replay(lambda _key, payload: handled.append(payload))
    assert len(queue) == 0
    assert queue.poison() == []
    queue.close()
    assert promised == sorted(set(promised))
    first_times = list(dict.fromkeys(handled))
    assert first_times == sorted(first_times), "out of order"
    assert set(promised) <= set(first_times), "lost"
    again = len(handled) - len(first_times)
    return len(promised), again


def test_kill_9_loses_nothing_and_keeps_the_order(tmp_path: Path) -> None:
    promised, again = _kill_again_and_again(tmp_path / "offline.db", kills=10)
    assert promised > 20
    assert again <= 5  # at most the one in hand at each kill of a replay


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_fifty_times_kill_9_loses_nothing_and_keeps_the_order(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    promised, again = _kill_again_and_again(tmp_path / "offline.db", kills=50)
    record_property("figures", json.dumps({"kills": 50, "promised": promised, "handled_again": again}))
    assert promised > 200
    assert again <= 25
