"""A replay that was killed just after it had begun an entry left a mark against that: enough of them made poison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from upright.strategies.fallback.offline_queue import OfflineQueue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class _Killed(BaseException):
    pass


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[OfflineQueue]:
    queue = OfflineQueue(tmp_path / "queue.db", max_attempts=2)
    for number in range(3):
        queue.put(number)
    yield queue
    queue.close()


@pytest.mark.parametrize("where", ["_begin_next", "_keep", "_finish"])
def test_no_entry_is_set_aside_for_it(queue: OfflineQueue, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def handle(_key: str, payload: Any) -> None:
        if where == "_keep":
            raise ConnectionError("down")
        done.append(payload)

    def killed(*args: Any, **kwargs: Any) -> Any:
        if where == "_begin_next":
            original(*args, **kwargs)
        raise _Killed

    done: list[int] = []
    original = getattr(queue, where)
    monkeypatch.setattr(queue, where, killed)
    for _ in range(10):
        with pytest.raises(_Killed):
            queue.replay(handle)
    monkeypatch.undo()
    where, done = "", []
    result = queue.replay(lambda _key, payload: done.append(payload))
    assert done == [0, 1, 2]
    assert (result.replayed, result.set_aside, queue.poison()) == (3, 0, [])


def test_an_entry_that_fails_by_itself_is_set_aside_all_the_same(
    queue: OfflineQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_key: str, payload: Any) -> None:
        if payload == 0:
            raise RuntimeError("odd")

    def killed(*_args: Any, **_kwargs: Any) -> Any:
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(queue, "_keep", killed)
        with pytest.raises(_Killed):
            queue.replay(fail)
    queue.replay(fail)
    assert queue.replay(fail).replayed == 2
    assert [entry.payload for entry in queue.poison()] == [0]


def test_an_entry_that_is_done_is_not_done_again_because_its_worker_was_interrupted_while_noting_it(
    queue: OfflineQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_args: Any) -> None:
        monkeypatch.undo()
        raise _Killed

    done: list[int] = []
    monkeypatch.setattr(queue, "_finish", interrupted)
    with pytest.raises(_Killed):
        queue.replay(lambda _key, payload: done.append(payload))
    assert queue.replay(lambda _key, payload: done.append(payload)).replayed == 2
    assert done == [0, 1, 2]


def test_a_replay_ends_where_it_is_told_to(queue: OfflineQueue) -> None:
    done: list[int] = []
    result = queue.replay(lambda _key, payload: done.append(payload), until=lambda: bool(done))
    assert (done, result.replayed, result.left, result.error) == ([0], 1, 2, None)
