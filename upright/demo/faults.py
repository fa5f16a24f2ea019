"""What the demo does to the service: each fault really happens to a real server."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.testing.servers.postgres import PostgresServer

__all__ = ["Fault", "Injection", "plan"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One way of breaking a part.

    Attributes:
        name: What happens, in a few words.
        part: To which part.
        inject: Does it, and returns when the part is whole again.
    """

    name: str
    part: str
    inject: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Injection:
    """A fault that is due.

    Attributes:
        at: Seconds after the start of the campaign.
        fault: Which.
    """

    at: float
    fault: Fault


def plan(server: PostgresServer, *, duration: float, seed: int) -> list[Injection]:
    """Return which faults are injected when: the same for the same seed, and at least one of each kind.

    Args:
        server: The database that is broken.
        duration: Seconds of the whole campaign; the first second and the last three are left in peace.
        seed: Of the random numbers.
    """
    chance = random.Random(seed)
    kinds = [
        Fault("terminate all backends", "postgres", server.terminate_backends),
        Fault("stop the server, start it again", "postgres", lambda: _stopped(server, 2.0)),
        Fault("kill -9 the server, start it again", "postgres", lambda: _killed(server, 1.0)),
        Fault("exhaust the connections", "postgres", lambda: _exhausted(server, 1.5)),
    ]
    gap = 4.5
    count = max(len(kinds), int((duration - 4.0) / gap))
    chosen = [*kinds, *(chance.choice(kinds) for _ in range(count - len(kinds)))]
    chance.shuffle(chosen)
    return [Injection(1.0 + index * gap + chance.uniform(0.0, 0.5), fault) for index, fault in enumerate(chosen)]


def _stopped(server: PostgresServer, seconds: float) -> None:
    server.stop()
    time.sleep(seconds)
    server.start()


def _killed(server: PostgresServer, seconds: float) -> None:
    server.kill()
    time.sleep(seconds)
    server.start()


def _exhausted(server: PostgresServer, seconds: float) -> None:
    # Those that the service holds are ended as well, or it would hardly notice.
    with server.exhausted_connections():
        server.terminate_backends()
        time.sleep(seconds)
