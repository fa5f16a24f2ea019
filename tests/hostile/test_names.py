"""Names of any length and of any characters are refused by name or bear being shown; contexts of any kind, too."""

from __future__ import annotations

import gc
import io
import json
import logging
import tracemalloc
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

import prometheus_client
import pytest
from click.testing import CliRunner
from hostile_things import PATIENCE, Lazy, Repair, booted, crash_counts, is_well, objects
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import upright
from upright.actors import SupervisedActor
from upright.cli.app import app
from upright.integrations.prometheus import UprightCollector
from upright.strategies.errors import ConfigError
from upright.strategies.fallback import OfflineQueue
from upright.strategies.fallback.chain import FallbackChain, FallbackStep, Substitute
from upright.strategies.redaction import redact, redact_text
from upright.strategies.report import ErrorReport
from upright.supervisors import ChildSpec, Supervisor, status, which_child
from upright.supervisors.errors import ChildNotFound

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from upright.testing import SentryRecorder
    from upright.tree import Tree

NAMES = {
    "control characters": "a\x00\n\r\x1b[2J\x7f\x9b31m",
    "surrogates": "\ud800x\udfff",
    "emoji": "\U0001f600\u200d" * 300,
    "right to left": "\u202eabc\u2066",
    "path separators": "../../etc/passwd\\..\\x",
    "formats": "%s %(a)s {} {0.__class__} ${x}",
    "markup": "[red]<b>'\"&;--",
    "spaces": " \t ",
    "a thousand": "x" * 1_000,
}


def _fail() -> NoReturn:
    raise ConnectionError("down")


class _Idle(SupervisedActor):
    """Does nothing."""


def _uses(tree: Tree, name: str) -> dict[str, Callable[[], Any]]:
    """Return everything that takes a name, by what it names."""
    return {
        "operation": lambda: tree.call(name, _fail),
        "protect.operation": lambda: tree.protect(name),
        "protect.resource": lambda: tree.protect("query", resource=name),
        "boundary.operation": lambda: tree.boundary(name),
        "recover.operation": lambda: tree.recover(ConnectionError(), operation=name),
        "recover.resource": lambda: tree.recover(ConnectionError(), operation="query", resource=name),
        "report.operation": lambda: tree.report(ConnectionError(), operation=name),
        "report.resource": lambda: tree.report(ConnectionError(), operation="query", resource=name),
        "ErrorReport.operation": lambda: tree.orchestrator.ask(ErrorReport(OSError(), name), timeout=PATIENCE),
        "ErrorReport.resource": lambda: tree.orchestrator.ask(ErrorReport(OSError(), "a", name), timeout=PATIENCE),
        "FallbackChain.operation": lambda: tree.register(FallbackChain(name, [FallbackStep("a", lambda _: 5)])),
        "FallbackStep.name": lambda: tree.register(FallbackChain("served", [FallbackStep(name, lambda _: 5)])),
        "FallbackStep.degradation": lambda: FallbackStep("a", lambda _: 5, degradation=name),
        "Named.name": lambda: tree.register(type("Named", (Repair,), {"name": name})(works=False)),
        "boot.name": lambda: upright.boot({"control": {"enabled": False}}, name=name).stop(timeout=PATIENCE),
        "Supervisor.name": lambda: Supervisor.start(name=name).stop(),
    }


def _shown(tree: Tree) -> dict[str, str]:
    """Return what a tree tells of itself, in every way that there is."""
    registry = prometheus_client.CollectorRegistry()
    registry.register(UprightCollector(tree))
    return {
        "status": json.dumps(tree.status().to_dict(), ensure_ascii=False),
        "history": json.dumps([entry.to_dict() for entry in tree.history()], ensure_ascii=False),
        "metrics": prometheus_client.generate_latest(registry).decode(),
        "texts": f"{tree!r} {tree.status()!r} {tree.history()!r}",
    }


@pytest.mark.parametrize("kind", NAMES)
def test_a_name_of_any_characters_works_and_can_be_shown(
    kind: str, sentry_recorder: SentryRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    name = NAMES[kind]
    with booted(Repair(works=False), sentry={"settle": 0.0}) as tree:
        for use in _uses(tree, name).values():
            use()
        assert tree.call("served", _fail).value == 5
        assert tree.breakers[name].state
        assert is_well(tree)
        assert crash_counts(tree) == {}
        for what, text in _shown(tree).items():
            assert len(text) < 300_000, what
            if what != "texts":
                text.encode()  # no surrogate is in it
        sentry_recorder.wait_for(1, timeout=PATIENCE)
        for record in caplog.records:
            assert len(record.getMessage()) < 5_000
            json.dumps(redact(vars(record)), ensure_ascii=False).encode()


def test_a_name_of_a_million_characters_is_refused_by_name_and_kept_nowhere() -> None:
    with booted(Repair(works=False)) as tree:
        tracemalloc.start()
        try:
            for number in range(20):
                name = f"{number}" + "x" * 1_000_000
                for what, use in _uses(tree, name).items():
                    with pytest.raises(ConfigError) as caught:
                        use()
                    assert what.rpartition(".")[2] in caught.value.field, what
                    assert len(str(caught.value)) < 500, what
                    del caught
            del name, use
            gc.collect()  # the tracebacks of what was refused are cycles
            left, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert left < 2_000_000
        assert max(map(len, _shown(tree).values())) < 50_000
        assert is_well(tree)
        assert crash_counts(tree) == {}


def test_a_child_id_may_be_anything_that_is_hashable_and_is_shown_short() -> None:
    ids = [*NAMES.values(), "x" * 1_000_000, 10**5_000, ("x" * 1_000_000, 5), float("nan"), objects()["no text"]]
    supervisor = Supervisor.start([ChildSpec(one, _Idle) for one in ids])
    try:
        found = status(supervisor)
        assert len(found.children) == len(ids)
        json.dumps(found.to_dict(), ensure_ascii=False).encode()
        assert len(json.dumps(found.to_dict())) < 20_000
        with pytest.raises(ChildNotFound) as caught:
            which_child(supervisor, "y" * 1_000_000)
        assert len(str(caught.value)) < 500
    finally:
        supervisor.stop()


@pytest.mark.actor_crash
def test_a_child_of_any_id_crashes_in_a_log_line_of_bounded_length(caplog: pytest.LogCaptureFixture) -> None:
    class Crashing(SupervisedActor):
        def on_receive(self, message: Any) -> NoReturn:
            raise OSError(message)

    ids = ["x" * 1_000_000, "\ud800\n\x1b[2J", objects()["no text"]]
    supervisor = Supervisor.start([ChildSpec(one, Crashing) for one in ids], intensity=10)
    try:
        for one in ids:
            with pytest.raises(OSError, match="crash"):
                which_child(supervisor, one).address.ask("crash", timeout=PATIENCE)
        until = monotonic() + PATIENCE
        while [child.restarts for child in status(supervisor).children] != [1, 1, 1]:
            assert monotonic() < until
    finally:
        supervisor.stop()
    lines = [record for record in caplog.records if record.msg == "child_terminated"]
    assert len(lines) == 3
    for record in lines:
        assert len(str(getattr(record, "child_id", ""))) < 5_000
        str(getattr(record, "child_id", "")).encode()


def test_what_a_step_says_of_its_answer_is_kept_short_and_a_text() -> None:
    said = iter([Substitute(5, "x" * 1_000_000), lambda: Substitute(5, 5), lambda: Substitute(5, "", float("nan"))])  # type: ignore[arg-type]

    def provide(_: Any) -> Any:
        answer = next(said)
        return answer() if callable(answer) else answer

    with booted(FallbackChain("query", [FallbackStep("step", provide)])) as tree:
        served = tree.call("query", _fail)
        assert served.value == 5
        assert len(served.degradation) <= 1_000
        for _ in range(2):
            assert tree.call("query", _fail).status == "FAILED"
        assert max(map(len, _shown(tree).values())) < 50_000
        assert crash_counts(tree) == {}


def test_an_error_code_must_be_one() -> None:
    for code in ("x" * 1_000_000, "\ud800", 5, objects()["no text"]):
        with pytest.raises(ConfigError, match=r"register_error\.code") as caught:
            upright.register_error(type("Own", (Exception,), {}), code)  # type: ignore[arg-type]
        assert len(str(caught.value)) < 600


def test_a_key_of_the_offline_queue_is_a_name(tmp_path: Path) -> None:
    queue = OfflineQueue(tmp_path / "queue.db")
    for key in ("x" * 1_000_000, "\ud800", "", 5, objects()["no text"]):
        with pytest.raises(ConfigError, match=r"OfflineQueue\.put\.key"):
            queue.put({}, key=key)  # type: ignore[arg-type]
    for key in ("a\x00b", "../x", "\U0001f600", "%s"):
        assert queue.put({}, key=key) == key
    done: list[str] = []
    queue.replay(lambda key, _: done.append(key))
    assert done == ["a\x00b", "../x", "\U0001f600", "%s"]
    queue.close()


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=50))
def test_any_text_that_leaves_can_be_encoded(text: str) -> None:
    redact_text(text).encode()
    assert redact_text(redact_text(text)) == redact_text(text)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=()), min_size=1, max_size=30))
def test_any_name_on_the_command_line_is_not_found_in_words(name: str) -> None:
    said = CliRunner().invoke(app, ["status", "--name", name])
    assert said.exit_code in (2, 3)
    assert "Traceback" not in said.output


# Contexts


def _contexts() -> dict[str, Any]:
    return {
        "not serialisable": {"lock": __import__("threading").Lock(), "file": io.StringIO(), "code": (lambda: 5)},
        "a million items": dict.fromkeys(range(1_000_000), "x"),
        "a hundred megabytes": {"blob": "x" * 100_000_000, "bytes": bytes(10_000_000)},
        "a long key": {"k" * 1_000_000: 1},
        "odd keys": {None: 1, ("a",): 2, 5: 3, b"x": 4, float("nan"): 5},
        **{what: {"value": value} for what, value in objects().items()},
    }


@pytest.mark.parametrize("kind", _contexts())
def test_any_context_comes_to_the_strategy_and_nothing_of_it_grows(kind: str, sentry_recorder: SentryRecorder) -> None:
    context = _contexts()[kind]
    seen: list[Any] = []

    class Looking(Repair):
        name = "looking"

        def heal(self, report: ErrorReport) -> NoReturn:
            seen.append(report.context)
            raise OSError("in vain")

    with booted(Looking(), sentry={"settle": 0.0}) as tree:
        result = tree.recover(ConnectionError("down"), operation="query", context=context)
        assert result.status == "FAILED"
        assert all(seen[0][key] is value for key, value in list(context.items())[:10] if key == key)  # noqa: PLR0124
        tree.report(ConnectionError("down"), operation="other", context=context)
        tree.orchestrator.tell(ErrorReport(ConnectionError("down"), "third", context=context))
        sentry_recorder.wait_for(1, timeout=PATIENCE)
        assert max(map(len, sentry_recorder.sent.splitlines())) < 300_000
        assert max(map(len, _shown(tree).values())) < 50_000
        assert is_well(tree)
        assert crash_counts(tree) == {}


def test_a_context_that_cannot_be_read_is_refused_and_replaces_no_exception() -> None:
    with booted(Repair()) as tree:
        error = ConnectionError("down")
        for refused in (
            lambda: ErrorReport(error, "query", context=Lazy()),
            lambda: tree.report(error, operation="query", context=Lazy()),
            lambda: tree.recover(error, operation="query", context=Lazy()),
        ):
            with pytest.raises(ConfigError, match=r"context must be a mapping that can be read"):
                refused()
        with pytest.raises(ConnectionError), tree.boundary("query", context=Lazy()):  # its own exception comes out
            raise error
        assert is_well(tree)
        assert crash_counts(tree) == {}


def test_log_lines_of_any_field_are_short(caplog: pytest.LogCaptureFixture) -> None:
    from upright.actors.log import get_logger

    for what, value in objects().items():
        with caplog.at_level(logging.INFO, logger="upright"):
            get_logger("test").info("anything", **{"x" * 1_000_000: 1, "value": value, "\ud800": what})
    assert len(caplog.records) == len(objects())
