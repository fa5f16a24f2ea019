"""Database reconnection, on a real PostgreSQL that is really broken, and on a real SQLite file."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import psycopg_pool
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from upright.strategies.backoff import Backoff
from upright.strategies.codes import ErrorCode
from upright.strategies.errors import ConfigError
from upright.strategies.healing.base import HealingFailed
from upright.strategies.healing.database import DatabaseReconnection
from upright.strategies.report import ErrorReport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from upright.testing.proxy import FaultProxy
    from upright.testing.servers.postgres import PostgresServer

RESOURCE = "orders-db"


class Way:
    """One way of an application to its database, blocking or not, behind the same three methods."""

    def __init__(self, target: Any, use: Callable[[Any], Any], close: Callable[[Any], Any]) -> None:
        self.target = target
        self._use = use
        self._close = close

    def use(self) -> None:
        self._use(self.target)

    def close(self) -> None:
        self._close(self.target)


def _engine(url: str) -> Way:
    engine = sqlalchemy.create_engine(url, pool_size=3)

    def use(engine: sqlalchemy.Engine) -> None:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT 1"))

    return Way(engine, use, lambda engine: engine.dispose())


def _pool(dsn: str) -> Way:
    pool = psycopg_pool.ConnectionPool(dsn, min_size=2, max_size=3, open=True, timeout=1.0)
    pool.wait(10)

    def use(pool: psycopg_pool.ConnectionPool[Any]) -> None:
        with pool.connection() as connection:
            connection.execute("SELECT 1")

    return Way(pool, use, lambda pool: pool.close())


def _factory(dsn: str) -> Way:
    held: list[psycopg.Connection[Any]] = []

    def connect() -> psycopg.Connection[Any]:
        return psycopg.connect(dsn, connect_timeout=2)

    def use(_target: Any) -> None:
        if not held or held[0].closed:
            held[:] = [connect()]
        held[0].execute("SELECT 1")

    def close(_target: Any) -> None:
        for connection in held:
            connection.close()

    return Way(connect, use, close)


WAYS = ["engine", "pool", "factory"]


@pytest.fixture
def way(request: pytest.FixtureRequest, postgres: PostgresServer, proxy: FaultProxy) -> Iterator[Way]:
    if request.param == "engine":
        way = _engine(postgres.url(address=proxy.address))
    else:
        way = {"pool": _pool, "factory": _factory}[request.param](postgres.dsn_at(*proxy.address))
    yield way
    way.close()


def failure_of(way: Way) -> ErrorReport:
    """What the application meets when it uses its database; a way may have one good connection left."""
    for _ in range(5):
        try:
            way.use()
        except Exception as error:
            return ErrorReport(error, "database_query", resource=RESOURCE)
    raise AssertionError("nothing failed")


def heal(strategy: DatabaseReconnection, report: ErrorReport) -> float:
    assert strategy.can_handle(report)
    started = time.monotonic()
    strategy.heal(report)
    strategy.verify(report)
    return time.monotonic() - started


@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_terminated_backends_are_healed(way: Way, postgres: PostgresServer) -> None:
    way.use()
    postgres.terminate_backends()
    report = failure_of(way)
    assert report.code is ErrorCode.DATABASE_CONNECTION
    heal(DatabaseReconnection(way.target, resource=RESOURCE), report)
    way.use()


@pytest.mark.parametrize("way", WAYS, indirect=True)
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_server_that_comes_back_is_healed_within_half_a_second(way: Way, end: str, postgres: PostgresServer) -> None:
    way.use()
    getattr(postgres, end)()
    report = failure_of(way)
    back: list[float] = []

    def come_back() -> None:
        time.sleep(1.2)
        postgres.start()
        back.append(time.monotonic())

    returning = threading.Thread(target=come_back)
    returning.start()
    heal(DatabaseReconnection(way.target, resource=RESOURCE), report)
    healed = time.monotonic()
    returning.join()
    way.use()
    assert healed - back[0] < 1.5  # the waits of the standard backoff end at 0.5 s; the rest is a busy machine


@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_used_up_connections_are_healed_when_some_are_free_again(way: Way, postgres: PostgresServer) -> None:
    way.use()
    postgres.terminate_backends()
    with postgres.exhausted_connections() as taken:
        assert taken > 0
        report = failure_of(way)
        hopeless = DatabaseReconnection(way.target, resource=RESOURCE, timeout=1.0)
        with pytest.raises(HealingFailed, match="no success"):
            hopeless.heal(report)
        release = threading.Timer(0.3, postgres.terminate_backends)
        release.start()
        heal(DatabaseReconnection(way.target, resource=RESOURCE), report)
        release.join()
    way.use()


@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_cut_connections_are_healed(way: Way, proxy: FaultProxy) -> None:
    way.use()
    assert proxy.cut() > 0
    heal(DatabaseReconnection(way.target, resource=RESOURCE), failure_of(way))
    way.use()


@pytest.mark.parametrize("way", ["engine", "pool"], indirect=True)
def test_half_open_connections_are_replaced_without_waiting_for_them(way: Way, proxy: FaultProxy) -> None:
    way.use()
    assert proxy.half_open() > 0
    report = ErrorReport(TimeoutError("gave up waiting"), "database_query", resource=RESOURCE)
    assert heal(DatabaseReconnection(way.target, resource=RESOURCE), report) < 5
    way.use()


@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_attempts_begun_while_packets_are_lost_are_given_up(way: Way, proxy: FaultProxy) -> None:
    way.use()
    proxy.cut()
    report = failure_of(way)
    proxy.stall()
    lossy = threading.Timer(1.0, proxy.restore)
    lossy.start()
    assert heal(DatabaseReconnection(way.target, resource=RESOURCE), report) < 5
    lossy.join()


def test_a_network_that_stays_down_is_an_honest_failure_in_time(postgres: PostgresServer, proxy: FaultProxy) -> None:
    way = _engine(postgres.url(address=proxy.address))
    way.use()
    proxy.down()
    report = failure_of(way)
    started = time.monotonic()
    with pytest.raises(HealingFailed) as failed:
        DatabaseReconnection(way.target, resource=RESOURCE, timeout=1.0).heal(report)
    assert time.monotonic() - started < 3
    assert failed.value.attempts > 1
    assert isinstance(failed.value.__cause__, sqlalchemy.exc.OperationalError)
    way.close()


def test_an_async_engine_is_healed_on_the_loop_it_was_made_on(postgres: PostgresServer) -> None:
    async def scenario() -> None:
        engine = create_async_engine(postgres.url("psycopg"), pool_size=3)
        strategy = DatabaseReconnection(engine, resource=RESOURCE)

        async def use() -> None:
            async with engine.connect() as connection:
                await connection.execute(sqlalchemy.text("SELECT 1"))

        await use()
        await asyncio.to_thread(postgres.terminate_backends)
        with pytest.raises(sqlalchemy.exc.OperationalError) as failed:
            await use()
        report = ErrorReport(failed.value, "database_query", resource=RESOURCE)

        def in_a_worker() -> None:
            async def attempt() -> None:
                await strategy.heal(report)
                await strategy.verify(report)

            asyncio.run(attempt())  # another loop: the strategy goes home by itself

        await asyncio.to_thread(in_a_worker)
        await use()
        await engine.dispose()

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", ["engine", "pool"])
@pytest.mark.parametrize("fault", ["cut", "down", "half_open", "stall"])
def test_what_a_network_does_to_async_connections_is_healed(
    postgres: PostgresServer, proxy: FaultProxy, kind: str, fault: str
) -> None:
    async def scenario() -> None:
        async with _async_way(kind, postgres, proxy) as (target, use):
            strategy = DatabaseReconnection(target, resource=RESOURCE, connect_timeout=1.0)
            await asyncio.gather(use(), use())
            await asyncio.to_thread(getattr(proxy, fault))
            report = ErrorReport(ConnectionResetError("gone"), "database_query", resource=RESOURCE)
            if fault in ("cut", "down"):
                with pytest.raises((sqlalchemy.exc.OperationalError, psycopg.OperationalError)) as failed:
                    await _use_often(use)
                report = ErrorReport(failed.value, "database_query", resource=RESOURCE)
            if fault != "half_open":  # which ends with the connections that have it
                asyncio.get_running_loop().call_later(0.3, lambda: restoring.append(restore()))
            restoring: list[asyncio.Future[None]] = []

            def restore() -> asyncio.Future[None]:
                return asyncio.ensure_future(asyncio.to_thread(proxy.restore))

            assert strategy.can_handle(report)
            started = time.monotonic()
            await strategy.heal(report)
            await strategy.verify(report)
            assert time.monotonic() - started < 8
            await asyncio.gather(*restoring, use())

    asyncio.run(scenario())


async def _use_often(use: Callable[[], Any]) -> None:
    for _ in range(5):
        await use()


@contextlib.asynccontextmanager
async def _async_way(kind: str, postgres: PostgresServer, proxy: FaultProxy) -> AsyncIterator[tuple[Any, Any]]:
    if kind == "engine":
        engine = create_async_engine(postgres.url("psycopg", proxy.address), pool_size=3)

        async def use_engine() -> None:
            async with engine.connect() as connection:
                await connection.execute(sqlalchemy.text("SELECT 1"))

        try:
            yield engine, use_engine
        finally:
            await engine.dispose()
        return
    async with psycopg_pool.AsyncConnectionPool(
        postgres.dsn_at(*proxy.address), min_size=2, max_size=3, open=False, timeout=1.0
    ) as pool:
        await pool.wait(10)

        async def use_pool() -> None:
            async with pool.connection() as connection:
                await connection.execute("SELECT 1")

        yield pool, use_pool


def test_an_async_pool_is_healed(postgres: PostgresServer) -> None:
    async def scenario() -> None:
        async with psycopg_pool.AsyncConnectionPool(
            postgres.dsn, min_size=2, max_size=3, open=False, timeout=1.0
        ) as pool:
            await pool.wait(10)
            strategy = DatabaseReconnection(pool, resource=RESOURCE)
            await asyncio.to_thread(postgres.terminate_backends)
            with pytest.raises(psycopg.OperationalError) as failed:
                async with pool.connection() as connection:
                    await connection.execute("SELECT 1")
            report = ErrorReport(failed.value, "database_query", resource=RESOURCE)
            await strategy.heal(report)
            await strategy.verify(report)
            async with pool.connection() as connection:
                await connection.execute("SELECT 1")

    asyncio.run(scenario())


def test_a_factory_of_awaitables_is_healed(postgres: PostgresServer) -> None:
    async def scenario() -> None:
        strategy = DatabaseReconnection(lambda: psycopg.AsyncConnection.connect(postgres.dsn), resource=RESOURCE)
        report = ErrorReport(ConnectionResetError("gone"), "database_query", resource=RESOURCE)
        await strategy.heal(report)
        await strategy.verify(report)

    asyncio.run(scenario())


def test_what_is_no_fault_of_the_connection_is_not_handled(postgres: PostgresServer) -> None:
    way = _engine(postgres.url())
    strategy = DatabaseReconnection(way.target, resource=RESOURCE)

    def error_of(statements: str) -> BaseException:
        try:
            with psycopg.connect(postgres.dsn) as connection:
                connection.execute(statements.encode())
        except Exception as error:
            return error
        raise AssertionError("nothing failed")

    for statements in (
        "SELEC 1",
        "CREATE TEMP TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (1)",
    ):
        assert not strategy.can_handle(ErrorReport(error_of(statements), "q", resource=RESOURCE))
    with pytest.raises(psycopg.OperationalError) as refused:
        psycopg.connect(postgres.dsn.replace(postgres.password, "wrong"))
    assert not strategy.can_handle(ErrorReport(refused.value, "q", resource=RESOURCE))
    way.close()


def test_a_wrong_password_met_while_healing_ends_it_at_once(postgres: PostgresServer) -> None:
    wrong = postgres.dsn.replace(postgres.password, "wrong")
    strategy = DatabaseReconnection(lambda: psycopg.connect(wrong), resource=RESOURCE)
    report = ErrorReport(ConnectionResetError("gone"), "q", resource=RESOURCE)
    with pytest.raises(HealingFailed, match="permanent") as failed:
        strategy.heal(report)
    assert failed.value.attempts == 1
    assert "wrong" not in str(failed.value)


def test_only_reports_on_its_own_resource_are_handled() -> None:
    strategy = DatabaseReconnection(lambda: sqlite3.connect(":memory:"), resource=RESOURCE)
    lost = sqlite3.OperationalError("unable to open database file")
    assert strategy.can_handle(ErrorReport(lost, "q", resource=RESOURCE))
    assert not strategy.can_handle(ErrorReport(lost, "q", resource="users-db"))
    assert not strategy.can_handle(ErrorReport(lost, "q"))
    assert DatabaseReconnection(lambda: None).can_handle(ErrorReport(lost, "q", resource="users-db"))
    # A network error says nothing about a database, unless the report names it.
    cut = ConnectionResetError("reset")
    assert strategy.can_handle(ErrorReport(cut, "q", resource=RESOURCE))
    assert not DatabaseReconnection(lambda: None).can_handle(ErrorReport(cut, "q"))


@pytest.mark.parametrize("kind", ["engine", "factory"])
def test_a_locked_sqlite_file_is_healed_when_the_lock_is_gone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "orders.db"
    setup = sqlite3.connect(path)
    setup.execute("CREATE TABLE orders (id)")
    setup.close()
    locker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    locker.execute("BEGIN IMMEDIATE")
    engine = sqlalchemy.create_engine(f"sqlite:///{path}", connect_args={"timeout": 0.05})
    with pytest.raises(sqlalchemy.exc.OperationalError, match="locked") as failed, engine.begin() as connection:
        connection.execute(sqlalchemy.text("INSERT INTO orders VALUES (1)"))
    report = ErrorReport(failed.value, "q", resource=RESOURCE)
    target = engine if kind == "engine" else lambda: sqlite3.connect(path, timeout=0.05)
    with pytest.raises(HealingFailed, match="locked"):
        DatabaseReconnection(target, resource=RESOURCE, timeout=1.0).heal(report)
    release = threading.Timer(0.2, locker.execute, ["ROLLBACK"])
    release.start()
    heal(DatabaseReconnection(target, resource=RESOURCE), report)
    release.join()
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("INSERT INTO orders VALUES (1)"))
    engine.dispose()
    locker.close()


def test_an_in_memory_database_keeps_its_data() -> None:
    engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.pool.StaticPool)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE kept (id)"))
    report = ErrorReport(sqlite3.OperationalError("disk I/O error"), "q", resource=RESOURCE)
    heal(DatabaseReconnection(engine, resource=RESOURCE), report)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("SELECT * FROM kept"))
    engine.dispose()


def test_the_applications_own_reset_runs_before_reconnecting() -> None:
    order: list[str] = []

    def connect() -> sqlite3.Connection:
        order.append("connect")
        return sqlite3.connect(":memory:")

    strategy = DatabaseReconnection(connect, resource=RESOURCE, reset=lambda: order.append("reset"))
    strategy.heal(ErrorReport(ConnectionResetError("gone"), "q", resource=RESOURCE))
    assert order == ["reset", "connect"]


def test_a_closed_pool_is_an_honest_failure(postgres: PostgresServer) -> None:
    way = _pool(postgres.dsn)
    way.close()
    report = ErrorReport(ConnectionResetError("gone"), "q", resource=RESOURCE)
    with pytest.raises(HealingFailed, match="closed"):
        DatabaseReconnection(way.target, resource=RESOURCE).heal(report)


def test_a_connect_timeout_reaches_the_driver_in_a_healing_only(postgres: PostgresServer) -> None:
    seen: list[Any] = []
    engine = sqlalchemy.create_engine(postgres.url())
    strategy = DatabaseReconnection(engine, resource=RESOURCE)

    @sqlalchemy.event.listens_for(engine, "do_connect")
    def _look(_dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
        seen.append(options.get("connect_timeout"))

    engine.connect().close()
    strategy.heal(ErrorReport(ConnectionResetError("gone"), "q", resource=RESOURCE))
    engine.dispose()
    engine.connect().close()
    engine.dispose()
    assert seen == [None, 2, None]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"target": 7}, "DatabaseReconnection.target"),
        ({"target": sqlalchemy.orm.sessionmaker()}, "DatabaseReconnection.target"),
        ({"timeout": 0.5}, "DatabaseReconnection.timeout"),
        ({"connect_timeout": 0}, "DatabaseReconnection.connect_timeout"),
        ({"check": ""}, "DatabaseReconnection.check"),
        ({"reset": "x"}, "DatabaseReconnection.reset"),
        ({"resource": ""}, "resource"),
    ],
)
def test_bad_options_are_refused_by_name(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as refused:
        DatabaseReconnection(**{"target": lambda: None, **options})
    assert refused.value.field == field


def test_the_backoff_can_be_set() -> None:
    refused = iter([ConnectionRefusedError(), ConnectionRefusedError()])
    strategy = DatabaseReconnection(
        lambda: _raise_or_connect(refused), resource=RESOURCE, backoff=Backoff(0.001, 0.001)
    )
    started = time.monotonic()
    strategy.heal(ErrorReport(ConnectionResetError("gone"), "q", resource=RESOURCE))
    assert time.monotonic() - started < 0.5


def _raise_or_connect(refused: Iterator[BaseException]) -> sqlite3.Connection:
    for error in refused:
        raise error
    return sqlite3.connect(":memory:")
