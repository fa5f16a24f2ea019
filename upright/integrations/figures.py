"""The figures of a tree under their stable names, for whoever passes them on; no actor is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from upright.actors.sentry_metrics import COUNTERS, GAUGES
from upright.booting import default_tree

if TYPE_CHECKING:
    from upright.tree import Tree

__all__ = ["Figures", "figures", "trees"]


class Figures(NamedTuple):
    """All figures of one tree; docs/telemetry.md lists the names.

    Attributes:
        counters: What never falls while the tree lives.
        gauges: What does.
    """

    counters: dict[str, int]
    gauges: dict[str, float]


def figures(tree: Tree) -> Figures:
    """Return the figures of a tree as of now."""
    parts, metrics = tree.parts, tree.metrics()
    board, tracker = parts.board, parts.tracker
    counters = {name: getattr(metrics, field) for field, name in COUNTERS.items()}
    counters |= {
        "upright.events.lost": board.lost_events.value,
        "upright.reports.refused": board.refused_reports.value,
        "upright.incidents": tracker.incidents.opened_ever,
        "upright.sentry.held_back": tracker.limit.held_ever,
    }
    gauges = {name: float(getattr(metrics, field)) for field, name in GAUGES.items()}
    gauges |= {"upright.incidents.open": float(len(tracker.incidents)), "upright.up": float(tree.is_running)}
    if board.risk is not None:
        gauges["upright.risk"] = board.risk
    return Figures(counters, gauges)


def trees(given: tuple[Tree, ...]) -> tuple[Tree, ...]:
    """Return the given trees; if none was given, the process's default one as of now, if there is one."""
    if given:
        return given
    default = default_tree()
    return () if default is None else (default,)
