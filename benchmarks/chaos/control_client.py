"""Other processes at the control socket: some that ask, some that send rubbish, half a request, or too much."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    import threading
    from pathlib import Path

    from benchmarks.chaos.workload import Workload
    from upright.tree import Tree

__all__ = ["ControlClient"]

_PATIENCE = 0.5  # seconds for one answer; the actor may just be down
_STATUS = b'{"v": 1, "id": 7, "command": "status", "args": {}}\n'
_RUBBISH = (
    b"\n",
    b"{}\n",
    b"\xff\xfe\x00\n",
    b'{"v": 1, "id": 1, "command": "no such thing"}\n',
    b'{"v": NaN, "command": []}\n',
    b"[" * 60_000 + b"\n",
)


class ControlClient:
    """Uses the socket of a tree.

    Args:
        path: Where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, _tree: Tree, stopped: threading.Event, rng: random.Random, load: Workload) -> None:
        """Connect again and again until stopped."""
        while not stopped.is_set():
            dice = rng.random()
            if dice < 0.4:
                load.done["control answered" if self.ask(_STATUS) is not None else "control down"] += 1
            elif dice < 0.7:
                self.ask(rng.choice(_RUBBISH))
                load.done["control rubbish"] += 1
            elif dice < 0.9:
                self._half(_STATUS[: rng.randrange(1, len(_STATUS))])
                load.done["control half requests"] += 1
            else:
                self._half(b"x" * 100_000)
                load.done["control floods"] += 1
            sleep(rng.random() * 0.05)

    def is_answered(self, within: float) -> bool:
        """Whether a status comes within so many seconds."""
        until = monotonic() + within
        while monotonic() < until:
            answer = self.ask(_STATUS)
            if answer is not None and answer.get("ok"):
                return True
            sleep(0.02)
        return False

    def ask(self, line: bytes) -> dict[str, Any] | None:
        """Send a line and return the answer; None if there was none."""
        answer = b""
        with suppress(OSError), self._connected() as one:
            one.sendall(line)
            while not answer.endswith(b"\n"):
                part = one.recv(65_536)
                if not part:
                    break
                answer += part
        found: dict[str, Any] | None = json.loads(answer) if answer.endswith(b"\n") else None
        return found

    def _half(self, data: bytes) -> None:
        with suppress(OSError), self._connected() as one:
            one.sendall(data)

    def _connected(self) -> socket.socket:
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        one.settimeout(_PATIENCE)
        try:
            one.connect(str(self.path))
        except OSError:
            one.close()
            raise
        return one
