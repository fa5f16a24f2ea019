"""How long and how often a healing tries: bounded attempts until the resource can be used again."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from upright.strategies import pace
from upright.strategies.backoff import Backoff
from upright.strategies.classification import classify
from upright.strategies.failure_text import failure_text
from upright.strategies.healing.base import HealingFailed
from upright.strategies.options import require_count, require_seconds
from upright.strategies.procedure import Pause, Procedure

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Effort"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long and how often a healing tries to use the resource again.

    Args:
        seconds: For all attempts together, above 0. No attempt begins later.
        attempts: At most so many, at least 1.
        backoff: The waits in between. A short longest wait heals soon after the resource is back, at the price
            of one attempt per wait from one process; the standard waits grow from 50 ms to 0.5 s.
        now: Monotonic seconds.
        random: Numbers in [0, 1].

    Raises:
        ConfigError: If a value breaks its rule.
    """

    seconds: float = 25.0
    attempts: int = 100
    backoff: Backoff = field(default_factory=lambda: Backoff(0.05, 0.5))
    now: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        require_seconds("Effort.seconds", self.seconds, above=True)
        require_count("Effort.attempts", self.attempts, least=1)

    def until_used(self, use: Callable[[float], Procedure[T]], *, wait: float = 0.0) -> Procedure[T]:
        """Make attempts until one succeeds.

        Args:
            use: One attempt, told how many seconds are left.
            wait: Seconds before the first attempt.

        Raises:
            HealingFailed: From the last failure, when time or attempts are used up, or at once when a failure
                is permanent: a wrong password does not become right by trying.
        """
        end = self.now() + self.seconds
        if wait >= self.seconds:
            raise HealingFailed(f"asked to wait {wait:g} s, which is longer than {self.seconds:g} s")
        if wait > 0:
            yield Pause(pace.seconds(wait))
        attempt = 0
        while True:
            attempt += 1
            try:
                return (yield from use(max(0.0, end - self.now())))
            except HealingFailed:
                raise
            except Exception as error:  # the point of an attempt is that it may fail in any way
                found = classify(error, time.time())
                if found.permanent:
                    raise HealingFailed(f"permanent: {failure_text(error)}", attempts=attempt) from error
                pause = pace.seconds(max(self.backoff.delay(attempt, self.random()), found.retry_after or 0.0))
                if attempt >= pace.attempts(self.attempts) or self.now() + pause >= end:
                    raise HealingFailed(
                        f"no success in {attempt} attempts: {failure_text(error)}", attempts=attempt
                    ) from error
            yield Pause(pause)
