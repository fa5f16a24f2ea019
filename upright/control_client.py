"""Finding the trees of other processes, and talking to them.

The counterpart of `upright.actors.control`; what `upright status` and its siblings are made of. Blocking, with a
timeout on everything.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final, Self

import psutil

from upright.actors.control_link import peer_uid
from upright.actors.control_wire import MAX_ANSWER, VERSION, ErrorKind
from upright.actors.runtime_dir import HAS_UNIX_SOCKETS, NO_UNIX_SOCKETS, is_listening, runtime_dirs, socket_files
from upright.strategies.errors import UprightError
from upright.strategies.options import require_count, require_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

__all__ = [
    "Ambiguous",
    "CommandRefused",
    "ControlClient",
    "ControlError",
    "Found",
    "NotFound",
    "NotReachable",
    "find",
    "find_all",
]

_CHUNK: Final = 262_144
_LONGEST: Final = 86_400.0  # seconds; a socket cannot be told to wait for much longer
_AGAIN: Final = 0.01  # seconds between two tries to connect


class ControlError(UprightError):
    """A tree could not be asked; the text is fit for an operator."""


class NotFound(ControlError):  # noqa: N818 - what happened
    """No running tree fits."""


class Ambiguous(ControlError):  # noqa: N818 - what happened
    """Several running trees fit; the text lists them."""


class NotReachable(ControlError):  # noqa: N818 - what happened
    """Its socket does not answer, or not in time."""


class CommandRefused(ControlError):  # noqa: N818 - what happened
    """The tree answered that it will not.

    Attributes:
        kind: Why, for programs.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Found:
    """A tree that can be asked.

    Attributes:
        pid: Its process.
        name: Its name as in the socket's file name; None if the socket was named by path.
        path: Its socket.
    """

    pid: int | None
    name: str | None
    path: Path

    def __str__(self) -> str:
        return str(self.path) if self.pid is None else f"{self.name} (pid {self.pid})"


def find_all(environ: Mapping[str, str] | None = None, *, pid: int | None = None) -> list[Found]:
    """Return the trees of this user that are listening, by process id.

    Args:
        environ: Where `XDG_RUNTIME_DIR` is read from; None is the process's environment.
        pid: Only those of this process; of any user's, where the system lets us (that is, for root).

    Raises:
        NotReachable: There are no Unix sockets on this system.
    """
    if pid is not None:
        require_count("find_all.pid", pid, least=1)
    if not HAS_UNIX_SOCKETS:
        raise NotReachable(NO_UNIX_SOCKETS)
    environ = os.environ if environ is None else environ
    users = {os.geteuid()}
    if pid is not None and (owner := _owner(pid)) is not None:
        users.add(owner)
    files = [
        file
        for uid in sorted(users)
        for folder in runtime_dirs(environ, uid)
        for file in socket_files(folder, uid)
        if pid in (None, file.pid)
    ]
    found = [Found(file.pid, file.name, file.path) for file in files if is_listening(file.path)]
    return sorted(found, key=lambda one: (one.pid or 0, one.name or ""))


def find(
    pid: int | None = None,
    name: str | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Found:
    """Return the one tree that fits.

    Args:
        pid: Its process; None: whichever.
        name: Its name; None: whichever.
        path: Its socket, if that is not in the runtime directory; nothing is searched then.
        environ: See `find_all`.

    Raises:
        NotFound: None fits, with what to do about it.
        Ambiguous: Several fit.
        NotReachable: There are no Unix sockets on this system.
    """
    if pid is not None:
        require_count("find.pid", pid, least=1)
    if path is not None:
        return Found(None, None, Path(path))
    everything = find_all(environ, pid=pid)
    fitting = [one for one in everything if name in (None, one.name)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        listed = "".join(f"\n  --pid {one.pid} --name {one.name}" for one in fitting)
        raise Ambiguous(f"{len(fitting)} trees are running; choose one:{listed}")
    raise NotFound(_why_not_found(pid, name, everything))


def _why_not_found(pid: int | None, name: str | None, everything: list[Found]) -> str:
    if everything:
        listed = ", ".join(str(one) for one in everything)
        return f"no tree is called {name!r}; running: {listed}"
    if pid is None:
        return (
            f"no running tree of user {os.geteuid()} found. It is there once upright.boot() has returned, unless "
            "control.enabled is off; a socket that was put elsewhere by control.path needs --socket PATH"
        )
    if not psutil.pid_exists(pid):
        return f"there is no process {pid}"
    owner = _owner(pid)
    if owner not in (None, os.geteuid()) and os.geteuid() != 0:
        return f"process {pid} belongs to user {owner}; run this as that user"
    return (
        f"process {pid} runs, but no upright tree with a control socket in it (`upright doctor` says what to look at)"
    )


def _owner(pid: int) -> int | None:
    try:
        uid: int = psutil.Process(pid).uids().effective
    except (psutil.Error, OverflowError, ValueError):
        return None
    return uid


class ControlClient:
    """One connection to a tree; a context manager.

    Args:
        target: Which tree.
        timeout: Seconds for connecting, and for each command, above 0.

    Raises:
        NotReachable: Nobody listens there, or somebody else does.
    """

    def __init__(self, target: Found, *, timeout: float = 5.0) -> None:
        require_seconds("ControlClient.timeout", timeout, above=True)
        if not HAS_UNIX_SOCKETS:
            raise NotReachable(NO_UNIX_SOCKETS)
        timeout = min(timeout, _LONGEST)
        self.target = target
        self.timeout = timeout
        self._rest = bytearray()
        self._number = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        try:
            self._connect()
            self._check_peer()
        except OSError as error:
            self._socket.close()
            reason = error.strerror or str(error)
            raise NotReachable(f"{target} does not answer on {target.path}: {reason}") from error
        except BaseException:
            self._socket.close()
            raise

    def _connect(self) -> None:
        """Connect; while too many others wait for that, try again: a socket with a timeout does not queue."""
        deadline = monotonic() + self.timeout
        while True:
            try:
                self._socket.connect(os.fspath(self.target.path))
                return
            except BlockingIOError:
                if monotonic() > deadline:
                    raise
            sleep(_AGAIN)

    def _check_peer(self) -> None:
        """Believe only the owner of the socket's file, or root: others could have put a socket there."""
        uid = peer_uid(self._socket)
        allowed = {os.geteuid(), 0}
        if os.geteuid() == 0:  # root looks into everybody's processes
            allowed.add(self.target.path.lstat().st_uid)
        if uid is not None and uid not in allowed:
            raise NotReachable(f"{self.target.path} is served by user {uid}, not by user {os.geteuid()}")

    def call(self, command: str, /, **args: Any) -> Any:
        """Run a command and return its result.

        Raises:
            CommandRefused: The tree answered with a refusal.
            NotReachable: No answer in time, or the connection broke.
        """
        self._number += 1
        request = {"v": VERSION, "id": self._number, "command": command, "args": args}
        deadline = monotonic() + self.timeout
        try:
            self._socket.settimeout(self.timeout)
            self._socket.sendall(json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            pass  # it closed the connection, and may have said why
        except OSError as error:
            raise NotReachable(f"{self.target} does not take requests: {error}") from error
        return self._result(self._line(command, deadline))

    def _line(self, command: str, deadline: float) -> bytes:
        while (end := self._rest.find(b"\n")) < 0:
            if len(self._rest) > MAX_ANSWER + _CHUNK:
                raise NotReachable(f"{self.target} sent an answer of more than {MAX_ANSWER} bytes")
            left = deadline - monotonic()
            try:
                if left <= 0:
                    raise TimeoutError
                self._socket.settimeout(left)
                data = self._socket.recv(_CHUNK)
            except TimeoutError:
                why = f"{self.target} did not answer {command!r} within {self.timeout:g} s"
                raise NotReachable(why) from None
            except OSError as error:
                raise NotReachable(f"the connection to {self.target} broke: {error}") from error
            if not data:
                raise NotReachable(f"{self.target} closed the connection")
            self._rest += data
        line = bytes(self._rest[:end])
        del self._rest[: end + 1]
        return line

    def _result(self, line: bytes) -> Any:
        try:
            answer = json.loads(line)
            if answer["ok"]:
                return answer["result"]
            refused = CommandRefused(str(answer["error"]["kind"]), str(answer["error"]["message"]))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise NotReachable(f"{self.target} sent what is no answer: {line[:80]!r}") from error
        if refused.kind in (ErrorKind.BUSY, ErrorKind.FORBIDDEN):
            raise NotReachable(f"{self.target}: {refused}") from refused
        raise refused

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
