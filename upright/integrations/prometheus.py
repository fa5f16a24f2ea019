"""Prometheus: a collector that reads a tree when it is scraped; install `upright[prometheus]`.

    from upright.integrations.prometheus import register

    register()    # the default tree, on prometheus_client's default registry

Nothing runs between scrapes, and a scrape asks no actor: it is answered while actors are stuck. An example dashboard
for Grafana is docs/dashboards/grafana.json.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from upright.integrations.figures import figures, trees
from upright.strategies.breaker import BreakerState
from upright.strategies.options import require_count
from upright.strategies.redaction import redact_text

try:
    from prometheus_client import REGISTRY
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
    from prometheus_client.registry import Collector
except ImportError as missing:
    raise ImportError(
        "upright.integrations.prometheus needs prometheus-client: install upright[prometheus]"
    ) from missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from upright.tree import Tree

__all__ = ["UprightCollector", "register"]

_HELP: Final = {
    "upright.healing.attempts": "Healing strategies that were run, proven or not.",
    "upright.healing.successes": "Healings that were proven.",
    "upright.breaker.trips": "Times that a circuit opened.",
    "upright.fallback.activations": "Values that a fallback chain gave.",
    "upright.retries": "Calls that were made again by the retry stage.",
    "upright.reports.joined": "Reports that shared the recovery of an earlier one.",
    "upright.reports.refused": "Reports that nobody could take.",
    "upright.alerts.issued": "Alerts of the predictor.",
    "upright.alerts.true": "Alerts that came true.",
    "upright.restarts": "Restarts of actors.",
    "upright.zombies": "Threads that were detached and have not ended yet.",
    "upright.dead_letters": "Messages that reached nobody.",
    "upright.recovery.time.mean": "Mean time from a failure to its successful answer, over the newest.",
    "upright.recovery.time.p99": "The 99th percentile of the same.",
    "upright.events.lost": "Events that a subscriber could not take.",
    "upright.incidents": "Incidents so far.",
    "upright.incidents.open": "Incidents that are open now.",
    "upright.sentry.held_back": "Events that were not sent to Sentry, by rate limit or failure.",
    "upright.risk": "The predictor's risk score, 0 to 1.",
    "upright.up": "1 while the tree runs; 0 after it was stopped or gave up.",
}


class UprightCollector(Collector):
    """Reads trees when Prometheus asks; every metric has the label `tree`.

    Args:
        given: The trees; none takes the process's default tree of each moment. Give several to one collector, rather
            than each to its own: a registry may have each metric once.
        max_circuits: Circuits that are shown at most, those that keep calls away first: names of operations are the
            application's, and each makes seven series.

    Raises:
        ConfigError: If `max_circuits` is below 0.
    """

    def __init__(self, *given: Tree, max_circuits: int = 200) -> None:
        require_count("UprightCollector.max_circuits", max_circuits, least=0)
        self._given = given
        self._max_circuits = max_circuits

    def describe(self) -> list[Metric]:
        """Describe nothing: registering reads no tree, and works before there is one."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        found = trees(self._given)
        yield from _figures(found)
        yield _recoveries(found)
        yield _answers(found)
        yield from self._circuits(found)
        yield from _actors(found)
        yield _flags(found)

    def _circuits(self, found: tuple[Tree, ...]) -> Iterator[Metric]:
        labels = ("tree", "operation")
        state = GaugeMetricFamily("upright_circuit_state", "1 for the state that it is in.", labels=(*labels, "state"))
        rejected = CounterMetricFamily("upright_circuit_rejected", "Calls that it kept away.", labels=labels)
        rate = GaugeMetricFamily("upright_circuit_failure_rate", "Share of failed calls, 0 to 1.", labels=labels)
        for tree in found:
            for operation, shown in tree.parts.circuits(self._max_circuits):
                names = (redact_text(tree.name), redact_text(operation))
                for one in BreakerState:
                    state.add_metric((*names, one.value), float(shown["state"] == one.value))
                rejected.add_metric(names, shown["rejected"])
                rate.add_metric(names, shown["failure_rate"])
        yield from (state, rejected, rate)


def register(*given: Tree, registry: CollectorRegistry = REGISTRY, max_circuits: int = 200) -> UprightCollector:
    """Register a collector and return it, for `registry.unregister`; see UprightCollector."""
    collector = UprightCollector(*given, max_circuits=max_circuits)
    registry.register(collector)
    return collector


def _figures(found: tuple[Tree, ...]) -> Iterator[Metric]:
    families: dict[str, Any] = {}
    for tree in found:
        counters, gauges = figures(tree)
        for kind, values in ((CounterMetricFamily, counters), (GaugeMetricFamily, gauges)):
            for name, value in values.items():
                if name not in families:
                    spelled = name.replace(".", "_") + ("_seconds" if ".time." in name else "")
                    families[name] = kind(spelled, _HELP[name], labels=("tree",))
                families[name].add_metric((redact_text(tree.name),), value)
    yield from families.values()


def _recoveries(found: tuple[Tree, ...]) -> Metric:
    text = "Time from a failure to its successful answer."
    family = HistogramMetricFamily("upright_recovery_duration_seconds", text, labels=("tree",))
    for tree in found:
        times = tree.parts.monitor.times
        buckets = [("+Inf" if math.isinf(bound) else str(bound), number) for bound, number in times.buckets()]
        family.add_metric((redact_text(tree.name),), buckets, times.total)
    return family


def _answers(found: tuple[Tree, ...]) -> Metric:
    text = "Answers to failing calls and reports, shared ones included."
    family = CounterMetricFamily("upright_answers", text, labels=("tree", "status", "method"))
    for tree in found:
        for (status, method), number in list(tree.parts.monitor.answers.items()):
            family.add_metric((redact_text(tree.name), status, method), number)
    return family


def _actors(found: tuple[Tree, ...]) -> Iterator[Metric]:
    labels = ("tree", "actor")
    restarts = CounterMetricFamily("upright_actor_restarts", "Restarts of one actor.", labels=labels)
    depth = GaugeMetricFamily("upright_actor_mailbox_depth", "Messages that wait for one actor.", labels=labels)
    for tree in found:
        for address in tree.parts.directory.walk():
            restarts.add_metric((redact_text(tree.name), address.name), address.restarts)
            depth.add_metric((redact_text(tree.name), address.name), address.depth)
    yield from (restarts, depth)


def _flags(found: tuple[Tree, ...]) -> Metric:
    family = GaugeMetricFamily("upright_flag", "1 if it is on.", labels=("tree", "flag"))
    for tree in found:
        for name, on in tree.flags.items():
            family.add_metric((redact_text(tree.name), name), float(on))
    return family
