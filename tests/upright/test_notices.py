"""Recovery notices: what an application shows its own users, from a real tree."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import upright
from upright.actors.events import CircuitChanged, HealingEnded, RecoveryEscalated, RecoveryFinished, RecoveryStarted
from upright.actors.notices import NoticeHub
from upright.strategies.notices import NoticeFilter, NoticeKind, RecoveryNotice, Severity
from upright.strategies.report import ErrorReport, RecoveryMethod, RecoveryResult, RecoveryStatus

QUIET: dict[str, Any] = {"retry": {"attempts": 1}, "control": {"enabled": False}, "flags": {"error_predictor": False}}


class Repair(upright.HealingStrategy):
    name = "repair"

    def __init__(self) -> None:
        self.works = False

    def can_handle(self, report: ErrorReport) -> bool:
        return report.resource == "shop"

    def heal(self, report: ErrorReport) -> None:
        if not self.works:
            raise ConnectionError("still down")

    def verify(self, report: ErrorReport) -> None:
        pass


def kinds(stream: Any, number: int) -> list[NoticeKind]:
    found: list[NoticeKind] = []
    for _ in range(number):
        notice = stream.get(timeout=10)
        assert notice is not None, found
        found.append(notice.kind)
    return found


def test_a_healed_failure_is_started_and_healed() -> None:
    repair = Repair()
    with upright.boot({**QUIET, "healing": {"heal_wait": 5}}, strategies=[repair]) as tree, tree.notices() as stream:
        repair.works = True
        broken = [True]

        @tree.protect("checkout", resource="shop")
        def checkout() -> str:
            if broken:
                broken.pop()
                raise ConnectionError("postgresql://app:hunter2@db/orders")
            return "paid"

        assert checkout() == "paid"
        started, healed = stream.get(10), stream.get(10)
        assert started is not None
        assert healed is not None
        assert (started.kind, started.severity) == (NoticeKind.STARTED, Severity.WARNING)
        assert started.sentence == "The network is unreliable at the moment. We are working on it."
        assert (healed.kind, healed.severity) == (NoticeKind.HEALED, Severity.INFO)
        assert (healed.operation, healed.resource, healed.recovery_id) == ("checkout", "shop", "NETWORK:shop")
        assert healed.to_dict()["kind"] == "healed"


def test_a_healing_that_fails_is_progress_and_the_answer_decides() -> None:
    with upright.boot({**QUIET, "healing": {"heal_wait": 5}}, strategies=[Repair()]) as tree, tree.notices() as stream:
        assert tree.recover(ConnectionError(), operation="checkout", resource="shop").status == "FAILED"
        assert kinds(stream, 3) == [NoticeKind.STARTED, NoticeKind.PROGRESS, NoticeKind.FAILED]


def test_a_substitute_is_told_in_the_words_of_its_step() -> None:
    chain = upright.FallbackChain("menu", [upright.FallbackStep("yesterday's", lambda _context: ["soup"])])
    with upright.boot(QUIET, strategies=[chain]) as tree, tree.notices() as stream:

        @tree.protect("menu")
        def menu() -> list[str]:
            raise ConnectionError

        assert menu() == ["soup"]
        notice = next(n for n in stream if n.kind is NoticeKind.DEGRADED)
        assert notice.severity is Severity.WARNING
        assert notice.sentence.startswith("You are seeing a limited version for now")


def test_a_thousand_calls_that_fail_alike_are_one_notice() -> None:
    with upright.boot({**QUIET, "flags": {"self_healing": False}}) as tree, tree.notices() as stream:
        for _ in range(1_000):
            tree.recover(ConnectionError(), operation="checkout")
        tree.stop()
        told = [notice.kind for notice in stream]
        assert 1 <= told.count(NoticeKind.FAILED) <= 20  # again every 5 s, should the machine be that slow


def test_bad_input_is_no_news_for_the_user() -> None:
    with upright.boot(QUIET) as tree, tree.notices() as stream:
        tree.recover(ValueError("no such size"), operation="checkout")
        tree.stop()
        assert list(stream) == []


def test_a_stream_ends_when_the_tree_stops_and_keeps_what_it_has() -> None:
    with upright.boot(QUIET) as tree:
        stream = tree.notices()
        waiting = threading.Thread(target=lambda: seen.extend(stream))
        seen: list[RecoveryNotice] = []
        waiting.start()
        tree.recover(ConnectionError(), operation="checkout")
        tree.stop()
        waiting.join(10)
        assert NoticeKind.FAILED in [notice.kind for notice in seen]
        assert list(tree.notices()) == []


def test_a_task_reads_the_stream_without_holding_its_loop() -> None:
    async def page(tree: upright.Tree) -> list[NoticeKind]:
        async with tree.notices() as stream:
            waiting = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0)
            await tree.recover_async(ConnectionError(), operation="checkout")
            first = await waiting
            rest = [notice.kind async for notice in _until(stream, NoticeKind.FAILED)]
            return [first.kind, *rest]

    with upright.boot({**QUIET, "flags": {"self_healing": True}}) as tree:
        assert asyncio.run(page(tree))[-1] is NoticeKind.FAILED


async def _until(stream: Any, kind: NoticeKind) -> Any:
    async for notice in stream:
        yield notice
        if notice.kind is kind:
            return


def test_an_async_stream_ends_when_the_tree_stops() -> None:
    async def read(tree: upright.Tree) -> list[NoticeKind]:
        stream = tree.notices()
        reading = asyncio.ensure_future(_all(stream))
        await asyncio.sleep(0)
        await asyncio.to_thread(tree.stop)
        return await reading

    with upright.boot(QUIET) as tree:
        assert asyncio.run(read(tree)) == []


async def _all(stream: Any) -> list[NoticeKind]:
    return [notice.kind async for notice in stream]


def test_a_late_page_begins_with_what_was_told() -> None:
    with upright.boot(QUIET) as tree:
        with tree.notices() as stream:
            tree.recover(ConnectionError(), operation="checkout")
            while (notice := stream.get(10)) and notice.kind is not NoticeKind.FAILED:
                pass
        late = tree.notices(backlog=1).get(timeout=0)
        assert late is not None
        assert late.kind is NoticeKind.FAILED


def test_the_default_trees_notices_are_at_the_door() -> None:
    with upright.boot(QUIET) as tree, upright.notices() as stream:
        tree.stop()
        assert stream.get() is None


# The hub and the filter alone


def test_good_news_is_never_kept_back_after_bad_news() -> None:
    news = NoticeFilter(repeat=5.0)
    started, failed, healed = (
        RecoveryNotice(kind, "...", "checkout") for kind in (NoticeKind.STARTED, NoticeKind.FAILED, NoticeKind.HEALED)
    )
    assert [news.passes(one, 0.0) for one in (started, healed, started, healed)] == [True, True, False, False]
    assert [news.passes(one, 1.0) for one in (failed, healed, failed)] == [True, True, False]
    assert [news.passes(one, 7.0) for one in (failed, healed)] == [True, True]


def test_recoveries_are_told_apart_and_forgotten_at_the_limit() -> None:
    news = NoticeFilter(limit=2)
    a, b, c = (RecoveryNotice(NoticeKind.FAILED, "...", name) for name in "abc")
    assert [news.passes(one, 0.0) for one in (a, b, a, c, a)] == [True, True, False, True, False]
    assert news.passes(b, 0.0)


def failed(operation: str) -> RecoveryFinished:
    return RecoveryFinished(
        RecoveryResult(recovery_id=None, status=RecoveryStatus.FAILED, operation=operation, error=ConnectionError())
    )


def test_a_stream_that_nobody_reads_stays_bounded_and_counts_what_it_dropped() -> None:
    hub = NoticeHub(lambda: True)
    stream = hub.open(10, 0)
    for number in range(500):
        hub.take(failed(f"operation-{number}"))
    assert stream.dropped == 490
    hub.end()
    assert [notice.operation for notice in stream] == [f"operation-{number}" for number in range(490, 500)]


def test_a_stream_that_was_closed_gets_nothing_more() -> None:
    hub = NoticeHub(lambda: True)
    stream = hub.open(10, 0)
    stream.close()
    stream.close()
    hub.take(failed("checkout"))
    assert list(stream) == []


@pytest.mark.parametrize(("limit", "backlog"), [(0, 0), (True, 0), (1, -1)])
def test_wrong_numbers_are_refused(limit: Any, backlog: Any) -> None:
    with pytest.raises(upright.ConfigError, match="notices"):
        NoticeHub(lambda: True).open(limit, backlog)


def test_the_number_of_streams_is_bounded() -> None:
    hub = NoticeHub(lambda: True)
    for _ in range(1_000):
        hub.open(1, 0)
    with pytest.raises(upright.ConfigError, match="at most 1000: close those not read"):
        hub.open(1, 0)


def test_nobody_is_told_that_we_work_on_it_while_we_only_observe() -> None:
    hub = NoticeHub(lambda: False)
    stream = hub.open(10, 0)
    report = ErrorReport(ConnectionError(), "checkout", "shop")
    hub.take(RecoveryStarted(report.recovery_id, report))
    hub.take(HealingEnded(report.recovery_id, report, healed=False, skipped=False, steps=(), duration=0.1, joined=0))
    hub.take(RecoveryEscalated(report.recovery_id, report, 3, 60.0))
    hub.end()
    assert list(stream) == []


def test_a_circuit_that_closes_after_probing_is_good_news() -> None:
    hub = NoticeHub(lambda: True)
    stream = hub.open(10, 0)
    hub.take(CircuitChanged("checkout", "CLOSED", "OPEN", "too many failures"))
    hub.take(CircuitChanged("checkout", "HALF_OPEN", "CLOSED", "probes succeeded"))
    hub.end()
    assert [notice.kind for notice in stream] == [NoticeKind.HEALED]


def test_no_notice_tells_a_secret() -> None:
    hub = NoticeHub(lambda: True)
    stream = hub.open(10, 0)
    report = ErrorReport(ConnectionError("password=hunter2"), "pay anna@example.org", "redis://:hunter2@cache")
    hub.take(RecoveryStarted(report.recovery_id, report))
    result = RecoveryResult(
        recovery_id=report.recovery_id,
        status=RecoveryStatus.RECOVERED,
        method=RecoveryMethod.FALLBACK,
        operation=report.operation,
        resource=report.resource,
        degraded=True,
    )
    hub.take(RecoveryFinished(result, report))
    hub.end()
    told = list(stream)
    assert len(told) == 2
    for notice in told:
        for text in (repr(notice), str(notice.to_dict())):
            assert "hunter2" not in text
            assert "anna@" not in text
