"""The example service on its real parts, each of which dies and comes back while the service answers."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
import uvicorn
from websockets.sync.client import connect

from upright.demo.tutoring_service.app import create_app
from upright.demo.tutoring_service.stand_ins import StandIns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from websockets.sync.client import ClientConnection

pytestmark = pytest.mark.timeout(120)
PATIENCE = 15.0


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The app behind a real HTTP server; yields its URL."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="critical", ws="websockets-sansio", timeout_graceful_shutdown=2)
    )
    thread = threading.Thread(target=server.run, name="uvicorn", daemon=True)
    thread.start()
    try:
        until(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return found


@pytest.fixture(scope="module")
def parts() -> Iterator[StandIns]:
    with StandIns() as parts:
        yield parts


@pytest.fixture
def app(parts: StandIns) -> Any:
    return create_app(parts.settings)


@pytest.fixture
def url(app: Any) -> Iterator[str]:
    with served(app) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
def voice(url: str) -> Iterator[ClientConnection]:
    with connect(url.replace("http", "ws") + "/voice/lesson-1") as connection:
        yield connection


def fresh(reply: httpx.Response) -> bool:
    return reply.status_code == 200 and reply.json()["ok"] and reply.json()["degraded"] is None


def say(voice: ClientConnection, said: bytes | str) -> dict[str, Any]:
    voice.send(said)
    heard: dict[str, Any] = json.loads(voice.recv(PATIENCE))
    return heard


def test_lessons_are_served_from_memory_while_the_database_is_down_and_progress_is_written_afterwards(
    client: httpx.Client, parts: StandIns
) -> None:
    assert fresh(client.get("/lessons/1"))
    parts.postgres.stop()
    try:
        stale = client.get("/lessons/1").json()
        assert stale["value"]["title"] == "Lesson 1"
        assert "cached" in stale["degraded"]
        queued = client.put("/progress/ada/1", params={"key": "k-1"}).json()
        assert queued["ok"]
        assert queued["value"]["key"] == "k-1"
        assert client.get("/lessons/2").status_code == 503
    finally:
        parts.postgres.start()
    until(lambda: fresh(client.get("/lessons/2")))

    def written() -> list[Any]:
        with psycopg.connect(parts.postgres.dsn) as connection:
            return connection.execute("SELECT learner, lesson FROM progress WHERE key = 'k-1'").fetchall()

    assert until(written) == [("ada", 1)]


def test_terminated_backends_are_not_noticed(client: httpx.Client, parts: StandIns) -> None:
    until(lambda: fresh(client.get("/lessons/3")))
    parts.postgres.terminate_backends()
    assert fresh(client.get("/lessons/4"))


def test_a_smaller_model_answers_while_the_model_is_down(client: httpx.Client, parts: StandIns) -> None:
    assert fresh(client.get("/explain", params={"question": "tides"}))
    parts.model.kill()
    try:
        assert "cached" in client.get("/explain", params={"question": "tides"}).json()["degraded"]
        simple = client.get("/explain", params={"question": "waves"}).json()
        assert simple["value"] == "small-1 says: waves"
        parts.small_model.kill()
        text = client.get("/explain", params={"question": "storms"}).json()
        assert text["ok"]
        assert "read the chapter" in text["value"]
    finally:
        parts.model.start()
        parts.small_model.start()
    until(lambda: fresh(client.get("/explain", params={"question": "floods"})))


def test_nobody_is_kept_from_learning_because_redis_is_down(client: httpx.Client, parts: StandIns) -> None:
    assert fresh(client.post("/visits/ada"))
    parts.redis.kill()
    try:
        uncounted = client.post("/visits/ada").json()
        assert (uncounted["ok"], uncounted["value"], uncounted["degraded"]) == (True, None, "not counted")
    finally:
        parts.redis.start()
    until(lambda: fresh(client.post("/visits/ada")))


def test_speech_is_recorded_and_text_answered_while_the_speech_service_is_down(
    voice: ClientConnection, parts: StandIns
) -> None:
    second = b"\x00\x01" * 8_000
    assert say(voice, second)["degraded"] is None
    parts.speech.stop()
    try:
        assert "recorded" in until(lambda: say(voice, second)["degraded"])
        assert say(voice, "hello")["value"]["reply"] == "You wrote: hello"
    finally:
        parts.speech.start()
    until(lambda: say(voice, second)["degraded"] is None)
    assert (parts.settings.folder / "recordings" / "lesson-1.wav").stat().st_size > 16_000


def test_a_stalled_speech_service_is_found_out(voice: ClientConnection, parts: StandIns) -> None:
    until(lambda: say(voice, b"\x00\x01")["degraded"] is None)
    parts.speech.stall()
    try:
        assert say(voice, b"\x00\x01")["degraded"] is not None
    finally:
        parts.speech.resume()
    until(lambda: say(voice, b"\x00\x01")["degraded"] is None)


def test_a_full_cache_is_cleared_and_the_page_rendered_after_all(app: Any, client: httpx.Client) -> None:
    pages = app.state.service.pages
    pages.cache.update({f"old {n}": os.urandom(1 << 20) for n in range(160)})
    reply = client.get("/pages/tides")
    assert fresh(reply)
    assert len(pages.cache) == 1


def test_the_page_is_told_what_happens(client: httpx.Client, parts: StandIns) -> None:
    assert "Tutoring" in client.get("/").text
    with client.stream("GET", "/notices") as stream:
        lines = stream.iter_lines()
        with httpx.Client(base_url=client.base_url) as other:
            assert fresh(other.get("/lessons/5"))
            parts.postgres.terminate_backends()
            assert fresh(other.get("/lessons/6"))
        data = next(line for line in lines if line.startswith("data: "))
    notice = json.loads(data.removeprefix("data: "))
    assert notice["sentence"]
    assert notice["severity"] in ("info", "warning", "error")


def test_without_a_tree_the_same_service_fails_as_the_database_does(parts: StandIns) -> None:
    with served(create_app(parts.settings, supervised=False)) as url, httpx.Client(base_url=url) as client:
        assert fresh(client.get("/lessons/1"))
        parts.postgres.stop()
        try:
            assert client.get("/lessons/1").status_code == 503
        finally:
            parts.postgres.start()
        until(lambda: fresh(client.get("/lessons/1")))
