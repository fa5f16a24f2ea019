"""Each fault of the proxy looks to a real client as the table says."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING

import pytest

from upright.strategies.errors import ConfigError
from upright.testing.proxy import FaultProxy
from upright.testing.servers.http import HttpServer, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

ASK = b"GET / HTTP/1.1\r\n\r\n"


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer() as server:
        yield server


@pytest.fixture
def proxy(server: HttpServer) -> Iterator[FaultProxy]:
    with FaultProxy(server.address) as proxy:
        yield proxy


@contextlib.contextmanager
def connected(proxy: FaultProxy, timeout: float = 5.0) -> Iterator[socket.socket]:
    with socket.create_connection(proxy.address, timeout=timeout) as connection:
        yield connection


def ask(connection: socket.socket) -> bytes:
    connection.sendall(ASK)
    got = connection.recv(4096)
    while got and not got.endswith(b"ok"):  # it may come in pieces
        more = connection.recv(4096)
        if not more:
            break
        got += more
    return got


def ask_to_the_end(proxy: FaultProxy) -> None:
    with connected(proxy) as connection:
        while ask(connection):
            pass


def test_it_transports_both_ways(proxy: FaultProxy) -> None:
    with connected(proxy) as connection:
        assert ask(connection).endswith(b"ok")
        assert ask(connection).endswith(b"ok")
        assert proxy.connections == 1
    assert proxy.accepted == 1


def test_large_answers_come_through_whole(server: HttpServer, proxy: FaultProxy) -> None:
    server.script(Reply(body=b"x" * 1_000_000))
    with connected(proxy) as connection:
        connection.sendall(ASK)
        got = b""
        while len(got) < 1_000_000:
            got += connection.recv(65_536)


def test_cut_resets_open_connections_and_lets_new_ones_through(proxy: FaultProxy) -> None:
    with connected(proxy) as connection:
        ask(connection)
        assert proxy.cut() == 1
        with pytest.raises(ConnectionError):
            ask(connection)
    with connected(proxy) as connection:
        assert ask(connection).endswith(b"ok")


def test_refuse_turns_new_connections_away_and_leaves_the_old(proxy: FaultProxy) -> None:
    with connected(proxy) as old:
        ask(old)
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError), connected(proxy):
            pass
        assert ask(old).endswith(b"ok")
        proxy.restore()
        with connected(proxy) as new:
            assert ask(new).endswith(b"ok")


def test_down_does_both(proxy: FaultProxy) -> None:
    with connected(proxy) as old:
        ask(old)
        assert proxy.down() == 1
        with pytest.raises(ConnectionError):
            ask(old)
    with pytest.raises(ConnectionRefusedError), connected(proxy):
        pass


def test_a_stall_transports_nothing_and_delivers_when_it_ends(proxy: FaultProxy) -> None:
    with connected(proxy, timeout=0.2) as old:
        ask(old)
        proxy.stall()
        with pytest.raises(TimeoutError):
            ask(old)
        with connected(proxy, timeout=0.2) as new, pytest.raises(TimeoutError):
            ask(new)
        proxy.restore()
        old.settimeout(5)
        assert ask(old).count(b"ok") >= 1


def test_half_open_connections_never_come_back_and_new_ones_work(proxy: FaultProxy) -> None:
    with connected(proxy, timeout=0.2) as old:
        ask(old)
        assert proxy.half_open() == 1
        with pytest.raises(TimeoutError):
            ask(old)
        with connected(proxy) as new:
            assert ask(new).endswith(b"ok")
        proxy.restore()
        with pytest.raises(TimeoutError):
            old.recv(1)


def test_a_delay_holds_each_piece_back(proxy: FaultProxy) -> None:
    with connected(proxy) as connection:
        proxy.delay(0.1)
        started = time.monotonic()
        ask(connection)
        assert time.monotonic() - started >= 0.2  # there and back
        proxy.restore()
        started = time.monotonic()
        ask(connection)
        assert time.monotonic() - started < 0.1


def test_drop_after_lets_so_many_bytes_through_and_resets(proxy: FaultProxy) -> None:
    proxy.drop_after(10)
    with connected(proxy) as connection:
        connection.sendall(ASK)
        got = b""
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(4096):
                got += piece
    assert len(got) <= 10
    assert b"HTTP/1.1 2".startswith(got)


def test_a_server_that_is_gone_shows_as_a_reset(server: HttpServer, proxy: FaultProxy) -> None:
    server.kill()
    with pytest.raises(ConnectionError):
        ask_to_the_end(proxy)  # it may come as early as in connect
    server.start()
    with connected(proxy) as connection:
        assert ask(connection).endswith(b"ok")


def test_the_address_stays_the_same(proxy: FaultProxy) -> None:
    before = proxy.address
    for _ in range(20):
        proxy.down()
        proxy.restore()
    assert proxy.address == before


def test_bad_values_are_refused(proxy: FaultProxy) -> None:
    with pytest.raises(ConfigError):
        FaultProxy("127.0.0.1:80")  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        proxy.delay(-1)
    with pytest.raises(ConfigError):
        proxy.drop_after(-1)
