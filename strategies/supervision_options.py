"""How patient the standard tree's supervisors are."""

from __future__ import annotations

from dataclasses import dataclass

from upright.strategies.options import require_seconds

__all__ = ["SupervisionOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisionOptions:
    """Supervision of the standard tree's own actors; an application's specs bring their own values.

    Attributes:
        hang_timeout: Seconds that one message may take before its actor counts as crashed with reason `Hung`
            and is replaced; None never replaces a slow actor.

    Raises:
        ConfigError: If `hang_timeout` is neither None nor above 0.
    """

    hang_timeout: float | None = 30.0

    def __post_init__(self) -> None:
        if self.hang_timeout is not None:
            require_seconds("SupervisionOptions.hang_timeout", self.hang_timeout, above=True)
