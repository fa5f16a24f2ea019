"""A small real HTTP server that fails as it is told: by status, silence, half an answer, or not being there."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections import deque
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

from upright.strategies.errors import ConfigError
from upright.strategies.foreign import is_mapping, is_of
from upright.strategies.options import require_between, require_bool, require_count, require_seconds
from upright.testing.loop import LoopThread
from upright.testing.servers.process import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

__all__ = ["HttpServer", "Reply", "Request"]

_REMEMBERED = 1_000
_MAX_BODY = 10_000_000
_HEADER_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_HEADER_VALUE = re.compile(r"[^\r\n\0\u0100-\U0010ffff]*")


@dataclass(frozen=True, slots=True)
class Request:
    """What a client has asked.

    Attributes:
        method: In capitals.
        path: With its query.
        headers: By name in small letters.
        body: Whole.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server answers.

    Attributes:
        status: HTTP status.
        body: Whole.
        headers: Besides Content-Length.
        delay: Seconds before anything is sent.
        cut_after: Send only so many bytes of the body, then reset the connection; None sends all.
        silent: Send nothing, and leave the connection open.

    Raises:
        ConfigError: A field is not allowed: the status is no int from 100 to 999, the body no bytes, a header no
            pair of texts that fit into a line of HTTP, the delay no finite number, `cut_after` no count.
    """

    status: int = 200
    body: bytes = b"ok"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut_after: int | None = None
    silent: bool = False

    def __post_init__(self) -> None:
        require_between("Reply.status", self.status, 100, 999)
        if not is_of(self.body, bytes):
            raise ConfigError("Reply.body", self.body, "bytes")
        require_headers("Reply.headers", self.headers)
        require_seconds("Reply.delay", self.delay)
        if self.cut_after is not None:
            require_count("Reply.cut_after", self.cut_after)
        require_bool("Reply.silent", self.silent)


def require_headers(field: str, headers: Any) -> None:
    """Refuse headers that would break the answer they are part of.

    Raises:
        ConfigError: Naming `field` (as `Type.field`), the value and the rule.
    """
    if not is_mapping(headers):
        raise ConfigError(field, headers, "a mapping of texts")
    for name, value in headers.items():
        if type(name) is not str or _HEADER_NAME.fullmatch(name) is None:
            raise ConfigError(field, name, "names of HTTP headers (RFC 9110, tokens)")
        if type(value) is not str or _HEADER_VALUE.fullmatch(value) is None:
            raise ConfigError(f"{field}.{name}", value, "a text in Latin-1 without line ends and NUL")


class HttpServer:
    """HTTP/1.1 with keep-alive on the loopback interface, in a thread of its own.

    Args:
        handler: Answers what no scripted reply is left for; by default 200 "ok".

    Raises:
        ConfigError: `handler` cannot be called.
    """

    def __init__(self, handler: Callable[[Request], Reply] | None = None) -> None:
        if handler is not None and not callable(handler):
            raise ConfigError("HttpServer.handler", handler, "None, or a function of a Request that returns a Reply")
        self.handler = handler or (lambda _request: Reply())
        self.host = LOOPBACK
        self.port = free_port()
        self.requests: deque[Request] = deque(maxlen=_REMEMBERED)
        """What was asked, oldest first; the newest 1 000."""
        self._scripted: deque[Reply] = deque()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = LoopThread("http-server")
        try:
            self.start()
        except BaseException:
            self._thread.close()
            raise

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end; the same across restarts."""
        return f"http://{self.host}:{self.port}"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port

    def script(self, *replies: Reply) -> None:
        """Answer the next requests so, one each; then the handler has its turn again.

        Raises:
            ConfigError: One of them is no Reply; none was taken.
        """
        for reply in replies:
            if not is_of(reply, Reply):
                raise ConfigError("HttpServer.script.replies", reply, "a Reply")
        self._scripted.extend(replies)

    def start(self) -> Self:
        """Listen at its address; nothing happens if it does."""
        self._thread.run(self._listen())
        return self

    def kill(self) -> None:
        """Be gone as after a crash: every connection reset, new ones refused."""
        self._thread.run(self._die())

    def close(self) -> None:
        """Be gone for good."""
        with contextlib.suppress(RuntimeError, TimeoutError):
            self.kill()
        self._thread.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # What follows runs in the server's own thread.

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, self.host, self.port, reuse_address=True)

    async def _die(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for writer in list(self._writers):
            _reset(writer)
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
                while await self._serve_one(reader, writer):
                    pass
        except asyncio.CancelledError:
            _reset(writer)  # the server is closed; asyncio's streams would log a task that ends as cancelled
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        length = min(int(headers.get("content-length", "0")), _MAX_BODY)
        request = Request(method.upper(), path, headers, await reader.readexactly(length))
        self.requests.append(request)
        try:
            reply = self._scripted.popleft()
        except IndexError:
            reply = self.handler(request)
        await asyncio.sleep(reply.delay)
        if reply.silent:
            await reader.read()  # until the client gives up
            return False
        writer.write(_head_of(reply))
        if reply.cut_after is not None:
            writer.write(reply.body[: reply.cut_after])
            await writer.drain()
            # A moment for the client to read what there is: a reset throws away what it has not read.
            await asyncio.sleep(0.02)
            _reset(writer)
            return False
        if request.method != "HEAD":
            writer.write(reply.body)
        await writer.drain()
        return headers.get("connection", "").lower() != "close"


def _head_of(reply: Reply) -> bytes:
    try:
        phrase = HTTPStatus(reply.status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {reply.status} {phrase}", f"Content-Length: {len(reply.body)}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, AttributeError):
        # Lingering for no time makes close() send RST instead of FIN.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
