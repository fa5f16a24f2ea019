"""How long to wait before the next try: exponential, capped, spread, and forgotten after a quiet time."""

from __future__ import annotations

from dataclasses import dataclass

from upright.strategies.errors import ConfigError
from upright.strategies.options import require_fraction, require_seconds

__all__ = ["Backoff"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential waiting times from `initial` to `maximum`, spread so that a herd does not return as one.

    The n-th wait in a row lies between `initial * multiplier ** (n - 1)` and `1 + jitter` times that, and
    always within `[initial, maximum]`. The cap holds after the jitter: Pekko caps first and then adds up
    to `randomFactor`, so its waits exceed the maximum that was asked for. Once the cap is reached the
    spread goes below it, `[maximum / (1 + jitter), maximum]`: cutting off what is above the cap instead
    would make every waiter return after exactly `maximum`.

    Args:
        initial: Seconds of the first wait, above 0.
        maximum: No wait is longer than this many seconds; at least `initial`.
        multiplier: Growth from one wait to the next, at least 1 (1: constant).
        jitter: Spread as a fraction of the wait, 0 to 1; 0 makes the waits exact.
        reset_after: Seconds without a failure after which counting starts anew, above 0. None takes
            `(initial + maximum) / 2`, as Pekko does.

    Raises:
        ConfigError: If a value breaks its rule; NaN and infinities always do.

    Examples:
        >>> backoff = Backoff(0.5, 30.0, jitter=0.2)
        >>> [backoff.delay(failures, 0.0) for failures in (1, 2, 3)]
        [0.5, 1.0, 2.0]
        >>> round(backoff.delay(99, 1.0), 9)
        30.0
    """

    initial: float
    maximum: float
    multiplier: float = 2.0
    jitter: float = 0.2
    reset_after: float | None = None

    def __post_init__(self) -> None:
        require_seconds("Backoff.initial", self.initial, above=True)
        require_seconds("Backoff.maximum", self.maximum)
        if self.maximum < self.initial:
            raise ConfigError("Backoff.maximum", self.maximum, f"at least initial ({self.initial!r})")
        require_seconds("Backoff.multiplier", self.multiplier, least=1.0)
        require_fraction("Backoff.jitter", self.jitter)
        if self.reset_after is not None:
            require_seconds("Backoff.reset_after", self.reset_after, above=True)

    @property
    def quiet_period(self) -> float:
        """Seconds without a failure that make the next one count as the first again."""
        return (self.initial + self.maximum) / 2 if self.reset_after is None else self.reset_after

    def delay(self, failures: int, random: float) -> float:
        """Seconds to wait after the given failure.

        Args:
            failures: Failures in a row, the one to wait for included: 1 gives the first wait, and 0 or
                less gives 0.0, since nothing has failed.
            random: A number in [0, 1], from the caller's generator.
        """
        if failures < 1:
            return 0.0
        try:
            grown = self.initial * self.multiplier ** (failures - 1)
        except OverflowError:
            grown = self.maximum
        low = max(self.initial, min(grown, self.maximum / (1 + self.jitter)))
        high = min(self.maximum, low * (1 + self.jitter))
        # Rounding may carry the sum one ulp above `high`, and `maximum` is a promise.
        return min(high, low + (high - low) * random)

    def count(self, failures: int, quiet: float) -> int:
        """The failures in a row once one more has happened.

        Args:
            failures: Failures in a row so far.
            quiet: Seconds that went well between the last failure and this one.
        """
        return 1 if quiet >= self.quiet_period else failures + 1
