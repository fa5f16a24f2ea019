"""How much a tree remembers."""

from __future__ import annotations

from dataclasses import dataclass

from upright.strategies.options import require_count

__all__ = ["LimitOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitOptions:
    """Bounds of what grows with use; the oldest goes first.

    Attributes:
        history: Recoveries kept for `tree.history()` and `upright history`, at least 1.
        operations: Operations known by name, each with its circuit and log, at least 1. Beyond it idle ones with
            a closed circuit are forgotten first.

    Raises:
        ConfigError: If a bound is no int, or below 1.
    """

    history: int = 1_000
    operations: int = 10_000

    def __post_init__(self) -> None:
        require_count("LimitOptions.history", self.history, least=1)
        require_count("LimitOptions.operations", self.operations, least=1)
