"""What the demo does to the service: each fault really happens to a real server."""

from __future__ import annotations

import itertools
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.demo.server import Running
    from upright.demo.tutoring_service.stand_ins import StandIns

__all__ = ["GAP", "Fault", "Injection", "faults_of", "plan", "seconds_for"]

GAP = 2.5
"""Seconds from one fault to the next, at least."""
_PEACE = 4.0  # seconds: the first one and the last three
_OUTAGE = 1.0
_FILL = 160  # MiB in the page cache, beyond its budget of 128


@dataclass(frozen=True, slots=True)
class Fault:
    """One way of breaking a part.

    Attributes:
        name: What happens, in a few words.
        part: To which part.
        inject: Does it, and returns when the part is whole again.
        repair: What an operator does if the service has not recovered by itself.
    """

    name: str
    part: str
    inject: Callable[[], object]
    repair: Callable[[], object] = lambda: None


@dataclass(frozen=True, slots=True)
class Injection:
    """A fault that is due.

    Attributes:
        at: Seconds after the start of the campaign.
        fault: Which.
    """

    at: float
    fault: Fault


def faults_of(parts: StandIns, running: Running) -> list[Fault]:
    """Return every fault there is, for the servers and the service that are running."""
    pages, voice = running.service.pages, running.service.voice
    return [
        Fault("terminate all backends", "postgres", parts.postgres.terminate_backends),
        Fault("stop the server, start it again", "postgres", lambda: _outage(parts.postgres)),
        Fault("kill -9 the server, start it again", "postgres", lambda: _killed(parts.postgres)),
        Fault("exhaust the connections", "postgres", lambda: _exhausted(parts)),
        Fault("kill -9 the server, start it again", "redis", lambda: _killed(parts.redis)),
        Fault("make it read-only for a second", "redis", lambda: _demoted(parts)),
        Fault("kill the endpoint, start it again", "model", lambda: _killed(parts.model)),
        Fault("answer 503 for a second", "model", lambda: _unavailable(parts)),
        Fault("cut all connections", "speech", parts.speech.drop, voice.restart),
        Fault("stop the server, start it again", "speech", lambda: _outage(parts.speech), voice.restart),
        Fault("stall for a second without closing", "speech", lambda: _stalled(parts), voice.restart),
        Fault("fill the memory", "memory", lambda: _fill(pages.cache), pages.cache.clear),
    ]


def plan(faults: list[Fault], *, duration: float, seed: int) -> list[Injection]:
    """Return which faults are injected when: the same for the same seed.

    As many as there is room for, at least one. No kind comes twice before every kind was there, and no part has its
    second before every part has had one.

    Args:
        faults: Those there are.
        duration: Seconds of the whole campaign; the first second and the last three are left in peace.
        seed: Of the random numbers.
    """
    chance = random.Random(seed)
    count = max(1, int((duration - _PEACE) / GAP))
    chosen = _part_by_part(faults, chance)[:count]
    chosen += (chance.choice(faults) for _ in range(count - len(chosen)))
    chance.shuffle(chosen)
    return [Injection(1.0 + index * GAP + chance.uniform(0.0, 0.3), fault) for index, fault in enumerate(chosen)]


def seconds_for(count: int) -> float:
    """The shortest campaign that has room for so many faults."""
    return _PEACE + GAP * count


def _part_by_part(faults: list[Fault], chance: random.Random) -> list[Fault]:
    by_part: dict[str, list[Fault]] = {}
    for fault in chance.sample(faults, len(faults)):
        by_part.setdefault(fault.part, []).append(fault)
    rounds = itertools.zip_longest(*by_part.values())
    return [fault for one_of_each in rounds for fault in one_of_each if fault is not None]


def _outage(server: object) -> None:
    server.stop()  # type: ignore[attr-defined]
    time.sleep(_OUTAGE)
    server.start()  # type: ignore[attr-defined]


def _killed(server: object) -> None:
    server.kill()  # type: ignore[attr-defined]
    time.sleep(_OUTAGE)
    server.start()  # type: ignore[attr-defined]


def _exhausted(parts: StandIns) -> None:
    # Those that the service holds are ended as well, or it would hardly notice.
    with parts.postgres.exhausted_connections():
        parts.postgres.terminate_backends()
        time.sleep(_OUTAGE)


def _demoted(parts: StandIns) -> None:
    parts.redis.demote(("127.0.0.1", 1))  # a master that does not exist
    time.sleep(_OUTAGE)
    parts.redis.promote()


def _unavailable(parts: StandIns) -> None:
    from upright.testing.servers.http import Reply

    answer = parts.model.handler
    parts.model.handler = lambda _request: Reply(503, b"come back later", {"Retry-After": "1"})
    try:
        time.sleep(_OUTAGE)
    finally:
        parts.model.handler = answer


def _stalled(parts: StandIns) -> None:
    parts.speech.stall()
    time.sleep(_OUTAGE)
    parts.speech.resume()


def _fill(cache: dict[str, bytes]) -> None:
    # Page by page: what is not in the cache yet could not be cleared from it.
    mebibyte = bytes(range(256)) * 4096
    for number in range(_FILL):
        cache[f"old page {number}"] = mebibyte + number.to_bytes(2, "big")
