"""The users of the demo: they ask for lessons, questions, pages and speech, and keep the score."""

from __future__ import annotations

import json
import random
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from upright.strategies.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["PARTS", "Counts", "PartCounts", "start_users"]

PARTS = ("postgres", "model", "redis", "speech", "memory")
_CHUNK = b"\x00\x01" * 80  # ten milliseconds of speech


@dataclass(slots=True)
class PartCounts:
    """What became of the calls that need one part. Raised by many threads."""

    served: Tally = field(default_factory=Tally)
    degraded: Tally = field(default_factory=Tally)
    failed: Tally = field(default_factory=Tally)
    # The newest call that got neither a substitute nor nothing: when it began and ended, monotonic seconds.
    last_fresh: tuple[float, float] = (0.0, 0.0)


@dataclass(slots=True)
class Counts:
    """What became of all calls.

    Attributes:
        parts: By part.
        worst: Seconds of the slowest call.
    """

    parts: dict[str, PartCounts] = field(default_factory=lambda: {part: PartCounts() for part in PARTS})
    worst: float = 0.0

    @property
    def served(self) -> int:
        """Calls that were answered, degraded answers included."""
        return sum(part.served.value for part in self.parts.values())

    @property
    def degraded(self) -> int:
        """Calls whose answer was a substitute."""
        return sum(part.degraded.value for part in self.parts.values())

    @property
    def failed(self) -> int:
        """Calls that got no answer."""
        return sum(part.failed.value for part in self.parts.values())


class _User:
    """One user: asks for one thing after the other."""

    def __init__(self, url: str, number: int, counts: Counts) -> None:
        import httpx

        self._chance = random.Random(number)
        self._name = f"user-{number}"
        self._client = httpx.Client(base_url=url, timeout=10.0)
        self._socket_url = f"{url.replace('http', 'ws', 1)}/voice/{self._name}"
        self._open = ExitStack()
        self._socket: Any = None
        self._counts = counts
        self._actions: dict[str, Callable[[], Any]] = {
            "postgres": lambda: self._get(f"/lessons/{self._chance.randint(1, 20)}"),
            "model": lambda: self._get(f"/explain?question=topic+{self._chance.randint(1, 20)}"),
            "redis": lambda: self._client.post(f"/visits/{self._name}").json(),
            "speech": self._speak,
            "memory": lambda: self._get(f"/pages/{self._chance.getrandbits(40)}"),  # each has to be rendered
        }

    def run(self, stop: threading.Event) -> None:
        """Ask until `stop` is set."""
        try:
            for part, action in self._endless():
                if stop.wait(self._chance.uniform(0.01, 0.03)):
                    return
                self._ask(self._counts.parts[part], action)
        finally:
            self._client.close()
            self._hang_up()

    def _endless(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        while True:
            yield self._chance.choice(list(self._actions.items()))

    def _ask(self, counts: PartCounts, action: Callable[[], Any]) -> None:
        began = time.monotonic()
        try:
            answer = action()
            good = bool(answer["ok"])
        except Exception:
            good = False
            answer = {}
        if not good:
            counts.failed.add()
        else:
            counts.served.add()
            if answer["degraded"] is None:
                counts.last_fresh = (began, time.monotonic())
            else:
                counts.degraded.add()
        self._counts.worst = max(self._counts.worst, time.monotonic() - began)

    def _get(self, path: str) -> Any:
        return self._client.get(path).json()

    def _speak(self) -> Any:
        from websockets.sync.client import connect

        try:
            if self._socket is None:
                self._socket = self._open.enter_context(connect(self._socket_url))
            self._socket.send(_CHUNK)
            return json.loads(self._socket.recv(10.0))
        except Exception:
            self._hang_up()
            raise

    def _hang_up(self) -> None:
        self._socket = None
        with suppress(Exception):
            self._open.close()


def start_users(url: str, counts: Counts, stop: threading.Event, *, users: int) -> list[threading.Thread]:
    """Start users that ask about fifty times a second each, until `stop` is set."""
    threads = [
        threading.Thread(target=_User(url, number, counts).run, args=(stop,), name=f"user-{number}", daemon=True)
        for number in range(users)
    ]
    for thread in threads:
        thread.start()
    return threads
