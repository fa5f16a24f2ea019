"""When a circuit breaker trips, how long it stays open, and how it probes."""

from __future__ import annotations

from dataclasses import dataclass

from upright.strategies.backoff import Backoff
from upright.strategies.errors import ConfigError
from upright.strategies.foreign import is_of
from upright.strategies.options import require_count, require_fraction, require_seconds
from upright.strategies.window import WindowType

__all__ = ["BreakerOptions"]

_MAX_LOGGED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerOptions:
    """The options of one circuit breaker, named as in resilience4j; rates are fractions, durations seconds.

    Args:
        failure_rate_threshold: The circuit opens when at least this share of the window failed, above 0 to 1.
        slow_call_rate_threshold: The same for slow calls; 1 opens it only when every call is slow.
        slow_call_duration: A call that takes longer than this is slow, above 0.
        minimum_number_of_calls: No rate is worked out from fewer calls, at least 1. A COUNT window that holds
            fewer is judged when it is full.
        window_type: Whether `window_size` counts calls or seconds.
        window_size: The last so many calls (an int, at least 1, at most 10 000), or the calls of the last so
            many seconds (above 0), of which the last 10 000 are looked at.
        wait_duration_in_open: First wait before probing, above 0. It doubles each time the circuit opens
            again, with up to 20 % jitter, and starts anew once the circuit was closed for long enough
            (`Backoff.quiet_period`).
        max_wait_duration_in_open: No wait is longer, at least `wait_duration_in_open`.
        permitted_calls_in_half_open: Probes whose outcomes decide, and the most that run at once, 1 to 1 000.
        max_wait_in_half_open: A probe that has not reported after this long gives its permit back, above 0.

    Raises:
        ConfigError: If a value breaks its rule.
    """

    failure_rate_threshold: float = 0.5
    slow_call_rate_threshold: float = 1.0
    slow_call_duration: float = 60.0
    minimum_number_of_calls: int = 10
    window_type: WindowType = WindowType.COUNT
    window_size: float = 100
    wait_duration_in_open: float = 5.0
    max_wait_duration_in_open: float = 60.0
    permitted_calls_in_half_open: int = 3
    max_wait_in_half_open: float = 30.0

    def __post_init__(self) -> None:
        require_fraction("BreakerOptions.failure_rate_threshold", self.failure_rate_threshold, zero=False)
        require_fraction("BreakerOptions.slow_call_rate_threshold", self.slow_call_rate_threshold, zero=False)
        require_seconds("BreakerOptions.slow_call_duration", self.slow_call_duration, above=True)
        require_count("BreakerOptions.minimum_number_of_calls", self.minimum_number_of_calls, least=1)
        if not is_of(self.window_type, str) or str(self.window_type) not in WindowType.__members__:
            raise ConfigError("BreakerOptions.window_type", self.window_type, "COUNT or TIME")
        object.__setattr__(self, "window_type", WindowType(self.window_type))
        if self.window_type is WindowType.TIME:
            require_seconds("BreakerOptions.window_size", self.window_size, above=True)
        else:
            require_count("BreakerOptions.window_size", self.window_size, least=1)
            if self.window_size > _MAX_LOGGED:
                raise ConfigError("BreakerOptions.window_size", self.window_size, f"at most {_MAX_LOGGED}")
        require_seconds("BreakerOptions.wait_duration_in_open", self.wait_duration_in_open, above=True)
        require_seconds("BreakerOptions.max_wait_duration_in_open", self.max_wait_duration_in_open)
        if self.max_wait_duration_in_open < self.wait_duration_in_open:
            raise ConfigError(
                "BreakerOptions.max_wait_duration_in_open",
                self.max_wait_duration_in_open,
                f"at least wait_duration_in_open ({self.wait_duration_in_open!r})",
            )
        permitted = self.permitted_calls_in_half_open
        require_count("BreakerOptions.permitted_calls_in_half_open", permitted, least=1)
        if permitted > 1_000:
            raise ConfigError("BreakerOptions.permitted_calls_in_half_open", permitted, "at most 1000")
        require_seconds("BreakerOptions.max_wait_in_half_open", self.max_wait_in_half_open, above=True)

    @property
    def log_length(self) -> int:
        """How many outcomes a log holds."""
        return _MAX_LOGGED if self.window_type is WindowType.TIME else int(self.window_size)

    @property
    def least_calls(self) -> int:
        """How many calls a rate needs."""
        return min(self.minimum_number_of_calls, self.log_length)

    @property
    def waits(self) -> Backoff:
        """The waits in open."""
        return Backoff(self.wait_duration_in_open, self.max_wait_duration_in_open)
