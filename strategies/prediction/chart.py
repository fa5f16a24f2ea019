"""A chart for the terminal: one factor over time, its limit, and where it was alerted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upright.strategies.errors import ConfigError
from upright.strategies.options import is_count, require_seconds
from upright.strategies.prediction.words import amount, duration, title

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["draw_chart"]

_MAX_SIZE = 10_000


def draw_chart(
    factor: str,
    points: Sequence[tuple[float, float | None]],
    *,
    limit: float,
    alerts: Iterable[float] = (),
    width: int = 72,
    height: int = 10,
) -> str:
    """Return a chart of `points` (time, value) as plain text.

    Each column is the highest value of its stretch of time, drawn as `*`; a stretch without a value stays
    empty. The limit is a line of `-`, alerts are `^` below the axis.

    Args:
        factor: Which factor the values belong to; decides their unit.
        points: Times in seconds, rising, with their values; None is unknown.
        limit: Drawn as a line, and always in the picture.
        alerts: Times of alerts.
        width: Columns of the picture, 10 to 10 000.
        height: Rows of the picture, 3 to 10 000.

    Raises:
        ConfigError: If `width` or `height` is out of its range, or `limit` no finite number >= 0.

    Examples:
        >>> points = [(0, 100), (60, 500), (120, 900)]
        >>> print(draw_chart("connections", points, limit=1000, alerts=[120], width=12, height=3))
        connections, 0 to 1000 over 2 min; - limit 1000, * value, ^ alert
           1000 |-----------*
            500 |      *
              0 |*
                +------------
                            ^
    """
    for name, size, least in (("width", width, 10), ("height", height, 3)):
        if not is_count(size, least=least) or size > _MAX_SIZE:
            raise ConfigError(f"draw_chart.{name}", size, f"an int from {least} to {_MAX_SIZE}")
    require_seconds("draw_chart.limit", limit)
    if not points:
        return f"{title(factor)}: no readings"
    start, end = points[0][0], points[-1][0]
    span = max(end - start, 1e-9)

    def column(at: float) -> int:
        return min(width - 1, max(0, int((at - start) / span * width)))

    columns: list[float | None] = [None] * width
    for at, value in points:
        if value is not None:
            place = column(at)
            columns[place] = value if columns[place] is None else max(columns[place] or value, value)
    top = max(limit, *(value for value in columns if value is not None), 0.0)

    def row(value: float) -> int:
        return round(value / top * (height - 1)) if top else 0

    picture = [[" "] * width for _ in range(height)]
    picture[row(limit)] = ["-"] * width
    for place, value in enumerate(columns):
        if value is not None:
            picture[max(0, row(value))][place] = "*"
    marks = [" "] * width
    for at in alerts:
        if start <= at <= end:
            marks[column(at)] = "^"
    labels = {height - 1: top, (height - 1) // 2: top * ((height - 1) // 2) / (height - 1), 0: 0.0}
    legend = f"- limit {amount(factor, limit)}, * value, ^ alert"
    lines = [f"{title(factor)}, {amount(factor, 0.0)} to {amount(factor, top)} over {duration(end - start)}; {legend}"]
    for index in range(height - 1, -1, -1):
        label = amount(factor, labels[index]) if index in labels else ""
        lines.append(f"{label:>7} |{''.join(picture[index])}".rstrip())
    lines.append(f"{'':7} +{'-' * width}")
    lines.append(f"{'':9}{''.join(marks)}".rstrip())
    return "\n".join(lines)
