"""What answers are remembered in: bounded, with their age, in memory, on disk and in a real Redis."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import json
import subprocess
import sys
import threading
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import redis
import redis.asyncio
from hypothesis import given
from hypothesis import strategies as st
from redis.backoff import NoBackoff
from redis.retry import Retry

from upright.strategies.errors import ConfigError
from upright.strategies.fallback.chain import NothingToOfferError
from upright.strategies.fallback.local_store import LocalStore
from upright.strategies.fallback.memory_store import MemoryStore
from upright.strategies.fallback.redis_store import RedisStore
from upright.strategies.fallback.remembering import AnswerStore, Remembered, call_key, prompt_key
from upright.testing.proxy import FaultProxy
from upright.testing.servers.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

JSON = st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), st.lists, max_leaves=5)


BAD: Any = 7


class Time:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(server.url, socket_timeout=2.0)
    client.flushall()
    yield client
    client.close()


@pytest.fixture(params=["memory", "file", "redis"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path, time: Time) -> Iterator[Callable[..., AnswerStore]]:
    """Make a store of each kind, whose time the test moves."""
    made: list[LocalStore] = []

    def make(**options: Any) -> AnswerStore:
        if request.param == "memory":
            return MemoryStore(now=time, **options)
        if request.param == "redis":
            return RedisStore(request.getfixturevalue("client"), "test:", wall=time, **options)
        made.append(LocalStore(tmp_path / "answers.db", wall=time, **options))
        return made[-1]

    yield make
    for store in made:
        store.close()


# What every store does.


def test_an_answer_is_found_again_with_its_age(make_store: Callable[..., AnswerStore], time: Time) -> None:
    store = make_store()
    store.put("a", {"rows": [1, None, "zwei"]})
    time.now += 42.0
    assert store.get("a") == Remembered({"rows": [1, None, "zwei"]}, 42.0)
    assert store.get("b") is None


def test_a_new_answer_replaces_the_old_one(make_store: Callable[..., AnswerStore], time: Time) -> None:
    store = make_store()
    store.put("a", 1)
    time.now += 5.0
    store.put("a", 2)
    assert store.get("a") == Remembered(2, 0.0)


def test_a_clock_that_was_set_back_makes_no_negative_age(tmp_path: Path, time: Time) -> None:
    store = LocalStore(tmp_path / "answers.db", wall=time)
    store.put("a", 1)
    time.now -= 100.0
    assert store.get("a") == Remembered(1, 0.0)
    store.close()


def test_answers_of_a_decorated_function_are_recalled_by_its_arguments(make_store: Callable[..., AnswerStore]) -> None:
    store = make_store()

    @store.remembering
    def price(plan: str, *, seats: int) -> int:
        return len(plan) * seats

    assert price("pro", seats=3) == 9
    assert store.recall("pro", seats=3).value == 9
    with pytest.raises(NothingToOfferError):
        store.recall("pro", seats=4)


def test_answers_of_a_coroutine_function_are_remembered(make_store: Callable[..., AnswerStore]) -> None:
    store = make_store()

    @store.remembering
    async def price(plan: str) -> int:
        return len(plan)

    assert asyncio.run(price("pro")) == 3
    assert store.recall("pro").value == 3


def test_a_failing_function_leaves_the_last_answer_alone(make_store: Callable[..., AnswerStore]) -> None:
    store = make_store()
    answers = iter([1])

    @store.remembering
    def answer() -> int:
        return next(answers)

    answer()
    with pytest.raises(StopIteration):
        answer()
    assert store.recall().value == 1


def test_a_store_answers_for_one_function_only(make_store: Callable[..., AnswerStore]) -> None:
    store = make_store()

    @store.remembering
    def price(number: int) -> int:
        return number

    def name(number: int) -> str:
        return str(number)

    with pytest.raises(ConfigError, match="a store of its own"):
        store.remembering(name)
    assert price(1) == 1


# In memory and on disk: bounded by number.


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_beyond_its_limit_a_store_forgets_the_answer_put_longest_ago(kind: str, tmp_path: Path) -> None:
    store = MemoryStore(3) if kind == "memory" else LocalStore(tmp_path / "answers.db", limit=3)
    for key in ("a", "b", "c", "a", "d", "d", "e"):
        store.put(key, key)
    assert len(store) == 3
    assert [key for key in "abcde" if store.get(key) is not None] == ["a", "d", "e"]
    store.close() if isinstance(store, LocalStore) else store.clear()


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_an_answer_older_than_the_stores_age_limit_is_not_given(kind: str, tmp_path: Path, time: Time) -> None:
    store = (
        MemoryStore(max_age=10.0, now=time)
        if kind == "memory"
        else LocalStore(tmp_path / "answers.db", max_age=10.0, wall=time)
    )
    store.put("a", 1)
    time.now += 10.0
    assert store.get("a") == Remembered(1, 10.0)
    time.now += 0.1
    assert store.get("a") is None
    if isinstance(store, LocalStore):
        store.close()


def test_memory_stays_bounded_while_many_threads_remember() -> None:
    store = MemoryStore(50)

    def fill(thread: int) -> None:
        for number in range(2_000):
            store.put(f"{thread}-{number}", number)

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 40 < len(store) <= 50


def test_a_local_copy_outlives_the_process_that_was_killed(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from upright.strategies.fallback.local_store import LocalStore
store = LocalStore(sys.argv[1])
for number in range(20):
    store.put(str(number), {"number": number})
os.kill(os.getpid(), signal.SIGKILL)
"""
    path = tmp_path / "answers.db"
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == -9
    store = LocalStore(path)
    found = [store.get(str(number)) for number in range(20)]
    assert [answer and answer.value for answer in found] == [{"number": number} for number in range(20)]
    store.close()


def test_stores_in_one_file_are_told_apart_by_their_namespace(tmp_path: Path) -> None:
    prices = LocalStore(tmp_path / "answers.db", "prices", limit=2)
    names = LocalStore(tmp_path / "answers.db", "names", limit=2)
    for number in range(3):
        prices.put(str(number), number)
    names.put("2", "two")
    assert (len(prices), len(names)) == (2, 1)
    assert [found.value for store in (prices, names) if (found := store.get("2"))] == [2, "two"]
    prices.close()
    names.close()


@pytest.mark.parametrize("value", [object(), float("nan"), b"bytes", {1, 2}], ids=str)
def test_what_is_no_json_is_refused_where_it_cannot_be_kept(value: Any, tmp_path: Path, client: redis.Redis) -> None:
    store = LocalStore(tmp_path / "answers.db")
    for refusing in (store, RedisStore(client, "test:")):
        with pytest.raises(ConfigError, match="JSON data"):
            refusing.put("a", value)
    store.close()


# Redis.


def test_redis_drops_what_is_too_old_by_itself(client: redis.Redis) -> None:
    RedisStore(client, "test:", max_age=90.0).put("a", 1)
    assert 80_000 < client.pttl("test:a") <= 90_000


def test_two_processes_share_what_redis_remembers(client: redis.Redis, server: RedisServer) -> None:
    with redis.Redis.from_url(server.url, socket_timeout=2.0) as other:
        RedisStore(other, "prices:").put("a", [1])
        assert RedisStore(client, "names:").get("a") is None
        found = RedisStore(client, "prices:").get("a")
        assert found is not None
        assert found.value == [1]


def test_an_asyncio_client_remembers_and_recalls_on_the_loop(server: RedisServer) -> None:
    async def scenario() -> None:
        async with redis.asyncio.Redis.from_url(server.url, socket_timeout=2.0) as client:
            store = RedisStore(client, "async:")

            @store.remembering
            async def price(plan: str) -> int:
                return len(plan)

            assert await price("pro") == 3
            assert (await store.recall("pro")).value == 3
            with pytest.raises(NothingToOfferError):
                await store.recall("basic")
            with pytest.raises(ConfigError, match="async def"):
                RedisStore(client, "sync:").remembering(len)

    asyncio.run(scenario())


def test_a_client_that_may_wait_for_ever_is_refused(server: RedisServer) -> None:
    with (
        redis.Redis.from_url(server.url, socket_timeout=None) as client,
        pytest.raises(ConfigError, match="socket_timeout"),
    ):
        RedisStore(client, "test:")


def test_a_redis_that_is_cut_off_fails_no_call_and_slows_down_one(server: RedisServer, time: Time) -> None:
    with FaultProxy(server.address) as proxy:
        host, port = proxy.address
        client = redis.Redis(host=host, port=port, socket_timeout=1.0, retry=Retry(NoBackoff(), 0))
        store = RedisStore(client, "cut:")
        store._clock = time

        @store.remembering
        def price(number: int) -> int:
            return number

        price(1)
        assert store.lost.value == 0
        proxy.stall()
        assert [price(number) for number in range(2, 12)] == list(range(2, 12))
        assert store.lost.value == 10
        proxy.restore()
        time.now += 5.0
        price(12)
        assert store.lost.value == 10
        assert store.recall(12).value == 12
        client.close()


def test_a_store_that_is_slow_is_spared_for_a_while(time: Time) -> None:
    class Slow(MemoryStore):
        def put(self, key: str, value: Any) -> None:
            time.now += 0.3
            super().put(key, value)

    store = Slow(now=time)

    @store.remembering
    def answer(number: int) -> int:
        return number

    assert [answer(number) for number in range(3)] == [0, 1, 2]
    assert (len(store), store.lost.value) == (1, 2)
    time.now += 5.0
    answer(3)
    assert len(store) == 2


# Keys.


def test_equal_arguments_have_equal_keys_and_others_have_others() -> None:
    day = dt.date(2026, 1, 2)
    same = [
        (call_key(1, a=2, b=3), call_key(1, b=3, a=2)),
        (call_key(day, decimal.Decimal("1.10")), call_key(dt.date(2026, 1, 2), decimal.Decimal("1.10"))),
        (call_key({"b", "a"}), call_key({"a", "b"})),
        (call_key(uuid.UUID(int=1)), call_key(uuid.UUID(int=1))),
    ]
    assert all(a == b for a, b in same)
    different = [
        call_key(1),
        call_key("1"),
        call_key(True),
        call_key(1.5),
        call_key([1]),
        call_key(b"1"),
        call_key("b'1'"),
    ]
    assert len(set(different)) == len(different)


def test_an_object_known_by_its_address_only_makes_no_key() -> None:
    class User:
        pass

    with pytest.raises(ConfigError, match="key= that names what matters"):
        call_key(User())


def test_an_answer_to_an_object_without_a_text_is_not_remembered_and_counted() -> None:
    store = MemoryStore()

    @store.remembering
    def greet(_: object) -> str:
        return "hello"

    assert greet(object()) == "hello"
    assert (len(store), store.lost.value) == (0, 1)


def test_a_key_of_ones_own_names_what_matters() -> None:
    store = MemoryStore(key=lambda _session, user: f"user:{user}")

    @store.remembering
    def load(_session: object, user: int) -> int:
        return user

    load(object(), 7)
    assert store.recall(object(), 7).value == 7


def test_a_question_is_the_same_whatever_its_case_and_spacing() -> None:
    assert prompt_key("What  is\nPI?", level=2) == prompt_key("what is pi?", level=2)
    assert prompt_key("What is pi?", level=2) != prompt_key("What is pi?", level=3)


@given(st.lists(JSON, max_size=3), st.lists(JSON, max_size=3))
def test_keys_tell_arguments_apart_and_stay_short(one: list[Any], other: list[Any]) -> None:
    assert len(call_key(*one)) <= 200
    if json.dumps(one) != json.dumps(other):
        assert call_key(*one) != call_key(*other)


# Bad options.


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda _: MemoryStore(0), "MemoryStore.limit"),
        (lambda _: MemoryStore(max_age=0), "MemoryStore.max_age"),
        (lambda _: MemoryStore(key=BAD), "MemoryStore.key"),
        (lambda path: LocalStore(path / "a.db", limit=0), "LocalStore.limit"),
        (lambda path: LocalStore(path / "a.db", max_age=-1), "LocalStore.max_age"),
        (lambda path: LocalStore(path / "a.db", BAD), "LocalStore.namespace"),
        (lambda path: LocalStore(path / "missing" / "a.db"), "SqliteFile.path"),
        (lambda _: RedisStore(object(), "p:"), "RedisStore.client"),
        (lambda _: RedisStore(redis.Redis(), ""), "RedisStore.prefix"),
        (lambda _: RedisStore(redis.Redis(), "p:", max_age=0), "RedisStore.max_age"),
    ],
)
def test_a_bad_option_is_refused_by_name(make: Callable[[Any], Any], field: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        make(tmp_path)
    assert caught.value.field == field
