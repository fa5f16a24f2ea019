"""The predictor: reads one host's metrics, says how risky the moment is and what will cross its limit when.

Two channels stand side by side and are never mixed: the exact risk score, which confirms an outage, and the
forecast, which warns before one. Pure: no clock, no thread, no randomness; the same readings always give the
same predictions, so a recording can be replayed and scored.
"""

from __future__ import annotations

import math
import pickle
from typing import TYPE_CHECKING

from upright.strategies.errors import ConfigError
from upright.strategies.options import SHORTEST_INTERVAL, require_count, require_seconds
from upright.strategies.prediction.actions import suggest
from upright.strategies.prediction.alarm import Alarm
from upright.strategies.prediction.alert import Alert, AlertKind, Prediction
from upright.strategies.prediction.channel import Channel
from upright.strategies.prediction.load import RISEN, Load
from upright.strategies.prediction.metrics import FACTORS, Limits
from upright.strategies.prediction.risk import RiskScorer
from upright.strategies.prediction.trend import median
from upright.strategies.prediction.words import amount, title

if TYPE_CHECKING:
    from upright.strategies.prediction.alert import Forecast
    from upright.strategies.prediction.metrics import SystemMetrics
    from upright.strategies.prediction.risk import RiskAssessment
    from upright.strategies.predictor_options import PredictorOptions

__all__ = ["PredictionEngine"]

GAP = 3
"""More than this many intervals without a reading are a gap."""
SUSPEND = 1200.0
"""A gap longer than this, in seconds, is taken for a suspend: time stood still, and trends start anew."""


class PredictionEngine:
    """Watches one host: feed it every reading through `observe`, in order.

    Args:
        limits: What counts as too much.
        interval: Seconds expected between two readings, to begin with; after three it is the median of the newest
            nine, so that a recording with another interval is read as it is.
        horizon: How far ahead, in seconds, the nearest steady trend may see its limit and still alert. The time stated
            is what all trends agree on, and may be longer.
        for_ticks: Of the last five readings, how many must forecast a crossing before it alerts, 1 to 5.
        clear_ticks: Readings in a row without trouble that end an alert (twice as many for a forecast).
        cooldown: Seconds after an alert in which the same factor raises no new forecast, and, while the alert is
            active, no other factor does: symptoms of one trouble come together. Breaches are never held back.
        warm_up: Seconds of history before the first forecast. Breaches and the risk score alert at once.

    Raises:
        ConfigError: If an option is outside of its range.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        interval: float = 30.0,
        horizon: float = 1800.0,
        for_ticks: int = 4,
        clear_ticks: int = 20,
        cooldown: float = 1800.0,
        warm_up: float = 2700.0,
    ) -> None:
        require_seconds("PredictionEngine.interval", interval, least=SHORTEST_INTERVAL)
        require_seconds("PredictionEngine.horizon", horizon, above=True)
        require_seconds("PredictionEngine.cooldown", cooldown)
        require_seconds("PredictionEngine.warm_up", warm_up)
        require_count("PredictionEngine.clear_ticks", clear_ticks, least=1)
        require_count("PredictionEngine.for_ticks", for_ticks, least=1)
        if for_ticks > 5:
            raise ConfigError("PredictionEngine.for_ticks", for_ticks, "an int from 1 to 5")
        self.limits = Limits() if limits is None else limits
        self.interval, self.for_ticks, self.clear_ticks = interval, for_ticks, clear_ticks
        self.cooldown, self.warm_up = cooldown, warm_up
        self._scorer = RiskScorer(self.limits)
        self._channels = {f: Channel(f, self.limits.of(f), interval, horizon) for f in FACTORS}
        self._alarms = {f: Alarm() for f in FACTORS}
        self._load = Load()
        self._last_at: float | None = None
        self._steps: list[float] = []
        self._alerted = -math.inf  # when the newest alert began
        # Seconds of history without suspends and clock jumps; what every part of the engine calls now.
        self._now = 0.0
        self._faded = 0.0
        self._risk_active = False
        self._pressed = 0

    @staticmethod
    def of(options: PredictorOptions) -> PredictionEngine:
        """Return an engine that watches as the configuration says."""
        return PredictionEngine(
            options.limits,
            interval=options.interval,
            horizon=options.horizon,
            for_ticks=options.for_ticks,
            clear_ticks=options.clear_ticks,
            cooldown=options.cooldown,
            warm_up=options.warm_up,
        )

    def observe(self, metrics: SystemMetrics) -> Prediction:
        """Take in the next reading and say what it means."""
        elapsed, gap = self._advance(metrics.at)
        risk = self._scorer.score(metrics)
        harmless = not {"error_rate", "response_time"} & set(risk.factors) and not _stalled(metrics)
        for factor, channel in self._channels.items():
            value = metrics.value(factor)
            if value is not None:
                channel.observe(self._now, elapsed, value, metrics.requests, harmless=harmless)
        if metrics.requests is not None and elapsed > 0:
            self._load.observe(self._now, metrics.requests / elapsed)
        forecasts = [] if gap or self._now < self.warm_up else self._forecasts(metrics)
        alert = self._update(metrics, risk, {f.factor: f for f in forecasts}, gap=gap)
        active = tuple(f for f in FACTORS if self._alarms[f].kind is not None)
        forecasts.sort(key=lambda f: f.eta_seconds)
        return Prediction(
            at=metrics.at, risk=risk, forecasts=tuple(forecasts), alerting=bool(active), alert=alert, active=active
        )

    def snapshot(self) -> bytes:
        """Return the whole state as immutable bytes, to be handed to a successor by message."""
        return pickle.dumps(self, protocol=pickle.HIGHEST_PROTOCOL)

    @staticmethod
    def restore(snapshot: bytes) -> PredictionEngine:
        """Return an engine that carries on where `snapshot` was taken. Only for bytes from the same process."""
        engine = pickle.loads(snapshot)  # noqa: S301 - our own bytes, handed from thread to thread
        if not isinstance(engine, PredictionEngine):
            raise ConfigError("PredictionEngine.restore", type(engine).__name__, "bytes made by snapshot()")
        return engine

    def _advance(self, at: float) -> tuple[float, bool]:
        """Move the engine's time; the seconds it moved by, and whether a gap lies before this reading."""
        if self._last_at is None:
            self._last_at = at
            return self.interval, False
        elapsed, self._last_at = at - self._last_at, at
        self._pace(elapsed)
        gap = elapsed <= 0 or elapsed > GAP * self.interval
        suspended = elapsed <= 0 or elapsed > SUSPEND
        if suspended:
            elapsed = self.interval
        self._now += elapsed
        if gap:
            for factor, channel in self._channels.items():
                channel.interrupt(since=self._now if suspended else None)
                self._alarms[factor].forget()
        if self._now - self._faded >= 3600:
            for channel in self._channels.values():
                channel.fade(self._now - self._faded)
            self._faded = self._now
        return min(elapsed, GAP * self.interval), gap

    def _pace(self, elapsed: float) -> None:
        """Learn how far apart readings are; a tenth more or less is jitter."""
        if elapsed <= 0:
            return
        self._steps = [*self._steps[-8:], elapsed]
        usual = median(self._steps)
        if len(self._steps) < 3 or abs(usual - self.interval) <= 0.1 * self.interval or usual > SUSPEND / GAP:
            return
        self.interval = usual
        for channel in self._channels.values():
            channel.interval = usual
            channel.series.resize(Channel.readings(usual))

    def _forecasts(self, metrics: SystemMetrics) -> list[Forecast]:
        busier, saturated = self._busier(), self._saturated()
        found = []
        for factor, channel in self._channels.items():
            if metrics.value(factor) is None or (busier and factor != "error_rate"):
                continue
            if factor == "response_time" and saturated:
                continue
            forecast = channel.forecast(self._now)
            if forecast is not None:
                found.append(forecast)
        return found

    def _busier(self) -> bool:
        if self._load.known:
            return self._load.ratio() >= RISEN
        ratios = []
        for factor in ("connections", "cpu"):
            channel = self._channels[factor]
            if channel.level is None or channel.usual <= 0:
                return False
            ratios.append(channel.level / channel.usual)
        return min(ratios) >= RISEN

    def _saturated(self) -> bool:
        """Whether the CPU is taken up: slow responses are then its doing, and its own rule decides."""
        cpu = self._channels["cpu"]
        recent = sorted(cpu.series.last(4))
        return len(recent) == 4 and recent[2] > 0.95 * cpu.limit and recent[1] > 0.8 * cpu.limit

    def _update(
        self, metrics: SystemMetrics, risk: RiskAssessment, forecasts: dict[str, Forecast], *, gap: bool
    ) -> Alert | None:
        alert: Alert | None = None
        if risk.alerting and not self._risk_active and all(self._alarms[f].kind is None for f in risk.factors[:1]):
            alert = self._risk_alert(risk)
            for factor in risk.factors:
                if self._alarms[factor].kind is None:
                    self._alarms[factor].begin(AlertKind.RISK)
        self._risk_active = risk.alerting
        alerting = any(alarm.kind is not None for alarm in self._alarms.values())
        for factor, channel in self._channels.items():
            value, alarm = metrics.value(factor), self._alarms[factor]
            if value is None or channel.level is None:
                continue
            target = self._target(factor, metrics)
            breached = channel.breached(self._now, target) and not (factor == "response_time" and self._saturated())
            forecast = forecasts.get(factor)
            alarm.note(forecast=forecast is not None)
            if alarm.kind is not None:
                if not gap:
                    self._settle(factor, value, target, busy=breached or forecast is not None)
            elif alert is not None:
                continue
            elif breached:
                alert = self._breach_alert(factor, target)
                alarm.begin(AlertKind.BREACH)
                alerting = True
            elif (
                forecast is not None
                and (not alerting or self._now - self._alerted >= self.cooldown)
                and alarm.forecast_holds(self.for_ticks if forecast.eta_seconds > 600 else min(2, self.for_ticks))
                and self._now - alarm.ended >= self.cooldown
            ):
                alert = _forecast_alert(forecast)
                alarm.begin(AlertKind.FORECAST)
                alerting = True
        if alert is not None:
            self._alerted = self._now
        return alert

    def _settle(self, factor: str, value: float, target: float, *, busy: bool) -> None:
        channel, alarm = self._channels[factor], self._alarms[factor]
        if alarm.kind is AlertKind.FORECAST:
            calm = not busy and value <= target
            alarm.calm(self._now, 2 * self.clear_ticks, calm=calm)
        else:
            recovered = target - 0.25 * max(0.0, target - channel.usual)
            calm = not busy and (channel.level or 0.0) <= recovered and value <= target
            alarm.calm(self._now, self.clear_ticks, calm=calm)

    def _target(self, factor: str, metrics: SystemMetrics) -> float:
        """Return the level above which `factor` breaches: the limit, moved by habit and by memory pressure."""
        channel = self._channels[factor]
        if factor != "memory" or metrics.pressure is None:
            return channel.target
        if _stalled(metrics):
            return channel.limit
        return max(channel.target, channel.limit + 0.25 * (1 - channel.limit))

    def _breach_alert(self, factor: str, target: float) -> Alert:
        channel = self._channels[factor]
        reason = f"{title(factor)} is at {amount(factor, channel.level or 0.0)}, above {amount(factor, target)}"
        if channel.kind.steady:
            reason += f" for {channel.kind.steady / 60:.0f} min"
        if target > channel.limit:
            reason += f" (the limit is {amount(factor, channel.limit)}, but this host lives above it)"
        return Alert(AlertKind.BREACH, factor, None, None, reason, suggest([factor]))

    def _risk_alert(self, risk: RiskAssessment) -> Alert:
        names = ", ".join(title(f) for f in risk.factors)
        reason = f"risk score {risk.score:.2f} ({risk.level.name}): {names} over their limits at the same time"
        return Alert(AlertKind.RISK, risk.factors[0], None, None, reason, risk.actions)


def _forecast_alert(forecast: Forecast) -> Alert:
    return Alert(
        AlertKind.FORECAST,
        forecast.factor,
        forecast.eta_seconds,
        forecast.eta_range,
        forecast.reason,
        suggest([forecast.factor]),
        forecast.confidence,
    )


def _stalled(metrics: SystemMetrics) -> bool:
    """Whether tasks wait for memory for a tenth of the time: the kernel's own word for trouble."""
    return metrics.pressure is not None and metrics.pressure >= 0.1 and not math.isnan(metrics.pressure)
