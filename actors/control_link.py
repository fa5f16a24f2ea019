"""The thread behind the control socket: moves bytes between connections and the actor, and knows no command.

An actor waits for its mailbox and cannot wait for a socket as well. So one thread waits for all sockets, hands each
complete line to the actor as a message, and sends what the actor answers. It belongs to one incarnation of the
actor: `stop()` ends it, and if that incarnation is detached instead, it ends by itself within a second.

A connection has one request in hand at a time; until that is answered nothing more is read from it.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import struct
import threading
import weakref
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final

from upright.actors.control_wire import MAX_REQUEST, ErrorKind, Refused, refusal
from upright.actors.interrupt import shielded

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Link", "Request", "peer_uid"]

_TICK: Final = 1.0  # seconds between two looks at whether the actor is still there
_CHUNK: Final = 65_536
_NO_DESCRIPTORS: Final = 0.2  # seconds until the next try to accept when the process has no file descriptor left
_PEER: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid

_open: weakref.WeakSet[Link] = weakref.WeakSet()


@dataclass(frozen=True, slots=True)
class Request:
    """A line came in.

    From: a Link's thread, one at a time per connection. To: its ControlServer. Reply: `link.answer(...)`, once.
    """

    link: Link
    connection: int
    line: bytes


class _Connection:
    """One client.

    Invariant: `waiting` is set from the moment a line is handed to the actor until its answer has been sent.
    """

    __slots__ = ("closing", "incoming", "number", "outgoing", "since", "socket", "waiting")

    def __init__(self, number: int, accepted: socket.socket) -> None:
        self.number = number
        self.socket = accepted
        self.incoming = bytearray()
        self.outgoing = memoryview(b"")
        self.waiting = False
        self.closing = False  # once all has been sent
        self.since = monotonic()  # of the last byte in either direction


class Link:
    """Serves a listening socket.

    Args:
        listening: Bound and listening; closed by this thread when it ends.
        deliver: Takes a Request; raises if it cannot.
        belongs: Whether the incarnation it serves is still there.
        failed: Told, from this thread, when it ends on an error.
        limit: Connections at once; one more is told so and closed.
        idle: Seconds after which a silent connection is closed.
    """

    def __init__(
        self,
        listening: socket.socket,
        deliver: Callable[[Request], None],
        *,
        belongs: Callable[[], bool],
        failed: Callable[[BaseException], None],
        limit: int,
        idle: float,
    ) -> None:
        self._listening = listening
        self._deliver = deliver
        self._belongs = belongs
        self._failed = failed
        self._limit = limit
        self._idle = idle
        self._connections: dict[int, _Connection] = {}
        self._accepted = 0
        self._answers: deque[tuple[int, bytes]] = deque()
        self._stopping = False
        self._wake_here, self._wake_there = socket.socketpair()
        for one in (listening, self._wake_here, self._wake_there):
            one.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._run, name="upright-control-link", daemon=True)
        _open.add(self)

    # From any thread.

    def start(self) -> None:
        """Start serving."""
        # CPython 3.11 takes a thread that is just being made for the one that makes it: an interrupt of that would end
        # the new one before it has said that it runs, and the other would wait for it for ever, with the socket.
        with shielded():
            self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Send the answers that are ready, close everything, and wait; False if that took longer than `timeout`."""
        self._stopping = True
        self._wake()
        if self._thread.ident is None:
            self._close()
        elif threading.current_thread() is not self._thread:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def answer(self, connection: int, line: bytes) -> None:
        """Send the answer to the request in hand of a connection; nothing happens if that is gone."""
        self._answers.append((connection, line))
        self._wake()

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    def _wake(self) -> None:
        with suppress(OSError):  # full: it is awake; closed: it needs no waking
            self._wake_there.send(b"\0")

    def close_after_fork(self) -> None:
        """Close the copies that a forked child got: no thread serves them there."""
        for one in (self._listening, self._wake_here, self._wake_there):
            one.close()
        for connection in self._connections.values():
            connection.socket.close()
        self._selector.close()

    # In its own thread.

    def _run(self) -> None:
        try:
            self._selector.register(self._listening, selectors.EVENT_READ)
            self._selector.register(self._wake_here, selectors.EVENT_READ)
            while not self._stopping and self._belongs():
                ready = self._selector.select(_TICK)
                # New ones last: who left a moment ago shall not count against them.
                for key, events in sorted(ready, key=lambda one: one[0].fileobj is self._listening):
                    self._serve(key.fileobj, key.data, events)
                self._send_answers()
                self._drop_idle()
            self._send_answers()
        except BaseException as error:
            self._failed(error)
        finally:
            self._close()

    def _close(self) -> None:
        for connection in list(self._connections.values()):
            self._drop(connection)
        for one in (self._listening, self._wake_here, self._wake_there):
            one.close()
        self._selector.close()

    def _serve(self, ready: Any, connection: _Connection | None, events: int) -> None:
        if ready is self._listening:
            self._accept()
        elif connection is None:
            with suppress(OSError):
                self._wake_here.recv(_CHUNK)
        else:
            if events & selectors.EVENT_WRITE:
                self._write(connection)
            if events & selectors.EVENT_READ and connection.number in self._connections:
                self._read(connection)

    def _accept(self) -> None:
        try:
            accepted, _ = self._listening.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                sleep(_NO_DESCRIPTORS)  # the connection goes on waiting, and select would return at once
            return
        accepted.setblocking(False)
        self._accepted += 1
        connection = _Connection(self._accepted, accepted)
        self._connections[connection.number] = connection
        self._selector.register(accepted, selectors.EVENT_READ, connection)
        uid = peer_uid(accepted)
        if uid is not None and uid not in (os.geteuid(), 0):
            why = f"this process belongs to user {os.geteuid()}; user {uid} may not talk to it"
            self._turn_away(connection, ErrorKind.FORBIDDEN, why)
        elif len(self._connections) > self._limit:
            self._turn_away(connection, ErrorKind.BUSY, f"{self._limit} connections are open already; try again")

    def _turn_away(self, connection: _Connection, kind: ErrorKind, why: str) -> None:
        connection.closing = True
        self._send(connection, refusal(None, Refused(kind, why)))

    def _read(self, connection: _Connection) -> None:
        try:
            data = connection.socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
            return
        connection.since = monotonic()
        connection.incoming += data
        self._take_line(connection)

    def _take_line(self, connection: _Connection) -> None:
        if connection.waiting or connection.closing:
            return
        end = connection.incoming.find(b"\n")
        if end >= MAX_REQUEST or (end < 0 and len(connection.incoming) >= MAX_REQUEST):
            self._turn_away(connection, ErrorKind.TOO_LARGE, f"a request may have {MAX_REQUEST} bytes")
        elif end >= 0:
            line = bytes(connection.incoming[:end])
            del connection.incoming[: end + 1]
            connection.waiting = True
            self._watch(connection)
            try:
                self._deliver(Request(self, connection.number, line))
            except Exception as error:
                self._turn_away(connection, ErrorKind.BUSY, f"try again: {error}")

    def _send_answers(self) -> None:
        while self._answers:
            number, line = self._answers.popleft()
            connection = self._connections.get(number)
            if connection is not None:
                self._send(connection, line)

    def _send(self, connection: _Connection, line: bytes) -> None:
        connection.outgoing = memoryview(line)
        connection.since = monotonic()
        self._write(connection)

    def _write(self, connection: _Connection) -> None:
        try:
            sent = connection.socket.send(connection.outgoing)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(connection)
            return
        connection.outgoing = connection.outgoing[sent:]
        if sent:
            connection.since = monotonic()
        if connection.outgoing:
            self._watch(connection)
        elif connection.closing:
            self._drop(connection)
        else:
            connection.waiting = False
            self._watch(connection)
            self._take_line(connection)  # the next request may have come with the last

    def _watch(self, connection: _Connection) -> None:
        """Wait for what the connection can do next: take bytes, or bring some. While its request is in hand neither."""
        events = selectors.EVENT_WRITE if connection.outgoing else 0
        if not connection.waiting and not connection.closing:
            events |= selectors.EVENT_READ
        known = connection.socket in self._selector.get_map()
        if not events:
            if known:
                self._selector.unregister(connection.socket)
        elif known:
            self._selector.modify(connection.socket, events, connection)
        else:
            self._selector.register(connection.socket, events, connection)

    def _drop_idle(self) -> None:
        before = monotonic() - self._idle
        for connection in [one for one in self._connections.values() if one.since < before]:
            self._drop(connection)

    def _drop(self, connection: _Connection) -> None:
        if self._connections.pop(connection.number, None) is None:
            return
        with suppress(KeyError, ValueError):
            self._selector.unregister(connection.socket)
        connection.socket.close()


def peer_uid(connected: socket.socket) -> int | None:
    """Return the user at the other end; None where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    data = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    uid: int = _PEER.unpack(data)[1]
    return uid


def _close_in_forked_child() -> None:
    for link in list(_open):
        link.close_after_fork()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_forked_child)
