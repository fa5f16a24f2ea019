"""An HTTP API by httpx, blocking and asyncio, and by requests."""

from __future__ import annotations

import socket
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import httpx
import requests

from benchmarks.healing.component import AsyncComponent, Component, Fault, Mistake
from upright.strategies.healing.api import ApiRetry
from upright.testing.proxy import FaultProxy
from upright.testing.servers.http import HttpServer, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Api", "AsyncApi", "NamedApi", "SessionApi"]

_WITHIN = 0.4  # seconds that the application allows a request


class _Server:
    """The server and the proxy before it, with what can be done to them."""

    def __init__(self) -> None:
        self.server = HttpServer()
        self.proxy = FaultProxy(self.server.address)
        self.url = f"http://{self.proxy.address[0]}:{self.proxy.address[1]}/"
        self._failing: Reply | None = None
        self.server.handler = lambda request: (
            Reply(int(request.path[1:])) if request.path[1:].isdigit() else self._failing or Reply()
        )
        server, proxy, script = self.server, self.proxy, self.server.script
        self.faults = [
            Fault("server killed, started again", server.kill, server.start, (0.0, 0.4)),
            Fault("connection refused", proxy.down, proxy.restore, (0.0, 0.4)),
            Fault("connection cut within an answer", lambda: proxy.drop_after(9), proxy.restore, (0.1, 0.4)),
            Fault("connections half-open", proxy.half_open),
            Fault("network stalled", proxy.stall, proxy.restore, (0.6, 1.0)),
            Fault("answer reset in its body", lambda: script(Reply(body=b"x" * 999, cut_after=9))),
            Fault("no answer", lambda: script(Reply(silent=True), Reply(silent=True))),
            Fault("503 for a while", lambda: self._fail(Reply(503)), lambda: self._fail(None), (0.0, 0.4)),
            Fault("503, Retry-After in seconds", lambda: script(Reply(503, headers={"Retry-After": "0.2"}))),
            Fault("429, Retry-After in seconds", lambda: script(Reply(429, headers={"Retry-After": "0.2"}))),
            Fault("503, Retry-After as a date", lambda: script(Reply(503, headers={"Retry-After": _soon()}))),
            Fault(
                "credentials revoked during an outage",
                self._revoke,
                lambda: self._fail(None),
                (0.0, 0.3),
                hopeless=True,
            ),
        ]

    def _revoke(self) -> None:
        self.server.script(Reply(503))
        self._fail(Reply(401))

    def _fail(self, reply: Reply | None) -> None:
        self._failing = reply

    def mistakes(self, get: Callable[[str], Any]) -> list[Mistake]:
        return [Mistake(f"HTTP {status}", lambda s=status: get(f"{self.url}{s}")) for status in (400, 401, 404, 422)]  # type: ignore[misc]

    def close(self) -> None:
        self.proxy.close()
        self.server.close()


def _soon() -> str:
    return formatdate(time.time() + 1, usegmt=True)


class Api(Component):
    """A blocking client of httpx."""

    make: Callable[[], Any] = httpx.Client

    def __init__(self, name: str = "api by httpx") -> None:
        super().__init__(name)
        self._server = _Server()
        self._client = type(self).make()
        self.heal_by(ApiRetry(self._client, resource=self.name, verify=self._server.url, request_timeout=0.5))
        self.faults, self.mistakes = self._server.faults, self._server.mistakes(self.get)

    def get(self, url: str) -> object:
        """Ask the API."""
        response = self._client.get(url, timeout=_WITHIN)
        response.raise_for_status()
        return response.text

    def use(self) -> object:
        """Ask the API."""
        return self.get(self._server.url)

    def close(self) -> None:
        """End both."""
        self._client.close()
        self._server.close()


class SessionApi(Api):
    """A session of requests."""

    make = requests.Session

    def __init__(self) -> None:
        super().__init__("api by requests")


class AsyncApi(AsyncComponent):
    """An asyncio client of httpx."""

    def __init__(self) -> None:
        super().__init__("api by async httpx")
        self._server = _Server()
        self.loop.run(self._make())
        self.faults = self._server.faults
        self.mistakes = self._server.mistakes(lambda url: self.loop.run(self._get(url)))

    async def _make(self) -> None:
        self._client = httpx.AsyncClient()
        self.heal_by(ApiRetry(self._client, resource=self.name, verify=self._server.url, request_timeout=0.5))

    async def _get(self, url: str) -> object:
        response = await self._client.get(url, timeout=_WITHIN)
        response.raise_for_status()
        return response.text

    async def use_async(self) -> object:
        """Ask the API."""
        return await self._get(self._server.url)

    async def close_async(self) -> None:
        """End the client."""
        await self._client.aclose()

    def close(self) -> None:
        """End both."""
        super().close()
        self._server.close()


class NamedApi(Component):
    """An API whose name stops resolving; connections are not kept, so that the name is needed each time."""

    _HOST = "api.upright.test"

    def __init__(self) -> None:
        super().__init__("api by name")
        self._server = HttpServer()
        self._resolves = True
        self._getaddrinfo = socket.getaddrinfo
        socket.getaddrinfo = self._resolve
        self._url = f"http://{self._HOST}:{self._server.port}/"
        self._client = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0))
        self.heal_by(ApiRetry(self._client, resource=self.name, verify=self._url, request_timeout=0.5))
        self.faults = [Fault("name does not resolve", lambda: self._set(False), lambda: self._set(True), (0.0, 0.4))]

    def _set(self, resolves: bool) -> None:  # noqa: FBT001 - a state, not a mode
        self._resolves = resolves

    def _resolve(self, host: Any, *args: Any, **options: Any) -> Any:
        if host == self._HOST:
            if not self._resolves:
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
            host = "127.0.0.1"
        return self._getaddrinfo(host, *args, **options)

    def use(self) -> object:
        """Ask the API."""
        return self._client.get(self._url, timeout=_WITHIN).raise_for_status().text

    def close(self) -> None:
        """End both."""
        socket.getaddrinfo = self._getaddrinfo
        self._client.close()
        self._server.close()
