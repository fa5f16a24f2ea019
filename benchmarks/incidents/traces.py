"""Recorded memory that grew slowly and never ran out: every alert on it, and on it shifted up, is false."""

from __future__ import annotations

import csv
from datetime import datetime
from typing import TYPE_CHECKING

from upright.strategies.prediction.engine import PredictionEngine
from upright.strategies.prediction.metrics import SystemMetrics

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["replay_folder"]


def replay_folder(folder: Path, shifts: tuple[float, ...] = (0.0, 0.45)) -> str:
    """Replay each CSV of `folder` (columns currentTime, totalCpuUsage(%), percentageMemory(%)) as is and shifted."""
    lines = [f"recorded traces in {folder.name}"]
    for shift in shifts:
        alerts, days = [], 0.0
        for path in sorted(folder.glob("*.csv")):
            readings = _read(path, shift)
            if not readings:
                continue
            engine = PredictionEngine()
            for reading in readings:
                alert = engine.observe(reading).alert
                if alert is not None:
                    alerts.append(f"    {path.stem} after {(reading.at - readings[0].at) / 3600:.1f} h: {alert.reason}")
            days += (readings[-1].at - readings[0].at) / 86_400
        lines.append(f"  memory + {shift:.2f}: {len(alerts)} alerts in {days:.1f} host-days")
        lines += alerts
    return "\n".join(lines)


def _read(path: Path, shift: float) -> list[SystemMetrics]:
    readings = []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            try:
                at = datetime.fromisoformat(row["currentTime"]).timestamp()
                memory = float(row["percentageMemory(%)"]) / 100
                cpu = float(row["totalCpuUsage(%)"]) / 100
            except (KeyError, ValueError):
                continue
            readings.append(SystemMetrics(at=at, memory=min(1.0, memory + shift), cpu=cpu))
    return readings
