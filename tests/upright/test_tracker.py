"""Incidents, told once: to Sentry by a real client and transport, and to the log."""

from __future__ import annotations

import gzip
import json
import logging
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import pytest
import sentry_sdk
import structlog

import upright
from upright.actors import tracker
from upright.actors.interrupt import Interrupted
from upright.actors.sentry import capture
from upright.actors.sentry_drafts import Source, draft_of_incident
from upright.strategies.codes import ErrorCode
from upright.strategies.event_redaction import EventRedactor
from upright.strategies.incidents import Incident, Outcome
from upright.strategies.report import RecoveryId
from upright.testing import SentryRecorder, inject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upright.strategies.report import ErrorReport

SETTINGS: dict[str, Any] = {
    "retry": {"attempts": 1},
    "healing": {"heal_wait": 5},
    "control": {"enabled": False},
    "flags": {"error_predictor": False},
    "breaker": {"minimum_number_of_calls": 1_000},
    "sentry": {"settle": 0.02, "metrics_interval": 3600},
}


@contextmanager
def booted(*strategies: Any, **sections: Any) -> Iterator[upright.Tree]:
    config = {**SETTINGS, **{name: {**SETTINGS.get(name, {}), **values} for name, values in sections.items()}}
    with upright.boot(config, strategies=strategies, name="orders") as tree:
        yield tree


class Repair(upright.HealingStrategy):
    name = "repair"

    def __init__(self, *, works: bool) -> None:
        self.works = works

    def can_handle(self, report: ErrorReport) -> bool:
        return True

    def heal(self, report: ErrorReport) -> None:
        if not self.works:
            raise ConnectionError("still down")

    def verify(self, report: ErrorReport) -> None:
        pass


def fail(tree: upright.Tree, operation: str = "checkout", resource: str | None = "shop", text: str = "refused") -> None:
    try:
        raise ConnectionError(text)
    except ConnectionError as error:
        tree.recover(error, operation=operation, resource=resource)


def details(event: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = event["contexts"]["upright"]
    return found


# One event per incident


def test_an_incident_of_many_failures_is_one_error_event_with_its_story() -> None:
    with SentryRecorder() as sentry, booted(sentry={"settle": 0.3}) as tree:
        for _ in range(20):
            fail(tree)
        (event,) = sentry.wait_for(1)
        assert event["level"] == "error"
        assert event["message"].startswith("failed: checkout on shop could not be recovered in ")
        assert event["exception"]["values"][-1]["type"] == "ConnectionError"
        assert event["tags"] == {
            "upright.service": "orders",
            "upright.operation": "checkout",
            "upright.outcome": "failed",
            "upright.code": "NETWORK",
        }
        told = details(event)
        assert (told["recovery_id"], told["reports"], told["answers"]) == ("NETWORK:shop", 20, "FAILED 20")
        assert told["host"]
        assert told["process"]
        assert event["fingerprint"] == ["upright", told["fingerprint"]]
        assert any("no healing strategy" in crumb["message"] for crumb in event["breadcrumbs"]["values"])
        tree.stop()
        assert len(sentry.events) == 1


def test_a_healed_incident_is_one_warning_event() -> None:
    with SentryRecorder() as sentry, booted(Repair(works=True)) as tree:
        fail(tree)
        (event,) = sentry.wait_for(1)
        tree.stop()
        assert len(sentry.events) == 1
    assert event["level"] == "warning"
    assert event["message"].startswith("healed: checkout on shop works again, proven after ")
    assert details(event)["attempts"] == 1


def test_an_escalation_adds_one_event_of_its_own() -> None:
    with SentryRecorder() as sentry, booted(Repair(works=False), healing={"max_healing_attempts": 2}) as tree:
        for _ in range(6):
            fail(tree)
        sentry.wait_for(1, where=lambda event: event["tags"]["upright.outcome"] == "escalated")
        sentry.wait_for(1, where=lambda event: event["tags"]["upright.outcome"] == "failed")
        tree.stop()
        assert len(sentry.events) == 2
        assert {event["level"] for event in sentry.events} == {"error"}


def test_our_own_log_lines_are_no_second_event() -> None:
    with SentryRecorder() as sentry, booted() as tree:
        fail(tree)
        sentry.wait_for(1)
        tree.stop()
        assert [event["logger"] for event in sentry.events] == ["upright"]
        assert "incident_failed" not in sentry.sent.replace("upright.outcome", "")


def test_permanent_errors_are_no_incidents_unless_asked_for() -> None:
    with SentryRecorder() as sentry:
        with booted() as tree:
            tree.recover(ValueError("bad input"), operation="checkout")
        assert sentry.events == []
        with booted(sentry={"permanent_errors": True}) as tree:
            tree.recover(ValueError("bad input"), operation="checkout")
        assert len(sentry.events) == 1


def test_the_name_of_an_operation_groups_incidents_without_its_secret() -> None:
    recovery_id = RecoveryId(ErrorCode.NETWORK, "shop")
    incident = Incident(recovery_id, "GET postgresql://app:s3cret@db/x", "shop", 1.0, None, None, 1.5)
    draft = draft_of_incident(incident, Outcome.FAILED, 2.0, Source("orders"))
    assert "s3cret" not in "".join(draft.fingerprint) + draft.details["fingerprint"]
    assert draft.details["fingerprint"] == "NETWORK:GET postgresql://app:[redacted]@db/x"


# A guest


def test_without_sentry_nothing_is_initialised_or_configured() -> None:
    handlers, level = list(logging.root.handlers), logging.root.level
    with booted() as tree:
        fail(tree)
        assert tree.status_of("tracker").details["sentry"] == "not initialised"
    assert not sentry_sdk.is_initialized()
    assert not structlog.is_configured()
    assert (logging.root.handlers, logging.root.level) == (handlers, level)


def test_switched_off_it_says_nothing_although_sentry_is_there() -> None:
    with SentryRecorder() as sentry:
        with booted(sentry={"enabled": False}) as tree:
            fail(tree)
            assert tree.status_of("tracker").details["sentry"] == "switched off"
        sentry.flush()
        assert (sentry.events, sentry.metrics) == ([], [])


def test_the_event_is_of_the_request_that_failed_and_not_of_the_one_that_booted() -> None:
    with SentryRecorder() as sentry:
        with sentry_sdk.isolation_scope() as scope:
            scope.set_tag("request", "boot")
            tree_of = booted()
            tree = tree_of.__enter__()
        for name in ("r1", "r2"):
            with sentry_sdk.isolation_scope() as scope:
                scope.set_tag("request", name)
                fail(tree, operation=f"operation of {name}", resource=None)
        events = sentry.wait_for(2)
        tree_of.__exit__(None, None, None)
        tags = {event["tags"]["upright.operation"]: event["tags"]["request"] for event in events}
        assert tags == {"operation of r1": "r1", "operation of r2": "r2"}


def test_log_lines_carry_the_context_variables_of_the_request() -> None:
    lines: list[dict[str, Any]] = []

    def keep(_logger: Any, _name: str, event: Any) -> Any:
        lines.append(dict(event))
        raise structlog.DropEvent

    structlog.configure(processors=[structlog.contextvars.merge_contextvars, keep])
    try:
        with booted() as tree, structlog.contextvars.bound_contextvars(request="r7"):
            fail(tree)
    finally:
        structlog.reset_defaults()
    opened = [line for line in lines if line["event"] == "incident_opened"]
    assert [line["request"] for line in opened] == ["r7"]
    assert opened[0]["recovery_id"] == "NETWORK:shop"


# Never in the way


class Stuck:
    """A transport whose sending hangs until it is let go."""

    def __init__(self, sentry: SentryRecorder) -> None:
        self.let_go = threading.Event()
        self.entered = threading.Event()
        self.threads: set[str] = set()
        transport = sentry_sdk.get_client().transport
        assert transport is not None
        sending = transport.capture_envelope

        def capture_envelope(envelope: Any) -> None:
            self.threads.add(threading.current_thread().name)
            self.entered.set()
            assert self.let_go.wait(20)
            sending(envelope)

        transport.capture_envelope = capture_envelope  # type: ignore[method-assign]


def test_hanging_sentry_does_not_grow_memory() -> None:
    with SentryRecorder() as sentry, booted(sentry={"max_events": 1_000}) as tree:
        stuck = Stuck(sentry)
        fail(tree, operation="first", resource=None)
        assert stuck.entered.wait(10)
        for number in range(100):
            fail(tree, operation=f"operation-{number}", resource=None)
        assert not stuck.let_go.is_set()  # every caller has had its answer while Sentry hangs
        state = tree.parts.tracker
        while state.limit.held_ever < 70:
            assert threading.Event().wait(0.01) is False
        assert len(state.waiting) <= 30
        assert tree.status_of("tracker").details["sending_for"] >= 0
        stuck.let_go.set()
        sentry.wait_for(31)
        assert threading.main_thread().name not in stuck.threads


def test_events_that_wait_for_sentry_when_the_tree_stops_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    entered, let_go = threading.Event(), threading.Event()
    captured: list[str] = []

    def slow(draft: Any, *_: Any, **__: Any) -> bool:
        if not entered.is_set():
            entered.set()
            let_go.wait(20)
        captured.append(draft.tags["upright.operation"])
        return True

    monkeypatch.setattr(tracker, "capture", slow)
    monkeypatch.setattr(tracker, "_HANGS", 60.0)
    with SentryRecorder(), booted() as tree:
        fail(tree, operation="first", resource=None)
        assert entered.wait(10)
        fail(tree, operation="second", resource=None)
        fail(tree, operation="third", resource=None)
        state = tree.parts.tracker
        while len(state.waiting) < 2:
            assert threading.Event().wait(0.01) is False
        tree.stop()
        assert sorted(captured) == ["second", "third"]
        assert sum(state.sent.values()) + state.limit.held_ever == 3
        let_go.set()


def test_a_transport_that_raises_costs_its_event_and_nothing_else() -> None:
    with SentryRecorder() as sentry, booted() as tree:
        transport = sentry_sdk.get_client().transport
        assert transport is not None
        good, asked = transport.capture_envelope, threading.Event()

        def bad(_envelope: Any) -> None:
            asked.set()
            raise RuntimeError("no room")

        transport.capture_envelope = bad  # type: ignore[method-assign, assignment]
        fail(tree, operation="first", resource=None)
        assert asked.wait(10)
        transport.capture_envelope = good  # type: ignore[method-assign]
        fail(tree, operation="second", resource=None)
        (event,) = sentry.wait_for(1)
        assert details(event)["held_back"] == {"failed": 1}


def test_what_the_rate_limit_holds_back_is_counted_and_told() -> None:
    with SentryRecorder() as sentry, booted(sentry={"max_events": 2, "window": 0.5}) as tree:
        for number in range(10):
            fail(tree, operation=f"operation-{number}", resource=None)
        sentry.wait_for(2)
        state = tree.parts.tracker
        while state.limit.held_ever < 8:
            threading.Event().wait(0.01)
        threading.Event().wait(0.6)  # the window's length: it is on the real clock, as Sentry is
        fail(tree, operation="later", resource=None)
        sentry.wait_for(1, where=lambda one: one["tags"]["upright.operation"] == "later")
        assert sum(details(event).get("held_back", {}).get("failed", 0) for event in sentry.events) == 8


@pytest.mark.actor_crash
def test_an_incident_outlives_a_crash_of_the_tracker() -> None:
    with SentryRecorder() as sentry, booted(sentry={"settle": 0.2}) as tree:
        fail(tree)
        inject.crash("tracker", tree=tree)
        fail(tree)
        (event,) = sentry.wait_for(1)
        assert details(event)["answers"] == "FAILED 2"
        assert tree["tracker"].restarts == 1


# Metrics


def test_figures_are_sent_by_their_stable_names_and_none_is_lost_at_the_end() -> None:
    with SentryRecorder() as sentry:
        with booted(Repair(works=True)) as tree:
            fail(tree)
        assert sentry.metric("upright.healing.attempts") == 1
        assert sentry.metric("upright.healing.successes") == 1
        durations = [metric for metric in sentry.metrics if metric["name"] == "upright.recovery.duration"]
        assert len(durations) == 1
        assert durations[0]["type"] == "distribution"
        assert {metric["name"] for metric in sentry.metrics} >= {"upright.zombies", "upright.incidents.open"}


# A real endpoint


class Endpoint:
    """An HTTP server on loopback that takes what Sentry's own transport sends."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self._changed = threading.Condition()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                with endpoint._changed:
                    endpoint.bodies.append(body.decode())
                    endpoint._changed.notify_all()
                answer = b'{"id": "x"}'
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.dsn = f"http://public@127.0.0.1:{self._server.server_port}/1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def wait_for(self, words: str) -> str:
        with self._changed:
            assert self._changed.wait_for(lambda: any(words in body for body in self.bodies), 10), self.bodies
            return next(body for body in self.bodies if words in body)


def test_an_incident_arrives_at_a_real_endpoint_without_its_secrets() -> None:
    with Endpoint() as endpoint, sentry_sdk.isolation_scope():
        sentry_sdk.init(endpoint.dsn, auto_enabling_integrations=False)
        try:
            sentry_sdk.set_tag("customer", "anna@example.org")
            sentry_sdk.add_breadcrumb(message="login with password=hunter2")
            sentry_sdk.set_context("job", {"headers": {"Authorization": "Bearer abc123def456ghi789"}})
            with booted() as tree:
                fail(tree, text="postgresql://app:hunter2@db/orders refused")
                body = endpoint.wait_for("could not be recovered")
        finally:
            client = sentry_sdk.get_client()
            sentry_sdk.get_global_scope().set_client(None)
            client.close(timeout=2)
    event = json.loads(body.splitlines()[2])
    assert event["exception"]["values"][-1]["value"] == "postgresql://app:[redacted]@db/orders refused"
    assert event["tags"]["customer"] == "[email]"
    everything = "".join(endpoint.bodies)
    for secret in ("hunter2", "anna@example.org", "abc123def456ghi789"):
        assert secret not in everything


class Interrupting(EventRedactor):
    """Is interrupted in the middle, as in a worker that is abandoned when the tree stops."""

    def redact(self, event: Any) -> Any:
        raise Interrupted


class Unprintable(EventRedactor):
    """Cannot redact, and then cannot even say so."""

    def redact(self, event: Any) -> Any:
        raise ValueError(event)


@pytest.mark.parametrize("redactor", [Interrupting(), Unprintable()], ids=lambda one: type(one).__name__)
def test_an_event_whose_redaction_does_not_end_is_not_sent(redactor: EventRedactor) -> None:
    """Sentry's SDK swallows what a processor raises, and sent the event as it was."""

    def refuse(_record: Any) -> bool:
        raise OSError("the disk of the log is full")

    logger = logging.getLogger("upright")
    recovery_id = RecoveryId(ErrorCode.NETWORK, "shop")
    incident = Incident(recovery_id, "checkout", "shop", 1.0, None, OSError("password=hunter2"), 1.5)
    draft = draft_of_incident(incident, Outcome.FAILED, 2.0, Source("orders"), None, incident.error)
    with SentryRecorder() as sentry:
        logger.addFilter(refuse)
        try:
            assert not capture(draft, redactor)
        finally:
            logger.removeFilter(refuse)
        assert capture(draft, EventRedactor())
        sentry.flush()
    (event,) = sentry.events
    assert "hunter2" not in sentry.sent
    assert event["exception"]["values"][-1]["value"] == "password=[redacted]"


def test_an_endpoint_that_is_not_there_holds_up_nobody() -> None:
    with sentry_sdk.isolation_scope():
        sentry_sdk.init("http://public@127.0.0.1:9/1", auto_enabling_integrations=False)
        try:
            with booted() as tree:
                fail(tree)
        finally:
            client = sentry_sdk.get_client()
            sentry_sdk.get_global_scope().set_client(None)
            client.close(timeout=0)
