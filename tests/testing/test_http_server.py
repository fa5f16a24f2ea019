"""The HTTP server fails as it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from upright.testing.servers.http import HttpServer, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer() as server:
        yield server


def test_scripted_replies_come_first_and_in_order(server: HttpServer) -> None:
    server.script(Reply(503, b"later", {"Retry-After": "1"}), Reply(201, b"made"))
    with httpx.Client(base_url=server.url) as client:
        first = client.post("/orders?x=1", json={"a": 1})
        assert (first.status_code, first.headers["retry-after"], first.text) == (503, "1", "later")
        assert client.get("/").status_code == 201
        assert client.get("/").text == "ok"
    asked = server.requests[0]
    assert (asked.method, asked.path, asked.body) == ("POST", "/orders?x=1", b'{"a":1}')


def test_a_killed_server_resets_old_connections_and_refuses_new_ones(server: HttpServer) -> None:
    with httpx.Client(base_url=server.url) as client:
        client.get("/")
        server.kill()
        with pytest.raises(httpx.NetworkError):
            client.get("/")
        with pytest.raises(httpx.ConnectError):
            client.get("/")
        server.start()
        assert client.get("/").text == "ok"


def test_an_answer_can_be_cut_in_its_body(server: HttpServer) -> None:
    server.script(Reply(body=b"x" * 100, cut_after=10))
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        httpx.get(server.url)


def test_it_can_be_silent(server: HttpServer) -> None:
    server.script(Reply(silent=True))
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(server.url, timeout=0.1)


def test_the_handler_sees_the_request(server: HttpServer) -> None:
    server.handler = lambda request: Reply(body=request.method.encode())
    assert httpx.put(server.url).text == "PUT"
    assert httpx.head(server.url).headers["content-length"] == "4"
