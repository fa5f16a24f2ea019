"""API retry, on a real HTTP server that refuses, resets, stalls and asks to wait."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import hishel
import hishel.httpx
import httpx
import pytest
import requests

from upright.strategies.backoff import Backoff
from upright.strategies.codes import ErrorCode
from upright.strategies.errors import ConfigError
from upright.strategies.healing.api import ApiRetry
from upright.strategies.healing.base import HealingFailed
from upright.strategies.healing.http_clients import CachedProofError
from upright.strategies.report import ErrorReport
from upright.testing.proxy import FaultProxy
from upright.testing.servers.http import HttpServer, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RESOURCE = "billing"
QUICK = Backoff(0.01, 0.05)


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer() as server:
        yield server


@pytest.fixture
def proxy(server: HttpServer) -> Iterator[FaultProxy]:
    with FaultProxy(server.address) as proxy:
        yield proxy


class Api:
    """A client and a URL that it uses."""

    def __init__(self, client: Any, url: str) -> None:
        self.client = client
        self.url = url

    def use(self, method: str = "GET", timeout: float = 0.5) -> Any:
        response = self.client.request(method, self.url, timeout=timeout)
        response.raise_for_status()
        return response

    def failure(self, method: str = "GET") -> ErrorReport:
        try:
            self.use(method)
        except Exception as error:
            return ErrorReport(error, "charge", resource=RESOURCE)
        raise AssertionError("nothing failed")

    def strategy(self, **options: Any) -> ApiRetry:
        return ApiRetry(self.client, **{"resource": RESOURCE, "request_timeout": 0.5, "backoff": QUICK, **options})


@pytest.fixture(params=["httpx", "requests"])
def api(request: pytest.FixtureRequest, proxy: FaultProxy) -> Iterator[Api]:
    url = f"http://{proxy.address[0]}:{proxy.address[1]}/health"
    kinds: dict[str, Callable[[], Any]] = {"httpx": httpx.Client, "requests": requests.Session}
    with kinds[request.param]() as client:
        yield Api(client, url)


def heal(strategy: ApiRetry, report: ErrorReport) -> float:
    assert strategy.can_handle(report)
    started = time.monotonic()
    strategy.heal(report)
    strategy.verify(report)
    return time.monotonic() - started


def later(seconds: float, act: Callable[[], Any]) -> threading.Timer:
    timer = threading.Timer(seconds, act)
    timer.start()
    return timer


def test_a_refused_connection_is_healed_when_somebody_listens_again(api: Api, proxy: FaultProxy) -> None:
    api.use()
    proxy.down()
    report = api.failure()
    timer = later(0.3, proxy.restore)
    assert 0.2 < heal(api.strategy(verify=api.url), report) < 5
    timer.join()
    api.use()


def test_an_answer_that_was_cut_in_its_body_is_healed(api: Api, server: HttpServer) -> None:
    server.script(Reply(body=b"x" * 1000, cut_after=10))
    report = api.failure()
    assert report.code in (ErrorCode.API_UNAVAILABLE, ErrorCode.NETWORK)
    heal(api.strategy(verify=api.url), report)
    api.use()


def test_a_server_that_does_not_answer_in_time_is_healed_when_it_does(api: Api, server: HttpServer) -> None:
    server.script(Reply(silent=True), Reply(silent=True))
    report = api.failure()
    assert report.code is ErrorCode.API_TIMEOUT
    heal(api.strategy(verify=api.url), report)
    assert len(server.requests) == 4  # the failure, one attempt in vain, one that worked, the proof


def test_connections_that_a_network_left_half_open_are_not_tried_one_by_one(api: Api, proxy: FaultProxy) -> None:
    use_at_once(api, 4)
    assert proxy.half_open() == 4
    report = ErrorReport(TimeoutError("gave up"), "charge", resource=RESOURCE)
    strategy = api.strategy(verify=api.url, request_timeout=2.0)
    assert heal(strategy, report) < 1.5
    assert proxy.connections - 4 <= 1


def use_at_once(api: Api, count: int) -> None:
    """Leave so many idle connections in the client's pool."""
    together = threading.Barrier(count)

    def use() -> None:
        together.wait(5)
        with_body = api.client.request("GET", api.url + "?slow", timeout=5)
        assert with_body.status_code == 200

    threads = [threading.Thread(target=use) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.fixture(autouse=True)
def _slow(server: HttpServer) -> None:
    server.handler = lambda request: Reply(delay=0.2 if "slow" in request.path else 0.0)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 425])
def test_a_failing_server_is_healed_when_it_works_again(api: Api, server: HttpServer, status: int) -> None:
    server.script(*[Reply(status)] * 3)
    heal(api.strategy(verify=api.url), api.failure())
    assert len(server.requests) == 5


@pytest.mark.parametrize("status", [429, 503])
def test_it_waits_as_many_seconds_as_the_server_asks(api: Api, server: HttpServer, status: int) -> None:
    server.script(Reply(status, headers={"Retry-After": "0.4"}))
    report = api.failure()
    assert heal(api.strategy(verify=api.url), report) > 0.3
    # A limit that was hit is asked once and no more: the proof.
    assert len(server.requests) == (2 if status == 429 else 3)


def test_it_waits_until_the_date_that_the_server_names(api: Api, server: HttpServer) -> None:
    server.script(Reply(429, headers={"Retry-After": formatdate(time.time() + 2, usegmt=True)}))
    assert 0.5 < heal(api.strategy(verify=api.url), api.failure()) < 5


def test_a_date_is_read_by_the_servers_own_clock_where_it_tells_it(api: Api, server: HttpServer) -> None:
    date, asked = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"
    server.script(Reply(503, headers={"Date": date, "Retry-After": asked}))
    assert 0.7 < heal(api.strategy(verify=api.url), api.failure()) < 5


@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_beyond_its_time_fails_at_once(api: Api, server: HttpServer, status: int) -> None:
    server.script(Reply(status, headers={"Retry-After": "3600"}))
    report = api.failure()
    started = time.monotonic()
    with pytest.raises(HealingFailed, match="asked to wait 3600 s"):
        api.strategy(verify=api.url).heal(report)
    assert time.monotonic() - started < 1


def test_a_wait_asked_for_while_healing_is_kept(api: Api, server: HttpServer) -> None:
    server.script(Reply(500), Reply(503, headers={"Retry-After": "0.4"}))
    assert heal(api.strategy(verify=api.url), api.failure()) > 0.35


def test_a_name_that_does_not_resolve_is_an_honest_failure(api: Api) -> None:
    lost = Api(api.client, "http://nowhere.invalid/")
    report = lost.failure()
    assert report.code is ErrorCode.NETWORK
    with pytest.raises(HealingFailed, match="no success") as failed:
        lost.strategy(verify=lost.url, timeout=1.0).heal(report)
    assert failed.value.attempts > 1


def test_a_name_that_resolves_again_is_healed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def down(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", down)
        report = api.failure()
        timer = later(0.3, patched.undo)
        heal(api.strategy(verify=api.url), report)
        timer.join()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_what_is_wrong_with_the_request_is_not_handled(api: Api, server: HttpServer, status: int) -> None:
    server.script(Reply(status))
    assert not api.strategy(verify=api.url).can_handle(api.failure())


def test_a_permanent_answer_met_while_healing_ends_it_at_once(api: Api, server: HttpServer) -> None:
    server.script(Reply(503), Reply(401))
    with pytest.raises(HealingFailed, match="permanent") as failed:
        api.strategy(verify=api.url).heal(api.failure())
    assert failed.value.attempts == 1


def test_without_a_url_the_failed_request_is_made_again(api: Api, server: HttpServer) -> None:
    server.script(Reply(503), Reply(503))
    heal(api.strategy(), api.failure())
    assert [request.path for request in server.requests] == ["/health"] * 4


def test_a_request_that_may_not_be_repeated_is_only_healed_by_another_proof(api: Api, server: HttpServer) -> None:
    server.script(Reply(503))
    report = api.failure("POST")
    assert not api.strategy().can_handle(report)
    with pytest.raises(HealingFailed, match="may not be made again"):
        api.strategy().heal(report)
    heal(api.strategy(verify=api.url), report)
    assert [request.method for request in server.requests] == ["POST", "GET", "GET"]


def test_a_method_that_is_allowed_is_repeated(api: Api, server: HttpServer) -> None:
    server.script(Reply(503))
    report = api.failure("POST")
    heal(api.strategy(methods=["post"]), report)
    assert [request.method for request in server.requests] == ["POST"] * 3


def test_the_registered_cache_is_cleared_first(api: Api, server: HttpServer) -> None:
    server.script(Reply(503))
    cached = {"GET /health": "stale"}
    report = api.failure()
    heal(api.strategy(verify=api.url, clear_cache=cached), report)
    assert cached == {}
    called: list[int] = []
    heal(api.strategy(verify=api.url, clear_cache=lambda: called.append(1)), report)
    assert called == [1]


def test_a_function_may_prove_it(api: Api, server: HttpServer) -> None:
    server.script(Reply(503), Reply(503), Reply(503))
    report = api.failure()
    # It returns the response and does not look at its status.
    heal(api.strategy(verify=lambda: api.client.get(api.url)), report)
    assert len(server.requests) == 5
    with pytest.raises(HealingFailed, match="returned False"):
        api.strategy(verify=lambda: False).heal(report)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[hishel.SqliteStorage]:
    connection = sqlite3.connect(tmp_path / "cache.db", check_same_thread=False)
    storage = hishel.SqliteStorage(connection=connection)
    yield storage
    storage.close()


def test_an_answer_out_of_hishels_cache_is_no_proof_and_so_the_cache_is_emptied(
    server: HttpServer, storage: hishel.SqliteStorage
) -> None:
    with hishel.httpx.CacheClient(storage=storage) as client:
        assert client.get(server.url).status_code == 200
        assert client.get(server.url).status_code == 200
        assert len(server.requests) == 1  # the second came out of the cache
        report = ErrorReport(httpx.ConnectError("gone"), "charge", resource=RESOURCE)
        blind = ApiRetry(client, resource=RESOURCE, verify=server.url, clear_cache=lambda: None)
        with pytest.raises(CachedProofError, match="clear_cache"):
            blind.verify(report)
        server.kill()
        with pytest.raises(HealingFailed):
            ApiRetry(client, resource=RESOURCE, verify=server.url, timeout=1.0).heal(report)
        server.start()
        ApiRetry(client, resource=RESOURCE, verify=server.url, clear_cache=storage).heal(report)
        assert len(server.requests) == 2


def test_an_async_client_is_healed_on_the_loop_it_was_made_on(server: HttpServer, proxy: FaultProxy) -> None:
    url = f"http://{proxy.address[0]}:{proxy.address[1]}/"

    async def scenario() -> None:
        async with httpx.AsyncClient() as client:
            strategy = ApiRetry(client, resource=RESOURCE, verify=url, request_timeout=0.5)
            await asyncio.gather(*(client.get(url + "slow") for _ in range(3)))
            proxy.half_open()
            report = ErrorReport(httpx.ReadTimeout("gone"), "charge", resource=RESOURCE)

            def in_a_worker() -> None:
                async def attempt() -> None:
                    await strategy.heal(report)
                    await strategy.verify(report)

                asyncio.run(attempt())  # another loop: the strategy goes home by itself

            await asyncio.to_thread(in_a_worker)
            assert (await client.get(url)).status_code == 200
            server.script(Reply(503), Reply(503))
            response = await client.get(url)
            with pytest.raises(httpx.HTTPStatusError) as failed:
                response.raise_for_status()
            again = ApiRetry(client, resource=RESOURCE)
            report = ErrorReport(failed.value, "charge", resource=RESOURCE)
            assert again.can_handle(report)
            await again.heal(report)
            await again.verify(report)

    asyncio.run(scenario())


def test_only_reports_on_its_own_resource_are_handled(api: Api, proxy: FaultProxy) -> None:
    proxy.down()
    report = api.failure()
    assert report.code is ErrorCode.NETWORK
    assert api.strategy().can_handle(report)
    assert not ApiRetry(api.client, resource="other", verify=api.url).can_handle(report)
    # With one API it need not be named: the request on the error says that it is about an API.
    assert ApiRetry(api.client).can_handle(report)
    other = ErrorReport(ConnectionRefusedError(), "charge", resource=RESOURCE)
    assert not ApiRetry(api.client).can_handle(other)
    assert not api.strategy().can_handle(other)  # nothing to prove it with
    assert api.strategy(verify=api.url).can_handle(other)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"client": 7}, "ApiRetry.client"),
        ({"timeout": 0.5}, "ApiRetry.timeout"),
        ({"request_timeout": 0}, "ApiRetry.request_timeout"),
        ({"verify": ""}, "ApiRetry.verify"),
        ({"methods": "GET"}, "ApiRetry.methods"),
        ({"clear_cache": 7}, "ApiRetry.clear_cache"),
        ({"resource": ""}, "resource"),
    ],
)
def test_bad_options_are_refused_by_name(options: dict[str, Any], field: str) -> None:
    with requests.Session() as session, pytest.raises(ConfigError) as refused:
        ApiRetry(**{"client": session, **options})
    assert refused.value.field == field
