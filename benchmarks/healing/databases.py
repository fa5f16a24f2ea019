"""PostgreSQL by an engine, a pool and an asyncio engine, and SQLite by a plain function."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import psycopg
import psycopg_pool
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.healing.component import AsyncComponent, Component, Fault, Mistake
from upright.strategies.healing.database import DatabaseReconnection
from upright.testing.proxy import FaultProxy
from upright.testing.servers.postgres import PostgresServer

__all__ = ["AsyncEngine", "Engine", "LockedFile", "Pool"]


class _Postgres:
    """The server and the proxy before it, with what can be done to them."""

    def __init__(self, *, time_limit: bool = False) -> None:
        self.server = PostgresServer(max_connections=12)
        self.proxy = FaultProxy(self.server.address)
        self.taken: list[Any] = []
        server, proxy = self.server, self.proxy
        self.faults = [
            Fault("backends terminated", server.terminate_backends),
            Fault("server stopped, started again", server.stop, server.start, (0.0, 0.4)),
            Fault("server killed, started again", server.kill, server.start, (0.0, 0.3)),
            Fault("connections exhausted", self._exhaust, self._release, (0.0, 0.4)),
            Fault("connections cut", proxy.cut),
            Fault("network down", proxy.down, proxy.restore, (0.0, 0.5)),
        ]
        if time_limit:  # what answers nothing is only noticed by who does not wait for ever
            self.faults += [
                Fault("connections half-open", proxy.half_open),
                Fault("network stalled", proxy.stall, proxy.restore, (1.1, 1.5)),
            ]
        self.mistakes = [
            Mistake("syntax error", lambda: self._execute("SELEC 1")),
            Mistake("unique violation", lambda: self._execute(_TWICE)),
            Mistake("wrong password", lambda: psycopg.connect(server.dsn.replace(server.password, "wrong"))),
        ]

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self.server.dsn) as connection:
            connection.execute(statement.encode())

    def _exhaust(self) -> None:
        self.taken.append(context := self.server.exhausted_connections())
        self.server.terminate_backends()
        context.__enter__()

    def _release(self) -> None:
        self.taken.pop().__exit__(None, None, None)

    def close(self) -> None:
        self.proxy.close()
        self.server.close()


_TWICE = "CREATE TEMP TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (1)"


class Engine(Component):
    """A SQLAlchemy engine."""

    def __init__(self) -> None:
        super().__init__("postgres by engine")
        self._postgres = _Postgres()
        url = self._postgres.server.url(address=self._postgres.proxy.address)
        self._engine = sqlalchemy.create_engine(url, pool_size=3, connect_args={"connect_timeout": 2})
        self.heal_by(DatabaseReconnection(self._engine, resource=self.name))
        self.faults, self.mistakes = self._postgres.faults, self._postgres.mistakes

    def use(self) -> object:
        """Ask the database."""
        with self._engine.connect() as connection:
            return connection.execute(sqlalchemy.text("SELECT 1")).scalar_one()

    def close(self) -> None:
        """End both."""
        self._engine.dispose()
        self._postgres.close()


class Pool(Component):
    """A psycopg pool."""

    def __init__(self) -> None:
        super().__init__("postgres by pool")
        self._postgres = _Postgres()
        dsn = self._postgres.server.dsn_at(*self._postgres.proxy.address)
        self._pool = psycopg_pool.ConnectionPool(
            dsn, min_size=2, max_size=3, open=True, timeout=1.0, kwargs={"connect_timeout": 2}
        )
        self._pool.wait(10)
        self.heal_by(DatabaseReconnection(self._pool, resource=self.name))
        self.faults, self.mistakes = self._postgres.faults, self._postgres.mistakes

    def use(self) -> object:
        """Ask the database."""
        with self._pool.connection() as connection:
            return connection.execute("SELECT 1").fetchone()

    def close(self) -> None:
        """End both."""
        self._pool.close()
        self._postgres.close()


class AsyncEngine(AsyncComponent):
    """An asyncio engine of SQLAlchemy, with a time limit on each use."""

    def __init__(self) -> None:
        super().__init__("postgres by async engine")
        self._postgres = _Postgres(time_limit=True)
        self.loop.run(self._make())
        self.faults, self.mistakes = self._postgres.faults, self._postgres.mistakes

    async def _make(self) -> None:
        url = self._postgres.server.url(address=self._postgres.proxy.address)
        self._engine = create_async_engine(url, pool_size=3)
        self.heal_by(DatabaseReconnection(self._engine, resource=self.name, connect_timeout=1.0))

    async def use_async(self) -> object:
        """Ask the database."""
        async with asyncio.timeout(1.0), self._engine.connect() as connection:
            return (await connection.execute(sqlalchemy.text("SELECT 1"))).scalar_one()

    async def close_async(self) -> None:
        """End the engine."""
        await self._engine.dispose()

    def close(self) -> None:
        """End both."""
        super().close()
        self._postgres.close()


class LockedFile(Component):
    """A SQLite file that somebody else locks."""

    def __init__(self) -> None:
        super().__init__("sqlite file")
        self._folder = tempfile.TemporaryDirectory(prefix="upright-healing-")
        self._path = Path(self._folder.name) / "orders.db"
        self._locker = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._locker.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        self.heal_by(DatabaseReconnection(self._connect, resource=self.name))
        self.faults = [
            Fault(
                "file locked",
                lambda: self._locker.execute("BEGIN IMMEDIATE"),
                lambda: self._locker.execute("ROLLBACK"),
                (0.0, 0.3),
            )
        ]
        self.mistakes = [
            Mistake("no such table", lambda: self._write("INSERT INTO nowhere VALUES (1)")),
            Mistake("unique violation", lambda: self._write("INSERT INTO orders VALUES (1), (1)")),
        ]

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=0.02)

    def _write(self, statement: str) -> None:
        connection = self._connect()
        try:
            with connection:
                connection.execute(statement)
        finally:
            connection.close()

    def use(self) -> object:
        """Write."""
        self._write("INSERT INTO orders DEFAULT VALUES")
        return None

    def close(self) -> None:
        """End it."""
        self._locker.close()
        self._folder.cleanup()
