"""The orchestrator and a dict that stands for it: one healing per failure, whoever reports, joins or crashes."""

from __future__ import annotations

import threading
from collections import Counter
from itertools import pairwise
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pykka.messages import ProxyCall

import upright
from upright.actors import SupervisedActor
from upright.actors.board import Board
from upright.actors.counsel import Inquire
from upright.strategies.healing.base import HealingStrategy
from upright.strategies.report import ErrorReport, RecoveryStatus

if TYPE_CHECKING:
    from upright.actors.reply import ReplyFuture

pytestmark = pytest.mark.actor_crash

PATIENCE = 20.0
TARGETS = st.sampled_from(["db", "cache", "api"])
CRASH = ProxyCall(attr_path=("there_is_no_such_method",), args=(), kwargs={})


class _ByHand(HealingStrategy):
    """Heals a resource when the machine says how it comes out."""

    name = "by hand"

    def __init__(self) -> None:
        self.heals: Counter[str] = Counter()
        self.begun = {target: threading.Semaphore(0) for target in ("db", "cache", "api")}
        self.told = {target: threading.Semaphore(0) for target in ("db", "cache", "api")}
        self.well: dict[str, bool] = {}

    def can_handle(self, report: ErrorReport) -> bool:
        return True

    def heal(self, report: ErrorReport) -> None:
        target = report.target
        self.heals[target] += 1
        self.begun[target].release()
        if not self.told[target].acquire(timeout=PATIENCE):
            raise AssertionError("nobody said how it comes out")
        if not self.well[target]:
            raise OSError("in vain")

    def verify(self, report: ErrorReport) -> None:
        return None


class DedupeMachine(RuleBasedStateMachine):
    """Reports of three resources, healings that end well or badly, late reports, and crashes in between."""

    def __init__(self) -> None:
        super().__init__()
        self.strategy = _ByHand()
        config = {
            "control": {"enabled": False},
            "healing": {"heal_wait": PATIENCE, "timeout": PATIENCE, "max_healing_attempts": 1_000},
        }
        self.tree = upright.boot(config, strategies=[self.strategy])
        self.running: dict[str, list[ReplyFuture[Any]]] = {}
        self.heals: Counter[str] = Counter()
        self.epochs: Counter[str] = Counter()
        self.crashes = 0

    def teardown(self) -> None:
        for target in list(self.running):
            self.end(target, well=True)
        self.tree.stop(timeout=PATIENCE)

    def report(self, target: str, epoch: int | None = None) -> ErrorReport:
        return ErrorReport(ConnectionError("down"), "query", target, epoch=epoch)

    def expect_healing(self, target: str) -> None:
        if target not in self.running:
            self.heals[target] += 1
            self.running[target] = []
            assert self.strategy.begun[target].acquire(timeout=PATIENCE)

    @rule(resource=TARGETS)
    def ask(self, resource: str) -> None:
        reply = self.tree.orchestrator.ask(self.report(resource), block=False)
        self.expect_healing(resource)
        self.running[resource].append(reply)

    @rule(resource=TARGETS)
    def tell(self, resource: str) -> None:
        self.tree.orchestrator.tell(self.report(resource))
        self.expect_healing(resource)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), well=st.booleans())
    def ends(self, data: st.DataObject, well: bool) -> None:  # noqa: FBT001 - a rule's argument
        self.end(data.draw(st.sampled_from(sorted(self.running))), well=well)

    def end(self, target: str, *, well: bool) -> None:
        replies = self.running.pop(target)
        # One more that asks, so that its answer says that the recovery is over.
        replies.append(self.tree.orchestrator.ask(self.report(target), block=False))
        self.tree.orchestrator.ask(Inquire(), timeout=PATIENCE)
        self.strategy.well[target] = well
        self.strategy.told[target].release()
        expected = RecoveryStatus.HEALED if well else RecoveryStatus.FAILED
        assert [reply.get(timeout=PATIENCE).status for reply in replies] == [expected] * len(replies)
        self.epochs[target] += well

    @precondition(lambda self: any(self.epochs[t] and t not in self.running for t in self.epochs))
    @rule(data=st.data())
    def late(self, data: st.DataObject) -> None:
        """A report of a call that began before the healing was proven joins its result, and heals nothing."""
        healed = sorted(t for t in self.epochs if self.epochs[t] and t not in self.running)
        target = data.draw(st.sampled_from(healed))
        report = self.report(target, epoch=self.epochs[target] - 1)
        result = self.tree.orchestrator.ask(report, timeout=PATIENCE)
        assert (result.status, result.joined) == (RecoveryStatus.HEALED, True)

    @precondition(lambda self: self.crashes < 4)
    @rule(name=st.sampled_from(["orchestrator", "healing", "breaker"]))
    def crash(self, name: str) -> None:
        self.crashes += 1
        with pytest.raises(AttributeError):
            self.tree[name].ask(CRASH, timeout=PATIENCE)

    @invariant()
    def as_many_healings_as_failures(self) -> None:
        assert self.strategy.heals == self.heals

    @invariant()
    def nobody_is_answered_before_the_end(self) -> None:
        for target, replies in self.running.items():
            assert not any(reply.done for reply in replies), target


TestDedupeMachine = DedupeMachine.TestCase
TestDedupeMachine.settings = settings(
    max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


class _Timed(HealingStrategy):
    """Repairs at once, and notes when each healing began, was proven, and was known to everybody."""

    name = "timed"

    def __init__(self) -> None:
        self.down = threading.Event()
        self.spans: list[list[float]] = []

    def can_handle(self, report: ErrorReport) -> bool:
        return True

    def heal(self, report: ErrorReport) -> None:
        self.spans.append([monotonic(), 0.0, 0.0])
        self.down.clear()

    def verify(self, report: ErrorReport) -> None:
        self.spans[-1][1] = monotonic()


@pytest.mark.usefixtures("quick_switches")
def test_what_sixteen_threads_are_told_fits_one_order_of_failures_and_healings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Healings never overlap, and who is told HEALED has called before the proof was known, and been answered after it.

    A healing takes effect at one moment between its proof and the end of its being noted.
    """
    strategy = _Timed()
    history: list[tuple[float, float, RecoveryStatus]] = []

    def use() -> str:
        if strategy.down.is_set():
            raise ConnectionError("down")
        return "up"

    note = Board.healed

    def noted(board: Board, target: str) -> None:
        span = strategy.spans[-1]  # once it is noted, the next healing may begin
        note(board, target)
        span[2] = monotonic()

    monkeypatch.setattr(Board, "healed", noted)
    config = {
        "control": {"enabled": False},
        "breaker": {"window_size": 1_000, "minimum_number_of_calls": 1_000},  # an open circuit is another matter
    }
    with upright.boot(config, strategies=[strategy]) as tree:

        def call() -> None:
            for number in range(30):
                if number % 10 == 3:
                    strategy.down.set()
                began = monotonic()
                result = tree.call("query", use)
                history.append((began, monotonic(), result.status))

        threads = [threading.Thread(target=call) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    spans = strategy.spans
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans))
    for began, ended, status in history:
        if status is RecoveryStatus.HEALED:
            assert any(began <= known and proven <= ended for _, proven, known in spans)


@pytest.mark.usefixtures("quick_switches")
def test_the_answers_of_one_actor_fit_one_order_that_keeps_to_the_clock() -> None:
    """Linearised: an ask that was answered before another was made has the smaller number."""

    class Counting(SupervisedActor):
        count = 0

        def on_receive(self, message: Any) -> int:
            self.count += 1
            return self.count

    address = Counting.start()
    history: list[tuple[float, float, int]] = []

    def ask() -> None:
        for _ in range(200):
            began = monotonic()
            number = address.ask("next", timeout=PATIENCE)
            history.append((began, monotonic(), number))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    address.stop()
    assert sorted(number for _, _, number in history) == list(range(1, 1_601))
    # Whoever has a smaller number was asked before all those with larger ones had been answered.
    latest_begin = 0.0
    for began, ended, _ in sorted(history, key=lambda entry: entry[2]):
        assert ended >= latest_begin
        latest_begin = max(latest_begin, began)
