"""OpenTelemetry: the figures as metrics, and a span per recovery; install `upright[opentelemetry]`.

    from upright.integrations.opentelemetry import instrument

    stop = instrument()    # the default tree, on the providers that the application has set

The API alone is used: where the application has set no provider, nothing is recorded. Spans are made when a recovery
is over, in the monitor's thread, with the times at which it happened, below the span that the failing call ran in.
Use a batching span processor; one that exports at once would hold up the monitor.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from upright.actors.events import RecoveryFinished
from upright.face import NotBooted
from upright.integrations.figures import Figures, figures, trees
from upright.strategies.redaction import redact_error, redact_text, type_name
from upright.strategies.report import RecoveryStatus

try:
    from opentelemetry import context as otel_context
    from opentelemetry import metrics, trace
    from opentelemetry.metrics import Observation
    from opentelemetry.trace import Status, StatusCode
except ImportError as missing:
    raise ImportError(
        "upright.integrations.opentelemetry needs opentelemetry-api: install upright[opentelemetry]"
    ) from missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import CallbackOptions, Histogram, MeterProvider
    from opentelemetry.trace import Tracer, TracerProvider

    from upright.strategies.report import RecoveryResult
    from upright.tree import Tree

__all__ = ["instrument"]

_SCOPE: Final = "upright"
_TOGETHER: Final = 0.1  # seconds within which instruments are observed together


def instrument(
    tree: Tree | None = None,
    *,
    meter_provider: MeterProvider | None = None,
    tracer_provider: TracerProvider | None = None,
    joined: bool = False,
) -> Callable[[], None]:
    """Pass a tree's figures and recoveries on to OpenTelemetry.

    Args:
        tree: None takes the default tree as of now.
        meter_provider: None takes the application's global one.
        tracer_provider: Likewise.
        joined: Make spans also of the answers that callers shared with a recovery that was under way: a thousand
            callers that fail together are then a thousand spans, one in each caller's trace.

    Returns:
        Call it to stop.

    Raises:
        NotBooted: There is no tree.
    """
    found = trees(() if tree is None else (tree,))
    if not found:
        raise NotBooted("instrument() needs a tree: call upright.boot() first")
    bridge = _Bridge(
        found[0],
        (metrics.get_meter_provider() if meter_provider is None else meter_provider).get_meter(_SCOPE),
        (trace.get_tracer_provider() if tracer_provider is None else tracer_provider).get_tracer(_SCOPE),
        joined=joined,
    )
    return bridge.stop


class _Bridge:
    """One instrumented tree."""

    def __init__(self, tree: Tree, meter: Any, tracer: Tracer, *, joined: bool) -> None:
        self._tree = tree
        self._tracer = tracer
        self._joined = joined
        self._stopped = False
        self._read = (float("-inf"), figures(tree))
        self._attributes = {"upright.tree": redact_text(tree.name)}
        self._durations: Histogram = meter.create_histogram(
            "upright.recovery.duration", unit="s", description="Time from a failure to its answer"
        )
        counters, gauges = self._read[1]
        for name in counters:
            meter.create_observable_counter(name, callbacks=[self._observing(name, place=0)])
        for name in {*gauges, "upright.risk"}:
            unit = "s" if ".time." in name else ""
            meter.create_observable_gauge(name, callbacks=[self._observing(name, place=1)], unit=unit)
        self._unlisten = tree.listen(self._take)

    def stop(self) -> None:
        """Record nothing any more; the instruments stay, since OpenTelemetry cannot let one go."""
        self._stopped = True
        self._unlisten()

    def _observing(self, name: str, *, place: int) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_options: CallbackOptions) -> Iterable[Observation]:
            if self._stopped:
                return []
            value = self._figures()[place].get(name)
            return [] if value is None else [Observation(value, self._attributes)]

        return observe

    def _figures(self) -> Figures:
        """Read the tree once for all the instruments that are observed together."""
        now = monotonic()
        if now - self._read[0] > _TOGETHER:
            self._read = (now, figures(self._tree))
        return self._read[1]

    def _take(self, event: Any) -> None:
        if not isinstance(event, RecoveryFinished):
            return
        result = event.result
        if result.joined and not self._joined:
            return
        attributes = {**self._attributes, **_attributes(result)}
        origin = None if event.report is None else event.report.origin
        # The context of the request, so that the span belongs to its trace and the measurement to its baggage.
        context = otel_context.Context() if origin is None else origin.context.copy().run(otel_context.get_current)
        if not result.joined:
            self._durations.record(result.duration, attributes, context=context)
        self._span(result, attributes, context)

    def _span(self, result: RecoveryResult, attributes: dict[str, Any], context: Any) -> None:
        began = int(result.started_at * 1e9)
        span = self._tracer.start_span("upright.recovery", context=context, start_time=began)
        if span.is_recording():
            attributes |= {"upright.degraded": result.degraded, "upright.joined": result.joined}
            if result.resource is not None:
                attributes["upright.resource"] = redact_text(result.resource)
            if result.recovery_id is not None:
                attributes["upright.recovery_id"] = redact_text(str(result.recovery_id))
            span.set_attributes(attributes)
            at = began
            for step in result.steps:
                at += int(step.duration * 1e9)
                shown = {f"upright.step.{key}": value for key, value in step.to_dict().items() if value is not None}
                span.add_event("upright.step", shown, timestamp=at)
            if result.error is not None:
                error = {"exception.type": type_name(result.error), "exception.message": redact_error(result.error)}
                span.add_event("exception", error, timestamp=began)
            if result.status in (RecoveryStatus.FAILED, RecoveryStatus.CIRCUIT_OPEN):
                span.set_status(Status(StatusCode.ERROR, str(result.status)))
        span.end(began + int(result.duration * 1e9))


def _attributes(result: RecoveryResult) -> dict[str, str]:
    return {
        "upright.operation": redact_text(result.operation),
        "upright.outcome": str(result.status),
        "upright.method": str(result.method or "none"),
        "upright.code": str(result.code or "none"),
    }
