"""A server that runs as a process of its own, and that never outlives the process which started it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil

from upright.strategies.errors import ConfigError, UprightError
from upright.strategies.foreign import is_of
from upright.strategies.options import require_count, require_seconds, require_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

__all__ = ["ServerError", "ServerProcess", "free_port", "unprivileged_user"]

LOOPBACK = "127.0.0.1"

# Ends the server and removes its folder when standard input ends, which is when the starting process is gone,
# however it went: pytest-timeout leaves by os._exit, and nobody can catch SIGKILL.
_GUARD = 'read _; kill -s "$2" "$1" 2>/dev/null; sleep 1; rm -rf -- "$3"'


class ServerError(UprightError):
    """A test server could not be started, or did not do what it was told within its time."""


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def unprivileged_user() -> str | None:
    """Whom to run a server as that refuses root; None if this process is not root, and need not switch.

    Raises:
        ServerError: If this process is root and the system knows nobody else.
    """
    if sys.platform == "win32" or os.geteuid() != 0:
        return None
    import pwd  # noqa: PLC0415 - Unix only

    for name in ("nobody", "daemon", "postgres"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise ServerError("running as root, and there is no user 'nobody', 'daemon' or 'postgres' to switch to")


class ServerProcess:
    """Starts, kills and restarts one server process; a base for the servers of this package.

    Use it as a context manager. The address stays the same across restarts. Whatever becomes of this process,
    a guard (one sleeping shell) ends the server and removes its folder.

    Args:
        name: For error texts and the folder's name.
        ready_within: Seconds that a start may take.

    Raises:
        ConfigError: `name` is no file's name, or `ready_within` no finite number above 0.
    """

    guard_signal = "KILL"
    """How the guard ends the server."""

    def __init__(self, name: str, *, ready_within: float = 20.0) -> None:
        kind = type(self).__name__
        require_seconds(f"{kind}.ready_within", ready_within, above=True)
        self.name = require_text(f"{kind}.name", name, "the name of a file", re.compile(r"[\w-][\w.-]{0,99}").fullmatch)
        self.host = LOOPBACK
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"upright-{name}-"))
        self.ready_within = ready_within
        self._log = self.folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._remove = weakref.finalize(self, shutil.rmtree, str(self.folder), ignore_errors=True)

    def command(self) -> Sequence[str]:
        """The command line of the server."""
        raise NotImplementedError

    def check_ready(self) -> bool:
        """Whether the server answers; may raise while it does not."""
        raise NotImplementedError

    def popen_options(self) -> Mapping[str, Any]:
        """Further arguments of subprocess.Popen."""
        return {}

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Process id; None while it does not run."""
        return self._process.pid if self._process is not None and self.is_running else None

    def start(self) -> Self:
        """Start it, and return when it answers. Starting a running server does nothing.

        Raises:
            ServerError: If it ends at once, or does not answer within `ready_within`; with its log's end.
        """
        deadline = time.monotonic() + self.ready_within
        while not self.is_running:
            self._spawn()
            if self._wait_ready(deadline):
                break
            # After a kill the old children may hold shared memory or the port for a moment.
            if time.monotonic() > deadline:
                raise ServerError(f"{self.name} did not start; its log ends:\n{self.log_tail()}")
            time.sleep(0.05)
        return self

    def stop(self, *, how: signal.Signals = signal.SIGTERM, within: float = 10.0) -> None:
        """Ask it to end, and return when it has; it is killed when `within` seconds are over.

        Raises:
            ConfigError: `how` is no signal, or `within` no finite number >= 0.
        """
        kind = type(self).__name__
        require_seconds(f"{kind}.stop.within", within)
        if not is_of(how, signal.Signals):
            raise ConfigError(f"{kind}.stop.how", how, "one of signal.Signals")
        if self._process is None:
            return
        if self.is_running:
            self._process.send_signal(how)
            try:
                self._process.wait(within)
            except subprocess.TimeoutExpired:
                self.kill()
        self._reap()

    def kill(self) -> None:
        """Kill it and all of its children at once, as a crash would: no goodbye to its clients."""
        if self._process is not None and self.is_running:
            family = [self._process.pid]
            with contextlib.suppress(psutil.Error):
                family += [child.pid for child in psutil.Process(self._process.pid).children(recursive=True)]
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait(10)
        self._reap()

    def restart(self) -> None:
        """Stop and start at the same address."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Stop all of its processes without ending them: connections stay open and nobody answers."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        self._signal_all(signal.SIGCONT)

    def close(self) -> None:
        """End it for good and remove its folder."""
        self.kill()
        self._remove()

    def log_tail(self, characters: int = 2_000) -> str:
        """The end of what the server wrote.

        Raises:
            ConfigError: `characters` is no count.
        """
        require_count(f"{type(self).__name__}.log_tail.characters", characters)
        try:
            text = self._log.read_text(errors="replace")
        except OSError:
            return ""
        return text[max(0, len(text) - characters) :]

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _spawn(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                list(self.command()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C of the terminal is for the application
                **self.popen_options(),
            )
        if sys.platform != "win32":
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "guard", str(self._process.pid), self.guard_signal, str(self.folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _wait_ready(self, deadline: float) -> bool:
        while time.monotonic() < deadline:
            if not self.is_running:
                self._reap()
                return False
            with contextlib.suppress(Exception):  # not ready may look like anything
                if self.check_ready():
                    return True
            time.sleep(0.02)
        self.kill()
        return False

    def _reap(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            # Before its pipe is closed, so that it cannot act on a process id that has been given away.
            guard.kill()
            guard.wait(10)
            if guard.stdin is not None:
                guard.stdin.close()
        if self._process is not None and self._process.poll() is not None:
            self._process = None

    def _signal_all(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        main = psutil.Process(self._process.pid)
        for process in [main, *main.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)
