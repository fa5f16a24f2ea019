"""Whatever the application raises comes out as it was, and no actor minds what it looks like."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hostile_things import PATIENCE, Repair, booted, crash_counts, exceptions, is_well

import upright
from upright.actors import SupervisedActor
from upright.strategies.classification import classify
from upright.strategies.failure_text import failure_text
from upright.strategies.fallback.chain import FallbackChain, FallbackStep
from upright.strategies.fingerprint import fingerprint
from upright.strategies.foreign import kind_of, shown
from upright.strategies.redaction import redact, redact_error
from upright.strategies.report import ErrorReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.testing import SentryRecorder

KINDS = exceptions()
kinds = pytest.mark.parametrize("kind", KINDS)


def _raised_by(function: Callable[[], object]) -> BaseException | None:
    try:
        function()
    except BaseException as error:
        return error
    return None


def _raiser(error: BaseException) -> Callable[..., None]:
    def fail(*_: Any) -> None:
        raise error

    return fail


@pytest.mark.parametrize("works", [True, False], ids=["healed", "not healed"])
@kinds
def test_it_comes_out_unchanged_wherever_it_went_in(kind: str, works: bool) -> None:  # noqa: FBT001 - a parameter
    error = KINDS[kind]()
    with booted(Repair(works=works)) as tree:

        @tree.protect("coroutine")
        async def fail() -> None:
            raise error

        async def is_unchanged() -> bool:
            try:
                await fail()
            except BaseException as raised:
                return raised is error
            return False

        def work() -> None:
            with tree.boundary("boundary"):
                raise error

        assert _raised_by(tree.protect("call")(_raiser(error))) is error
        assert asyncio.run(is_unchanged())
        assert _raised_by(work) is error
        report = ErrorReport(error, "ask")
        tree.report(error, operation="report")
        for result in (
            tree.call("result", _raiser(error)),
            tree.recover(error, operation="recover", call=_raiser(error)),
            tree.orchestrator.ask(report, timeout=PATIENCE),
        ):
            assert result.error is error
            assert len(json.dumps(result.to_dict())) < 50_000
            assert len(repr(result)) < 1_000
        assert len(json.dumps(report.to_dict())) < 50_000
        assert len(repr(report)) < 1_000
        assert is_well(tree)
        assert crash_counts(tree) == {}


@kinds
def test_what_is_said_about_it_is_bounded(kind: str) -> None:
    error = KINDS[kind]()
    json.dumps(redact(error))
    json.dumps(redact({"error": [error]}))
    assert len(redact_error(error)) <= 4_000
    assert len(failure_text(error)) <= 300
    assert len(shown(error)) <= 200
    assert len(kind_of(error, qualified=True)) <= 200
    assert len(fingerprint(error)) == 16
    assert len(classify(error).reason) <= 500


@kinds
def test_a_strategy_or_a_step_that_raises_it_has_failed_and_the_next_is_tried(kind: str) -> None:
    class Failing(Repair):
        name = "failing"

        def heal(self, report: ErrorReport) -> None:
            raise KINDS[kind]()  # noqa: RSE102 - it makes one

    bad, good = FallbackStep("bad", _raiser(KINDS[kind]())), FallbackStep("good", lambda _: "value")
    with booted(Failing(), Repair(), FallbackChain("served", [bad, good])) as tree:
        healed = tree.recover(ConnectionError("down"), operation="query")
        assert [step.outcome for step in healed.steps] == ["FAILED", "SUCCEEDED"]
        tree.flags["self_healing"] = False
        served = tree.call("served", _raiser(ConnectionError("down")))
        assert (served.status, served.value) == ("RECOVERED", "value")
        assert is_well(tree)
        assert crash_counts(tree) == {}


@pytest.mark.actor_crash
@kinds
def test_an_actor_that_raises_it_gives_it_to_its_asker_and_ends(kind: str) -> None:
    error = KINDS[kind]()
    failed = threading.Event()

    class Raising(SupervisedActor):
        def on_receive(self, message: Any) -> None:
            raise error

        def on_failure(self, *_: Any) -> None:
            failed.set()

    address = Raising.start()
    assert _raised_by(lambda: address.ask("x", timeout=PATIENCE)) is error
    assert failed.is_set()
    assert not address.is_alive()
    assert len(str(address.exit_reason)) < 1_000


@kinds
def test_its_incident_is_told_to_sentry(kind: str, sentry_recorder: SentryRecorder) -> None:
    error = KINDS[kind]()
    with booted(Repair(works=False), sentry={"settle": 0.0}) as tree:
        assert _raised_by(tree.protect("query")(_raiser(error))) is error
        sentry_recorder.wait_for(1, timeout=PATIENCE)
        assert crash_counts(tree) == {}


def test_it_is_left_alone_where_there_is_no_tree() -> None:
    for make in KINDS.values():
        error = make()
        assert _raised_by(upright.protect("nowhere")(_raiser(error))) is error
        assert upright.call("nowhere", _raiser(error)).error is error
        upright.report(error, operation="nowhere")
