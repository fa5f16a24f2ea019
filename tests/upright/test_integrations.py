"""Prometheus and OpenTelemetry: through their real clients, from a real tree."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import upright
from upright.booting import restore_default
from upright.integrations.figures import figures
from upright.integrations.opentelemetry import instrument
from upright.integrations.prometheus import UprightCollector, register

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def tree() -> Iterator[upright.Tree]:
    config: dict[str, Any] = {
        "retry": {"attempts": 1},
        "control": {"enabled": False},
        "breaker": {"minimum_number_of_calls": 2, "window_size": 2},
    }
    chain = upright.FallbackChain("menu", [upright.FallbackStep("yesterday's", lambda _context: ["soup"])])
    with upright.boot(config, strategies=[chain], name="orders") as booted:
        yield booted


def break_something(tree: upright.Tree) -> None:
    """One failure, one substitute, one open circuit."""

    @tree.protect("menu")
    def menu() -> list[str]:
        raise ConnectionError("redis://:hunter2@cache refused")

    @tree.protect("pay anna@example.org", resource="redis://:hunter2@cache")
    def pay() -> None:
        raise ConnectionError("password=hunter2")

    answered = Answered(tree, 2)
    assert menu() == ["soup"]
    with suppress(ConnectionError):
        pay()
    answered.wait()


class Answered:
    """Waits until the monitor has heard of so many answers."""

    def __init__(self, tree: upright.Tree, number: int) -> None:
        import threading

        from upright.actors.events import RecoveryFinished

        self._done = threading.Event()
        left = [None] * number

        def heard(event: Any) -> None:
            if isinstance(event, RecoveryFinished):
                left.pop()
                if not left:
                    self._done.set()
                    self._stop()

        self._stop = tree.listen(heard)

    def wait(self) -> None:
        assert self._done.wait(10)


def scraped(registry: CollectorRegistry) -> dict[str, dict[tuple[str, ...], float]]:
    """What Prometheus would have got: by metric, and by the values of the labels in the order of their names."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(value for _, value in sorted(sample.labels.items()))] = sample.value
    return found


# Prometheus


def test_a_scrape_shows_what_was_recovered(tree: upright.Tree) -> None:
    registry = CollectorRegistry()
    register(tree, registry=registry)
    break_something(tree)
    seen = scraped(registry)
    assert seen["upright_up"] == {("orders",): 1.0}
    assert seen["upright_fallback_activations_total"] == {("orders",): 1.0}
    assert seen["upright_answers_total"]["FALLBACK", "RECOVERED", "orders"] == 1.0
    assert seen["upright_answers_total"]["", "FAILED", "orders"] == 1.0
    assert seen["upright_recovery_duration_seconds_count"] == {("orders",): 1.0}
    assert seen["upright_circuit_state"]["menu", "CLOSED", "orders"] == 1.0
    assert seen["upright_actor_restarts_total"]["orchestrator", "orders"] == 0.0
    assert seen["upright_flag"]["self_healing", "orders"] == 1.0


def test_every_figure_has_a_help_text_and_counts_never_fall(tree: upright.Tree) -> None:
    registry = CollectorRegistry()
    register(tree, registry=registry)
    before = scraped(registry)
    break_something(tree)
    after = scraped(registry)
    for name, values in before.items():
        if name.endswith("_total"):
            assert all(after[name][labels] >= value for labels, value in values.items())
    assert {name for name in figures(tree).counters if f"{name.replace('.', '_')}_total" not in after} == set()


def test_no_label_tells_a_secret(tree: upright.Tree) -> None:
    registry = CollectorRegistry()
    register(tree, registry=registry)
    break_something(tree)
    text = generate_latest(registry).decode()
    assert "hunter2" not in text
    assert "anna@" not in text
    assert "[email]" in text


def test_a_collector_without_a_tree_follows_the_default_one() -> None:
    with restore_default():
        registry = CollectorRegistry()
        register(registry=registry)
        with upright.boot({"control": {"enabled": False}}, name="first") as first:
            assert scraped(registry)["upright_up"] == {("first",): 1.0}
            first.stop()
            assert scraped(registry)["upright_up"] == {("first",): 0.0}


def test_several_trees_are_told_apart(tree: upright.Tree) -> None:
    with upright.boot({"control": {"enabled": False}}, name="mail") as other:
        registry = CollectorRegistry()
        register(tree, other, registry=registry)
        assert set(scraped(registry)["upright_up"]) == {("orders",), ("mail",)}


def test_the_number_of_circuits_in_a_scrape_is_bounded(tree: upright.Tree) -> None:
    for number in range(50):
        tree.call(f"operation-{number}", int)
    registry = CollectorRegistry()
    register(tree, registry=registry, max_circuits=7)
    assert len(scraped(registry)["upright_circuit_rejected_total"]) == 7
    with pytest.raises(upright.ConfigError, match=r"UprightCollector\.max_circuits"):
        UprightCollector(max_circuits=-1)


def test_every_metric_of_the_example_dashboard_exists(tree: upright.Tree) -> None:
    registry = CollectorRegistry()
    register(tree, registry=registry)
    tree.parts.board.risk = 0.25  # there is one after the first reading of the host
    break_something(tree)
    there = scraped(registry).keys()
    dashboard = json.loads((DOCS / "dashboards" / "grafana.json").read_text())
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"upright_\w+", target["expr"])
    }
    assert len(asked) > 15
    assert asked - there == set()


# OpenTelemetry


class Sdk:
    """The application's OpenTelemetry, with what it would have exported."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider(metric_readers=[self.reader])
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))

    def instrument(self, tree: upright.Tree, **options: Any) -> Any:
        return instrument(tree, meter_provider=self.meters, tracer_provider=self.tracers, **options)

    def metrics(self) -> dict[str, Any]:
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: list(metric.data.data_points)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def spans(self, name: str) -> list[Any]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]


@pytest.fixture
def sdk() -> Iterator[Sdk]:
    made = Sdk()
    yield made
    made.meters.shutdown()
    made.tracers.shutdown()


def test_a_recovery_is_a_span_below_that_of_the_request(tree: upright.Tree, sdk: Sdk) -> None:
    sdk.instrument(tree)
    with sdk.tracers.get_tracer("shop").start_as_current_span("GET /menu"):
        break_something(tree)
    (request,) = sdk.spans("GET /menu")
    recovered, failed = sorted(sdk.spans("upright.recovery"), key=lambda span: span.status.status_code.value)
    for span in (recovered, failed):
        assert span.parent.span_id == request.context.span_id
        assert span.end_time >= span.start_time
        assert [event.name for event in span.events].count("exception") == 1
    assert recovered.attributes["upright.operation"] == "menu"
    assert recovered.attributes["upright.method"] == "FALLBACK"
    assert recovered.attributes["upright.degraded"] is True
    assert failed.status.status_code is StatusCode.ERROR
    steps = [event.attributes["upright.step.stage"] for event in recovered.events if event.name == "upright.step"]
    assert steps[-1] == "FALLBACK"


def test_the_figures_are_metrics(tree: upright.Tree, sdk: Sdk) -> None:
    sdk.instrument(tree)
    break_something(tree)
    seen = sdk.metrics()
    assert seen["upright.fallback.activations"][0].value == 1
    assert seen["upright.up"][0].attributes == {"upright.tree": "orders"}
    outcomes = {point.attributes["upright.outcome"]: point.count for point in seen["upright.recovery.duration"]}
    assert outcomes == {"RECOVERED": 1, "FAILED": 1}
    assert set(figures(tree).counters) <= seen.keys()


def test_nothing_that_leaves_by_opentelemetry_tells_a_secret(tree: upright.Tree, sdk: Sdk) -> None:
    sdk.instrument(tree)
    break_something(tree)
    left = repr(sdk.metrics()) + "".join(span.to_json() for span in sdk.spans("upright.recovery"))
    assert "hunter2" not in left
    assert "anna@" not in left


def test_what_was_stopped_records_nothing(tree: upright.Tree, sdk: Sdk) -> None:
    stop = sdk.instrument(tree)
    stop()
    stop()
    break_something(tree)
    assert sdk.spans("upright.recovery") == []
    assert sdk.metrics() == {} or not any(sdk.metrics().values())


def test_without_a_provider_nothing_happens_and_nothing_is_set(tree: upright.Tree) -> None:
    from opentelemetry import trace

    before = trace.get_tracer_provider()
    stop = instrument(tree)
    break_something(tree)
    stop()
    assert trace.get_tracer_provider() is before


def test_instrumenting_without_a_tree_is_refused() -> None:
    from upright.booting import _make_default, default_tree

    before = default_tree()
    _make_default(None)
    try:
        with pytest.raises(upright.NotBooted, match=r"call upright\.boot\(\) first"):
            instrument()
    finally:
        _make_default(before)


# Both


@pytest.mark.parametrize(
    ("module", "library", "extra"),
    [("prometheus", "prometheus_client", "prometheus"), ("opentelemetry", "opentelemetry", "opentelemetry")],
)
def test_a_missing_library_is_named_with_its_extra(module: str, library: str, extra: str) -> None:
    code = f"import sys; sys.modules[{library!r}] = None; import upright.integrations.{module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"install upright[{extra}]" in done.stderr


def test_booting_loads_neither() -> None:
    code = (
        "import sys, upright; upright.boot({'control': {'enabled': False}}).stop();"
        "print([m for m in sys.modules if m.split('.')[0] in ('prometheus_client', 'opentelemetry', 'textual')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_histogram_bounds_end_at_infinity(tree: upright.Tree) -> None:
    assert math.isinf(tree.parts.monitor.times.buckets()[-1][0])
