"""The predictor at work in a tree: readings, alerts, actions, and a history that outlives a crash."""

from __future__ import annotations

import platform
import random
import threading
from typing import TYPE_CHECKING, Any

import pytest
from recovery_parts import Boot, Healer, wait_until

from upright.actors.collector import Reading
from upright.strategies.breaker import BreakerState
from upright.strategies.prediction import Collector, PredictionEngine, SystemMetrics
from upright.testing.injection import Injector
from upright.testing.sentry import SentryRecorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upright.testing.clock import FakeClock
    from upright.tree import Tree

HOST = platform.node() or "localhost"

STILL: dict[str, Any] = {"flags": {"error_predictor": False}}
"""The collector reads nothing; the predictor takes what a test feeds it with."""


@pytest.fixture
def injector() -> Iterator[Injector]:
    injector = Injector()
    yield injector
    injector.stop()


def leak(count: int = 420) -> list[SystemMetrics]:
    """Two hours of calm, then a leak that reaches its limit an hour later."""
    rng = random.Random(7)
    return [
        SystemMetrics(
            30.0 * n,
            memory=min(0.99, 0.5 + 0.35 * max(0, n - 240) / 120 + rng.gauss(0, 0.003)),
            response_ms=200.0,
            error_rate=0.001,
            connections=100,
            cpu=0.2,
            requests=900,
        )
        for n in range(count)
    ]


def errors(count: int) -> list[SystemMetrics]:
    return [SystemMetrics(30.0 * n, memory=0.5, error_rate=0.4, requests=900) for n in range(count)]


def feed(tree: Tree, readings: list[SystemMetrics]) -> dict[str, Any]:
    """Give readings to the predictor, and wait until it has seen them all; its details."""
    for reading in readings:
        tree["predictor"].tell(Reading(reading))
    return at(tree, readings[-1].at)


def at(tree: Tree, moment: float) -> dict[str, Any]:
    """Wait until the predictor has seen the reading of that moment; its details."""
    wait_until(lambda: of(tree, "predictor").get("at") == moment)
    return of(tree, "predictor")


def of(tree: Tree, name: str) -> dict[str, Any]:
    nodes = [tree.status()]
    while nodes:
        node = nodes.pop()
        if node.name == name:
            return dict(node.details)
        nodes.extend(node.children)
    raise LookupError(name)


def test_the_host_is_read_after_a_second_and_then_every_interval(boot: Boot, clock: FakeClock) -> None:
    taken = threading.Semaphore(0)

    def count() -> float:
        taken.release()
        return 5.0

    tree = boot(Collector(connections=count), predictor={"interval": 20})
    for seconds, moment in ((1.0, 1001.0), (20.0, 1021.0), (20.0, 1041.0)):
        clock.advance(seconds)
        assert taken.acquire(timeout=10.0)
        at(tree, moment)
    assert not taken.acquire(blocking=False)
    assert of(tree, "predictor")["metrics"]["connections"] == 5.0
    assert of(tree, "collector")["interval"] == 20


def test_error_rate_response_time_and_requests_are_those_of_the_protected_calls(boot: Boot, clock: FakeClock) -> None:
    tree = boot(predictor={"interval": 20}, retry={"attempts": 1}, healing={"heal_wait": 0})

    @tree.protect("op")
    def op(*, fails: bool) -> None:
        if fails:
            raise ConnectionError("down")

    for n in range(8):
        if n % 4:
            op(fails=False)
        else:
            with pytest.raises(ConnectionError):
                op(fails=True)
    clock.advance(1.0)
    details = at(tree, 1001.0)
    assert (details["requests"], details["metrics"]["error_rate"]) == (8, 0.25)
    assert details["metrics"]["response_time"] is not None
    clock.advance(20.0)
    details = at(tree, 1021.0)
    assert (details["requests"], details["metrics"]["error_rate"], details["metrics"]["response_time"]) == (
        0,
        None,
        None,
    )


def test_an_alert_is_one_event_with_a_stable_fingerprint_and_a_breadcrumb_per_prediction(boot: Boot) -> None:
    with SentryRecorder() as sentry:
        tree = boot(**STILL)
        feed(tree, leak(340))
        (event,) = sentry.wait_for(1)
        assert event["fingerprint"] == ["upright", "predictor", HOST, "memory"]
        assert event["level"] == "warning"
        assert "limit of 85 %" in event["message"]
        assert event["contexts"]["upright"]["kind"] == "forecast"
        assert event["contexts"]["upright"]["actions"]
        crumbs = [crumb["message"] for crumb in event["breadcrumbs"]["values"]]
        assert len(crumbs) == 20  # the newest
        assert all(crumb.startswith("risk 0.00 LOW") for crumb in crumbs)
        tree.stop()
        assert len(sentry.events) == 1


def test_alerts_and_what_became_of_them_are_counted(boot: Boot) -> None:
    tree = boot(**STILL)
    details = feed(tree, leak())
    assert (details["alerts_judged"], details["alerts_true"], details["breaches"]) == (1, 1, 1)
    assert (details["precision"], details["recall"]) == (1.0, 1.0)
    assert details["alerting"] == ["memory"]
    assert (details["risk"], details["level"], details["factors"]) == (0.3, "LOW", ["memory"])
    metrics = wait_until(lambda: m if (m := tree.metrics()).alerts_true else None)
    assert (metrics.alerts_issued, metrics.alerts_true, metrics.alert_precision) == (1, 1, 1.0)


@pytest.mark.actor_crash
@pytest.mark.parametrize("crashing", ["predictor", "collector"])
def test_a_crash_loses_no_history(boot: Boot, injector: Injector, crashing: str) -> None:
    readings = leak()
    engine = PredictionEngine()
    alerts = [alert.reason for reading in readings if (alert := engine.observe(reading).alert) is not None]
    tree = boot(**STILL)
    # What it takes to see the leak is more history than follows the crash; the second one needs a state handed on.
    feed(tree, readings[:290])
    injector.crash(crashing, tree=tree)
    feed(tree, readings[290:300])
    injector.crash("predictor", tree=tree)
    details = feed(tree, readings[300:])
    assert details["alerts_judged"] == details["alerts_true"] == 1
    raised = wait_until(lambda: tree.metrics().alerts_issued)
    assert (raised, len(alerts)) == (1, 1)


@pytest.mark.parametrize("act", [False, True])
def test_memory_is_cleaned_up_before_it_runs_out_only_where_that_was_asked_for(boot: Boot, *, act: bool) -> None:
    healer = Healer()
    tree = boot(healer, predictor={"act": act}, **STILL)
    feed(tree, leak(340))
    wait_until(lambda: tree.metrics().alerts_issued)
    if act:
        wait_until(lambda: healer.reports)
        assert [str(report.classification.code) for report in healer.reports] == ["MEMORY_PRESSURE"]
    else:
        tree.stop()
        assert not healer.reports


@pytest.mark.parametrize("act", [False, True])
def test_circuits_are_stricter_while_errors_are_alerted_on(boot: Boot, *, act: bool) -> None:
    breaker = {"minimum_number_of_calls": 4, "window_size": 4, "failure_rate_threshold": 0.5}
    tree = boot(predictor={"act": act}, breaker=breaker, retry={"attempts": 1}, healing={"heal_wait": 0}, **STILL)

    def fail() -> None:
        raise ConnectionError("down")

    tree.call("op", int)
    feed(tree, errors(8))
    for function in (int, int, fail):
        tree.call("op", function)
    if act:  # one of four is enough
        wait_until(lambda: tree.breakers["op"].state is BreakerState.OPEN)
    else:
        assert tree.breakers["op"].state is BreakerState.CLOSED


def test_without_its_flag_nothing_is_read_and_no_risk_is_told(boot: Boot, clock: FakeClock) -> None:
    tree = boot()
    feed(tree, errors(8))
    tree.flags["error_predictor"] = False
    clock.advance(1.0)
    wait_until(lambda: of(tree, "collector")["paused"])
    assert of(tree, "collector")["reading_took"] is None


@pytest.mark.usefixtures("clock")
def test_the_newest_risk_is_in_the_context_of_a_recovery(boot: Boot) -> None:
    healer = Healer()
    tree = boot(healer)
    feed(tree, errors(1))
    tree.recover(ConnectionError("down"), operation="op", timeout=10.0)
    assert healer.reports[0].context["predicted_risk"] == 0.2


def test_options_of_the_predictor_reach_it(boot: Boot) -> None:
    tree = boot(predictor={"limits": {"error_rate": 0.5}, "warm_up": 0, "for_ticks": 1}, **STILL)
    details = feed(tree, errors(8))
    assert (details["risk"], details["alerting"]) == (0.0, [])
