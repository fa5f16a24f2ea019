"""The standard chains in their order, end to end: a booted tree, protected calls, and parts that really die."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import wave
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
import redis
import redis.asyncio
from recovery_parts import Boot, trail, wait_until

from upright.strategies.fallback import (
    AudioFormat,
    AudioRecording,
    CachedData,
    CachedResponse,
    LocalStorage,
    OfflineMode,
    ReadOnlyError,
    ReadOnlyMode,
    RedisStore,
    SimplifiedTutoring,
    TextChat,
    TextOnly,
    ai_tutoring,
    database_query,
    prompt_key,
    voice_session,
)
from upright.strategies.report import RecoveryMethod, RecoveryStatus
from upright.testing.servers.http import HttpServer, Reply, Request
from upright.testing.servers.postgres import PostgresServer
from upright.testing.servers.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUICK = {"breaker": {"minimum_number_of_calls": 1_000_000}, "retry": {"attempts": 1}}


def model(request: Request) -> Reply:
    """Stand in for an OpenAI-compatible endpoint, in the words of the model that is asked for."""
    asked = json.loads(request.body)
    text = f"{asked['model']}: {asked['messages'][-1]['content']}"
    return Reply(body=json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode())


@pytest.fixture
def large() -> Iterator[HttpServer]:
    with HttpServer(model) as server:
        yield server


@pytest.fixture
def small() -> Iterator[HttpServer]:
    with HttpServer(model) as server:
        yield server


@pytest.fixture(scope="module")
def cache() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def order_of(tree: Any, operation: str) -> list[str]:
    order: list[str] = tree.status_of("fallback").details["chains"][operation]["order"]
    return order


def question(text: str, model: str = "large") -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}]}


# ai_tutoring: cached response, simplified tutoring, text only.


def test_tutoring_goes_on_with_less_and_less_and_says_so(
    boot: Boot, large: HttpServer, small: HttpServer, cache: RedisServer
) -> None:
    with (
        httpx.Client(base_url=large.url, timeout=5.0) as tutor,
        httpx.Client(base_url=small.url, timeout=5.0) as other,
        redis.Redis.from_url(cache.url, socket_timeout=5.0) as store,
    ):
        cached = CachedResponse(RedisStore(store, "tutoring:", key=prompt_key))
        steps = (cached, SimplifiedTutoring(other, model="small"), TextOnly("Please read chapter 3."))
        tree = boot(ai_tutoring(*steps), **QUICK)
        assert order_of(tree, "ai_tutoring") == ["cached response", "simplified tutoring", "text only"]

        @cached.remembering
        def ask(text: str) -> str:
            answer = tutor.post("/chat/completions", json=question(text)).raise_for_status().json()
            return str(answer["choices"][0]["message"]["content"])

        protected = tree.protect("ai_tutoring")(ask)
        assert protected("What is pi?") == "large: What is pi?"
        large.kill()
        result = tree.call("ai_tutoring", ask, "what is PI?")
        assert (result.status, result.method) == (RecoveryStatus.RECOVERED, RecoveryMethod.FALLBACK)
        assert (result.value, result.degraded) == ("large: What is pi?", True)
        assert result.degradation.startswith("cached ")
        assert result.age is not None
        assert result.age >= 0
        result = tree.call("ai_tutoring", ask, "What is e?")
        assert (result.value, result.degradation) == ("small: What is e?", "simplified, by small")
        assert [step for step in trail(result) if step[0] == "FALLBACK"] == [
            ("FALLBACK", "cached response", "SKIPPED"),
            ("FALLBACK", "simplified tutoring", "SUCCEEDED"),
        ]
        small.kill()
        result = tree.call("ai_tutoring", ask, "What is e?")
        assert (result.value, result.degradation) == ("Please read chapter 3.", "text only, prepared beforehand")
        assert protected("What is pi?") == "large: What is pi?"  # from Redis still
        large.start()
        assert protected("What is e?") == "large: What is e?"


def test_tutoring_in_asyncio_uses_asyncio_clients_on_the_callers_loop(
    boot: Boot, large: HttpServer, small: HttpServer, cache: RedisServer
) -> None:
    async def scenario() -> list[str]:
        async with (
            httpx.AsyncClient(base_url=large.url, timeout=5.0) as tutor,
            httpx.AsyncClient(base_url=small.url, timeout=5.0) as other,
            redis.asyncio.Redis.from_url(cache.url, socket_timeout=5.0) as store,
        ):
            cached = CachedResponse(RedisStore(store, "tutoring-async:", key=prompt_key))
            tree = boot(ai_tutoring(cached, SimplifiedTutoring(other, model="small"), TextOnly("Read.")), **QUICK)

            @tree.protect("ai_tutoring")
            @cached.remembering
            async def ask(text: str) -> str:
                answer = (await tutor.post("/chat/completions", json=question(text))).raise_for_status().json()
                return str(answer["choices"][0]["message"]["content"])

            answers = [await ask("What is pi?")]
            large.kill()
            answers += [await ask("What is pi?"), await ask("What is e?")]
            small.kill()
            return [*answers, await ask("What is e?")]

    assert asyncio.run(scenario()) == ["large: What is pi?", "large: What is pi?", "small: What is e?", "Read."]


def test_a_smaller_model_that_stays_down_is_asked_last_and_rises_again(
    boot: Boot, large: HttpServer, small: HttpServer
) -> None:
    with httpx.Client(base_url=small.url, timeout=5.0) as other:
        tree = boot(ai_tutoring(CachedResponse(), SimplifiedTutoring(other, model="small"), TextOnly("Read.")), **QUICK)
        large.kill()
        small.kill()

        def ask(_text: str) -> str:
            return httpx.post(large.url, timeout=5.0).text

        for number in range(20):
            assert tree.call("ai_tutoring", ask, f"question {number}").value == "Read."
        wait_until(lambda: order_of(tree, "ai_tutoring") == ["cached response", "text only", "simplified tutoring"])


# voice_session: audio recording, text chat, offline mode.


def test_a_voice_session_keeps_the_voice_else_the_dialogue_else_the_request(
    boot: Boot, large: HttpServer, small: HttpServer, tmp_path: Path
) -> None:
    done: list[Any] = []

    def reply(context: Any) -> str:
        asked = question(context["args"][0], "chat")
        answer = httpx.post(small.url, json=asked, timeout=5.0).raise_for_status().json()
        return str(answer["choices"][0]["message"]["content"])

    def send(turn: str | bytes, *, session_id: str) -> Any:
        content = turn if isinstance(turn, bytes) else turn.encode()
        httpx.post(f"{large.url}/voice/{session_id}", content=content, timeout=5.0).raise_for_status()
        return "spoken"

    def replay(key: str, payload: Any) -> None:
        send(*payload["args"], **payload["kwargs"])
        done.append((key, payload["args"]))

    offline = OfflineMode(tmp_path / "turns.db", replay)
    chain = voice_session(AudioRecording(tmp_path / "voice", format=AudioFormat(rate=8_000)), TextChat(reply), offline)
    tree = boot(chain, **QUICK)
    assert order_of(tree, "voice_session") == ["audio recording", "text chat", "offline mode"]
    large.handler = lambda _request: Reply()
    talk = tree.protect("voice_session")(send)
    assert talk(b"\x00\x01" * 8_000, session_id="s1") == "spoken"
    large.kill()
    for seconds in (1.0, 2.0):
        recording = talk(b"\x00\x01" * 8_000, session_id="s1")
        assert recording.seconds == seconds
    with wave.open(str(recording.path)) as file:
        assert file.getnframes() == 16_000
    result = tree.call("voice_session", send, "hello", session_id="s1")
    assert (result.value.reply, result.degradation) == ("chat: hello", "text instead of voice")
    small.kill()
    for number in range(3):
        result = tree.call("voice_session", send, f"turn {number}", session_id="s1")
        assert (result.value.waiting, result.degraded) == (number + 1, True)
    assert result.degradation == "queued for later, 3 waiting"
    large.start()
    wait_until(lambda: len(done) == 3, timeout=20.0)
    assert [args for _, args in done] == [["turn 0"], ["turn 1"], ["turn 2"]]
    offline.queue.close()


# database_query: cached data, read-only mode, local storage.


def test_database_queries_go_on_from_copies_and_writes_are_refused(boot: Boot, tmp_path: Path) -> None:
    replica = sqlite3.connect(":memory:")
    replica.execute("CREATE TABLE users (id INTEGER, name TEXT)")
    replica.execute("INSERT INTO users VALUES (1, 'Ada')")
    replica_is_up = True

    def read_replica(context: Any) -> list[Any]:
        if not replica_is_up:
            raise sqlite3.OperationalError("unable to open database file")
        return [list(row) for row in replica.execute(*context["args"]).fetchall()]

    cached, local = CachedData(), LocalStorage(tmp_path / "copies.db")
    with PostgresServer() as server:
        tree = boot(database_query(cached, ReadOnlyMode(read_replica), local), **QUICK)
        assert order_of(tree, "database_query") == ["cached data", "read-only mode", "local storage"]

        def run(sql: str) -> list[Any]:
            with psycopg.connect(server.dsn, connect_timeout=5) as connection:
                found = connection.execute(sql.encode())
                return [list(row) for row in found.fetchall()] if found.description else []

        query = tree.protect("database_query")(cached.remembering(local.remembering(run)))
        query("CREATE TABLE users (id INTEGER, name TEXT)")
        query("INSERT INTO users VALUES (1, 'Ada'), (2, 'Bob')")
        assert query("SELECT name FROM users ORDER BY id") == [["Ada"], ["Bob"]]
        server.kill()
        result = tree.call("database_query", run, "SELECT name FROM users ORDER BY id")
        assert (result.value, result.degradation[:7]) == ([["Ada"], ["Bob"]], "cached ")
        result = tree.call("database_query", run, "SELECT id FROM users")
        assert (result.value, result.degradation) == ([[1]], "read-only, may be behind")
        with pytest.raises(ReadOnlyError) as refused:
            query("INSERT INTO users VALUES (2, 'Bob')")
        assert isinstance(refused.value.__cause__, psycopg.OperationalError)
        cached.store.clear()  # type: ignore[attr-defined]
        replica_is_up = False
        result = tree.call("database_query", run, "SELECT name FROM users ORDER BY id")
        assert (result.value, result.degradation[:15]) == ([["Ada"], ["Bob"]], "stored locally ")
        server.start()
        query("INSERT INTO users VALUES (3, 'Cleo')")
        assert query("SELECT count(*) FROM users") == [[3]]
    replica.close()
