"""How the host is watched, and above which readings it is in trouble."""

from __future__ import annotations

from dataclasses import dataclass, field

from upright.strategies.errors import ConfigError
from upright.strategies.foreign import is_of
from upright.strategies.options import SHORTEST_INTERVAL, require_bool, require_count, require_seconds
from upright.strategies.prediction.metrics import Limits

__all__ = ["PredictorOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorOptions:
    """The predictor of one tree.

    Attributes:
        interval: Seconds between two readings, at least 0.001.
        horizon: How far ahead, in seconds, the nearest steady trend may see its limit and still alert; above 0.
        for_ticks: Of the last five readings, how many must forecast a crossing before it alerts, 1 to 5.
        clear_ticks: Readings in a row without trouble that end an alert, at least 1; twice as many for a forecast.
        cooldown: Seconds after an alert in which the same factor raises no new forecast; breaches are never held back.
        warm_up: Seconds of history before the first forecast.
        act: Whether the preventive actions that an alert suggests are also carried out where upright knows how
            (memory cleanup, stricter circuits); otherwise they are only suggested.
        limits: Above which reading each factor counts as breached; `[predictor.limits]` in upright.toml.

    Raises:
        ConfigError: If a value breaks its rule.
    """

    interval: float = 30.0
    horizon: float = 1800.0
    for_ticks: int = 4
    clear_ticks: int = 20
    cooldown: float = 1800.0
    warm_up: float = 2700.0
    act: bool = False
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        require_seconds("PredictorOptions.interval", self.interval, least=SHORTEST_INTERVAL)
        require_seconds("PredictorOptions.horizon", self.horizon, above=True)
        require_seconds("PredictorOptions.cooldown", self.cooldown)
        require_seconds("PredictorOptions.warm_up", self.warm_up)
        require_count("PredictorOptions.for_ticks", self.for_ticks, least=1)
        require_count("PredictorOptions.clear_ticks", self.clear_ticks, least=1)
        if self.for_ticks > 5:
            raise ConfigError("PredictorOptions.for_ticks", self.for_ticks, "an int from 1 to 5")
        require_bool("PredictorOptions.act", self.act)
        if not is_of(self.limits, Limits):
            raise ConfigError("PredictorOptions.limits", self.limits, "Limits")
