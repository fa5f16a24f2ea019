"""The WebSocket server fails as it is told."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from upright.strategies.errors import ConfigError
from upright.testing.servers.websocket import WebSocketServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[WebSocketServer]:
    with WebSocketServer(replay=2) as server:
        yield server


@contextlib.contextmanager
def subscribed(server: WebSocketServer, *topics: str) -> Iterator[ClientConnection]:
    with connect(server.url) as connection:
        for topic in topics:
            connection.send(json.dumps({"subscribe": topic}))
        connection.send("done")
        assert connection.recv(timeout=5) == "done"
        yield connection


def reach(server: WebSocketServer, **options: Any) -> None:
    with connect(server.url, **options):
        pass


def get(connection: ClientConnection) -> Any:
    return json.loads(connection.recv(timeout=5))


def test_it_answers_with_what_the_handler_says(server: WebSocketServer) -> None:
    with connect(server.url) as connection:
        connection.send("hello")
        assert connection.recv(timeout=5) == "hello"
        server.handler = lambda message: [f"{message!r} one", b"two"]
        connection.send(b"ask")
        assert connection.recv(timeout=5) == "b'ask' one"
        assert connection.recv(timeout=5) == b"two"
    assert list(server.received) == ["hello", b"ask"]


def test_subscribers_get_what_is_published_in_order_and_new_ones_the_last_few(server: WebSocketServer) -> None:
    with subscribed(server, "prices", "news") as connection:
        assert server.subscriptions == [["prices", "news"]]
        assert [server.publish("prices", n) for n in range(3)] == [1, 1, 1]
        assert server.publish("weather", "sun") == 0
        assert [get(connection)["data"] for _ in range(3)] == [0, 1, 2]
        connection.send(json.dumps({"unsubscribe": "prices"}))
        connection.send("done")
        assert connection.recv(timeout=5) == "done"
        assert server.publish("prices", 3) == 0
    with connect(server.url) as late:
        late.send(json.dumps({"subscribe": "prices"}))
        assert [get(late) for _ in range(2)] == [
            {"topic": "prices", "id": 3, "data": 2},
            {"topic": "prices", "id": 5, "data": 3},
        ]


def test_dropped_connections_are_reset_and_new_ones_work(server: WebSocketServer) -> None:
    with subscribed(server) as connection:
        assert server.drop() == 1
        with pytest.raises(ConnectionClosedError):
            connection.recv(timeout=5)
    reach(server)


def test_a_killed_server_says_no_goodbye_and_a_stopped_one_does(server: WebSocketServer) -> None:
    with subscribed(server) as connection:
        server.kill()
        with pytest.raises(ConnectionClosedError):
            connection.recv(timeout=5)
        with pytest.raises(ConnectionRefusedError):
            reach(server)
    server.start()
    with subscribed(server) as connection:
        server.stop()
        with pytest.raises(ConnectionClosedOK) as closed:
            connection.recv(timeout=5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        with pytest.raises(ConnectionRefusedError):
            reach(server)
    server.start()
    reach(server)


def test_a_stalled_server_answers_no_ping_and_no_handshake(server: WebSocketServer) -> None:
    with subscribed(server, "prices") as connection:
        server.stall()
        assert not connection.ping().wait(0.1)
        assert server.publish("prices", 1) == 0
        with pytest.raises(TimeoutError):
            reach(server, open_timeout=0.1)
        server.resume()
        assert connection.ping().wait(5)
        assert server.publish("prices", 2) == 1


def test_a_handshake_can_be_refused(server: WebSocketServer) -> None:
    server.refuse(503, {"Retry-After": "2"})
    with pytest.raises(InvalidStatus) as refused:
        reach(server)
    assert refused.value.response.status_code == 503
    assert refused.value.response.headers["retry-after"] == "2"
    server.resume()
    reach(server)
    with pytest.raises(ConfigError):
        server.refuse(200)
