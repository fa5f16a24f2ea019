"""One recovery per failure: joining in flight and by epoch, herds, and who waits how long."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from pykka.messages import ProxyCall
from recovery_parts import Boot, Healer, Resource, Switch, broken_healer, trail, wait_until

from upright.strategies.breaker import BreakerState
from upright.strategies.report import ErrorReport, RecoveryStatus

if TYPE_CHECKING:
    from collections.abc import Callable

NO_CIRCUIT = {"minimum_number_of_calls": 10_000, "window_size": 10_000}
HERD = 1_000


def down(text: str = "down") -> ConnectionRefusedError:
    return ConnectionRefusedError(111, text)


# In flight.


def test_a_report_of_a_failure_under_recovery_joins_it(boot: Boot, switch: Switch) -> None:
    healer = Healer(lambda _: switch.wait())
    tree = boot(healer, healing={"heal_wait": 10})
    first = tree.orchestrator.ask(ErrorReport(down(), "op", "db"), block=False)
    wait_until(lambda: healer.reports)
    others = [tree.orchestrator.ask(ErrorReport(down(), f"op-{n}", "db"), block=False) for n in range(5)]
    tree.report(down(), operation="op", resource="db")
    tree.orchestrator.tell(ErrorReport(down(), "op", "db"))
    switch.set()
    assert not first.get(timeout=5).joined
    assert all(other.get(timeout=5).joined for other in others)
    assert all(other.get(timeout=5).status is RecoveryStatus.HEALED for other in others)
    assert len(healer.reports) == 1
    assert tree._board.joined_reports.value == 7


def test_failures_of_other_resources_are_recovered_on_their_own(boot: Boot) -> None:
    healer = Healer()
    tree = boot(healer)
    for name in ("a", "b"):
        tree.recover(down(), operation="op", resource=name)
    tree.recover(down(), operation="a")
    tree.recover(down(), operation="c")
    assert [report.target for report in healer.reports] == ["a", "b", "a", "c"]


def test_different_codes_on_one_resource_share_one_healing(boot: Boot, switch: Switch) -> None:
    healer = Healer(lambda _: switch.wait())
    tree = boot(healer, healing={"heal_wait": 10})
    ask = tree.orchestrator.ask
    first = ask(ErrorReport(down(), "op", "db"), block=False)
    wait_until(lambda: healer.reports)
    second = ask(ErrorReport(RuntimeError("odd"), "op", "db"), block=False)
    third = ask(ErrorReport(MemoryError(), "op", "db"), block=False)
    wait_until(lambda: len(tree._board.recovering) == 3)
    switch.set()
    results = [asked.get(timeout=5) for asked in (first, second, third)]
    assert [result.status for result in results] == [RecoveryStatus.HEALED] * 3
    assert [result.joined for result in results] == [False, True, True]
    assert len(healer.reports) == 1
    assert tree._board.proof("db").epoch == 1


def test_another_code_is_healed_on_its_own_when_the_shared_healing_failed(boot: Boot, switch: Switch) -> None:
    def heal(report: ErrorReport) -> None:
        switch.wait()
        if isinstance(report.error, ConnectionRefusedError):
            raise OSError("not this way")

    healer = Healer(heal)
    tree = boot(healer, healing={"heal_wait": 10})
    first = tree.orchestrator.ask(ErrorReport(down(), "op", "db"), block=False)
    wait_until(lambda: healer.reports)
    second = tree.orchestrator.ask(ErrorReport(RuntimeError("odd"), "op", "db"), block=False)
    wait_until(lambda: len(tree._board.recovering) == 2)
    switch.set()
    assert first.get(timeout=5).status is RecoveryStatus.FAILED
    assert second.get(timeout=5).status is RecoveryStatus.HEALED
    assert len(healer.reports) == 2


def test_switching_healing_off_while_several_codes_wait_answers_them_all(boot: Boot, switch: Switch) -> None:
    """The second follower was closed twice, which crashed the orchestrator."""

    def heal(_: ErrorReport) -> None:
        switch.wait()
        raise OSError("failed")

    healer = Healer(heal)
    tree = boot(healer, healing={"heal_wait": 10})
    ask = tree.orchestrator.ask
    asked = [ask(ErrorReport(down(), "op", "db"), block=False)]
    wait_until(lambda: healer.reports)
    asked += [ask(ErrorReport(error, "op", "db"), block=False) for error in (RuntimeError(), MemoryError())]
    wait_until(lambda: len(tree._board.recovering) == 3)
    tree.flags["self_healing"] = False
    switch.set()
    assert [one.get(timeout=5).status for one in asked] == [RecoveryStatus.FAILED] * 3
    assert tree["orchestrator"].restarts == 0


# By epoch.


def test_a_report_from_before_a_proven_healing_joins_its_result(boot: Boot) -> None:
    healer = Healer()
    tree = boot(healer)
    tree.recover(down(), operation="op", resource="db")
    late = tree.orchestrator.ask(ErrorReport(down(), "op", "db", epoch=0), timeout=5)
    assert (late.status, late.joined) == (RecoveryStatus.HEALED, True)
    assert trail(late) == [("HEALING", "healed before", "JOINED")]
    assert len(healer.reports) == 1


def test_a_report_without_an_epoch_counts_as_made_now(boot: Boot) -> None:
    healer = Healer()
    tree = boot(healer)
    for _ in range(2):
        tree.recover(down(), operation="op", resource="db")
    assert len(healer.reports) == 2


def test_a_call_that_began_before_the_healing_joins_it_by_itself(boot: Boot, switch: Switch) -> None:
    resource = Resource()
    tree = boot(healer := resource.healer(), breaker=NO_CIRCUIT)
    began = threading.Event()

    def slow() -> str:
        if not began.is_set():
            began.set()
            switch.wait()
            raise down()
        return "again"

    outcome: list[Any] = []
    thread = threading.Thread(target=lambda: outcome.append(tree.protect("op", resource="db")(slow)()))
    thread.start()
    began.wait()
    assert tree.protect("other", resource="db")(resource.use)() == "value"
    switch.set()
    thread.join(5)
    assert outcome == ["again"]
    assert len(healer.reports) == 1


def test_a_late_report_after_a_failed_healing_starts_a_new_one(boot: Boot) -> None:
    healer = broken_healer()
    tree = boot(healer, healing={"max_healing_attempts": 9})
    tree.recover(down(), operation="op", resource="db")
    late = tree.orchestrator.ask(ErrorReport(down(), "op", "db", epoch=0), timeout=5)
    assert not late.joined
    assert len(healer.reports) == 2


def test_resources_that_were_never_healed_are_not_remembered(boot: Boot) -> None:
    tree = boot(broken_healer())
    for number in range(50):
        tree.recover(down(), operation="op", resource=f"db-{number}")
    wait_until(lambda: not tree._board.healing)
    assert not tree._board.recovering


# Herds.


@pytest.mark.timeout(60)
def test_1000_threads_that_fail_together_cause_one_healing_and_get_1000_right_answers(
    boot: Boot, in_threads: Callable[[int, Callable[[int], Any]], list[Any]]
) -> None:
    resource = Resource()
    tree = boot(healer := resource.healer(), healing={"heal_wait": 20})
    call = tree.protect("op", resource="db")(resource.use)
    answers = in_threads(HERD, call)
    assert answers == list(range(HERD))
    assert len(healer.reports) == 1
    assert tree._board.proof("db").epoch == 1


@pytest.mark.timeout(60)
def test_1000_tasks_that_fail_together_cause_one_healing_and_get_1000_right_answers(boot: Boot) -> None:
    resource = Resource()
    tree = boot(healer := resource.healer(), healing={"heal_wait": 20})

    async def main() -> list[Any]:
        gate = asyncio.Event()

        @tree.protect("op", resource="db")
        async def call(number: int) -> int:
            if not gate.is_set():
                await gate.wait()
            result: int = await resource.use_async(number)
            return result

        tasks = [asyncio.create_task(call(number)) for number in range(HERD)]
        await asyncio.sleep(0)
        gate.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == list(range(HERD))
    assert len(healer.reports) == 1


@pytest.mark.timeout(60)
def test_of_300_joiners_at_most_200_make_their_call_again_at_once(
    boot: Boot, in_threads: Callable[[int, Callable[[int], Any]], list[Any]]
) -> None:
    healed = threading.Event()
    inside: list[int] = []
    most: list[int] = []
    barrier = threading.Barrier(300)

    def use(number: int) -> int:
        if not healed.is_set():
            barrier.wait()
            raise down()
        inside.append(number)
        most.append(len(inside))
        time.sleep(0.02)
        inside.remove(number)
        return number

    tree = boot(Healer(lambda _: healed.set()), healing={"heal_wait": 20}, breaker=NO_CIRCUIT)
    assert in_threads(300, tree.protect("op", resource="db")(use)) == list(range(300))
    assert len(most) == 300
    assert 1 < max(most) <= 200


def test_1000_duplicates_told_are_one_recovery(boot: Boot, switch: Switch) -> None:
    healer = Healer(lambda _: switch.wait())
    tree = boot(healer)
    tree.report(down(), operation="op", resource="db")
    wait_until(lambda: healer.reports)
    for _ in range(500):
        tree.report(down(), operation="op", resource="db")
        tree.orchestrator.tell(ErrorReport(down(), "op", "db"))
    wait_until(lambda: tree._board.joined_reports.value == 1_000)
    (active,) = tree.status_of("orchestrator").details["active"]
    assert active["joined"] == 1_000
    switch.set()
    wait_until(lambda: tree._board.proof("db").epoch == 1)
    assert len(healer.reports) == 1


# Who waits how long.


def test_a_caller_goes_on_after_heal_wait_and_the_healing_continues_for_everybody(boot: Boot, switch: Switch) -> None:
    resource = Resource()

    def heal(_: ErrorReport) -> None:
        switch.wait()
        resource.down = False

    tree = boot(healer := Healer(heal), healing={"heal_wait": 0.05}, breaker=NO_CIRCUIT)
    result = tree.call("op", resource.use)
    assert result.status is RecoveryStatus.FAILED
    assert trail(result)[0] == ("HEALING", "healing", "SKIPPED")
    switch.set()
    wait_until(lambda: tree._board.proof("op").epoch == 1)
    assert tree.call("op", resource.use).status is RecoveryStatus.SUCCEEDED
    assert len(healer.reports) == 1


def test_each_caller_waits_as_long_as_its_own_operation_says(boot: Boot, switch: Switch) -> None:
    """A second, shorter wait had no timer of its own, and neither had any wait beside a report nobody waited for."""
    tree = boot(healer := Healer(lambda _: switch.wait()), breaker=NO_CIRCUIT, retry={"attempts": 1})
    tree.report(down(), operation="patient", resource="db")
    wait_until(lambda: healer.reports)
    tree.operation("patient", "db", None, {"heal_wait": 10.0})
    tree.operation("hasty", "db", None, {"heal_wait": 0.05})
    patient = tree.orchestrator.ask(ErrorReport(down(), "patient", "db"), block=False)
    began = time.monotonic()
    result = tree.orchestrator.ask(ErrorReport(down(), "hasty", "db"), timeout=5)
    assert time.monotonic() - began < 3
    assert "still under way" in result.steps[0].detail
    began = time.monotonic()
    assert tree.call("hasty", Resource().use).status is RecoveryStatus.FAILED
    assert time.monotonic() - began < 0.5
    assert not patient.done
    switch.set()
    assert patient.get(timeout=5).status is RecoveryStatus.HEALED


def test_with_a_heal_wait_of_0_the_caller_does_not_wait_but_the_resource_is_healed(boot: Boot) -> None:
    resource = Resource()
    tree = boot(resource.healer(), healing={"heal_wait": 0}, breaker=NO_CIRCUIT, retry={"attempts": 1})
    result = tree.call("op", resource.use)
    assert result.status is RecoveryStatus.FAILED
    wait_until(lambda: tree._board.proof("op").epoch == 1)
    assert tree.call("op", resource.use).value == "value"


def test_a_call_waits_for_the_healing_instead_of_being_rejected_by_the_circuit(boot: Boot, switch: Switch) -> None:
    resource = Resource()

    def heal(_: ErrorReport) -> None:
        switch.wait()
        resource.down = False

    tree = boot(
        healer := Healer(heal),
        healing={"heal_wait": 10},
        breaker={"minimum_number_of_calls": 1, "window_size": 1, "wait_duration_in_open": 30},
    )
    call = tree.protect("op", resource="db")(resource.use)
    outcomes: list[Any] = []
    first = threading.Thread(target=lambda: outcomes.append(call(1)))
    first.start()
    wait_until(lambda: healer.reports and tree.breakers["op"].state is BreakerState.OPEN)
    second = threading.Thread(target=lambda: outcomes.append(call(2)))
    second.start()
    wait_until(lambda: tree._board.healing["db"]._waiters)
    assert len(resource.calls) == 1
    switch.set()
    first.join(5)
    second.join(5)
    assert sorted(outcomes) == [1, 2]


def test_a_call_that_meets_a_circuit_before_the_healing_has_begun_waits_for_it(boot: Boot, switch: Switch) -> None:
    """The circuit may open before the orchestrator has come to the report of the failure that opened it."""
    resource = Resource()
    tree = boot(
        resource.healer(),
        healing={"heal_wait": 10},
        breaker={"minimum_number_of_calls": 1, "window_size": 1, "wait_duration_in_open": 30},
    )
    busy = threading.Event()

    def hold() -> None:
        busy.set()
        switch.wait()

    tree["orchestrator"].actor.hold = hold  # type: ignore[union-attr]
    tree["orchestrator"].tell(ProxyCall(attr_path=("hold",), args=(), kwargs={}))
    busy.wait(5)
    call = tree.protect("op", resource="db")(resource.use)
    outcomes: list[Any] = []

    def run(number: int) -> None:
        try:
            outcomes.append(call(number))
        except Exception as error:
            outcomes.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in (1, 2, 3)]
    threads[0].start()
    wait_until(lambda: tree.breakers["op"].state is BreakerState.OPEN)
    for thread in threads[1:]:
        thread.start()
    wait_until(lambda: tree["orchestrator"].depth == 3)
    switch.set()
    for thread in threads:
        thread.join(5)
    assert sorted(outcomes, key=str) == [1, 2, 3]
    assert len(resource.calls) == 4


def test_a_circuit_that_opens_without_a_healing_rejects_after_one_question(boot: Boot) -> None:
    tree = boot(
        Healer(fits=lambda _: False),
        breaker={"minimum_number_of_calls": 1, "window_size": 1, "wait_duration_in_open": 30},
    )
    tree.call("op", Resource().use)
    wait_until(lambda: tree.breakers["op"].state is BreakerState.OPEN)
    assert tree.call("op", Resource().use).status is RecoveryStatus.CIRCUIT_OPEN
    operation = tree.edge.operations.find("op")
    assert operation is not None
    assert operation.breaker is not None
    assert operation.inquired is operation.breaker.snapshot
    assert not tree.edge.may_be_healing(operation, operation.breaker.snapshot)


def test_a_failure_from_before_a_proven_healing_does_not_open_the_circuit(boot: Boot, switch: Switch) -> None:
    """Stragglers reported after the proof opened the circuit of a resource that worked again."""
    tree = boot(Healer(), breaker={"minimum_number_of_calls": 2, "window_size": 4, "wait_duration_in_open": 30})
    began = threading.Barrier(4)

    def straggle(number: int) -> Any:
        if number:
            began.wait(5)
            switch.wait()
            raise down()
        return "again"

    threads = [threading.Thread(target=lambda: tree.call("op", iter_of(straggle))) for _ in range(3)]

    def iter_of(function: Callable[[int], Any]) -> Callable[[], Any]:
        numbers = iter([1, 0, 0, 0])
        return lambda: function(next(numbers))

    for thread in threads:
        thread.start()
    began.wait(5)
    tree.recover(down(), operation="op")
    switch.set()
    for thread in threads:
        thread.join(5)
    wait_until(lambda: tree["breaker"].depth == 0)
    assert tree.breakers["op"].state is BreakerState.CLOSED


def test_duplicates_that_were_made_before_the_proof_and_read_after_it_join_it(boot: Boot, switch: Switch) -> None:
    """The end of a healing overtakes queued reports; those that it left in the queue started another one."""
    healer = Healer(lambda _: switch.wait())
    tree = boot(healer)
    tree.report(down(), operation="op", resource="db")
    wait_until(lambda: healer.reports)
    late = [ErrorReport(down(), "op", "db") for _ in range(20)]
    switch.set()
    wait_until(lambda: tree._board.proof("db").epoch == 1)
    for report in late:
        tree.orchestrator.tell(report)
    wait_until(lambda: tree._board.joined_reports.value == 20)
    assert len(healer.reports) == 1
