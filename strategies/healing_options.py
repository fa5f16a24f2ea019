"""How long and how often a failure is healed before a person has to look at it."""

from __future__ import annotations

from dataclasses import dataclass

from upright.strategies.options import require_count, require_seconds

__all__ = ["HealingOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HealingOptions:
    """Limits of self-healing, per recovery id (error code, resource or operation).

    Only attempts that did not end in a proof count; a proven healing clears them.

    Attributes:
        max_healing_attempts: Failed attempts allowed within `attempt_window`; the one that reaches the limit
            escalates the recovery id. At least 1: to heal nothing, switch the flag `self_healing` off.
        attempt_window: Seconds for which a failed attempt is remembered.
        cooldown: Seconds for which an escalated recovery id is not healed; 0 tries again with the next
            failure.
        timeout: Seconds for one `heal()` with its `verify()`, for strategies that name no timeout of their
            own. When they are over the worker is abandoned and the attempt has failed.
        heal_wait: Seconds that a caller waits for a healing before it goes on to the circuit breaker, while
            the healing continues for everybody; 0 heals in the background only.

    Raises:
        ConfigError: If a value is out of its range.

    Examples:
        >>> HealingOptions(heal_wait=0).heal_wait
        0
    """

    max_healing_attempts: int = 3
    attempt_window: float = 60.0
    cooldown: float = 60.0
    timeout: float = 30.0
    heal_wait: float = 1.0

    def __post_init__(self) -> None:
        require_count("HealingOptions.max_healing_attempts", self.max_healing_attempts, least=1)
        require_seconds("HealingOptions.attempt_window", self.attempt_window, above=True)
        require_seconds("HealingOptions.cooldown", self.cooldown)
        require_seconds("HealingOptions.timeout", self.timeout, above=True)
        require_seconds("HealingOptions.heal_wait", self.heal_wait)
