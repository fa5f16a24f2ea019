"""A picture of a replay: each factor with its limit, the risk score, and the times of alert; `upright[plot]`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from upright.strategies.prediction.metrics import FACTORS
from upright.strategies.prediction.words import amount, title

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from upright.strategies.prediction.alert import Prediction
    from upright.strategies.prediction.metrics import Limits, SystemMetrics
    from upright.strategies.prediction.recording import Event

__all__ = ["plot"]

_LINE, _LIMIT, _ALERT = "#1f5fa8", "#666666", "#c0392b"


def plot(
    path: Path,
    readings: Sequence[SystemMetrics],
    predictions: Sequence[Prediction],
    events: Sequence[Event],
    limits: Limits,
) -> None:
    """Draw a replay to a PNG file; factors without a reading are left out.

    Nothing is opened and no state of matplotlib's pyplot is touched, so it can be called anywhere.

    Raises:
        OSError: If the file cannot be written.
    """
    start = readings[0].at if readings else 0.0
    unit, scale = _unit(readings[-1].at - start if readings else 0.0)
    shown = [factor for factor in FACTORS if any(reading.value(factor) is not None for reading in readings)]
    figure = Figure(figsize=(11, 1.2 + 1.9 * (len(shown) + 1)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(len(shown) + 1, 1, sharex=True, squeeze=False)[:, 0]
    times = [(reading.at - start) / scale for reading in readings]
    for axes, factor in zip(rows, shown, strict=False):
        values = [math.nan if (value := reading.value(factor)) is None else value for reading in readings]
        _factor(axes, factor, times, values, limits.of(factor))
        for begin, end in _stretches(predictions, factor):
            axes.axvspan((begin - start) / scale, (end - start) / scale, color=_ALERT, alpha=0.13, linewidth=0)
        for event in events:
            if event.alert is not None and event.alert.factor == factor:
                _mark(axes, event, (event.at - start) / scale, scale)
    _risk(rows[-1], times, predictions)
    rows[-1].set_xlabel(f"{unit} since the first reading")
    if times:
        rows[-1].set_xlim(times[0], max(times[-1], times[0] + 1e-9))
    figure.savefig(path, format="png")


def _factor(axes: Any, factor: str, times: Sequence[float], values: Sequence[float], limit: float) -> None:
    known = [value for value in values if not math.isnan(value)]
    axes.plot(times, values, color=_LINE, linewidth=1.0)
    axes.axhline(limit, color=_LIMIT, linewidth=1.0, linestyle="--")
    axes.set_ylim(0, 1.15 * max(limit, *known))
    axes.set_title(f"{title(factor)}, limit {amount(factor, limit)}", loc="left", fontsize=10)
    axes.yaxis.set_major_formatter(lambda value, _: amount(factor, value))
    _tidy(axes)


def _risk(axes: Any, times: Sequence[float], predictions: Sequence[Prediction]) -> None:
    axes.step(times, [prediction.risk.score for prediction in predictions], where="post", color=_LINE, linewidth=1.0)
    axes.axhline(0.6, color=_LIMIT, linewidth=1.0, linestyle="--")
    axes.set_ylim(0, 1.05)
    axes.set_title("risk score, alerts above 0.6", loc="left", fontsize=10)
    _tidy(axes)


def _mark(axes: Any, event: Event, at: float, scale: float) -> None:
    alert = event.alert
    axes.axvline(at, color=_ALERT, linewidth=1.4)
    label = "" if alert is None else alert.kind.value
    if alert is not None and alert.eta_seconds is not None and alert.eta_range is not None:
        label += f", limit in {alert.eta_seconds / 60:.0f} min"
        top = axes.get_ylim()[1]
        low, high = (at + end / scale for end in alert.eta_range)
        axes.plot([low, high], [0.93 * top] * 2, color=_ALERT, linewidth=2.5, alpha=0.6, solid_capstyle="butt")
    right = at > 0.7 * axes.dataLim.x1
    axes.annotate(
        label,
        (at, 0.06),
        xycoords=("data", "axes fraction"),
        xytext=(-5 if right else 5, 0),
        textcoords="offset points",
        ha="right" if right else "left",
        color=_ALERT,
        fontsize=9,
    )


def _tidy(axes: Any) -> None:
    axes.grid(visible=True, alpha=0.25)
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _stretches(predictions: Sequence[Prediction], factor: str) -> Iterator[tuple[float, float]]:
    """Yield (begin, end) of each stretch in which the factor has an active alert."""
    began: float | None = None
    for prediction in predictions:
        active = factor in prediction.active
        if active and began is None:
            began = prediction.at
        elif not active and began is not None:
            yield began, prediction.at
            began = None
    if began is not None:
        yield began, predictions[-1].at


def _unit(span: float) -> tuple[str, float]:
    if span >= 3 * 86_400:
        return "days", 86_400.0
    return ("hours", 3600.0) if span >= 2 * 3600 else ("minutes", 60.0)
