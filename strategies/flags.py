"""The four switches of recovery, as one immutable value that hot paths read."""

from __future__ import annotations

from dataclasses import dataclass, fields

from upright.strategies.options import require_bool

__all__ = ["FLAG_NAMES", "Flags"]

FLAG_NAMES = ("self_healing", "error_predictor", "intelligent_fallback", "recovery_orchestrator")
"""The stages that can be switched off, each independently of the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """Which stages of recovery act. A stage that is off is skipped; that is never an error.

    Attributes:
        self_healing: Failed resources are healed.
        error_predictor: Metrics are collected, the risk is scored and alerts are raised.
        intelligent_fallback: Fallback chains serve degraded answers.
        recovery_orchestrator: Failures are recovered at all. Off makes a protected call the bare call.
        observe_only: Everything decides and records, nothing acts: what would have been done shows in the
            history and the metrics, and the application gets its own exception. Off by default; it overrides
            none of the four, it takes the action out of those that are on.

    Raises:
        ConfigError: If a value is not a bool.
    """

    self_healing: bool = True
    error_predictor: bool = True
    intelligent_fallback: bool = True
    recovery_orchestrator: bool = True
    observe_only: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            require_bool(f"Flags.{field.name}", getattr(self, field.name))
