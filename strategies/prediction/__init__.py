"""What will happen: the exact risk score, and a forecast that warns in time."""

from upright.strategies.prediction.alert import Alert, AlertKind, Forecast, Prediction
from upright.strategies.prediction.chart import draw_chart
from upright.strategies.prediction.collector import Collector
from upright.strategies.prediction.engine import PredictionEngine
from upright.strategies.prediction.metrics import FACTORS, Limits, SystemMetrics
from upright.strategies.prediction.recording import Event, EventKind, read_metrics, replay, write_events, write_metrics
from upright.strategies.prediction.risk import RiskAssessment, RiskLevel, RiskScorer

__all__ = [
    "FACTORS",
    "Alert",
    "AlertKind",
    "Collector",
    "Event",
    "EventKind",
    "Forecast",
    "Limits",
    "Prediction",
    "PredictionEngine",
    "RiskAssessment",
    "RiskLevel",
    "RiskScorer",
    "SystemMetrics",
    "draw_chart",
    "read_metrics",
    "replay",
    "write_events",
    "write_metrics",
]
