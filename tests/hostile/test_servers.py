"""What the test servers are told is used as it is, or refused by name before anything is started or written."""

from __future__ import annotations

import signal
import tempfile
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
import redis
from hostile_things import objects

from upright.strategies.errors import ConfigError
from upright.testing import FaultProxy, HttpServer, PostgresServer, RedisServer, WebSocketServer
from upright.testing.servers.http import Reply
from upright.testing.servers.process import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LONG = "x" * 1_000_000
REFUSED: dict[str, Callable[[], Any]] = {
    "ServerProcess.name: no folder": lambda: ServerProcess("../x"),
    "ServerProcess.name: hidden": lambda: ServerProcess(".x"),
    "ServerProcess.name: long": lambda: ServerProcess(LONG),
    "PostgresServer.max_connections: fewer than it needs": lambda: PostgresServer(max_connections=4),
    "PostgresServer.settings: no mapping": lambda: PostgresServer(settings=["fsync"]),  # type: ignore[arg-type]
    "PostgresServer.settings: its own": lambda: PostgresServer(settings={"port": "5"}),
    "PostgresServer.settings: an option": lambda: PostgresServer(settings={"-D": "/"}),
    "PostgresServer.settings: NUL": lambda: PostgresServer(settings={"work\0_mem": "1MB"}),
    "PostgresServer.settings: no text": lambda: PostgresServer(settings={None: "1MB"}),  # type: ignore[dict-item]
    "PostgresServer.settings: long": lambda: PostgresServer(settings={LONG: "1MB"}),
    "PostgresServer.settings.work_mem: NUL": lambda: PostgresServer(settings={"work_mem": "1\0MB"}),
    "PostgresServer.settings.work_mem: a number": lambda: PostgresServer(settings={"work_mem": 5}),  # type: ignore[dict-item]
    "PostgresServer.settings.work_mem: long": lambda: PostgresServer(settings={"work_mem": LONG}),
    "RedisServer.replica_of: no pair": lambda: RedisServer(replica_of="127.0.0.1:5"),  # type: ignore[arg-type]
    "RedisServer.replica_of.port: none": lambda: RedisServer(replica_of=("127.0.0.1", 65_536)),
    "RedisServer.replica_of.host: words": lambda: RedisServer(replica_of=("a b", 5)),
    "RedisServer.password: a line": lambda: RedisServer(password="a\r\nFLUSHALL"),
    "RedisServer.password: empty": lambda: RedisServer(password=""),
    "RedisServer.password: bytes": lambda: RedisServer(password=b"a"),  # type: ignore[arg-type]
    "FaultProxy.upstream: no pair": lambda: FaultProxy(["127.0.0.1", 5]),  # type: ignore[arg-type]
    "FaultProxy.upstream.port: none": lambda: FaultProxy(("127.0.0.1", 0)),
    "FaultProxy.upstream.port: true": lambda: FaultProxy(("127.0.0.1", True)),
    "FaultProxy.upstream.host: NUL": lambda: FaultProxy(("a\0", 5)),
    "HttpServer.handler: a reply": lambda: HttpServer(Reply()),  # type: ignore[arg-type]
    "WebSocketServer.handler: a text": lambda: WebSocketServer("hello"),  # type: ignore[arg-type]
    "Reply.body: a text": lambda: Reply(body="ok"),  # type: ignore[arg-type]
    "Reply.silent: a number": lambda: Reply(silent=1),  # type: ignore[arg-type]
    "Reply.headers: no mapping": lambda: Reply(headers=[("a", "b")]),  # type: ignore[arg-type]
    "Reply.headers: a line": lambda: Reply(headers={"a\r\nb": "c"}),
    "Reply.headers: empty": lambda: Reply(headers={"": "c"}),
    "Reply.headers.a: a line": lambda: Reply(headers={"a": "b\r\nSet-Cookie: c"}),
    "Reply.headers.a: not Latin-1": lambda: Reply(headers={"a": "\u20ac"}),
    "Reply.headers.a: a number": lambda: Reply(headers={"a": 5}),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_server_cannot_use_is_refused_by_name_and_nothing_is_started(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ConfigError) as caught:
        REFUSED[what]()
    assert caught.value.field == what.partition(": ")[0]
    assert len(str(caught.value)) < 600
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", objects().keys() - {"None", "a million characters", "bytes"})  # which some may take
def test_an_odd_object_is_refused_by_name_wherever_a_server_is_told_something(kind: str) -> None:
    thing = objects()[kind]
    for use in (
        lambda: PostgresServer(settings=thing),
        lambda: PostgresServer(settings={"work_mem": thing}),
        lambda: RedisServer(replica_of=thing),
        lambda: RedisServer(password=thing),
        lambda: FaultProxy(thing),
        lambda: FaultProxy((thing, 5)),
        lambda: Reply(headers=thing),
        lambda: Reply(headers={"a": thing}),
        lambda: Reply(body=thing),
    ):
        with pytest.raises(ConfigError) as caught:
            use()
        assert len(str(caught.value)) < 600


def test_a_redis_takes_any_printable_password_and_no_second_line() -> None:
    password = 'it\'s "a" pass word/@:%20 \u20ac'
    with RedisServer(password=password) as server:
        assert server.ask("PING") == "+PONG"
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()
        for command in ("PING\r\nFLUSHALL", "", LONG, 5):
            with pytest.raises(ConfigError, match=r"RedisServer\.ask\.command"):
                server.ask(command)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=r"RedisServer\.demote\.master\.port"):
            server.demote(("127.0.0.1", 0))
        with pytest.raises(ConfigError, match=r"RedisServer\.stop\.how"):
            server.stop(how=15)  # type: ignore[arg-type]
        assert server.log_tail(0) == ""
        assert len(server.log_tail(5)) == 5
        server.stop(how=signal.SIGKILL)


def test_a_postgres_takes_settings_of_any_characters_and_says_where_it_is() -> None:
    path = 'it\'s "a" $path; -c x=y, public'
    with PostgresServer(settings={"upright.note": path, "work_mem": "5MB"}) as server:
        with psycopg.connect(server.dsn) as connection:
            shown = [connection.execute(f"SHOW {name}").fetchone() for name in ("upright.note", "work_mem")]
        assert shown == [(path,), ("5MB",)]
        refused: dict[str, Callable[[], str]] = {
            "dsn_at.host": lambda: server.dsn_at("a b", 5),
            "url.address.port": lambda: server.url(address=("localhost", 0)),
            "url.driver": lambda: server.url("psycopg://x@y/"),
        }
        for field, use in refused.items():
            with pytest.raises(ConfigError) as caught:
                use()
            assert caught.value.field == f"PostgresServer.{field}"


def test_an_http_server_sends_odd_headers_and_takes_nothing_but_replies() -> None:
    with HttpServer() as server:
        with pytest.raises(ConfigError, match=r"HttpServer\.script\.replies"):
            server.script(Reply(status=503), 200)  # type: ignore[arg-type]
        assert httpx.get(server.url).status_code == 200
        server.script(Reply(status=999, headers={"X-Odd!#$": "\xe9\t\x7f "}))
        answer = httpx.get(server.url)
        assert answer.status_code == 999
        assert answer.headers["X-Odd!#$"].startswith("\xe9\t\x7f")
