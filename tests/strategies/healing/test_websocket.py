"""The WebSocket manager and its healing, on a real server that drops, restarts, stalls and refuses."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from upright.strategies.backoff import Backoff
from upright.strategies.codes import ErrorCode
from upright.strategies.errors import ConfigError
from upright.strategies.healing.base import HealingFailed
from upright.strategies.healing.subscriptions import SubscriptionBook
from upright.strategies.healing.websocket import WebSocketReconnection
from upright.strategies.healing.websocket_manager import WebSocketManager
from upright.strategies.healing.websocket_session import NotConnectedError
from upright.strategies.report import ErrorReport
from upright.testing.proxy import FaultProxy
from upright.testing.servers.websocket import WebSocketServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RESOURCE = "voice"
QUICK = Backoff(0.01, 0.05)


def wanted(topic: str) -> str:
    return json.dumps({"subscribe": topic})


def unwanted(topic: str) -> str:
    return json.dumps({"unsubscribe": topic})


class Client:
    """A manager in plain code, with what it was told."""

    def __init__(self, url: str, **options: Any) -> None:
        self.got: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.lost: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
        self.manager = WebSocketManager(
            url,
            **{
                "on_message": self.got.put,
                "on_disconnect": self.lost.put,
                "subscribe": wanted,
                "unsubscribe": unwanted,
                "open_timeout": 2.0,
                **options,
            },
        )
        self.strategy = WebSocketReconnection(self.manager, resource=RESOURCE, connect_timeout=1.0, backoff=QUICK)

    def echo(self, text: str) -> None:
        """Send, and wait until it has come back; so everything before has been dealt with."""
        self.manager.send(text)
        assert self.got.get(timeout=5) == text

    def data(self, count: int) -> list[Any]:
        return [json.loads(self.got.get(timeout=5))["data"] for _ in range(count)]

    def heal(self, error: BaseException) -> float:
        report = ErrorReport(error, "speak", resource=RESOURCE)
        assert self.strategy.can_handle(report)
        started = time.monotonic()
        self.strategy.heal(report)
        self.strategy.verify(report)
        return time.monotonic() - started


@pytest.fixture
def server() -> Iterator[WebSocketServer]:
    with WebSocketServer() as server:
        yield server


@pytest.fixture
def client(server: WebSocketServer) -> Iterator[Client]:
    client = Client(server.url)
    with client.manager:
        yield client


def later(seconds: float, act: Callable[[], Any]) -> threading.Timer:
    timer = threading.Timer(seconds, act)
    timer.start()
    return timer


# The manager, in plain code.


def test_messages_come_in_order_on_one_thread(server: WebSocketServer) -> None:
    threads: set[str] = set()
    order: list[Any] = []
    done = threading.Event()

    def on_message(message: Any) -> None:
        threads.add(threading.current_thread().name)
        order.append(message)
        if len(order) == 500:
            done.set()

    with WebSocketManager(server.url, on_message=on_message, max_pending=3) as manager:
        for number in range(500):
            manager.send(str(number))
        assert done.wait(10)
    assert order == [str(number) for number in range(500)]
    assert len(threads) == 1


def test_a_topic_is_asked_for_once_and_given_back_once(server: WebSocketServer, client: Client) -> None:
    for _ in range(3):
        client.manager.subscribe("prices")
    client.manager.subscribe("news")
    client.echo("done")
    assert server.subscriptions == [["prices", "news"]]
    assert client.manager.subscriptions == ("prices", "news")
    client.manager.unsubscribe("prices")
    client.manager.unsubscribe("prices")
    client.echo("done")
    assert server.subscriptions == [["news"]]
    assert list(server.received).count(unwanted("prices")) == 1


def test_a_topic_that_nobody_renews_is_dropped(server: WebSocketServer, client: Client) -> None:
    gone = threading.Event()
    server.handler = lambda message: [message]
    client.manager.subscribe("kept", ttl=30)
    client.manager.subscribe("brief", ttl=0.05)
    deadline = time.monotonic() + 5
    while unwanted("brief") not in server.received and time.monotonic() < deadline:
        gone.wait(0.01)
    assert server.subscriptions == [["kept"]]
    assert client.manager.subscriptions == ("kept",)


def test_topics_noted_before_the_start_are_asked_for_in_order(server: WebSocketServer) -> None:
    client = Client(server.url)
    for topic in "abc":
        client.manager.subscribe(topic)
    with client.manager:
        client.echo("done")
        assert server.subscriptions == [["a", "b", "c"]]
    with client.manager:  # subscriptions outlive a stop, too
        client.echo("done")
        assert server.subscriptions == [["a", "b", "c"]]


def test_a_handler_that_raises_loses_nothing_but_its_message(server: WebSocketServer) -> None:
    got: queue.SimpleQueue[str] = queue.SimpleQueue()

    def on_message(message: str) -> None:
        if message == "bad":
            raise ZeroDivisionError
        got.put(message)

    with WebSocketManager(server.url, on_message=on_message) as manager:
        for message in ("one", "bad", "two"):
            manager.send(message)
        assert [got.get(timeout=5), got.get(timeout=5)] == ["one", "two"]


def test_a_handler_may_use_and_stop_the_manager(server: WebSocketServer) -> None:
    stopped = threading.Event()

    def on_message(message: str) -> None:
        if message == "one":
            manager.send("two")
        else:
            manager.stop()
            stopped.set()

    manager = WebSocketManager(server.url, on_message=on_message)
    manager.start()
    manager.send("one")
    assert stopped.wait(10)
    assert not manager.is_connected


def test_a_start_that_fails_raises_what_happened_and_leaves_nothing(server: WebSocketServer) -> None:
    server.kill()
    client = Client(server.url)
    before = threading.active_count()
    with pytest.raises(ConnectionRefusedError):
        client.manager.start()
    assert threading.active_count() == before
    with pytest.raises(NotConnectedError):
        client.manager.send("hello")
    server.start()
    with client.manager:
        client.echo("hello")


def test_what_is_sent_without_a_connection_says_so(client: Client, server: WebSocketServer) -> None:
    server.drop()
    assert isinstance(client.lost.get(timeout=5), ConnectionClosedError)
    with pytest.raises(ConnectionClosed) as failed:
        client.manager.send("hello")
    assert ErrorReport(failed.value, "speak").code is ErrorCode.WEBSOCKET_DISCONNECTED
    client.manager.stop()
    with pytest.raises(NotConnectedError) as refused:
        client.manager.send("hello")
    assert ErrorReport(refused.value, "speak").code is ErrorCode.WEBSOCKET_DISCONNECTED
    client.manager.stop()


# The healing.


@pytest.mark.parametrize("fault", ["drop", "kill", "stop"])
def test_a_lost_connection_is_healed_with_its_subscriptions_in_order(
    server: WebSocketServer, client: Client, fault: str
) -> None:
    for topic in ("c", "a", "b"):
        client.manager.subscribe(topic)
    client.echo("done")
    getattr(server, fault)()
    error = client.lost.get(timeout=5)
    client.manager.subscribe("later")
    timer = later(0.2, server.start)
    client.heal(error)
    timer.join()
    client.echo("done")
    assert server.subscriptions == [["c", "a", "b", "later"]]
    server.publish("a", 1)
    server.publish("b", 2)
    assert client.data(2) == [1, 2]


def test_stale_subscriptions_are_not_restored(server: WebSocketServer, client: Client) -> None:
    client.manager.subscribe("kept")
    client.manager.subscribe("brief", ttl=0.05)
    server.kill()
    error = client.lost.get(timeout=5)
    time.sleep(0.06)
    server.start()
    client.heal(error)
    client.echo("done")
    assert server.subscriptions == [["kept"]]
    assert list(server.received)[-2:] == [wanted("kept"), "done"]


def test_a_server_that_stalls_is_noticed_by_its_missing_pong(server: WebSocketServer) -> None:
    client = Client(server.url, ping_interval=0.1, ping_timeout=0.1)
    with client.manager:
        client.manager.subscribe("a")
        client.echo("done")
        server.stall()
        error = client.lost.get(timeout=10)
        assert "keepalive ping timeout" in str(error)
        timer = later(0.3, server.resume)
        client.heal(error)
        timer.join()
        client.echo("done")
        assert server.subscriptions == [["a"]]


def test_a_connection_that_is_open_and_dead_is_replaced(server: WebSocketServer) -> None:
    with FaultProxy(server.address) as proxy:
        client = Client(f"ws://{proxy.address[0]}:{proxy.address[1]}")
        with client.manager:
            client.echo("done")
            proxy.half_open()
            assert client.manager.is_connected  # so it looks
            assert client.heal(TimeoutError("no answer")) < 5
            client.echo("done")


def test_a_refused_handshake_is_healed_when_it_is_accepted(server: WebSocketServer, client: Client) -> None:
    server.refuse(503, {"Retry-After": "0.3"})
    server.drop()
    timer = later(0.2, server.resume)
    assert client.heal(client.lost.get(timeout=5)) > 0.25
    timer.join()
    client.echo("done")


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_handshake_that_is_refused_for_good_ends_the_healing_at_once(
    server: WebSocketServer, client: Client, status: int
) -> None:
    server.refuse(status)
    server.drop()
    report = ErrorReport(client.lost.get(timeout=5), "speak", resource=RESOURCE)
    with pytest.raises(HealingFailed, match="permanent") as failed:
        client.strategy.heal(report)
    assert failed.value.attempts == 1
    assert isinstance(failed.value.__cause__, InvalidStatus)
    assert not client.strategy.can_handle(ErrorReport(failed.value.__cause__, "speak", resource=RESOURCE))


def test_a_server_that_stays_away_is_an_honest_failure_in_time(server: WebSocketServer, client: Client) -> None:
    server.kill()
    report = ErrorReport(client.lost.get(timeout=5), "speak", resource=RESOURCE)
    hopeless = WebSocketReconnection(client.manager, resource=RESOURCE, timeout=1.0, backoff=QUICK)
    started = time.monotonic()
    with pytest.raises(HealingFailed, match="no success") as failed:
        hopeless.heal(report)
    assert time.monotonic() - started < 3
    assert failed.value.attempts > 1
    with pytest.raises(ConnectionClosed):
        hopeless.verify(report)


def test_a_connection_that_works_is_kept(server: WebSocketServer, client: Client) -> None:
    client.echo("done")
    client.heal(TimeoutError("something else"))
    client.echo("done")
    assert server.accepted == 1


def test_many_healings_at_once_make_one_connection(server: WebSocketServer, client: Client) -> None:
    server.drop()
    error = client.lost.get(timeout=5)
    threads = [threading.Thread(target=client.heal, args=(error,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.echo("done")
    assert server.accepted == 2


def test_a_manager_that_was_stopped_stays_so(client: Client) -> None:
    client.manager.stop()
    hopeless = WebSocketReconnection(client.manager, resource=RESOURCE, timeout=1.0, backoff=QUICK)
    with pytest.raises(HealingFailed, match="stopped"):
        hopeless.heal(ErrorReport(NotConnectedError("gone"), "speak", resource=RESOURCE))


def test_a_manager_that_could_not_start_is_started(server: WebSocketServer) -> None:
    server.kill()
    client = Client(server.url)
    with pytest.raises(ConnectionRefusedError) as failed:
        client.manager.start()
    timer = later(0.2, server.start)
    client.heal(failed.value)
    timer.join()
    client.echo("done")
    client.manager.stop()


def _publish_under_faults(server: WebSocketServer, client: Client, *, messages: int) -> list[int]:
    """Publish numbered messages while the connection is dropped every now and then; returns what came."""
    client.manager.subscribe("numbers")
    client.echo("ready")
    for number in range(messages):
        server.publish("numbers", number)
        if number % 20 == 10:
            server.drop()
            client.heal(client.lost.get(timeout=5))
    client.manager.send("end")
    got: list[int] = []
    while (message := client.got.get(timeout=5)) != "end":
        got.append(json.loads(message)["data"])
    return got


def test_no_message_is_delivered_twice_and_the_order_is_kept(server: WebSocketServer, client: Client) -> None:
    got = _publish_under_faults(server, client, messages=200)
    assert got == sorted(set(got))


def test_what_a_server_repeats_on_purpose_is_recognised_and_so_nothing_is_lost() -> None:
    with WebSocketServer(replay=50) as server:
        client = Client(server.url, message_id=lambda message: json.loads(message)["id"] if message[0] == "{" else None)
        with client.manager:
            assert _publish_under_faults(server, client, messages=200) == list(range(200))
            assert client.manager.duplicates > 0


# The manager, on an event loop.


def test_on_a_loop_it_needs_no_thread_and_calls_its_coroutines_there(server: WebSocketServer) -> None:
    async def scenario() -> None:
        got: asyncio.Queue[Any] = asyncio.Queue()
        lost: asyncio.Queue[BaseException] = asyncio.Queue()
        before = threading.active_count()
        async with WebSocketManager(
            server.url, on_message=got.put, on_disconnect=lost.put, subscribe=wanted, unsubscribe=unwanted
        ) as manager:
            assert threading.active_count() == before
            strategy = WebSocketReconnection(manager, resource=RESOURCE, backoff=QUICK)
            manager.subscribe("a")  # goes on whether it is awaited or not
            await manager.subscribe("b")
            await manager.send("hello")
            assert await got.get() == "hello"
            await asyncio.to_thread(server.kill)
            error = await lost.get()
            with pytest.raises(ConnectionClosed):
                await manager.send("hello")
            await asyncio.to_thread(server.start)
            report = ErrorReport(error, "speak", resource=RESOURCE)

            def in_a_worker() -> None:
                # A worker may have a loop of its own, or none.
                healed = strategy.heal(report)
                assert healed is None
                strategy.verify(report)

            await asyncio.to_thread(in_a_worker)
            await manager.send("again")
            assert await got.get() == "again"
            assert await asyncio.to_thread(lambda: server.subscriptions) == [["a", "b"]]
            await asyncio.to_thread(server.drop)
            await lost.get()
            await strategy.heal(report)
            await strategy.verify(report)
            await asyncio.to_thread(lambda: asyncio.run(_verify(strategy, report)))
            await manager.send("again")
            assert await got.get() == "again"

    asyncio.run(scenario())


async def _verify(strategy: WebSocketReconnection, report: ErrorReport) -> None:
    await strategy.verify(report)


def test_on_a_loop_a_handler_may_send_heal_and_stop(server: WebSocketServer) -> None:
    async def scenario() -> None:
        done = asyncio.Event()

        async def on_message(message: str) -> None:
            if message == "one":
                await manager.reconnect()
                await manager.send("two")
            else:
                await manager.stop()
                done.set()

        manager = WebSocketManager(server.url, on_message=on_message)
        await manager.start()
        await manager.send("one")
        async with asyncio.timeout(10):
            await done.wait()

    asyncio.run(scenario())


def test_a_loop_that_has_ended_is_an_honest_failure(server: WebSocketServer) -> None:
    client = Client(server.url)

    async def begin() -> None:
        await client.manager.start()
        server.drop()
        await asyncio.to_thread(client.lost.get, timeout=5)

    asyncio.run(begin())
    with pytest.raises(NotConnectedError):
        client.manager.send("hello")
    hopeless = WebSocketReconnection(client.manager, resource=RESOURCE, timeout=1.0, backoff=QUICK)
    with pytest.raises(HealingFailed, match="loop"):
        hopeless.heal(ErrorReport(NotConnectedError("gone"), "speak", resource=RESOURCE))
    client.manager.stop()


# Options.


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"url": "http://here"}, "WebSocketManager.url"),
        ({"on_message": 7}, "WebSocketManager.on_message"),
        ({"subscribe": "x"}, "WebSocketManager.subscribe"),
        ({"ping_interval": 0}, "WebSocketManager.ping_interval"),
        ({"ping_timeout": -1}, "WebSocketManager.ping_timeout"),
        ({"open_timeout": 0}, "WebSocketManager.open_timeout"),
        ({"max_pending": 0}, "WebSocketManager.max_pending"),
        ({"max_subscriptions": 0}, "WebSocketManager.max_subscriptions"),
    ],
)
def test_bad_options_of_the_manager_are_refused_by_name(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as refused:
        WebSocketManager(**{"url": "ws://here", **options})
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"manager": 7}, "WebSocketReconnection.manager"),
        ({"timeout": 0.5}, "WebSocketReconnection.timeout"),
        ({"connect_timeout": 0}, "WebSocketReconnection.connect_timeout"),
        ({"reset": 7}, "WebSocketReconnection.reset"),
        ({"resource": ""}, "resource"),
    ],
)
def test_bad_options_of_the_strategy_are_refused_by_name(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as refused:
        WebSocketReconnection(**{"manager": WebSocketManager("ws://here"), **options})
    assert refused.value.field == field


def test_a_topic_that_is_none_or_one_too_many_is_refused() -> None:
    manager = WebSocketManager("ws://here", max_subscriptions=1)
    manager.subscribe("a")
    manager.subscribe("a", ttl=5)
    for topic, ttl in (("b", None), ("", None), ("a", 0)):
        with pytest.raises(ConfigError, match=r"WebSocketManager\.subscribe"):
            manager.subscribe(topic, ttl=ttl)


def test_only_reports_on_its_own_resource_are_handled() -> None:
    manager = WebSocketManager("ws://here")
    lost = NotConnectedError("gone")
    assert WebSocketReconnection(manager).can_handle(ErrorReport(lost, "q"))
    assert not WebSocketReconnection(manager, resource=RESOURCE).can_handle(ErrorReport(lost, "q", resource="other"))
    refused = ErrorReport(ConnectionRefusedError(), "q", resource=RESOURCE)
    assert WebSocketReconnection(manager, resource=RESOURCE).can_handle(refused)
    assert not WebSocketReconnection(manager).can_handle(refused)


def test_a_renewed_topic_keeps_its_place() -> None:
    book = SubscriptionBook()
    book.add("a", now=0.0, ttl=1.0)
    book.add("b", now=0.0)
    assert not book.add("a", now=0.5, ttl=1.0)
    assert (list(book), book.next_expiry()) == (["a", "b"], 1.5)
    assert (book.expire(1.5), list(book), book.next_expiry()) == (["a"], ["b"], None)
