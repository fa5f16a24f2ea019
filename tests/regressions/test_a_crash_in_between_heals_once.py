"""Crashes between two lines of the orchestrator or the healing actor healed a failure twice, or answered nobody."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from recovery_parts import wait_until

from upright.actors import healing_record
from upright.actors.counsel import Inquire
from upright.actors.healing import HealingActor
from upright.actors.letters import dead_letters
from upright.actors.orchestrator import OrchestratorActor
from upright.actors.reply import TellBack
from upright.actors.worker import WorkerPool
from upright.strategies.errors import UprightError
from upright.strategies.healing.base import HealingStrategy
from upright.strategies.report import ErrorReport, RecoveryStatus
from upright.supervisors import restart_child, terminate_child

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.tree import Tree

pytestmark = pytest.mark.actor_crash


class _Counting(HealingStrategy):
    """Heals everything and counts; waits for `go` first."""

    name = "counting"

    def __init__(self) -> None:
        self.heals = 0
        self.begun, self.go = threading.Event(), threading.Event()

    def can_handle(self, report: ErrorReport) -> bool:
        return True

    def heal(self, report: ErrorReport) -> None:
        self.heals += 1
        self.begun.set()
        self.go.wait(10.0)

    def verify(self, report: ErrorReport) -> None:
        return None


def _crash_after(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, times: int = 1) -> threading.Event:
    """Have the first calls of a method raise when they have done their work."""
    original, left, crashed = getattr(owner, method), [True] * times, threading.Event()

    def crashing(*args: Any, **kwargs: Any) -> Any:
        value = original(*args, **kwargs)
        if left:
            left.pop()
            crashed.set()
            raise MemoryError(method)
        return value

    monkeypatch.setattr(owner, method, crashing)
    return crashed


@pytest.mark.parametrize(
    ("owner", "method"),
    [
        (OrchestratorActor, "_look_at"),  # the ticket's wait was noted, its timer was not
        (OrchestratorActor, "_ask"),  # the healing actor had the request
        (HealingActor, "_try_next"),  # a worker had the job
        (WorkerPool, "submit"),  # a worker had the job, and nobody had noted that
        (HealingActor, "entrust"),
    ],
)
def test_a_report_whose_actor_crashes_while_accepting_it_is_healed_once_and_answered(
    boot: Callable[..., Tree], monkeypatch: pytest.MonkeyPatch, owner: type, method: str
) -> None:
    strategy = _Counting()
    tree = boot(strategy, healing={"heal_wait": 20.0})
    crashed = _crash_after(monkeypatch, owner, method)
    reply = tree.orchestrator.ask(ErrorReport(ConnectionError("down"), "query"), block=False)
    assert crashed.wait(10.0)
    assert strategy.begun.wait(10.0)
    strategy.go.set()
    assert reply.get(timeout=20.0).status is RecoveryStatus.HEALED
    assert strategy.heals == 1


def test_a_proof_counts_though_its_worker_is_killed_before_it_has_told_it(
    boot: Callable[..., Tree], monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy = _Counting()
    strategy.go.set()
    tree = boot(strategy, healing={"heal_wait": 20.0})
    keep, left = healing_record.Shortcut._keep, [True]

    def killed(shortcut: Any, outcome: Any) -> None:
        keep(shortcut, outcome)
        if left:
            left.pop()
            raise MemoryError("killed")

    monkeypatch.setattr(healing_record.Shortcut, "_keep", killed)
    result = tree.orchestrator.ask(ErrorReport(ConnectionError("down"), "query"), timeout=20.0)
    assert result.status is RecoveryStatus.HEALED
    assert strategy.heals == 1


def test_a_failure_whose_proof_the_orchestrator_keeps_crashing_on_counts_as_healed(
    boot: Callable[..., Tree], monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy = _Counting()
    strategy.go.set()
    tree = boot(strategy, healing={"heal_wait": 20.0})
    monkeypatch.setattr(OrchestratorActor, "_healing_ended", _refuse)
    late = ErrorReport(ConnectionError("down"), "query", "db", epoch=0)
    tree.orchestrator.ask(ErrorReport(ConnectionError("down"), "query", "db"), timeout=20.0)
    monkeypatch.undo()
    assert tree.orchestrator.ask(late, timeout=20.0).status is RecoveryStatus.HEALED
    assert strategy.heals == 1


@pytest.mark.parametrize("name", ["orchestrator", "healing"])
@pytest.mark.parametrize("proven", ["before it was started again", "after that"])
def test_a_failure_whose_recovery_lost_its_actor_to_an_operator_is_not_healed_again(
    boot: Callable[..., Tree], name: str, proven: str
) -> None:
    strategy = _Counting()
    tree = boot(strategy, healing={"heal_wait": 20.0})
    first = tree.orchestrator.ask(ErrorReport(ConnectionError("down"), "query", "db"), block=False)
    assert strategy.begun.wait(10.0)
    owner = tree[name].owner
    assert owner is not None
    terminate_child(owner, name)
    with suppress(UprightError):
        first.get(timeout=20.0)
    if proven.startswith("before"):
        strategy.go.set()
        wait_until(lambda: tree._board.proof("db").epoch == 1)
    restart_child(owner, name)
    second = tree.orchestrator.ask(ErrorReport(ConnectionError("down"), "query", "db", epoch=0), block=False)
    tree.orchestrator.ask(Inquire(), timeout=20.0)
    tree["healing"].proxy().actor_urn.get(timeout=20.0)  # both have read what they were sent before
    strategy.go.set()
    assert second.get(timeout=20.0).status is RecoveryStatus.HEALED
    assert strategy.heals == 1


def test_what_fails_after_a_proof_that_the_orchestrator_has_not_heard_of_is_healed_as_well(
    boot: Callable[..., Tree], monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy = _Counting()
    tree = boot(strategy, healing={"heal_wait": 20.0})
    first = tree.orchestrator.ask(ErrorReport(ConnectionError("down"), "query", "db"), block=False)
    assert strategy.begun.wait(10.0)
    heard = TellBack.tell
    held: list[Any] = []

    def hold(back: TellBack, answered: Any, **_: Any) -> bool:
        held.append((back, answered))
        return True

    monkeypatch.setattr(TellBack, "tell", hold)
    strategy.go.set()
    wait_until(lambda: len(held) == 2)
    monkeypatch.setattr(TellBack, "tell", heard)
    second = tree.orchestrator.ask(ErrorReport(ConnectionError("down again"), "query", "db"), block=False)
    assert first.get(timeout=20.0).status is RecoveryStatus.HEALED
    for back, answered in held:
        heard(back, answered)
    assert second.get(timeout=20.0).status is RecoveryStatus.HEALED
    assert strategy.heals == 2


def test_a_report_that_nobody_waits_for_is_on_record_when_the_orchestrator_gives_it_up(
    boot: Callable[..., Tree], monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy = _Counting()
    strategy.go.set()
    tree = boot(strategy)
    told = threading.Event()

    class Listening:
        name = "listening"

        def tell(self, event: Any) -> None:
            if getattr(getattr(event, "result", None), "status", None) is RecoveryStatus.FAILED:
                told.set()

    board = tree._parts.board
    board.subscribers = (*board.subscribers, Listening())  # type: ignore[arg-type]
    monkeypatch.setattr(OrchestratorActor, "_heal", _refuse)
    tree.report(ConnectionError("down"), operation="query")
    assert told.wait(20.0)


def _refuse(*_: Any) -> None:
    raise MemoryError("_heal")


def test_a_report_that_was_accepted_and_nobody_waits_for_is_a_dead_letter_when_its_actor_is_stopped(
    boot: Callable[..., Tree],
) -> None:
    strategy = _Counting()
    tree = boot(strategy)
    tree.report(ConnectionError("down"), operation="query", resource="only once")
    assert strategy.begun.wait(10.0)
    tree.stop()
    strategy.go.set()
    letters = [letter.message for letter in dead_letters.recent()]
    assert any(type(letter) is ErrorReport and letter.target == "only once" for letter in letters)


def test_a_job_that_is_handed_on_is_done_once_though_the_orchestrator_crashes_meanwhile(
    boot: Callable[..., Tree], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = boot()
    calls: list[None] = []
    ended = threading.Event()

    def again() -> str:
        calls.append(None)
        ended.set()
        return "value"

    _crash_after(monkeypatch, WorkerPool, "submit")
    reply = tree.orchestrator.ask(ErrorReport(ConnectionError("down"), "query", call=again), block=False)
    result = reply.get(timeout=20.0)
    assert result.status in (RecoveryStatus.RECOVERED, RecoveryStatus.FAILED)
    assert len(calls) <= 1
