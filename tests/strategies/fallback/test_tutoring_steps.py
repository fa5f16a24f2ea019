"""Cached responses, a smaller model behind a real HTTP endpoint, and text that needs nobody."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import requests

from upright.strategies.errors import ConfigError
from upright.strategies.fallback.cached_data import CachedData
from upright.strategies.fallback.cached_response import CachedResponse
from upright.strategies.fallback.chain import NothingToOfferError, Substitute
from upright.strategies.fallback.chat_completion import NoCompletionError
from upright.strategies.fallback.local_storage import LocalStorage
from upright.strategies.fallback.memory_store import MemoryStore
from upright.strategies.fallback.recalled import age_text
from upright.strategies.fallback.simplified_tutoring import SimplifiedTutoring, question_of
from upright.strategies.fallback.text_only import TextOnly
from upright.testing.servers.http import HttpServer, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def completion(text: Any) -> bytes:
    message = {"role": "assistant", "content": text}
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()


def answer_shortly(request: Request) -> Reply:
    """Stand in for an OpenAI-compatible endpoint: repeats the question in the words of its model."""
    if (request.method, request.path) != ("POST", "/v1/chat/completions"):
        return Reply(404)
    if request.headers.get("authorization") != "Bearer key":
        return Reply(401)
    asked = json.loads(request.body)
    return Reply(body=completion(f"{asked['model']}: {asked['messages'][-1]['content']}"))


@pytest.fixture
def endpoint() -> Iterator[HttpServer]:
    with HttpServer(answer_shortly) as server:
        yield server


HEADERS = {"Authorization": "Bearer key"}


@pytest.fixture
def client(endpoint: HttpServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{endpoint.url}/v1", headers=HEADERS) as client:
        yield client


ASKED = {"args": ("What is pi?",)}


# Cached response and data.


def test_a_response_is_found_whatever_the_questions_case_and_says_its_age() -> None:
    now = [100.0]
    step = CachedResponse(MemoryStore(key=CachedResponse().store.key, now=lambda: now[0]))

    @step.remembering
    def ask(question: str) -> str:
        return f"an answer to {question}"

    ask("What is pi?")
    now[0] = 190.0
    assert step.provide({"args": ("what is  PI?",)}) == Substitute(
        "an answer to What is pi?", "cached 1.5 min ago", 90.0
    )


def test_data_are_found_for_equal_arguments_only() -> None:
    step = CachedData()
    step.remembering(str.upper)("ada")
    assert step.provide({"args": ("ada",)}).value == "ADA"
    with pytest.raises(NothingToOfferError):
        step.provide({"args": ("Ada",)})


def test_what_is_too_old_is_not_given() -> None:
    now = [0.0]
    step = CachedData(MemoryStore(now=lambda: now[0]), max_age=60.0)
    step.remembering(len)("ada")
    now[0] = 60.0
    assert step.provide({"args": ("ada",)}).age == 60.0
    now[0] = 61.0
    with pytest.raises(NothingToOfferError, match=r"1\.0 min old"):
        step.provide({"args": ("ada",)})


def test_a_write_is_not_answered_with_what_an_earlier_one_returned(tmp_path: Path) -> None:
    def execute(sql: str) -> str:
        return sql

    for step in (CachedData(), LocalStorage(tmp_path / "copies.db")):
        run = step.remembering(execute)
        for sql in ("INSERT INTO t VALUES (1)", "SELECT 1"):
            run(sql)
        assert step.provide({"args": ("SELECT 1",)}).value == "SELECT 1"
        for context in ({"args": ("INSERT INTO t VALUES (1)",)}, {"args": ("SELECT 1",), "write": True}):
            with pytest.raises(NothingToOfferError, match="writes"):
                step.provide(context)


def test_a_local_copy_has_no_age_limit_and_outlives_the_step(tmp_path: Path) -> None:
    LocalStorage(tmp_path / "copies.db").remembering(len)("ada")
    given = LocalStorage(tmp_path / "copies.db").provide({"args": ("ada",)})
    assert given.value == 3
    assert given.detail.startswith("stored locally")


def test_ages_are_told_as_people_tell_them() -> None:
    assert [age_text(seconds) for seconds in (0.04, 59.9, 60, 3_599, 3_600, 86_400)] == [
        "0.0 s",
        "59.9 s",
        "1.0 min",
        "60.0 min",
        "1.0 h",
        "1.0 d",
    ]


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: CachedResponse({}), "CachedResponse.store"),  # type: ignore[arg-type]
        (lambda: CachedData(max_age=0), "CachedData.max_age"),
        (lambda: CachedData(weight=-1), "FallbackStep.weight"),
        (lambda: LocalStorage(7), "SqliteFile.path"),  # type: ignore[arg-type]
    ],
)
def test_a_bad_option_of_a_recalled_step_is_refused_by_name(make: Callable[[], Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert caught.value.field == field


# Simplified tutoring.


def test_a_smaller_model_is_asked_with_a_simpler_prompt(client: httpx.Client, endpoint: HttpServer) -> None:
    step = SimplifiedTutoring(client, model="small", system="Be brief.", max_tokens=50)
    assert step.provide(ASKED) == Substitute("small: What is pi?", "simplified, by small")
    asked = json.loads(endpoint.requests[-1].body)
    assert asked == {
        "model": "small",
        "max_tokens": 50,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is pi?"}],
    }


def test_an_asyncio_client_is_asked_on_the_loop(endpoint: HttpServer) -> None:
    async def scenario() -> Substitute:
        async with httpx.AsyncClient(base_url=f"{endpoint.url}/v1", headers=HEADERS) as client:
            step = SimplifiedTutoring(client, model="small")
            assert not step.blocking
            given: Substitute = await step.provide(ASKED)
            return given

    assert asyncio.run(scenario()).value == "small: What is pi?"


def test_a_requests_session_is_asked_at_a_whole_url(endpoint: HttpServer) -> None:
    with requests.Session() as session:
        session.headers.update(HEADERS)
        step = SimplifiedTutoring(session, model="small", url=f"{endpoint.url}/v1/chat/completions")
        assert step.provide(ASKED).value == "small: What is pi?"
        with pytest.raises(ConfigError, match=r"SimplifiedTutoring\.url"):
            SimplifiedTutoring(session, model="small")


@pytest.mark.parametrize(
    "reply", [Reply(503), Reply(429), Reply(401), Reply(body=b"{}", cut_after=1)], ids=["503", "429", "401", "cut off"]
)
def test_an_endpoint_that_fails_fails_the_step(reply: Reply, client: httpx.Client, endpoint: HttpServer) -> None:
    endpoint.script(reply)
    with pytest.raises(httpx.HTTPError):
        SimplifiedTutoring(client, model="small").provide(ASKED)


@pytest.mark.parametrize("body", [b"{}", b"no json", b'{"choices": []}', completion(None), completion("  ")])
def test_an_answer_without_text_fails_the_step(body: bytes, client: httpx.Client, endpoint: HttpServer) -> None:
    endpoint.script(Reply(body=body))
    with pytest.raises(NoCompletionError):
        SimplifiedTutoring(client, model="small").provide(ASKED)


def test_an_endpoint_that_is_silent_or_gone_is_not_waited_for(client: httpx.Client, endpoint: HttpServer) -> None:
    endpoint.script(Reply(silent=True))
    with pytest.raises(httpx.TimeoutException):
        SimplifiedTutoring(client, model="small", within=0.05).provide(ASKED)
    endpoint.kill()
    with pytest.raises(httpx.ConnectError):
        SimplifiedTutoring(client, model="small").provide(ASKED)
    endpoint.start()
    assert SimplifiedTutoring(client, model="small").provide(ASKED).value == "small: What is pi?"


def test_an_asyncio_client_is_given_up_in_time(endpoint: HttpServer) -> None:
    async def scenario() -> None:
        async with httpx.AsyncClient(base_url=f"{endpoint.url}/v1", headers=HEADERS) as client:
            endpoint.script(Reply(silent=True))
            with pytest.raises((httpx.TimeoutException, TimeoutError)):
                await SimplifiedTutoring(client, model="small", within=0.05).provide(ASKED)

    asyncio.run(scenario())


def test_the_question_is_found_in_context_or_arguments() -> None:
    assert question_of({"question": "a", "args": ("b",)}) == "a"
    assert question_of({"prompt": "a"}) == "a"
    assert question_of({"args": (7, "b")}) == "b"
    assert question_of({"kwargs": {"text": "c"}}) == "c"
    for context in ({}, {"args": (7, " ")}):
        with pytest.raises(NothingToOfferError):
            question_of(context)


def test_an_application_says_where_its_question_is(client: httpx.Client) -> None:
    step = SimplifiedTutoring(client, model="small", question=lambda context: context["args"][0]["text"])
    assert step.provide({"args": ({"text": "why?"},)}).value == "small: why?"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"model": ""}, "model"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"within": 0}, "within"),
        ({"url": ""}, "url"),
        ({"url": "/chat"}, "url"),
        ({"question": "why?"}, "question"),
        ({"system": None}, "system"),
        ({"client": object()}, "client"),
    ],
)
def test_a_bad_option_of_tutoring_is_refused_by_name(options: dict[str, Any], field: str) -> None:
    with httpx.Client() as client, pytest.raises(ConfigError, match=f"SimplifiedTutoring.{field}"):
        SimplifiedTutoring(**{"client": client, "model": "small", "url": "http://a/", **options})


# Text only.


def test_a_prepared_text_is_given() -> None:
    step = TextOnly("Please read chapter 3.")
    assert step.provide({}) == "Please read chapter 3."
    assert step.degradation == "text only, prepared beforehand"
    assert "not available" in TextOnly().provide({})


def test_a_text_may_be_looked_up_also_by_a_coroutine() -> None:
    async def look_up(context: Any) -> str:
        return f"chapter {context['chapter']}"

    assert TextOnly(lambda context: f"chapter {context['chapter']}").provide({"chapter": 3}) == "chapter 3"
    assert asyncio.run(TextOnly(look_up).provide({"chapter": 3})) == "chapter 3"


@pytest.mark.parametrize("text", ["", None, 7])
def test_a_text_that_is_none_is_refused(text: Any) -> None:
    with pytest.raises(ConfigError, match=r"TextOnly\.text"):
        TextOnly(text)


def test_an_async_service_with_a_blocking_cache_goes_on_while_it_remembers() -> None:
    """`remembering` hands a blocking store to a thread; the loop is free meanwhile."""
    held, seen = threading.Event(), threading.Event()

    class Slow(MemoryStore):
        blocking = True

        def put(self, key: str, value: Any) -> None:
            assert held.wait(20.0)
            super().put(key, value)

    step = CachedData(Slow())

    @step.remembering
    async def load(number: int) -> int:
        return number

    async def scenario() -> int:
        loading = asyncio.ensure_future(load(7))
        await asyncio.sleep(0)
        seen.set()  # the loop got here although the store is stuck
        held.set()
        return await loading

    assert asyncio.run(scenario()) == 7
    assert seen.is_set()
