"""The ways to a database that an application may have: each knows how to forget its connections and make one.

Recognised by the names of their classes, so that no driver is imported.
"""

from __future__ import annotations

import contextlib
import functools
import math
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from upright.strategies.errors import ConfigError
from upright.strategies.healing.base import HealingFailed
from upright.strategies.procedure import Within

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from upright.strategies.procedure import Procedure

__all__ = ["Target", "target_of"]

_CLOSE_WITHIN = 2.0  # seconds for giving back what may already be dead


class Target(Protocol):
    """A way to the database."""

    def reset(self) -> Procedure[None]:
        """Forget every idle connection; those in use are closed when they come back."""
        ...

    def use(self, check: str, within: float, *, lock: bool) -> Procedure[None]:
        """Get a connection as the application does, and run `check` on it.

        Args:
            check: The statement.
            within: Seconds to connect.
            lock: On SQLite, also take the write lock and let it go.
        """
        ...


def target_of(target: Any) -> Target:
    """Recognise what an application connects with.

    Raises:
        ConfigError: If it is nothing that is known.
    """
    if _is_a(target, "sqlalchemy", "Engine"):
        return EngineTarget(target, target)
    if _is_a(target, "sqlalchemy", "AsyncEngine"):
        return EngineTarget(target, target.sync_engine)
    if _is_a(target, "psycopg_pool", "ConnectionPool") or _is_a(target, "psycopg_pool", "AsyncConnectionPool"):
        return PoolTarget(target)
    sessions = ("sessionmaker", "async_sessionmaker", "scoped_session")
    if callable(target) and not any(_is_a(target, "sqlalchemy", name) for name in sessions):
        return FactoryTarget(target)
    raise ConfigError(
        "DatabaseReconnection.target",
        target,
        "a SQLAlchemy Engine or AsyncEngine, a psycopg ConnectionPool or AsyncConnectionPool, "
        "or a function without arguments that returns a new connection",
    )


class EngineTarget:
    """A SQLAlchemy engine, blocking or asyncio."""

    def __init__(self, engine: Any, sync_engine: Any) -> None:
        self._engine = engine
        self._sqlite = sync_engine.dialect.name == "sqlite"
        # Closing the one connection of an in-memory database would lose the data.
        self._in_memory = self._sqlite and sync_engine.url.database in (None, "", ":memory:")
        _bound_connects_of(sync_engine)

    def reset(self) -> Procedure[None]:
        if not self._in_memory:
            yield Within(_CLOSE_WITHIN, self._engine.dispose())

    def use(self, check: str, within: float, *, lock: bool) -> Procedure[None]:
        _connect_within.set(within)
        try:
            connection = yield Within(within, self._engine.connect())
        finally:
            _connect_within.set(None)
        try:
            yield Within(within, connection.exec_driver_sql(check))
            if lock and self._sqlite:
                yield connection.rollback()
                yield connection.exec_driver_sql("BEGIN IMMEDIATE")
        finally:
            yield Within(_CLOSE_WITHIN, connection.close())  # rolls back


class PoolTarget:
    """A psycopg pool, blocking or asyncio."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def reset(self) -> Procedure[None]:
        # Not `check()`, which asks each idle connection and so waits for those that are half-open.
        # psycopg_pool has `drain` from 3.3 on; before, broken connections leave the pool as they are used.
        if hasattr(self._pool, "drain"):
            yield Within(_CLOSE_WITHIN, self._pool.drain())

    def use(self, check: str, within: float, *, lock: bool) -> Procedure[None]:  # noqa: ARG002 - SQLite only
        pool = self._pool
        if pool.closed:
            raise HealingFailed("the pool is closed, or was never opened")
        yield from self._reach(check, within)
        try:
            connection, give_back = yield from self._get(min(0.5, within))
        except Exception:  # PoolTimeout, whose module may be any
            # The pool works on its connections one by one, with pauses that doubled for as long as the outage
            # lasted. Growing by one makes it connect at once; shrinking back is left to its own `max_idle`.
            low, high = pool.min_size, pool.max_size
            yield pool.resize(low + 1, high + 1)
            yield pool.resize(low, high)
            connection, give_back = yield from self._get(within)
        try:
            yield Within(within, connection.execute(check))
        except BaseException:
            yield give_back(*sys.exc_info())
            raise
        yield give_back(None, None, None)

    def _get(self, within: float) -> Procedure[tuple[Any, Callable[..., Any]]]:
        borrowed = self._pool.connection(timeout=within)
        if hasattr(borrowed, "__aenter__"):
            return (yield borrowed.__aenter__()), functools.partial(_leave, borrowed.__aexit__)
        return (yield borrowed.__enter__()), functools.partial(_leave, borrowed.__exit__)

    def _reach(self, check: str, within: float) -> Procedure[None]:
        """Reach the server by a connection of our own, which has a time limit that the pool's may lack."""
        conninfo = yield _call(self._pool.conninfo)
        options = yield _call(self._pool.kwargs or {})
        options = {**options, "connect_timeout": max(1, math.ceil(within))}
        connection = yield Within(within + 1.0, self._pool.connection_class.connect(conninfo, **options))
        try:
            yield Within(within, connection.execute(check))
        finally:
            yield Within(_CLOSE_WITHIN, connection.close())


class FactoryTarget:
    """A function that returns a new connection of any driver, or an awaitable of one."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect

    def reset(self) -> Procedure[None]:
        yield from ()

    def use(self, check: str, within: float, *, lock: bool) -> Procedure[None]:
        connection = yield Within(within, self._connect())
        try:
            yield from _execute(connection, check, within)
            if lock and _package_of(connection) in ("sqlite3", "aiosqlite"):
                yield from _execute(connection, "BEGIN IMMEDIATE", within)
                yield connection.rollback()
        finally:
            yield Within(_CLOSE_WITHIN, connection.close())


def _execute(connection: Any, statement: str, within: float) -> Procedure[None]:
    for name in ("exec_driver_sql", "execute"):  # SQLAlchemy; sqlite3, psycopg, asyncpg, aiosqlite
        method = getattr(connection, name, None)
        if method is not None:
            yield Within(within, method(statement))
            return
    cursor = yield connection.cursor()  # PEP 249 asks for no more
    try:
        yield Within(within, cursor.execute(statement))
    finally:
        with contextlib.suppress(Exception):
            yield cursor.close()


def _leave(leave: Callable[..., Any], *error: Any) -> Any:
    return leave(*error)


def _call(value: Any) -> Any:
    return value() if callable(value) else value


def _is_a(value: Any, package: str, name: str) -> bool:
    return any(cls.__name__ == name and cls.__module__.partition(".")[0] == package for cls in type(value).__mro__)


def _package_of(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


# SQLAlchemy has no timeout for connecting, only the drivers have, each by another name. A listener that every
# connect of the engine passes adds it, and only inside a healing: the variable is unset everywhere else.
_connect_within: ContextVar[float | None] = ContextVar("upright_connect_within", default=None)

_TIMEOUT_OPTIONS: Mapping[str, tuple[str, type[int | float]]] = {
    "psycopg": ("connect_timeout", int),
    "psycopg_async": ("connect_timeout", int),
    "psycopg2": ("connect_timeout", int),
    "pymysql": ("connect_timeout", int),
    "mysqldb": ("connect_timeout", int),
    "aiomysql": ("connect_timeout", int),
    "asyncmy": ("connect_timeout", int),
    "asyncpg": ("timeout", float),
    "pg8000": ("timeout", float),
}


def _bound_connects_of(sync_engine: Any) -> None:
    event = sys.modules["sqlalchemy"].event  # imported by whoever made the engine
    # Added here, once, and never taken away: changing listeners while other threads connect is not safe.
    if not event.contains(sync_engine, "do_connect", _bound_connect):
        event.listen(sync_engine, "do_connect", _bound_connect)


def _bound_connect(dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
    within = _connect_within.get()
    option = _TIMEOUT_OPTIONS.get(dialect.driver)
    if within is None or option is None:
        return
    name, kind = option
    allowed = max(1, math.ceil(within)) if kind is int else within
    with contextlib.suppress(TypeError, ValueError):
        stated = float(options.get(name) or math.inf)
        if stated > allowed:
            options[name] = allowed
