"""The decision flow of a protected call, step by step: heal, circuit breaker, fallback chain, retry."""

from __future__ import annotations

import contextvars
import threading
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from recovery_parts import Boot, Healer, Resource, broken_healer, chain, failing, trail, wait_until

from upright.strategies.breaker import BreakerState
from upright.strategies.codes import ErrorCode
from upright.strategies.errors import CircuitOpenError
from upright.strategies.fallback.chain import FallbackStep, Substitute
from upright.strategies.report import RecoveryMethod, RecoveryResult, RecoveryStatus
from upright.strategies.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.tree import Tree

NO_CIRCUIT = {"minimum_number_of_calls": 100}
TRIPPY = {"minimum_number_of_calls": 1, "window_size": 1, "wait_duration_in_open": 30.0}


def run(tree: Tree, function: Callable[[], Any], operation: str = "op", **options: Any) -> RecoveryResult:
    """Make a protected call in the way that says what happened."""
    tree.operation(operation, options.pop("resource", None), options.pop("idempotent", None), options)
    return tree.call(operation, function)


# 1. Healing comes first.


def test_a_healed_resource_is_used_again_once_and_gives_the_value(boot: Boot) -> None:
    resource = Resource()
    tree = boot(resource.healer(), breaker=NO_CIRCUIT)
    assert tree.protect("op")(resource.use)("answer") == "answer"
    assert len(resource.calls) == 2


def test_a_healing_is_told_as_healed_by_self_healing_with_its_steps(boot: Boot) -> None:
    resource = Resource()
    tree = boot(resource.healer(), breaker=NO_CIRCUIT)
    result = run(tree, resource.use, resource="orders-db")
    assert (result.status, result.method, result.value) == (
        RecoveryStatus.HEALED,
        RecoveryMethod.SELF_HEALING,
        "value",
    )
    assert result.error is resource.errors[0]
    assert (result.operation, result.resource, result.code) == ("op", "orders-db", ErrorCode.NETWORK)
    assert str(result.recovery_id) == "NETWORK:orders-db"
    assert trail(result) == [("HEALING", "healer", "SUCCEEDED")]
    assert not result.degraded
    assert not result.joined
    assert result.wait_time == 0.0
    assert 0 <= result.duration < 5


def test_a_call_that_fails_again_after_the_healing_goes_on_to_the_fallback(boot: Boot) -> None:
    resource = Resource()
    tree = boot(Healer(), chain("op", ("cache", lambda _: "cached")), breaker=NO_CIRCUIT)
    result = run(tree, resource.use)
    assert result.status is RecoveryStatus.RECOVERED
    assert trail(result) == [
        ("HEALING", "healer", "SUCCEEDED"),
        ("HEALING", "call again", "FAILED"),
        ("BREAKER", "op", "SUCCEEDED"),
        ("FALLBACK", "cache", "SUCCEEDED"),
    ]
    assert len(resource.calls) == 2


def test_strategies_are_tried_in_order_until_one_is_proven(boot: Boot) -> None:
    resource = Resource()
    unfit, unproven, last = (
        Healer(name="unfit", fits=lambda _: False),
        Healer(name="unproven", verify=lambda _: False),
        Healer(name="never needed"),
    )
    tree = boot(unfit, broken_healer(), unproven, resource.healer(), last, healing={"max_healing_attempts": 9})
    result = run(tree, resource.use)
    assert trail(result) == [
        ("HEALING", "broken", "FAILED"),
        ("HEALING", "unproven", "FAILED"),
        ("HEALING", "healer", "SUCCEEDED"),
    ]
    assert not last.reports
    assert not unfit.reports


def test_a_strategy_knows_the_report_with_context_call_and_predicted_risk(boot: Boot) -> None:
    resource = Resource()
    healer = resource.healer()
    tree = boot(healer, flags={"error_predictor": False})
    tree._board.risk = 0.55
    result = tree.recover(
        error := ConnectionResetError(104, "reset"),
        operation="op",
        resource="orders-db",
        context={"tenant": "t1"},
        call=resource.use,
    )
    assert result.status is RecoveryStatus.HEALED
    (report,) = healer.reports
    assert report.error is error
    assert dict(report.context) == {"tenant": "t1", "predicted_risk": 0.55}
    assert report.call == resource.use
    assert report.resource == "orders-db"


def test_the_predicted_risk_reaches_the_fallback_steps_too(boot: Boot) -> None:
    seen: list[Any] = []
    tree = boot(chain("op", ("look", lambda context: seen.append(dict(context)))), flags={"error_predictor": False})
    tree._board.risk = 0.7
    tree.protect("op")(failing(ConnectionError("down")))(1, two=2)
    (context,) = seen
    assert context["predicted_risk"] == 0.7
    assert context["operation"] == "op"
    assert (context["args"], dict(context["kwargs"])) == ((1,), {"two": 2})
    assert isinstance(context["error"], ConnectionError)


# 2. Then the circuit breaker.


def test_an_open_circuit_without_a_chain_raises_circuit_open_from_the_last_counted_failure(boot: Boot) -> None:
    tree = boot(breaker=TRIPPY)
    resource = Resource()
    call = tree.protect("op")(resource.use)
    with pytest.raises(ConnectionRefusedError) as first:
        call()
    wait_until(lambda: tree.breakers["op"].state is BreakerState.OPEN)
    made = len(resource.calls)
    with pytest.raises(CircuitOpenError) as rejected:
        call()
    assert len(resource.calls) == made
    assert rejected.value.__cause__ in resource.errors
    assert first.value is resource.errors[0]
    assert 0 < rejected.value.wait_time <= 30 * 1.2
    assert rejected.value.operation == "op"


def test_an_open_circuit_without_a_chain_is_told_with_its_wait_time(boot: Boot) -> None:
    tree = boot(breaker=TRIPPY)
    run(tree, Resource().use)
    wait_until(lambda: tree.breakers["op"].state is BreakerState.OPEN)
    resource = Resource()
    result = run(tree, resource.use)
    assert result.status is RecoveryStatus.CIRCUIT_OPEN
    assert result.method is None
    assert 0 < result.wait_time <= 30 * 1.2
    assert not resource.calls
    assert trail(result) == [("BREAKER", "op", "FAILED")]


def test_an_open_circuit_serves_the_value_of_its_chain(boot: Boot) -> None:
    tree = boot(chain("op", ("cache", lambda _: "cached")), breaker=TRIPPY)
    run(tree, Resource().use)
    wait_until(lambda: tree.breakers["op"].state is BreakerState.OPEN)
    resource = Resource()
    result = run(tree, resource.use)
    assert (result.status, result.method, result.value) == (
        RecoveryStatus.CIRCUIT_OPEN,
        RecoveryMethod.FALLBACK,
        "cached",
    )
    assert result.degraded
    assert result.wait_time > 0
    assert not resource.calls
    assert trail(result) == [("BREAKER", "op", "FAILED"), ("FALLBACK", "cache", "SUCCEEDED")]
    assert tree.protect("op")(resource.use)() == "cached"


def test_an_open_circuit_whose_chain_gives_nothing_is_circuit_open(boot: Boot) -> None:
    tree = boot(chain("op", ("cache", failing(KeyError("nothing cached")))), breaker=TRIPPY)
    run(tree, Resource().use)
    wait_until(lambda: tree.breakers["op"].state is BreakerState.OPEN)
    with pytest.raises(CircuitOpenError) as rejected:
        tree.protect("op")(Resource().use)()
    assert isinstance(rejected.value.__cause__, ConnectionRefusedError)


def test_a_failure_under_an_open_circuit_is_neither_retried_nor_lost(boot: Boot) -> None:
    tree = boot(breaker={**TRIPPY, "wait_duration_in_open": 30})
    resource, other = Resource(), Resource()

    def fail_after_others_did() -> Any:
        run(tree, other.use)
        wait_until(lambda: tree.breakers["op"].state is BreakerState.OPEN)
        return resource.use()

    result = tree.call("op", fail_after_others_did)
    assert result.status is RecoveryStatus.CIRCUIT_OPEN
    assert result.error is resource.errors[0]
    assert result.wait_time > 0
    assert len(resource.calls) == 1


# 3. Then the fallback chain.


def test_the_first_step_that_gives_a_value_recovers(boot: Boot) -> None:
    order: list[str] = []

    def step(name: str, answer: Any) -> tuple[str, Callable[[Any], Any]]:
        def provide(_: Any) -> Any:
            order.append(name)
            if isinstance(answer, BaseException):
                raise answer
            return answer

        return name, provide

    steps = [step("cache", LookupError("empty")), step("replica", {"rows": 1}), step("queue", "queued")]
    tree = boot(chain("op", *steps), breaker=NO_CIRCUIT)
    resource = Resource()
    result = run(tree, resource.use)
    assert (result.status, result.method, result.value, result.degraded) == (
        RecoveryStatus.RECOVERED,
        RecoveryMethod.FALLBACK,
        {"rows": 1},
        True,
    )
    assert order == ["cache", "replica"]
    assert len(resource.calls) == 1
    assert trail(result) == [
        ("HEALING", "none", "SKIPPED"),
        ("BREAKER", "op", "SUCCEEDED"),
        ("FALLBACK", "cache", "FAILED"),
        ("FALLBACK", "replica", "SUCCEEDED"),
    ]
    assert result.steps[2].detail == "LookupError: empty"


def test_a_substitute_gives_its_bare_value_and_says_what_it_lacks(boot: Boot) -> None:
    tree = boot(chain("op", ("cache", lambda _: Substitute([1, 2], "cached 42 s ago"))), breaker=NO_CIRCUIT)
    assert tree.protect("op")(Resource().use)() == [1, 2]
    assert run(tree, Resource().use).steps[-1].detail == "cached 42 s ago"


def test_a_step_says_its_constant_degradation(boot: Boot) -> None:
    step = FallbackStep("plain", lambda _: None, degradation="without ranking")
    tree = boot(chain("op", step), breaker=NO_CIRCUIT)
    result = run(tree, Resource().use)
    assert result.status is RecoveryStatus.RECOVERED
    assert result.value is None
    assert result.steps[-1].detail == "without ranking"


def test_steps_without_a_timeout_run_in_the_callers_thread_with_its_context(boot: Boot) -> None:
    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant")
    tenant.set("t1")
    where: list[tuple[int, str]] = []
    tree = boot(chain("op", ("look", lambda _: where.append((threading.get_ident(), tenant.get())))))
    tree.protect("op")(Resource().use)()
    assert where == [(threading.get_ident(), "t1")]


def test_a_step_with_a_timeout_runs_in_a_worker_with_the_callers_context(boot: Boot) -> None:
    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant")
    tenant.set("t1")
    where: list[tuple[int, str]] = []
    step = FallbackStep("look", lambda _: where.append((threading.get_ident(), tenant.get())), timeout=5.0)
    tree = boot(chain("op", step))
    tree.protect("op")(Resource().use)()
    ((thread, value),) = where
    assert thread != threading.get_ident()
    assert value == "t1"


def test_a_step_that_hangs_is_abandoned_and_the_next_one_tried(boot: Boot, switch: threading.Event) -> None:
    hanging = FallbackStep("slow", lambda _: switch.wait(), timeout=0.05)
    tree = boot(chain("op", hanging, FallbackStep("fast", lambda _: "fast")), breaker=NO_CIRCUIT)
    result = run(tree, Resource().use)
    assert result.value == "fast"
    assert trail(result)[-2:] == [("FALLBACK", "slow", "FAILED"), ("FALLBACK", "fast", "SUCCEEDED")]
    assert "0.05 s" in result.steps[-2].detail


def test_an_async_step_serves_a_synchronous_call(boot: Boot) -> None:
    async def provide(_: Any) -> str:
        return "async"

    tree = boot(chain("op", ("async", provide)), breaker=NO_CIRCUIT)
    assert tree.protect("op")(Resource().use)() == "async"


# 4. Then retry.


def test_a_retry_that_succeeds_recovers(boot: Boot) -> None:
    tree = boot(breaker=NO_CIRCUIT)
    resource = Resource(up_after=2)
    result = run(tree, resource.use)
    assert (result.status, result.method, result.value) == (
        RecoveryStatus.RECOVERED,
        RecoveryMethod.RETRY,
        "value",
    )
    assert len(resource.calls) == 3
    assert result.error is resource.errors[0]
    assert not result.degraded
    assert trail(result) == [
        ("HEALING", "none", "SKIPPED"),
        ("BREAKER", "op", "SUCCEEDED"),
        ("RETRY", "retry", "SUCCEEDED"),
    ]


def test_a_chain_without_a_value_is_followed_by_retries(boot: Boot) -> None:
    tree = boot(chain("op", ("cache", failing(LookupError()))), breaker=NO_CIRCUIT)
    resource = Resource(up_after=1)
    result = run(tree, resource.use)
    assert trail(result)[-2:] == [("FALLBACK", "cache", "FAILED"), ("RETRY", "retry", "SUCCEEDED")]
    assert result.method is RecoveryMethod.RETRY


def test_when_all_fails_the_first_failure_comes_out(boot: Boot) -> None:
    tree = boot(broken_healer(), chain("op", ("cache", failing(LookupError()))), breaker=NO_CIRCUIT)
    resource = Resource()
    with pytest.raises(ConnectionRefusedError) as raised:
        tree.protect("op")(resource.use)()
    assert len(resource.calls) == RetryPolicy().attempts
    assert raised.value is resource.errors[0]
    result = run(tree, resource.use)
    assert result.status is RecoveryStatus.FAILED
    assert result.error is resource.errors[3]
    assert [stage for stage, _, _ in trail(result)] == ["HEALING", "BREAKER", "FALLBACK", "RETRY"]
    assert all(outcome == "FAILED" for stage, _, outcome in trail(result) if stage != "BREAKER")


def test_the_failure_that_comes_out_has_the_traceback_of_its_own_call(boot: Boot) -> None:
    tree = boot(broken_healer(), chain("op", ("cache", failing(LookupError()))), breaker=NO_CIRCUIT)
    resource = Resource()
    with pytest.raises(ConnectionRefusedError) as raised:
        tree.protect("op")(resource.use)()
    error = raised.value
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert names[-1] == "use"
    assert names.count("use") == 1
    assert error.__cause__ is None
    assert error.__context__ is None
    assert not hasattr(error, "__notes__")


def test_operation_and_retries_run_in_the_callers_thread_with_its_context(boot: Boot) -> None:
    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant")
    seen: list[tuple[int, str]] = []

    def fail() -> None:
        seen.append((threading.get_ident(), tenant.get("lost")))
        raise ConnectionError("down")

    tree = boot(Healer(), breaker=NO_CIRCUIT)
    tenant.set("t1")
    with pytest.raises(ConnectionError):
        tree.protect("op")(fail)()
    assert len(seen) == 4  # the call, the re-run after the healing, two retries
    assert set(seen) == {(threading.get_ident(), "t1")}


def test_healing_runs_in_a_worker_and_not_in_the_callers_thread(boot: Boot) -> None:
    healer = Healer()
    tree = boot(healer)
    run(tree, Resource(up_after=1).use)
    assert threading.get_ident() not in healer.threads


# Permanent errors skip it all.


@pytest.mark.parametrize("error", [ValueError("bad"), TypeError("bad"), AssertionError("bad")])
def test_a_permanent_error_comes_out_as_if_there_were_no_tree(boot: Boot, error: Exception) -> None:
    healer = Healer()
    asked: list[Any] = []
    tree = boot(healer, chain("op", ("cache", asked.append)), breaker=TRIPPY)
    calls: list[None] = []

    def fail() -> None:
        calls.append(None)
        raise error

    with pytest.raises(type(error)) as raised:
        tree.protect("op")(fail)()
    assert raised.value is error
    assert [frame.name for frame in traceback.extract_tb(error.__traceback__)][-1] == "fail"
    assert error.__context__ is None
    assert error.__cause__ is None
    assert not error.__suppress_context__
    assert not hasattr(error, "__notes__")
    assert len(calls) == 1
    assert not healer.reports
    assert not asked
    assert tree.breakers["op"].state is BreakerState.CLOSED
    result = tree.call("op", fail)
    assert (result.status, result.error, result.steps) == (RecoveryStatus.FAILED, error, ())


def test_a_permanent_error_raised_from_another_keeps_its_chain(boot: Boot) -> None:
    tree = boot()

    def fail() -> None:
        try:
            raise LookupError("inner")
        except LookupError as inner:
            raise ValueError("outer") from inner

    with pytest.raises(ValueError, match="outer") as raised:
        tree.protect("op")(fail)()
    assert isinstance(raised.value.__cause__, LookupError)
    assert raised.value.__context__ is raised.value.__cause__


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_passes_through_is_neither_counted_nor_healed(boot: Boot, kind: type[BaseException]) -> None:
    healer = Healer()
    tree = boot(healer, breaker=TRIPPY)
    error = kind()
    with pytest.raises(kind) as raised:
        tree.protect("op")(failing(error))()
    assert raised.value is error
    assert not healer.reports
    assert not tree.edge.operations.find("op").breaker.snapshot.log  # type: ignore[union-attr]


def test_a_failure_that_no_repair_could_help_is_not_healed_but_retried(boot: Boot) -> None:
    class Deadlock(Exception):
        sqlstate = "40P01"

    Deadlock.__module__ = "psycopg.errors"
    healer = Healer()
    tree = boot(healer, breaker=NO_CIRCUIT)
    resource = Resource(up_after=1, make_error=lambda: Deadlock("deadlock detected"))
    result = run(tree, resource.use)
    assert result.method is RecoveryMethod.RETRY
    assert not healer.reports
    assert result.steps[0].detail == "no repair could help"


# The same steps for those who only report.


def test_recover_without_a_call_skips_what_needs_one(boot: Boot) -> None:
    tree = boot(breaker=NO_CIRCUIT)
    result = tree.recover(error := ConnectionError("down"), operation="op")
    assert (result.status, result.error, result.value) == (RecoveryStatus.FAILED, error, None)
    assert trail(result) == [("HEALING", "none", "SKIPPED"), ("BREAKER", "op", "SUCCEEDED")]


def test_recover_with_a_call_makes_it_once_after_the_healing(boot: Boot) -> None:
    resource = Resource()
    tree = boot(resource.healer())
    result = tree.recover(ConnectionError("down"), operation="op", call=resource.use)
    assert (result.status, result.value) == (RecoveryStatus.HEALED, "value")
    assert len(resource.calls) == 1


def test_recover_without_a_call_is_healed_without_a_value(boot: Boot) -> None:
    tree = boot(Healer())
    result = tree.recover(ConnectionError("down"), operation="op")
    assert (result.status, result.value) == (RecoveryStatus.HEALED, None)


def test_recover_retries_the_call(boot: Boot) -> None:
    resource = Resource(up_after=1)
    tree = boot(breaker=NO_CIRCUIT)
    result = tree.recover(ConnectionError("down"), operation="op", call=resource.use)
    assert (result.status, result.method, result.value) == (
        RecoveryStatus.RECOVERED,
        RecoveryMethod.RETRY,
        "value",
    )


def test_recover_waits_for_a_healing_no_longer_than_its_timeout(boot: Boot, switch: threading.Event) -> None:
    tree = boot(Healer(lambda _: switch.wait()), healing={"heal_wait": 20.0})
    result = tree.recover(ConnectionError("down"), operation="op", timeout=0.05)
    assert result.status is RecoveryStatus.FAILED
    assert result.duration < 5
    assert "still under way" in result.steps[0].detail


def test_a_permanent_error_is_answered_failed_by_recover_and_the_orchestrator(boot: Boot) -> None:
    from upright.strategies.report import ErrorReport

    healer = Healer()
    tree = boot(healer)
    error = ValueError("bad")
    assert tree.recover(error, operation="op").error is error
    answer = tree.orchestrator.ask(ErrorReport(error, "op"), timeout=5)
    assert (answer.status, answer.error) == (RecoveryStatus.FAILED, error)
    assert not healer.reports


def test_the_orchestrator_answers_an_ask_with_a_result(boot: Boot) -> None:
    from upright.strategies.report import ErrorReport

    tree = boot(Healer())
    result = tree.orchestrator.ask(ErrorReport(ConnectionError("down"), "op", "db"), timeout=5)
    assert result.status is RecoveryStatus.HEALED
    assert trail(result) == [("HEALING", "healer", "SUCCEEDED")]
    assert (result.operation, result.resource, result.code) == ("op", "db", ErrorCode.NETWORK)


def test_the_orchestrator_makes_the_call_of_an_ask_in_a_worker(boot: Boot) -> None:
    from upright.strategies.report import ErrorReport

    resource = Resource()
    tree = boot(resource.healer())
    result = tree.orchestrator.ask(ErrorReport(ConnectionError("down"), "op", call=resource.use), timeout=5)
    assert (result.status, result.value) == (RecoveryStatus.HEALED, "value")
    assert resource.calls != [threading.get_ident()]


def test_the_orchestrator_falls_back_and_retries_for_an_ask(boot: Boot) -> None:
    from upright.strategies.report import ErrorReport

    tree = boot(chain("op", ("cache", lambda _: "cached")), breaker=NO_CIRCUIT)
    ask = tree.orchestrator.ask
    result = ask(ErrorReport(ConnectionError("down"), "op"), timeout=5)
    assert (result.status, result.value, result.degraded) == (RecoveryStatus.RECOVERED, "cached", True)
    resource = Resource(up_after=1)
    result = ask(ErrorReport(ConnectionError("down"), "other", call=resource.use), timeout=5)
    assert (result.status, result.method) == (RecoveryStatus.RECOVERED, RecoveryMethod.RETRY)


def test_a_report_heals_in_the_background_and_returns_at_once(boot: Boot) -> None:
    from upright.strategies.report import ErrorReport

    healer = Healer()
    tree = boot(healer)
    tree.report(ConnectionError("down"), operation="op", resource="db", context={"a": 1})
    wait_until(lambda: healer.reports)
    assert dict(healer.reports[0].context) == {"a": 1}
    wait_until(lambda: tree._board.proof("db").epoch == 1)
    tree.orchestrator.tell(ErrorReport(ConnectionError("down"), "op", "db"))
    wait_until(lambda: tree._board.proof("db").epoch == 2)


# Blocks.


def test_a_boundary_reports_and_raises_the_original_unchanged(boot: Boot) -> None:
    healer = Healer()
    tree = boot(healer)
    error = ConnectionError("down")
    with pytest.raises(ConnectionError) as raised, tree.boundary("checkout", resource="db", context={"id": 7}):
        raise error
    assert raised.value is error
    assert error.__context__ is None
    assert not hasattr(error, "__notes__")
    wait_until(lambda: healer.reports)
    report = healer.reports[0]
    assert (report.operation, report.resource, dict(report.context)) == ("checkout", "db", {"id": 7})


def test_a_boundary_counts_for_the_circuit(boot: Boot) -> None:
    tree = boot(breaker=TRIPPY)
    with pytest.raises(ConnectionError), tree.boundary("checkout"):
        raise ConnectionError("down")
    wait_until(lambda: tree.breakers["checkout"].state is BreakerState.OPEN)


def test_a_boundary_leaves_permanent_errors_alone(boot: Boot) -> None:
    healer = Healer()
    tree = boot(healer, breaker=TRIPPY)
    with pytest.raises(ValueError, match="bad"), tree.boundary("checkout"):
        raise ValueError("bad")
    with pytest.raises(KeyboardInterrupt), tree.boundary("checkout"):
        raise KeyboardInterrupt
    with tree.boundary("checkout"):
        pass
    assert tree.breakers["checkout"].state is BreakerState.CLOSED
    assert not healer.reports


# Switches.


def test_without_self_healing_the_flow_begins_at_the_breaker(boot: Boot) -> None:
    healer = Healer()
    tree = boot(healer, breaker=NO_CIRCUIT)
    tree.flags["self_healing"] = False
    result = run(tree, Resource(up_after=1).use)
    assert trail(result) == [
        ("HEALING", "none", "SKIPPED"),
        ("BREAKER", "op", "SUCCEEDED"),
        ("RETRY", "retry", "SUCCEEDED"),
    ]
    assert result.steps[0].detail == "switched off"
    assert not healer.reports
    tree.flags["self_healing"] = True
    assert run(tree, Resource(up_after=1).use).status is RecoveryStatus.HEALED


def test_without_intelligent_fallback_the_chain_is_left_out(boot: Boot) -> None:
    asked: list[Any] = []
    tree = boot(chain("op", ("cache", asked.append)), breaker=NO_CIRCUIT)
    tree.flags["intelligent_fallback"] = False
    result = run(tree, Resource(up_after=1).use)
    assert result.method is RecoveryMethod.RETRY
    assert not asked


def test_without_the_orchestrator_flag_calls_are_bare_calls(boot: Boot) -> None:
    healer = Healer()
    tree = boot(healer, chain("op", ("cache", lambda _: "cached")), breaker=TRIPPY)
    tree.flags["recovery_orchestrator"] = False
    resource = Resource()
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            tree.protect("op")(resource.use)()
    assert len(resource.calls) == 3
    assert not healer.reports
    result = tree.recover(error := ConnectionError("down"), operation="op")
    assert (result.status, result.error) == (RecoveryStatus.FAILED, error)
    assert tree.call("op", resource.use).status is RecoveryStatus.FAILED
    tree.report(ConnectionError("down"), operation="op")
    with pytest.raises(ConnectionError), tree.boundary("op"):
        raise ConnectionError("down")
    tree.flags["recovery_orchestrator"] = True
    assert not healer.reports


def test_switching_the_orchestrator_off_ignores_circuits_that_are_open(boot: Boot) -> None:
    tree = boot(breaker=TRIPPY)
    tree.protect("op")
    tree.breakers["op"].force_open()
    tree.flags["recovery_orchestrator"] = False
    assert tree.protect("op")(lambda: "bare")() == "bare"
    assert tree.call("op", lambda: "bare").value == "bare"


def test_without_the_predictor_the_rest_goes_on(boot: Boot) -> None:
    tree = boot(Healer())
    tree.flags["error_predictor"] = False
    assert run(tree, Resource(up_after=1).use).status is RecoveryStatus.HEALED


def test_observing_only_decides_and_records_but_does_nothing(boot: Boot) -> None:
    healer = Healer()
    asked: list[Any] = []
    tree = boot(healer, chain("op", ("cache", asked.append)), breaker=TRIPPY)
    tree.flags["observe_only"] = True
    resource = Resource()
    call = tree.protect("op")(resource.use)
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            call()
    assert len(resource.calls) == 3
    assert not healer.reports
    assert not asked
    # It would have been kept away: the circuit has counted, and says so.
    wait_until(lambda: tree.breakers["op"].state is BreakerState.OPEN)
    result = tree.call("other", resource.use)
    assert result.status is RecoveryStatus.FAILED
    assert result.steps


def test_a_success_needs_no_recovery_and_says_so(boot: Boot) -> None:
    tree = boot()
    result = tree.call("op", lambda a, *, b: (a, b), 1, b=2)
    assert (result.status, result.method, result.value, result.error) == (
        RecoveryStatus.SUCCEEDED,
        None,
        (1, 2),
        None,
    )
    assert result.recovery_id is None
    assert result.steps == ()
