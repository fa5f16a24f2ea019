"""Where control sockets are: a folder of one user's, closed to everybody else.

`$XDG_RUNTIME_DIR/upright`, or `/tmp/upright-UID` where there is no such variable, as for services. Who looks for
sockets looks in both: a service and the shell of its operator seldom have the same environment.
"""

from __future__ import annotations

import os
import re
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from upright.strategies.errors import UprightError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "HAS_UNIX_SOCKETS",
    "NO_UNIX_SOCKETS",
    "RuntimeDirError",
    "SocketFile",
    "is_listening",
    "make_private",
    "remove_stale",
    "runtime_dirs",
    "socket_files",
    "socket_name",
]

HAS_UNIX_SOCKETS: Final = hasattr(socket, "AF_UNIX")
NO_UNIX_SOCKETS: Final = (
    "this Python has no Unix domain sockets (as on Windows), so a tree cannot be reached from another process here; "
    "inside its own process use tree.status(), tree.history(), tree.flags and tree.breakers"
)

_SUFFIX: Final = ".sock"
_NAME: Final = re.compile(r"(?P<pid>\d+)-(?P<name>[\w.-]+)\.sock", re.ASCII)


class RuntimeDirError(UprightError):
    """A folder for control sockets cannot be used; the text says why and what to do."""


class SocketFile(NamedTuple):
    """A control socket as its file name describes it."""

    path: Path
    pid: int
    name: str


def runtime_dirs(environ: Mapping[str, str], uid: int | None = None) -> list[Path]:
    """Return where the sockets of a user may be, the best place first.

    Args:
        environ: Where `XDG_RUNTIME_DIR` is read from, if it is the caller's own.
        uid: The user; None is the one that this process acts for.
    """
    own = os.geteuid()
    uid = own if uid is None else uid
    given = environ.get("XDG_RUNTIME_DIR", "") if uid == own else f"/run/user/{uid}"
    # Under sudo the variable may still name another user's folder.
    usable = given.startswith("/") and _owner(Path(given)) == uid
    return [*([Path(given, "upright")] if usable else []), Path(f"/tmp/upright-{uid}")]  # noqa: S108 - see make_private


def _owner(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except OSError:
        return None


def make_private(folder: Path) -> None:
    """Make a folder that only this user may enter, or check that it is one.

    Anybody may create `/tmp/upright-UID` before its user does. So an existing folder is used only if it is a real
    one, belongs to this user and is closed to all others.

    Raises:
        RuntimeDirError: It is not, or cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise RuntimeDirError(f"cannot make the folder {folder}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise RuntimeDirError(f"{folder} is not a folder; remove it")
    if found.st_uid != os.geteuid():
        raise RuntimeDirError(f"{folder} belongs to user {found.st_uid} and not to {os.geteuid()}; remove it")
    if found.st_mode & 0o077:
        raise RuntimeDirError(f"{folder} is open to other users; run: chmod 700 {folder}")


def socket_name(name: str, pid: int, number: int = 1) -> str:
    """Return the file name of a tree's socket; `number` tells trees of one name in one process apart."""
    safe = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)[:32] or "upright"
    return f"{pid}-{safe}{'' if number == 1 else f'-{number}'}{_SUFFIX}"


def socket_files(folder: Path, uid: int | None = None) -> Iterator[SocketFile]:
    """Yield the control sockets in a folder that belong to a user, by process id; nothing if it is not theirs."""
    uid = os.geteuid() if uid is None else uid
    try:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid:
            return
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for path in entries:
        match = _NAME.fullmatch(path.name)
        try:
            ours = match is not None and stat.S_ISSOCK(path.lstat().st_mode) and path.lstat().st_uid == uid
        except OSError:
            continue
        if ours and match is not None:
            yield SocketFile(path, int(match["pid"]), match["name"])


def is_listening(path: Path) -> bool:
    """Whether anybody listens on a socket; asked without sending anything."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect(str(path))
        except (BlockingIOError, TimeoutError):
            return True  # its queue is full: somebody owns it
        except OSError:
            return False
        return True


def remove_stale(folder: Path) -> list[Path]:
    """Remove sockets whose process is gone, and return them.

    A process id that does not exist here may exist in another container that shares the folder; so a socket on
    which somebody listens is never removed.
    """
    removed = []
    for file in socket_files(folder):
        if not _exists(file.pid) and not is_listening(file.path):
            file.path.unlink(missing_ok=True)
            removed.append(file.path)
    return removed


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
