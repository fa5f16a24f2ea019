"""Breaking the recovery actors, one handler after another: every caller still gets exactly one answer, in time.

The actor's own handler is replaced by one that raises, or hangs, at one kind of message. Whatever that does, nothing
worse than the bare call may come of it, and the tree must be of use again afterwards.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from pykka.messages import ProxyCall
from recovery_parts import Boot, Healer, Resource, Switch, broken_healer, chain, failing, wait_until

from upright.actors.breaker import BreakerActor, ProbeEnded
from upright.actors.escalation import Escalations
from upright.actors.fallback import FallbackActor
from upright.actors.healing import HealingActor
from upright.actors.orchestrator import OrchestratorActor
from upright.actors.worker import Worker
from upright.strategies.breaker import BreakerState
from upright.strategies.fallback.chain import FallbackStep
from upright.strategies.report import ErrorReport, RecoveryResult, RecoveryStatus
from upright.supervisors import terminate_child

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.tree import Tree

pytestmark = pytest.mark.actor_crash

IN_TIME = 5.0  # seconds: heal_wait is 0.3 here, and everything else is far below
CONFIG: dict[str, Any] = {
    "healing": {"heal_wait": 0.3, "max_healing_attempts": 1_000},
    "breaker": {"minimum_number_of_calls": 100, "window_size": 100},
}


class Sabotage:
    """Makes a method of an actor class raise or hang, at chosen calls of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.struck = 0

    def strike(
        self,
        cls: type,
        method: str,
        act: Callable[[], Any],
        *,
        when: Callable[..., bool] = lambda *_: True,
        times: int = 1,
        after: bool = False,
    ) -> None:
        original = getattr(cls, method)
        left = iter(range(times))

        def sabotaged(actor: Any, *args: Any, **kwargs: Any) -> Any:
            strikes = when(*args) and next(left, None) is not None
            if strikes and not after:
                self.struck += 1
                act()
            value = original(actor, *args, **kwargs)
            if strikes and after:
                self.struck += 1
                act()
            return value

        self._monkeypatch.setattr(cls, method, sabotaged)


@pytest.fixture
def sabotage(monkeypatch: pytest.MonkeyPatch) -> Sabotage:
    return Sabotage(monkeypatch)


def raises(error: BaseException) -> Callable[[], Any]:
    return failing(error)


def is_of_use(tree: Tree) -> bool:
    """Whether a new failure is recovered as it should be."""
    resource = Resource()
    tree.register(healer := resource.healer(name="afterwards", fits=lambda r: r.operation == "afterwards"))
    result = tree.call("afterwards", resource.use)
    return result.status is RecoveryStatus.HEALED and bool(healer.reports)


def everything(tree: Tree) -> list[Any]:
    """Use a tree in every way there is; what came of each. Raises if one takes too long or has no answer."""
    began = time.monotonic()
    outcomes: list[Any] = []
    errors = [ConnectionError(f"own {number}") for number in range(4)]

    def note(error: BaseException, call: Callable[[], Any]) -> None:
        try:
            outcomes.append(call())
        except BaseException as raised:
            if raised is not error:
                raise AssertionError(f"{raised!r} instead of the call's own {error!r}") from raised
            outcomes.append("own error")

    note(errors[0], tree.protect("op", resource="db")(failing(errors[0])))
    note(errors[1], lambda: asyncio.run(_protected(tree, errors[1])))

    def in_boundary() -> None:
        with tree.boundary("op", resource="db"):
            raise errors[2]

    note(errors[2], in_boundary)
    result = tree.recover(errors[3], operation="op", resource="db")
    assert result.error is errors[3]
    outcomes.append(result.status)
    outcomes.append(tree.call("op", failing(errors[3])).status)
    tree.report(ConnectionError("told"), operation="op", resource="db")
    assert time.monotonic() - began < IN_TIME * 2
    return outcomes


async def _protected(tree: Tree, error: Exception) -> Any:
    async def fail() -> None:
        raise error

    return await tree.protect("op", resource="db")(fail)()


# Each handler of each actor, for Exception and BaseException alike.

HANDLERS = [
    (OrchestratorActor, "on_receive"),
    (OrchestratorActor, "on_system_message"),
    (OrchestratorActor, "_receive"),
    (OrchestratorActor, "_accept"),
    (OrchestratorActor, "_wait"),
    (OrchestratorActor, "_heal"),
    (OrchestratorActor, "_healing_ended"),
    (OrchestratorActor, "_close"),
    (OrchestratorActor, "_answer"),
    (OrchestratorActor, "_waits_are_over"),
    (HealingActor, "on_receive"),
    (HealingActor, "on_system_message"),
    (HealingActor, "_accept"),
    (HealingActor, "_try_next"),
    (HealingActor, "_submit"),
    (HealingActor, "_watch"),
    (HealingActor, "_attempted"),
    (Escalations, "attempt_failed"),
    (HealingActor, "_end"),
    (BreakerActor, "on_receive"),
    (BreakerActor, "_changed"),
    (BreakerActor, "_plan"),
    (FallbackActor, "on_receive"),
    (Worker, "on_receive"),
]
ERRORS = [RuntimeError("sabotage"), SystemExit(3), KeyboardInterrupt(), BaseException("sabotage")]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(("cls", "method"), HANDLERS, ids=lambda part: getattr(part, "__name__", part))
def test_a_handler_that_raises_once_costs_nobody_an_answer(
    boot: Boot, sabotage: Sabotage, cls: type, method: str, error: BaseException, *, after: bool
) -> None:
    step = FallbackStep("slow", failing(LookupError()), timeout=1.0)
    tree = boot(broken_healer(), chain("op", step), **CONFIG)
    sabotage.strike(cls, method, raises(error), after=after)
    outcomes = everything(tree)
    assert len(outcomes) == 5
    assert set(outcomes) <= {"own error", RecoveryStatus.FAILED, RecoveryStatus.CIRCUIT_OPEN}
    assert wait_until(lambda: is_of_use(tree))


@pytest.mark.parametrize(("cls", "method"), HANDLERS, ids=lambda part: getattr(part, "__name__", part))
def test_a_handler_that_always_raises_leaves_bare_calls(boot: Boot, sabotage: Sabotage, cls: type, method: str) -> None:
    tree = boot(broken_healer(), chain("op", FallbackStep("slow", failing(LookupError()), timeout=1.0)), **CONFIG)
    sabotage.strike(cls, method, raises(RuntimeError("sabotage")), times=100_000)
    outcomes = everything(tree)
    assert len(outcomes) == 5
    assert set(outcomes) <= {"own error", RecoveryStatus.FAILED, RecoveryStatus.CIRCUIT_OPEN}


@pytest.mark.parametrize(("cls", "method"), HANDLERS, ids=lambda part: getattr(part, "__name__", part))
def test_a_handler_that_hangs_costs_nobody_an_answer(
    boot: Boot, sabotage: Sabotage, switch: Switch, cls: type, method: str
) -> None:
    config = {**CONFIG, "supervision": {"hang_timeout": 0.1}}
    tree = boot(broken_healer(), chain("op", FallbackStep("slow", failing(LookupError()), timeout=0.3)), **config)
    sabotage.strike(cls, method, switch.wait)
    outcomes = everything(tree)
    assert set(outcomes) <= {"own error", RecoveryStatus.FAILED, RecoveryStatus.CIRCUIT_OPEN}
    switch.set()
    assert wait_until(lambda: is_of_use(tree))


# What was accepted is carried on.


def asks(tree: Tree, count: int, operation: str = "op") -> list[Any]:
    return [
        tree.orchestrator.ask(ErrorReport(ConnectionError(str(n)), operation, f"db-{n}"), block=False)
        for n in range(count)
    ]


def test_recoveries_accepted_by_a_crashed_orchestrator_are_carried_on_by_the_next(boot: Boot, switch: Switch) -> None:
    healer = Healer(lambda _: switch.wait())
    tree = boot(healer, healing={"heal_wait": 10})
    asked = asks(tree, 10)
    wait_until(lambda: len(healer.reports) == 10)
    tree.orchestrator.tell(ErrorReport(_Poison(), "poison"))
    wait_until(lambda: tree["orchestrator"].restarts == 1)
    switch.set()
    assert [one.get(timeout=5).status for one in asked] == [RecoveryStatus.HEALED] * 10
    assert len(healer.reports) == 10


class _Poison(Exception):
    """Crashes the orchestrator when it looks at the report."""


@pytest.fixture(autouse=True)
def _poisonous(monkeypatch: pytest.MonkeyPatch) -> None:
    original = OrchestratorActor._accept

    def accept(self: OrchestratorActor, ticket: Any) -> None:
        report = getattr(ticket.message, "report", ticket.message)
        if isinstance(report.error, _Poison):
            raise RuntimeError("poisoned")  # noqa: TRY004 - a crash, not a refusal
        original(self, ticket)

    monkeypatch.setattr(OrchestratorActor, "_accept", accept)


def test_the_poison_report_alone_is_answered_with_its_failure_however_often_it_comes(
    boot: Boot, switch: Switch
) -> None:
    """Three crashes gave up everything that was under way, whoever was to blame."""
    healer = Healer(lambda _: switch.wait())
    tree = boot(healer, healing={"heal_wait": 20})
    asked = asks(tree, 5)
    wait_until(lambda: len(healer.reports) == 5)
    for number in range(6):
        with pytest.raises(RuntimeError, match="poisoned"):
            tree.orchestrator.ask(ErrorReport(_Poison(), "poison"), timeout=5)
        wait_until(lambda number=number: tree["orchestrator"].restarts == number + 1)  # type: ignore[misc]
    error = _Poison()
    result = tree.recover(error, operation="poison")
    assert (result.status, result.error) == (RecoveryStatus.FAILED, error)
    switch.set()
    assert [one.get(timeout=5).status for one in asked] == [RecoveryStatus.HEALED] * 5


def test_a_recovery_that_crashes_every_orchestrator_is_given_up_alone(
    boot: Boot, sabotage: Sabotage, switch: Switch
) -> None:
    healer = Healer(lambda report: switch.wait() if report.target != "db-0" else None)
    tree = boot(healer, healing={"heal_wait": 20})
    sabotage.strike(
        OrchestratorActor,
        "_healing_ended",
        raises(RuntimeError("sabotage")),
        when=lambda recovery, *_: recovery.report.target == "db-0",
        times=100,
    )
    asked = asks(tree, 5)
    poisoned = asked[0].get(timeout=10)
    assert poisoned.status is RecoveryStatus.FAILED
    assert "given up" in poisoned.steps[0].detail
    switch.set()
    assert [one.get(timeout=5).status for one in asked[1:]] == [RecoveryStatus.HEALED] * 4


def test_waits_end_in_time_after_a_crash(boot: Boot, switch: Switch) -> None:
    """The timers were gone with the incarnation that had set them."""
    healer = Healer(lambda _: switch.wait())
    tree = boot(healer, healing={"heal_wait": 0.3}, retry={"attempts": 1})
    asked = asks(tree, 3)
    wait_until(lambda: len(healer.reports) == 3)
    tree.orchestrator.tell(ErrorReport(_Poison(), "poison"))
    results: list[RecoveryResult] = [one.get(timeout=3) for one in asked]
    assert all("still under way" in result.steps[0].detail for result in results)


def test_a_healing_in_the_background_survives_a_crash(boot: Boot, switch: Switch) -> None:
    """With a heal_wait of 0 nothing was left that the next incarnation could have found."""
    healer = Healer(lambda _: switch.wait())
    tree = boot(healer, healing={"heal_wait": 0})
    with pytest.raises(ConnectionError):
        tree.protect("op", resource="db")(failing(ConnectionError("down")))()
    wait_until(lambda: healer.reports)
    tree.orchestrator.tell(ErrorReport(_Poison(), "poison"))
    wait_until(lambda: tree["orchestrator"].restarts == 1)
    switch.set()
    wait_until(lambda: tree._board.proof("db").epoch == 1)
    assert len(healer.reports) == 1


def test_a_flag_switched_off_before_the_next_incarnation_starts_answers_what_was_left(
    boot: Boot, switch: Switch
) -> None:
    """It closed recoveries while it walked over them, which crashed every following incarnation."""
    healer = Healer(lambda _: switch.wait())
    tree = boot(healer, healing={"heal_wait": 10})
    asked = asks(tree, 3)
    wait_until(lambda: len(healer.reports) == 3)
    tree.flags["self_healing"] = False
    tree.orchestrator.tell(ErrorReport(_Poison(), "poison"))
    assert [one.get(timeout=5).status for one in asked] == [RecoveryStatus.FAILED] * 3
    assert tree["orchestrator"].restarts == 1


def test_a_call_that_a_worker_makes_for_an_ask_is_not_made_twice_after_a_crash(boot: Boot, switch: Switch) -> None:
    calls: list[int] = []

    def call() -> str:
        calls.append(1)
        switch.wait()
        return "value"

    tree = boot(healer := Healer())
    asked = tree.orchestrator.ask(ErrorReport(ConnectionError(), "op", "db", call=call), block=False)
    wait_until(lambda: calls)
    tree.orchestrator.tell(ErrorReport(_Poison(), "poison"))
    wait_until(lambda: tree["orchestrator"].restarts == 1)
    switch.set()
    assert asked.get(timeout=5).value == "value"
    assert (len(calls), len(healer.reports)) == (1, 1)


def test_a_healing_whose_actor_crashes_is_finished_by_the_next(boot: Boot, switch: Switch) -> None:
    healer = Healer(lambda _: switch.wait())
    tree = boot(healer, healing={"heal_wait": 10})
    (asked,) = asks(tree, 1)
    wait_until(lambda: healer.reports)
    tree["healing"].tell(CRASH)
    wait_until(lambda: tree["healing"].restarts == 1)
    switch.set()
    assert asked.get(timeout=5).status is RecoveryStatus.HEALED
    assert len(healer.reports) == 1


CRASH = ProxyCall(attr_path=("no_such_attribute",), args=(), kwargs={})
"""A message that crashes any actor."""


class _Unknown:
    """A message that crashes a supervisor: its class cannot be looked at."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            raise RuntimeError("cannot be looked at")
        return super().__getattribute__(name)


def test_the_account_of_a_worker_is_not_lost_with_the_actor_that_was_to_read_it(boot: Boot, sabotage: Sabotage) -> None:
    """The healing then never ended: its job was over, and nobody was going to say so."""
    tree = boot(broken_healer(), healing={"heal_wait": 10, "timeout": 60})
    sabotage.strike(HealingActor, "_attempted", raises(RuntimeError("sabotage")))
    (asked,) = asks(tree, 1)
    assert asked.get(timeout=5).status is RecoveryStatus.FAILED
    wait_until(lambda: not tree._board.recovering)


def test_a_healing_that_crashes_every_incarnation_is_given_up_alone(
    boot: Boot, sabotage: Sabotage, switch: Switch
) -> None:
    healer = Healer(lambda report: switch.wait() if report.target != "db-0" else failing(OSError())())
    tree = boot(healer, healing={"heal_wait": 20})
    sabotage.strike(
        HealingActor,
        "_attempted",
        raises(RuntimeError("sabotage")),
        when=lambda healing, *_: healing.report.target == "db-0",
        times=100,
    )
    asked = asks(tree, 4)
    assert "given up" in asked[0].get(timeout=10).steps[0].detail
    switch.set()
    assert [one.get(timeout=5).status for one in asked[1:]] == [RecoveryStatus.HEALED] * 3


def test_failed_attempts_and_cool_downs_outlive_a_crash(boot: Boot) -> None:
    healer = broken_healer()
    tree = boot(healer, healing={"cooldown": 30.0, "max_healing_attempts": 2})
    for number in range(2):
        tree.recover(ConnectionError("down"), operation="op")
        tree["healing"].tell(CRASH)
        wait_until(lambda number=number: tree["healing"].restarts == number + 1)  # type: ignore[misc]
    result = tree.recover(ConnectionError("down"), operation="op")
    assert "escalated" in result.steps[0].detail
    assert len(healer.reports) == 2


def test_a_circuit_opens_and_probes_although_its_actor_crashes(boot: Boot, sabotage: Sabotage) -> None:
    tree = boot(breaker={"minimum_number_of_calls": 1, "window_size": 1, "wait_duration_in_open": 0.05})
    tree.call("op", failing(ConnectionError("down")))
    wait_until(lambda: tree.breakers["op"].state is not BreakerState.CLOSED)
    sabotage.strike(BreakerActor, "on_receive", raises(RuntimeError("sabotage")), times=2)
    tree["breaker"].tell("crash")
    wait_until(lambda: tree["breaker"].restarts >= 1)
    wait_until(lambda: tree.call("op", lambda: "back").value == "back")
    for _ in range(5):
        tree.call("op", lambda: "back")
    wait_until(lambda: tree.breakers["op"].state is BreakerState.CLOSED)


def test_a_probe_whose_report_crashed_the_breaker_still_counts(boot: Boot, sabotage: Sabotage) -> None:
    tree = boot(
        breaker={
            "minimum_number_of_calls": 1,
            "window_size": 1,
            "wait_duration_in_open": 0.05,
            "permitted_calls_in_half_open": 1,
        }
    )
    tree.call("op", failing(ConnectionError("down")))
    wait_until(lambda: tree.breakers["op"].state is BreakerState.HALF_OPEN)
    sabotage.strike(
        BreakerActor, "on_receive", raises(RuntimeError("lost")), when=lambda message: isinstance(message, ProbeEnded)
    )
    assert tree.call("op", lambda: "back").value == "back"
    wait_until(lambda: tree.breakers["op"].state is BreakerState.CLOSED)
    assert sabotage.struck == 1


def test_the_order_of_a_chain_outlives_its_actor(boot: Boot) -> None:
    bad, good = ("bad", failing(LookupError())), ("good", lambda _: "good")
    tree = boot(chain("op", bad, good), **CONFIG)
    for _ in range(40):
        tree.call("op", failing(ConnectionError("down")))
    view = tree.edge.chains["op"]
    wait_until(lambda: [step.name for _, step in view.order] == ["good", "bad"])
    tree["fallback"].tell(CRASH)
    wait_until(lambda: tree["fallback"].restarts == 1)
    assert [step.name for _, step in view.order] == ["good", "bad"]
    assert view.evidence


@pytest.mark.parametrize("pool", ["healers", "steps"])
def test_a_pool_whose_supervisor_crashes_gives_workers_again(boot: Boot, pool: str) -> None:
    step = FallbackStep("slow", lambda _: "value", timeout=1.0)
    tree = boot(Healer(fits=lambda report: report.operation == "heal"), chain("op", step), **CONFIG)
    for _ in range(3):
        assert tree.recover(ConnectionError(), operation="heal", timeout=3).status is RecoveryStatus.HEALED
        assert tree.call("op", failing(ConnectionError())).value == "value"
        before = tree[pool].restarts
        tree[pool].post(_Unknown())
        wait_until(lambda before=before: tree[pool].restarts > before)  # type: ignore[misc]
    assert tree.recover(ConnectionError(), operation="heal", timeout=3).status is RecoveryStatus.HEALED
    assert tree.call("op", failing(ConnectionError())).value == "value"


def test_killing_each_actor_in_turn_under_load_costs_no_answer(boot: Boot) -> None:
    """Threads that fail all the time, while one actor after another is stopped and started again."""
    resource_down = threading.Event()
    tree = boot(Healer(), chain("op", ("cache", lambda _: "cached")), **CONFIG)
    wrong: list[Any] = []
    answers = [0]
    stop = threading.Event()

    def load(number: int) -> None:
        call = tree.protect("op", resource=f"db-{number % 3}")(failing(ConnectionError("down")))
        while not stop.is_set():
            try:
                value = call()
            except BaseException as error:
                wrong.append(error)
            else:
                answers[0] += 1
                if value != "cached":
                    wrong.append(value)

    threads = [threading.Thread(target=load, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    try:
        for name in ("orchestrator", "healing", "breaker", "fallback", "healers", "steps") * 2:
            before = tree[name].restarts
            tree[name].stop(block=False)
            wait_until(lambda name=name, before=before: tree[name].restarts > before)  # type: ignore[misc]
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
    assert not wrong
    assert answers[0] > 10
    assert not resource_down.is_set()


def test_terminating_the_orchestrator_for_good_leaves_the_other_stages(boot: Boot) -> None:
    tree = boot(Healer(), chain("op", ("cache", lambda _: "cached")), **CONFIG)
    terminate_child(tree["recovery"], "orchestrator")
    assert tree.protect("op")(failing(ConnectionError("down")))() == "cached"
    result = tree.call("op", failing(ConnectionError("down")))
    assert result.status is RecoveryStatus.RECOVERED
    assert "no orchestrator" in result.steps[0].detail
    tree.report(ConnectionError("down"), operation="op")
    assert tree._board.refused_reports.value == 1


def test_a_full_mailbox_is_a_degraded_recovery_and_no_error(boot: Boot) -> None:
    tree = boot(chain("op", ("cache", lambda _: "cached")), **CONFIG)
    orchestrator = tree["orchestrator"]
    orchestrator.mailbox_limit = 0
    assert tree.protect("op")(failing(ConnectionError("down")))() == "cached"
    tree.report(ConnectionError("down"), operation="op")
    assert tree._board.refused_reports.value == 1


# Faults of upright's own, in the caller's thread.


def test_a_fault_inside_the_flow_is_noted_on_the_calls_own_error(
    boot: Boot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tree = boot(**CONFIG)
    monkeypatch.setattr(type(tree.edge), "_go_on", failing(RuntimeError("our bug")))
    error = ConnectionError("down")
    with pytest.raises(ConnectionError) as raised:
        tree.protect("op")(failing(error))()
    assert raised.value is error
    assert any("our bug" in note for note in error.__notes__)
    assert "recovery_broke" in caplog.text
    with pytest.raises(ConnectionError):
        asyncio.run(_protected(tree, error))
    result = tree.recover(error, operation="op")
    assert (result.status, result.error) == (RecoveryStatus.FAILED, error)
    assert tree.call("op", failing(error)).status is RecoveryStatus.FAILED
    assert asyncio.run(tree.recover_async(error, operation="op")).status is RecoveryStatus.FAILED


def test_a_fault_while_meeting_a_circuit_makes_the_bare_call(boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = boot(chain("op", ("cache", lambda _: "cached")), **CONFIG)
    resource = Resource(down=False)
    call = tree.protect("op")(resource.use)
    call_async = tree.protect("op")(resource.use_async)
    tree.breakers["op"].force_open()
    monkeypatch.setattr(type(tree.edge), "meet_circuit", failing(RuntimeError("our bug")))
    monkeypatch.setattr("upright.protection.serve_at_once", lambda *_: None, raising=False)
    assert call("bare") == "bare"
    assert asyncio.run(call_async("bare")) == "bare"
    assert tree.call("op", resource.use, "bare").value == "bare"


def test_a_fault_after_a_probe_has_returned_does_not_make_the_call_twice(
    boot: Boot, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = boot(breaker={"minimum_number_of_calls": 1, "window_size": 1, "wait_duration_in_open": 0.02})
    tree.call("op", failing(ConnectionError("down")))
    wait_until(lambda: tree.breakers["op"].state is BreakerState.HALF_OPEN)
    resource = Resource(down=False)
    monkeypatch.setattr(type(tree.edge), "came_out", failing(RuntimeError("our bug")))
    assert tree.protect("op")(resource.use)("value") == "value"
    assert len(resource.calls) == 1
