"""PostgreSQL and Redis: really started, killed and restarted, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import psycopg
import pytest

from upright.testing.servers.postgres import PostgresServer
from upright.testing.servers.process import unprivileged_user
from upright.testing.servers.redis import RedisServer


def test_postgres_survives_kill_and_restart_with_its_data() -> None:
    with PostgresServer(max_connections=8) as server:
        with psycopg.connect(server.dsn) as connection:
            connection.execute("CREATE TABLE kept (id int)")
        before = server.pid
        server.kill()
        assert not server.is_running
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.dsn)
        server.start()
        assert server.pid != before
        server.restart()
        with psycopg.connect(server.dsn) as connection:
            connection.execute("SELECT * FROM kept")
            assert server.terminate_backends() == 1
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        with server.exhausted_connections() as taken:
            assert taken >= 1
            with pytest.raises(psycopg.OperationalError, match="slots"):
                psycopg.connect(server.dsn)
        psycopg.connect(server.dsn).close()
        folder = server.folder
    assert not folder.exists()


def test_postgres_does_not_run_as_root() -> None:
    with PostgresServer() as server:
        assert server.pid is not None
        owner = psutil.Process(server.pid).username()
        assert owner == (unprivileged_user() or psutil.Process().username())
        assert owner != "root"


def test_redis_can_be_killed_promoted_and_demoted() -> None:
    with RedisServer() as master, RedisServer(replica_of=master.address) as replica:
        assert master.ask("SET a 1") == "+OK"
        assert replica.ask("SET a 1").startswith("-READONLY")
        replica.promote()
        assert replica.ask("SET a 1") == "+OK"
        master.demote(replica.address)
        assert master.ask("SET a 1").startswith("-READONLY")
        master.kill()
        with pytest.raises(ConnectionRefusedError):
            master.ask("PING")
        assert master.start().ask("PING") == "+PONG"


def test_a_paused_server_holds_connections_and_answers_nothing() -> None:
    with RedisServer() as server:
        server.pause()
        with pytest.raises(TimeoutError):
            server.ask("PING", timeout=0.1)
        server.resume()
        assert server.ask("PING") == "+PONG"


def test_a_server_ends_when_the_process_that_started_it_is_killed() -> None:
    script = """
import sys, time
from upright.testing.servers.redis import RedisServer
server = RedisServer()
print(server.pid, server.folder, flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid, folder = process.stdout.readline().split()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 10
    while (psutil.pid_exists(int(pid)) or os.path.exists(folder)) and time.monotonic() < deadline:  # noqa: PTH110
        time.sleep(0.05)
    assert not psutil.pid_exists(int(pid))
    assert not os.path.exists(folder)  # noqa: PTH110
