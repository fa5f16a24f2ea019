"""Redis reconnection, on real servers that are really killed, cut off, demoted and replaced."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import redis
import redis.asyncio

from upright.strategies.backoff import Backoff
from upright.strategies.codes import ErrorCode
from upright.strategies.errors import ConfigError
from upright.strategies.healing.base import HealingFailed
from upright.strategies.healing.redis import RedisReconnection
from upright.strategies.report import ErrorReport
from upright.testing.proxy import FaultProxy
from upright.testing.servers.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator

RESOURCE = "sessions"
QUICK = Backoff(0.01, 0.05)


@pytest.fixture(scope="session")
def _server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def server(_server: RedisServer) -> RedisServer:
    return _server.start()


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(server.address) as proxy:
        yield proxy


def connect(address: tuple[str, int], **options: Any) -> redis.Redis:
    retry = redis.retry.Retry(redis.backoff.NoBackoff(), 0)  # what fails is to be seen at once
    settings = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5, "retry": retry, **options}
    return redis.Redis(*address, **settings)


@pytest.fixture(params=["pool", "blocking pool"])
def client(request: pytest.FixtureRequest, proxy: FaultProxy) -> Iterator[redis.Redis]:
    with connect(proxy.address) as client:
        if request.param == "blocking pool":
            kwargs = client.connection_pool.connection_kwargs
            client.connection_pool = redis.BlockingConnectionPool(  # type: ignore[no-untyped-call]
                max_connections=4, timeout=1, **{k: v for k, v in kwargs.items() if not k.startswith("maint_")}
            )
        yield client
        client.connection_pool.disconnect()


def failure_of(client: redis.Redis) -> ErrorReport:
    for _ in range(5):
        try:
            client.set("k", "v")
        except Exception as error:
            return ErrorReport(error, "session", resource=RESOURCE)
    raise AssertionError("nothing failed")


def strategy_for(client: Any, **options: Any) -> RedisReconnection:
    return RedisReconnection(client, **{"resource": RESOURCE, "connect_timeout": 0.5, "backoff": QUICK, **options})


def heal(strategy: RedisReconnection, report: ErrorReport) -> float:
    assert strategy.can_handle(report)
    started = time.monotonic()
    strategy.heal(report)
    strategy.verify(report)
    return time.monotonic() - started


def test_a_server_that_was_killed_is_healed_when_it_is_back(client: redis.Redis, server: RedisServer) -> None:
    client.set("k", "v")
    server.kill()
    report = failure_of(client)
    assert report.code is ErrorCode.CACHE_UNAVAILABLE
    timer = threading.Timer(0.3, server.start)
    timer.start()
    heal(strategy_for(client), report)
    timer.join()
    client.set("k", "v")


def test_cut_connections_are_healed(client: redis.Redis, proxy: FaultProxy) -> None:
    client.set("k", "v")
    proxy.down()
    report = failure_of(client)
    timer = threading.Timer(0.2, proxy.restore)
    timer.start()
    heal(strategy_for(client), report)
    timer.join()
    client.set("k", "v")


def test_half_open_connections_are_not_waited_for(client: redis.Redis, proxy: FaultProxy) -> None:
    together = threading.Barrier(4)

    def use() -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(5)
        client.blpop(["nothing"], timeout=0.1)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert proxy.half_open() >= 2
    report = ErrorReport(redis.TimeoutError("gave up"), "session", resource=RESOURCE)
    assert heal(strategy_for(client, connect_timeout=5.0), report) < 2.5
    client.set("k", "v")


def test_attempts_begun_while_packets_are_lost_are_given_up(client: redis.Redis, proxy: FaultProxy) -> None:
    client.set("k", "v")
    proxy.stall()
    report = failure_of(client)
    timer = threading.Timer(0.7, proxy.restore)
    timer.start()
    assert heal(strategy_for(client), report) < 5
    timer.join()


def test_a_server_that_stays_away_is_an_honest_failure_in_time(client: redis.Redis, proxy: FaultProxy) -> None:
    proxy.down()
    report = failure_of(client)
    started = time.monotonic()
    with pytest.raises(HealingFailed, match="no success") as failed:
        strategy_for(client, timeout=1.0).heal(report)
    assert time.monotonic() - started < 3
    assert failed.value.attempts > 1
    with pytest.raises(redis.ConnectionError):
        strategy_for(client).verify(report)


def test_a_readonly_reply_leads_to_the_master_that_the_replica_follows(server: RedisServer) -> None:
    with RedisServer(replica_of=server.address) as replica, connect(replica.address) as client:
        report = failure_of(client)
        assert report.code is ErrorCode.CACHE_UNAVAILABLE
        strategy = strategy_for(client)
        assert strategy.address == replica.address
        heal(strategy, report)
        assert strategy.address == server.address
        client.set("k", "v")


def test_a_master_that_was_demoted_is_left_for_the_new_one(server: RedisServer) -> None:
    with RedisServer() as other, connect(other.address) as client:
        client.set("k", "v")
        other.demote(server.address)
        heal(strategy_for(client), failure_of(client))
        client.set("k", "v")
        assert other.ask("GET k").startswith("$")


def test_another_address_takes_over_and_hands_back(client: redis.Redis, proxy: FaultProxy) -> None:
    with RedisServer() as standby:
        strategy = strategy_for(client, addresses=[("127.0.0.1", 1), standby.address])
        client.set("k", "v")
        proxy.down()
        assert heal(strategy, failure_of(client)) < 2
        assert strategy.address == standby.address
        client.set("k", "standby")
        assert standby.ask("EXISTS k") == ":1"
        standby.kill()
        report = failure_of(client)
        proxy.restore()
        heal(strategy, report)
        assert strategy.address == proxy.address
        client.set("k", "v")


def test_a_replica_will_do_for_who_only_reads(server: RedisServer) -> None:
    with RedisServer(replica_of=server.address) as replica, connect(replica.address) as client:
        report = ErrorReport(redis.ConnectionError("gone"), "session", resource=RESOURCE)
        strategy = strategy_for(client, writes=False)
        heal(strategy, report)
        assert strategy.address == replica.address


def test_a_connection_in_use_goes_to_the_new_server_when_it_comes_back(server: RedisServer) -> None:
    with RedisServer(replica_of=server.address) as replica, connect(replica.address) as client:
        pool = client.connection_pool
        borrowed = pool.get_connection()
        heal(strategy_for(client), failure_of(client))
        pool.release(borrowed)
        for _ in range(3):
            client.set("k", "v")
        again = pool.get_connection()
        assert (again.host, again.port) == server.address
        pool.release(again)


def test_a_wrong_password_is_not_handled_and_ends_a_healing_at_once() -> None:
    with RedisServer(password="right") as server, connect(server.address, password="wrong") as client:
        assert not strategy_for(client).can_handle(failure_of(client))
        report = ErrorReport(redis.ConnectionError("gone"), "session", resource=RESOURCE)
        with pytest.raises(HealingFailed, match="permanent") as failed:
            strategy_for(client).heal(report)
        assert failed.value.attempts == 1
        with connect(server.address, password="right") as right:
            heal(strategy_for(right), report)


def test_wrong_commands_are_not_handled(client: redis.Redis) -> None:
    client.delete("list")
    client.rpush("list", "a")
    with pytest.raises(redis.ResponseError) as wrong:
        client.get("list")
    assert not strategy_for(client).can_handle(ErrorReport(wrong.value, "session", resource=RESOURCE))


def test_an_acl_without_role_and_without_the_probe_key_does_not_stand_in_the_way(server: RedisServer) -> None:
    server.ask("ACL SETUSER app on >secret ~mine:* +@all -role")
    with connect(server.address, username="app", password="secret") as client:
        client.set("mine:k", "v")
        report = ErrorReport(redis.ConnectionError("gone"), "session", resource=RESOURCE)
        heal(strategy_for(client), report)


def test_an_async_client_is_healed_on_the_loop_it_was_made_on(server: RedisServer, proxy: FaultProxy) -> None:
    async def scenario() -> None:
        retry = redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0)
        client = redis.asyncio.Redis(
            host=proxy.address[0], port=proxy.address[1], socket_timeout=0.5, socket_connect_timeout=0.5, retry=retry
        )
        strategy = strategy_for(client, addresses=[server.address])
        await asyncio.gather(*(client.set("k", "v") for _ in range(3)))
        await asyncio.to_thread(proxy.half_open)
        with pytest.raises(redis.TimeoutError) as failed:
            await client.set("k", "v")
        report = ErrorReport(failed.value, "session", resource=RESOURCE)

        def in_a_worker() -> None:
            async def attempt() -> None:
                await strategy.heal(report)
                await strategy.verify(report)

            asyncio.run(attempt())  # another loop: the strategy goes home by itself

        await asyncio.to_thread(in_a_worker)
        await client.set("k", "v")
        assert strategy.address == proxy.address
        await asyncio.to_thread(proxy.down)
        await asyncio.to_thread(in_a_worker)
        assert strategy.address == server.address
        await asyncio.gather(*(client.set("k", "v") for _ in range(5)))
        await client.aclose()

    asyncio.run(scenario())


def test_only_reports_on_its_own_resource_are_handled() -> None:
    client = redis.Redis()
    gone = redis.ConnectionError("gone")
    assert strategy_for(client).can_handle(ErrorReport(gone, "q", resource=RESOURCE))
    assert not strategy_for(client).can_handle(ErrorReport(gone, "q", resource="other"))
    assert strategy_for(client, resource=None).can_handle(ErrorReport(gone, "q"))
    lock = redis.exceptions.LockError("not yours")
    assert not strategy_for(client).can_handle(ErrorReport(lock, "q", resource=RESOURCE))


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"client": 7}, "RedisReconnection.client"),
        ({"timeout": 0.5}, "RedisReconnection.timeout"),
        ({"connect_timeout": 0}, "RedisReconnection.connect_timeout"),
        ({"addresses": ["localhost:6379"]}, "RedisReconnection.addresses"),
        ({"probe_key": ""}, "RedisReconnection.probe_key"),
        ({"reset": 7}, "RedisReconnection.reset"),
        ({"resource": ""}, "resource"),
    ],
)
def test_bad_options_are_refused_by_name(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as refused:
        RedisReconnection(**{"client": redis.Redis(), **options})
    assert refused.value.field == field
