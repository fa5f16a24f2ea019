"""How the host is watched, and above which readings it is in trouble."""

from __future__ import annotations

from dataclasses import dataclass, field

from upright.strategies.errors import ConfigError
from upright.strategies.options import require_seconds
from upright.strategies.prediction.metrics import Limits

__all__ = ["PredictorOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorOptions:
    """The predictor of one tree.

    Attributes:
        interval: Seconds between two readings, above 0.
        act: Whether the preventive actions that an alert suggests are also carried out where upright knows how
            (memory cleanup); otherwise they are only suggested.
        limits: Above which reading each factor counts as breached; `[predictor.limits]` in upright.toml.

    Raises:
        ConfigError: If a value breaks its rule.
    """

    interval: float = 30.0
    act: bool = False
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        require_seconds("PredictorOptions.interval", self.interval, above=True)
        if not isinstance(self.act, bool):
            raise ConfigError("PredictorOptions.act", self.act, "true or false")
        if not isinstance(self.limits, Limits):
            raise ConfigError("PredictorOptions.limits", self.limits, "Limits")
