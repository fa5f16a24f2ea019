"""A TCP proxy that breaks connections the way networks do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Self

from upright.strategies.options import require_address, require_count, require_seconds
from upright.testing.loop import LoopThread

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["FaultProxy"]

_CHUNK = 16_384
_HOST = "127.0.0.1"


class FaultProxy:
    """Stands between a client and a server, and lets the way between them fail on command.

    Put its `address` where the client expects the server. Each fault is in force when the call that asked for
    it returns, and ends with `restore`. Faults add up: a delay goes on during a stall.

    | fault          | open connections                | new connections                     | in the world           |
    |----------------|---------------------------------|-------------------------------------|------------------------|
    | `cut()`        | reset                           | work                                | a crash, a firewall    |
    | `refuse()`     | work                            | refused                             | nobody listens         |
    | `down()`       | reset                           | refused                             | the server is gone     |
    | `stall()`      | transport nothing               | accepted, transport nothing         | a black hole           |
    | `half_open()`  | transport nothing, ever again   | work                                | a lost NAT entry       |
    | `delay(s)`     | each piece comes `s` later      | the same                            | a slow line            |
    | `drop_after(n)`| reset n bytes of answer later   | reset after n bytes of answer       | a crash mid-answer     |

    Args:
        upstream: Host and port of the server.

    Raises:
        ConfigError: If `upstream` is no pair of host and port.
    """

    def __init__(self, upstream: tuple[str, int]) -> None:
        self.upstream = require_address("FaultProxy.upstream", upstream)
        self._links: set[_Link] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._delay = 0.0
        self._budget: int | None = None
        self._server: asyncio.Server | None = None
        self._accepted = 0
        self._thread = LoopThread("fault-proxy")
        self.address: tuple[str, int] = (_HOST, 0)
        """Host and port to connect to; the same for the proxy's whole life."""
        try:
            self._thread.run(self._listen())
        except BaseException:
            self._thread.close()
            raise

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._links)

    @property
    def accepted(self) -> int:
        """Connections that were ever accepted."""
        return self._accepted

    def cut(self) -> int:
        """Reset every open connection, on both sides; returns how many there were."""
        return self._thread.call(self._reset_all)

    def refuse(self) -> None:
        """Stop listening: new connections are refused."""
        self._thread.run(self._unlisten())

    def down(self) -> int:
        """Refuse new connections and reset the open ones; returns how many there were."""
        self.refuse()
        return self.cut()

    def stall(self) -> None:
        """Transport nothing more, in either direction, and close nothing."""
        self._thread.call(self._flowing.clear)

    def half_open(self) -> int:
        """Let the connections open now transport nothing ever again, while new ones work; returns how many."""
        return self._thread.call(self._freeze)

    def delay(self, seconds: float) -> None:
        """Hold back each piece of data for some seconds, in both directions.

        Raises:
            ConfigError: If `seconds` is not a finite number >= 0.
        """
        require_seconds("FaultProxy.delay.seconds", seconds)
        self._thread.call(self._set_delay, seconds)

    def drop_after(self, count: int) -> None:
        """Reset each connection, old and new, when it has transported `count` more bytes to the client.

        Raises:
            ConfigError: If `count` is not an int >= 0.
        """
        require_count("FaultProxy.drop_after.count", count)
        self._thread.call(self._set_budget, count)

    def restore(self) -> None:
        """End every fault. What a stall held back is delivered; half-open connections stay half-open."""
        self._thread.run(self._restore())

    def close(self) -> None:
        """Reset everything and stop listening for good."""
        with contextlib.suppress(RuntimeError, TimeoutError):
            self.down()
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

    # What follows runs in the proxy's own thread.

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, *self.address, reuse_address=True)
            self.address = (_HOST, int(self._server.sockets[0].getsockname()[1]))

    async def _unlisten(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
            # Not wait_closed(), which from 3.12 on waits for the open connections, too.
            await asyncio.sleep(0)

    async def _restore(self) -> None:
        self._delay = 0.0
        self._set_budget(None)
        self._flowing.set()
        await self._listen()

    def _set_delay(self, seconds: float) -> None:
        self._delay = seconds

    def _set_budget(self, count: int | None) -> None:
        self._budget = count
        for link in self._links:
            link.budget = count

    def _reset_all(self) -> int:
        count = len(self._links)
        for link in list(self._links):
            link.reset()
        return count

    def _freeze(self) -> int:
        for link in self._links:
            link.frozen = True
        return len(self._links)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._accepted += 1
        link = _Link(writer, self._budget)
        self._links.add(link)
        try:
            await self._flowing.wait()
            server_reader, server_writer = await asyncio.open_connection(*self.upstream)
            link.writers.append(server_writer)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(link, reader, server_writer, counts=False))
                group.create_task(self._pump(link, server_reader, writer, counts=True))
        except (OSError, ExceptionGroup):
            link.reset()  # the server is gone, or one side has reset: tell the other
        except asyncio.CancelledError:
            link.reset()  # the proxy is closed; asyncio's streams would log a task that ends as cancelled
        finally:
            self._links.discard(link)
            link.close()

    async def _pump(
        self, link: _Link, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, counts: bool
    ) -> None:
        while True:
            data = await source.read(_CHUNK)
            await self._flowing.wait()
            if link.frozen:
                await link.gone.wait()
                return
            if self._delay:
                await asyncio.sleep(self._delay)
            if not data:
                if sink.can_write_eof():
                    sink.write_eof()
                return
            if counts and link.budget is not None:
                data, left = data[: link.budget], link.budget - len(data)
                link.budget = max(0, left)
                sink.write(data)
                await sink.drain()
                if left <= 0:
                    link.reset()
                    return
                continue
            sink.write(data)
            await sink.drain()


class _Link:
    """One connection through the proxy."""

    __slots__ = ("budget", "frozen", "gone", "writers")

    def __init__(self, writer: asyncio.StreamWriter, budget: int | None) -> None:
        self.writers = [writer]
        self.budget = budget  # bytes that may still go to the client; None is no limit
        self.frozen = False
        self.gone = asyncio.Event()

    def reset(self) -> None:
        for writer in self.writers:
            sock = writer.get_extra_info("socket")
            with contextlib.suppress(OSError, AttributeError):
                # Lingering for no time makes close() send RST instead of FIN.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        self.gone.set()

    def close(self) -> None:
        for writer in self.writers:
            writer.close()
        self.gone.set()
