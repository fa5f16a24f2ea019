"""The control socket: how `upright status` and its siblings reach a tree from another process.

A Unix domain socket of mode 0600 in a folder of mode 0700; on Linux the other end's user is checked as well, and only
the same user and root are let in. Where there can be none (Windows, a read-only system, a folder of somebody else's)
the actor runs without, says so in its status and log, and tries again from time to time: a service must not fail for
want of a way to look into it.
"""

from __future__ import annotations

import inspect
import os
import platform
import socket
import stat
import sys
import weakref
from contextlib import suppress
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, Final

from upright.actors.actor import SupervisedActor
from upright.actors.control_link import Link, Request
from upright.actors.control_wire import VERSION, ErrorKind, Refused, answer, parse, refusal
from upright.actors.exits import describe
from upright.actors.log import get_logger
from upright.actors.runtime_dir import (
    HAS_UNIX_SOCKETS,
    NO_UNIX_SOCKETS,
    RuntimeDirError,
    is_listening,
    make_private,
    remove_stale,
    runtime_dirs,
    socket_name,
)
from upright.strategies.control_options import MAX_SOCKET_PATH
from upright.strategies.errors import UprightError
from upright.strategies.foreign import shown
from upright.strategies.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from upright.actors.address import Address

__all__ = ["ControlServer"]

MAX_CONNECTIONS: Final = 16
_BACKLOG: Final = 128  # connections that may wait to be accepted, or to be told that there are too many
_IDLE: Final = 300.0  # seconds until a silent connection is closed
_CHECK_EVERY: Final = 30.0  # seconds between two looks at whether the socket is still where it was put
_FIRST_RETRY: Final = 1.0  # seconds, doubled up to the above, between two tries to open it: an earlier incarnation that
# was killed keeps it open for as long
_MAX_SAME_NAME: Final = 100  # trees of one name in one process

_CHECK: Final = object()

# Which address owns which path in this process. `setdefault` decides between two trees of the same name in one step;
# an actor that is started again finds its own claim. At most one entry a tree: a claim of a dead one is taken over.
_claims: dict[str, weakref.ref[Address[Any]]] = {}


class LinkFailed(Exception):  # noqa: N818 - a fact that crashes the actor
    """The thread behind the socket ended on an error; the actor crashes with it and both are started anew."""


class ControlServer(SupervisedActor):
    """Answers what other processes of the same user ask about this one.

    Receives: `Request` from its link. Replies: one line to each, on the connection it came from.
    Owns: the socket, and the thread that waits for it. Blocks on: the commands, which must not.

    Args:
        commands: What can be asked, by name; called in the actor's thread with the request's arguments as keywords.
            An UprightError, KeyError, ValueError or TypeError from a command refuses the request with its text; any
            other exception is answered with its type and text. What is returned goes through `plain()`.
        name: The tree's name, part of the socket's.
        path: Where the socket is to be; None: in the runtime directory.
    """

    def __init__(
        self, commands: Mapping[str, Callable[..., Any]], *, name: str = "upright", path: str | None = None
    ) -> None:
        super().__init__()
        self._commands = {"hello": self._hello, **commands}
        self._name = name
        self._wanted_path = None if path is None else Path(path)
        self._link: Link | None = None
        self._path: Path | None = None
        self._identity: tuple[int, int] | None = None  # device and inode of the socket's file
        self._complaint: str | None = None  # what was logged last, so that it is not logged at every try
        self._started = time()
        self._served = 0
        self._retry = _FIRST_RETRY

    def on_start(self) -> None:
        """Open the socket, or say why there is none."""
        if not HAS_UNIX_SOCKETS:
            self._unavailable(NO_UNIX_SOCKETS)
            return
        self._open()
        self._check_later()

    def on_stop(self) -> None:
        """Close the socket and remove its file."""
        self._close()

    def on_failure(self, *_: Any) -> None:
        """Close the socket; the next incarnation opens it again."""
        self._close()

    def on_receive(self, message: Any) -> Any:
        """Answer a request, or look after the socket."""
        if isinstance(message, Request):
            self._served += 1
            message.link.answer(message.connection, self._answer(message.line))
            if self._path is not None:
                self._show(socket=str(self._path))
            return None
        if message is _CHECK:
            self._check()
            return None
        if isinstance(message, LinkFailed):
            raise message
        return super().on_receive(message)

    # Answering.

    def _answer(self, line: bytes) -> bytes:
        request_id = None
        try:
            request_id, name, args = parse(line)
            return answer(request_id, self._run(name, args))
        except Refused as refused:
            return refusal(request_id, refused)
        except Exception as error:
            return refusal(request_id, Refused(ErrorKind.FAILED, _told(error)))

    def _run(self, name: str, args: Mapping[str, Any]) -> Any:
        command = self._commands.get(name)
        if command is None:
            known = ", ".join(sorted(self._commands))
            raise Refused(ErrorKind.UNKNOWN_COMMAND, f"there is no command {shown(name)}; there are {known}")
        try:
            inspect.signature(command).bind(**args)
        except TypeError as error:
            raise Refused(ErrorKind.BAD_REQUEST, f"{name}: {error}") from None
        try:
            return command(**args)
        except Refused:
            raise
        except (UprightError, ValueError, TypeError) as error:
            raise Refused(ErrorKind.REFUSED, redact_text(str(error))) from error
        except KeyError as error:
            raise Refused(ErrorKind.REFUSED, redact_text(str(error.args[0] if error.args else error))) from error

    def _hello(self) -> dict[str, Any]:
        """Return who answers, and what can be asked."""
        return {
            "name": self._name,
            "pid": os.getpid(),
            "protocol": VERSION,
            "python": platform.python_version(),
            "program": sys.argv[0] if sys.argv else "",
            "started_at": self._started,
            "commands": sorted(self._commands),
        }

    # The socket.

    def _open(self) -> None:
        """Open the socket in the first place where that works."""
        reasons = []
        for folder in [None] if self._wanted_path is not None else runtime_dirs(os.environ):
            listening: socket.socket | None = None
            try:
                path = self._claim(folder)
                listening = _listen(path)
                found = path.lstat()
                self._path, self._identity = path, (found.st_dev, found.st_ino)
                self._serve(listening)
            except BaseException as error:
                try:
                    self._close()
                finally:
                    if listening is not None:
                        listening.close()  # or the exception would keep it open, in the way of the next incarnation
                if not isinstance(error, RuntimeDirError | OSError):
                    raise
                reasons.append(str(error))
                continue
            return
        self._unavailable("; ".join(reasons))

    def _serve(self, listening: socket.socket) -> None:
        incarnation = self._incarnation
        address = self.actor_ref
        self._link = Link(
            listening,
            address.tell,
            belongs=lambda: incarnation is None or not (incarnation.ended or incarnation.detached),
            failed=lambda error: _report(address, error),
            limit=MAX_CONNECTIONS,
            idle=_IDLE,
        )
        self._link.start()
        self._complaint = None
        self._show(socket=str(self._path))

    def _claim(self, folder: Path | None) -> Path:
        """Return a path that no other tree of this process uses.

        Raises:
            RuntimeDirError: There is none, or the folder is not safe.
        """
        if folder is None:
            assert self._wanted_path is not None  # noqa: S101 - the only case without a folder
            _check_parent(self._wanted_path.parent)
            if not self._owns(str(self._wanted_path)):
                raise RuntimeDirError(f"{self._wanted_path} is used by another tree of this process")
            return self._wanted_path
        make_private(folder)
        remove_stale(folder)
        for number in range(1, _MAX_SAME_NAME):
            path = folder / socket_name(self._name, os.getpid(), number)
            if len(os.fsencode(path)) > MAX_SOCKET_PATH:
                raise RuntimeDirError(f"{path} is too long for a Unix socket ({MAX_SOCKET_PATH} bytes)")
            if self._owns(str(path)):
                path.unlink(missing_ok=True)  # of an earlier incarnation, or of a process that had this id before
                return path
        raise RuntimeDirError(f"{_MAX_SAME_NAME} trees of this process are called {self._name!r}")

    def _owns(self, path: str) -> bool:
        mine = weakref.ref(self.actor_ref)
        holder = _claims.setdefault(path, mine)()
        if holder is None or not holder.is_alive():
            _claims[path] = mine
            return True
        return holder is self.actor_ref

    def _check(self) -> None:
        """Open the socket again if something removed it, as cleaners of /tmp do, or if there was none."""
        if self._path is None or not self._is_in_place(self._path):
            self._close()
            self._open()
        elif self._link is not None:
            self._show(socket=str(self._path))
        self._check_later()

    def _check_later(self) -> None:
        if self._path is not None:
            self._retry = _FIRST_RETRY
        self.send_after(_CHECK_EVERY if self._path is not None else self._retry, _CHECK)
        self._retry = min(2 * self._retry, _CHECK_EVERY)

    def _is_in_place(self, path: Path) -> bool:
        try:
            found = path.lstat()
            os.utime(path)  # a sign of life for cleaners that go by age
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    def _close(self) -> None:
        link, self._link = self._link, None
        path, self._path = self._path, None
        if link is not None:
            link.stop(timeout=2.0)
        if path is not None:
            if self._is_in_place(path):
                with suppress(OSError):
                    path.unlink()
            _claims.pop(str(path), None)

    # Its own status.

    def _unavailable(self, why: str) -> None:
        self._show(unavailable=why)
        if why != self._complaint:
            self._complaint = why
            get_logger("control").warning("control_socket_unavailable", tree=self._name, reason=why)

    def _show(self, **details: Any) -> None:
        connections = 0 if self._link is None else self._link.connections
        self.status_details = {**details, "connections": connections, "served": self._served}


def _listen(path: Path) -> socket.socket:
    """Return a listening socket at `path`, closed to other users from its first moment.

    Raises:
        RuntimeDirError: Something that is no abandoned socket is in the way.
        OSError: The system refuses.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        pass
    else:
        if not stat.S_ISSOCK(found.st_mode):
            raise RuntimeDirError(f"{path} exists and is no socket; remove it")
        if is_listening(path):
            raise RuntimeDirError(f"{path} is used by another process")
        path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(OSError):
            os.fchmod(listening.fileno(), 0o600)  # Linux makes the file with this mode; elsewhere the next but one line
        listening.bind(os.fspath(path))
        path.chmod(0o600)
        listening.listen(_BACKLOG)
        return listening  # in here: an interrupt that hits this line is no different
    except BaseException:
        listening.close()
        raise


def _check_parent(folder: Path) -> None:
    """Refuse a folder in which others could put a socket of theirs in the place of ours."""
    try:
        found = folder.stat()
    except OSError as error:
        raise RuntimeDirError(f"cannot use the folder {folder}: {error.strerror}") from error
    if found.st_uid not in (os.geteuid(), 0) or (found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX):
        raise RuntimeDirError(f"{folder} can be written to by other users; use another, or run: chmod go-w {folder}")


def _report(address: Address[Any], error: BaseException) -> None:
    with suppress(Exception):  # the actor is gone as well
        address.tell(LinkFailed(describe(error)))


def _told(error: Exception) -> str:
    return redact_text(describe(error, 2_000))
