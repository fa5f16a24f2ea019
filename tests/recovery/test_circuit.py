"""The circuit breaker at the edge: what was measured to go wrong elsewhere, and does not here.

P1 to P9 are the measured behaviours of other libraries, the other names are what their users ask for.
"""
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import time
import traceback
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from recovery_parts import Boot, Healer, Resource, Switch, chain, failing, trail, wait_until

from upright.strategies.breaker import BreakerState
from upright.strategies.errors import CircuitOpenError, ConfigError
from upright.strategies.report import RecoveryMethod, RecoveryStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.actors.operation import Operation
    from upright.tree import Tree

ONE = {"minimum_number_of_calls": 1, "window_size": 1, "wait_duration_in_open": 0.05, "max_wait_duration_in_open": 0.1}
LONG = {**ONE, "wait_duration_in_open": 30.0, "max_wait_duration_in_open": 60.0}
NO_RETRY = {"attempts": 1}
NO_CIRCUIT = {"minimum_number_of_calls": 100, "window_size": 100}


def operation_of(tree: Tree, name: str = "op") -> Operation:
    found = tree.edge.operations.find(name)
    assert found is not None
    return found


def trip(tree: Tree, name: str = "op", error: Exception | None = None) -> None:
    """Open a circuit by a failing call."""
    tree.call(name, failing(error or ConnectionRefusedError(111, "refused")))
    wait_until(lambda: tree.breakers[name].state is not BreakerState.CLOSED)


def trip_and_wait(tree: Tree, name: str = "op") -> None:
    """Open a circuit and let its wait pass."""
    trip(tree, name)
    wait_until(lambda: tree.breakers[name].state is BreakerState.HALF_OPEN)


# P1: no lock round the call.


def test_16_threads_run_in_parallel_through_one_operation(
    boot: Boot, in_threads: Callable[[int, Callable[[int], Any]], list[Any]]
) -> None:
    tree = boot()
    together = threading.Barrier(16)
    call = tree.protect("op")(lambda _: together.wait(10) >= 0)  # a lock would keep all but one out, and break it
    assert in_threads(16, call) == [True] * 16


# P2: no stampede at half-open.


def test_20_callers_at_half_open_are_at_most_the_permitted_number(
    boot: Boot, in_threads: Callable[[int, Callable[[int], Any]], list[Any]]
) -> None:
    tree = boot(breaker={**ONE, "permitted_calls_in_half_open": 3}, retry=NO_RETRY)
    trip_and_wait(tree)
    inside: list[int] = []
    release = threading.Event()

    def probe(number: int) -> int:
        inside.append(number)
        if len(inside) == 3:
            threading.Timer(0.05, release.set).start()
        release.wait(5)
        return number

    outcomes = in_threads(20, tree.protect("op")(probe))
    assert len(inside) == 3
    assert sum(isinstance(outcome, CircuitOpenError) for outcome in outcomes) == 17
    wait_until(lambda: tree.breakers["op"].state is BreakerState.CLOSED)


def test_20_tasks_at_half_open_are_at_most_the_permitted_number(boot: Boot) -> None:
    tree = boot(breaker={**ONE, "permitted_calls_in_half_open": 2}, retry=NO_RETRY)
    trip_and_wait(tree)
    inside: list[int] = []

    @tree.protect("op")
    async def probe(number: int) -> int:
        inside.append(number)
        await asyncio.sleep(0.02)
        return number

    async def main() -> list[Any]:
        return await asyncio.gather(*(probe(number) for number in range(20)), return_exceptions=True)

    outcomes = asyncio.run(main())
    assert len(inside) == 2
    assert sum(isinstance(outcome, CircuitOpenError) for outcome in outcomes) == 18


# P3: cancellation is neither a success nor a failure.


def test_cancelled_calls_count_as_neither(boot: Boot) -> None:
    tree = boot(breaker={"minimum_number_of_calls": 2, "window_size": 4})
    began: list[int] = []

    @tree.protect("op")
    async def hang() -> None:
        began.append(1)
        await asyncio.sleep(60)

    async def main() -> None:
        for _ in range(6):
            task = asyncio.create_task(hang())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert len(began) == 6
    assert not operation_of(tree).breaker.snapshot.log
    assert tree.breakers["op"].state is BreakerState.CLOSED


def test_cancelling_a_task_while_its_resource_is_healed_ends_it_at_once(boot: Boot, switch: Switch) -> None:
    healing = threading.Event()

    def heal(_: Any) -> None:
        healing.set()
        switch.wait()

    tree = boot(Healer(heal), healing={"heal_wait": 20})

    async def main() -> None:
        task = asyncio.create_task(tree.protect("op", resource="db")(Resource().use_async)())
        assert await asyncio.to_thread(healing.wait, 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 5
    switch.set()
    wait_until(lambda: tree._board.proof("db").epoch == 1)  # for everybody else it went on


# P4: no permit is ever lost.


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, GeneratorExit, ValueError])
def test_a_probe_that_ends_without_a_verdict_gives_its_permit_back(boot: Boot, end: type[BaseException]) -> None:
    tree = boot(breaker={**ONE, "permitted_calls_in_half_open": 1}, retry=NO_RETRY)
    trip_and_wait(tree)
    for _ in range(3):
        with pytest.raises(end):
            tree.protect("op")(failing(end("no verdict")))()
    assert tree.protect("op")(lambda: "back")() == "back"


def test_a_cancelled_probe_gives_its_permit_back(boot: Boot) -> None:
    tree = boot(breaker={**ONE, "permitted_calls_in_half_open": 1}, retry=NO_RETRY)
    trip_and_wait(tree)

    @tree.protect("op")
    async def probe(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "back"

    async def main() -> str:
        for _ in range(3):
            task = asyncio.create_task(probe(60))
            await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        return await probe(0)

    assert asyncio.run(main()) == "back"


def test_a_probe_that_hangs_loses_its_permit_to_another_even_if_nothing_else_happens(
    boot: Boot, switch: Switch
) -> None:
    """Permits are claimed without a word to the breaker, which looked for lost ones only when it was told something."""
    tree = boot(breaker={**ONE, "permitted_calls_in_half_open": 1, "max_wait_in_half_open": 0.05}, retry=NO_RETRY)
    trip_and_wait(tree)
    hanging = threading.Thread(target=lambda: tree.call("op", switch.wait))
    hanging.start()
    wait_until(lambda: operation_of(tree).breaker.snapshot.probation.free == 0)  # type: ignore[union-attr]
    wait_until(lambda: operation_of(tree).breaker.snapshot.probation.free == 1)  # type: ignore[union-attr]
    assert tree.protect("op")(lambda: "back")() == "back"
    wait_until(lambda: tree.breakers["op"].state is BreakerState.CLOSED)
    switch.set()
    hanging.join(5)
    assert tree.breakers["op"].state is BreakerState.CLOSED


def test_an_interrupted_retry_gives_its_permit_back(boot: Boot) -> None:
    tree = boot(breaker={**ONE, "permitted_calls_in_half_open": 1})
    trip_and_wait(tree)
    outcomes = iter([ConnectionError("down"), KeyboardInterrupt()])

    def call() -> Any:
        raise next(outcomes)

    with pytest.raises(ConnectionError):
        tree.protect("op")(call)()
    wait_until(lambda: tree.breakers["op"].state is BreakerState.HALF_OPEN)
    assert tree.protect("op")(lambda: "back")() == "back"


# P5 and P6 for steps with a timeout: see test_flow. Here: operations are never moved to another thread.


def test_contextvars_set_by_the_operation_stay_set(boot: Boot) -> None:
    seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="")
    tree = boot()
    tree.protect("op")(lambda: seen.set("yes"))()
    assert seen.get() == "yes"


def test_contextvars_of_the_caller_reach_operation_rerun_fallback_and_retries_of_a_task(boot: Boot) -> None:
    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="lost")
    seen: list[str] = []

    async def fail() -> None:
        seen.append(tenant.get())
        raise ConnectionError("down")

    async def step(_: Any) -> None:
        seen.append(tenant.get())
        raise LookupError

    tree = boot(Healer(), chain("op", ("step", step)), breaker=NO_CIRCUIT)

    async def main() -> None:
        tenant.set("t1")
        with pytest.raises(ConnectionError):
            await tree.protect("op")(fail)()

    asyncio.run(main())
    assert seen == ["t1"] * 5


# P7: memory is bounded.


@pytest.mark.timeout(120)
def test_60_000_names_stay_under_48_mib(boot: Boot) -> None:
    tree = boot()
    tree.call("warm-up", lambda: None)
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(60_000):
            tree.call(f"tenant-{number}", lambda: None)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(tree.breakers) <= 10_000
    assert (after - before) / 2**20 < 48


def test_idle_closed_circuits_are_forgotten_before_open_ones(boot: Boot) -> None:
    tree = boot(breaker=LONG, limits={"operations": 100})
    for number in range(60):
        trip(tree, f"open-{number}")
    for number in range(500):
        tree.call(f"closed-{number}", lambda: None)
    assert len(tree.breakers) <= 100
    assert all(tree.breakers[f"open-{number}"].state is BreakerState.OPEN for number in range(60))


def test_the_bound_holds_when_all_circuits_are_open(boot: Boot) -> None:
    tree = boot(breaker=LONG, limits={"operations": 50})
    for number in range(120):
        trip(tree, f"open-{number}")
    assert len(tree.breakers) <= 50


def test_an_operation_that_is_still_held_is_found_again_after_it_was_forgotten(boot: Boot) -> None:
    tree = boot(limits={"operations": 10})
    held = tree.protect("held")(lambda: "value")
    operation = operation_of(tree, "held")
    for number in range(100):
        tree.call(f"other-{number}", lambda: None)
    assert held() == "value"
    assert operation_of(tree, "held") is operation


# P8: async def is protected as def is.


def test_an_async_function_trips_its_circuit(boot: Boot) -> None:
    tree = boot(breaker=LONG, retry=NO_RETRY)

    async def main() -> None:
        with pytest.raises(ConnectionRefusedError):
            await tree.protect("op")(Resource().use_async)()

    asyncio.run(main())
    wait_until(lambda: tree.breakers["op"].state is BreakerState.OPEN)


def test_short_lived_functions_are_told_apart(boot: Boot) -> None:
    """One library remembers by id() whether a function is a coroutine function, and ids are used again."""
    tree = boot()

    async def main() -> int:
        right = 0
        for number in range(300):
            if number % 2:
                value = tree.protect("op")(lambda n=number: n)()
            else:

                async def call(n: int = number) -> int:
                    return n

                value = await tree.protect("op")(call)()
                del call
            right += value == number
        return right

    assert asyncio.run(main()) == 300


@pytest.mark.parametrize("kind", ["generator", "async generator", "no function"])
def test_what_cannot_be_protected_is_refused_where_it_is_given(boot: Boot, kind: str) -> None:
    def generator() -> Any:
        yield 1

    async def async_generator() -> Any:
        yield 1

    given = {"generator": generator, "async generator": async_generator, "no function": 7}[kind]
    with pytest.raises(ConfigError, match=r"protect\.function"):
        boot().protect("op")(given)  # type: ignore[type-var]


# P9: monotonic time only.


def test_no_jump_of_the_wall_clock_opens_or_closes_anything(boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = boot(breaker=LONG, retry=NO_RETRY)
    trip(tree)
    jump = time.time() + 10 * 365 * 86_400
    monkeypatch.setattr(time, "time", lambda: jump)
    result = tree.call("op", lambda: "x")
    assert result.status is RecoveryStatus.CIRCUIT_OPEN
    assert 0 < result.wait_time <= 60
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert tree.call("op", lambda: "x").status is RecoveryStatus.CIRCUIT_OPEN


# Section 2, in its order. 1: see P2. 2: see P4.


def test_circuits_do_not_reopen_in_step(boot: Boot) -> None:
    tree = boot(breaker=LONG)
    waits = set()
    for number in range(20):
        trip(tree, f"op-{number}")
        waits.add(round(tree.breakers[f"op-{number}"].wait_time, 2))
    assert len(waits) > 10
    assert max(waits) - min(waits) > 1


def test_the_wait_grows_with_each_reopening(boot: Boot) -> None:
    tree = boot(
        breaker={
            **ONE,
            "wait_duration_in_open": 0.02,
            "max_wait_duration_in_open": 10,
            "permitted_calls_in_half_open": 1,
        },
        retry=NO_RETRY,
    )
    waits = []
    for _ in range(5):
        tree.call("op", failing(ConnectionError("down")))
        wait_until(lambda: tree.breakers["op"].state is BreakerState.OPEN)
        waits.append(tree.breakers["op"].wait_time)
        wait_until(lambda: tree.breakers["op"].state is BreakerState.HALF_OPEN)
    assert waits[-1] > 3 * waits[0]


def test_the_retry_budget_keeps_attempts_under_twice_the_calls_in_an_outage(boot: Boot) -> None:
    tree = boot(breaker={"minimum_number_of_calls": 10_000, "window_size": 10_000}, retry={"attempts": 5})
    resource = Resource()
    call = tree.protect("op")(resource.use)
    for _ in range(200):
        with pytest.raises(ConnectionRefusedError):
            call()
    assert 200 < len(resource.calls) < 400


def test_operations_are_not_serialised_by_a_slow_one(boot: Boot, switch: Switch) -> None:
    tree = boot()
    call = tree.protect("op")(lambda wait: switch.wait() if wait else "fast")
    slow = threading.Thread(target=call, args=(True,))
    slow.start()
    assert call(False) == "fast"
    switch.set()
    slow.join(5)


def test_cancelling_a_retrying_task_ends_it_without_another_attempt(boot: Boot) -> None:
    tree = boot(breaker=NO_CIRCUIT, retry={"initial": 5.0, "maximum": 5.0, "jitter": 0.0})
    called = asyncio.Event()
    resource = Resource()

    async def use() -> Any:
        called.set()
        return await resource.use_async()

    async def main() -> None:
        task = asyncio.create_task(tree.protect("op")(use)())
        await called.wait()
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 3
    assert len(resource.calls) == 1


def test_the_call_that_trips_the_circuit_gets_its_own_error(boot: Boot) -> None:
    tree = boot(breaker=LONG)
    for number in range(20):
        error = ConnectionError("down")
        with pytest.raises(ConnectionError) as raised:
            tree.protect(f"op-{number}")(failing(error))()
        assert raised.value is error
        assert error.__cause__ is None
        assert error.__context__ is None


def test_of_calls_that_fail_one_after_the_other_none_is_rejected_before_the_circuit_has_opened(boot: Boot) -> None:
    # The breaker may read the first report when both failures are in the log: it trips, and names the first.
    tree = boot(
        breaker={**LONG, "minimum_number_of_calls": 2, "window_size": 2}, retry=NO_RETRY, healing={"heal_wait": 0.0}
    )
    for number in range(100):
        for error in (ConnectionError("first"), ConnectionError("second")):
            with pytest.raises(ConnectionError) as raised:
                tree.protect(f"op-{number}")(failing(error))()
            assert raised.value is error


def test_a_call_that_failed_under_a_circuit_opened_by_others_names_its_own_failure(boot: Boot) -> None:
    tree = boot(breaker=LONG, retry=NO_RETRY)
    own = ConnectionError("own")

    def fail_late() -> None:
        trip(tree)
        raise own

    with pytest.raises(CircuitOpenError) as raised:
        tree.protect("op")(fail_late)()
    assert raised.value.__cause__ is own
    assert raised.value.wait_time > 0


def test_a_rejection_names_the_last_counted_failure_with_its_traceback(boot: Boot) -> None:
    tree = boot(breaker=LONG, retry=NO_RETRY)
    error = ConnectionRefusedError(111, "refused")
    trip(tree, error=error)
    with pytest.raises(CircuitOpenError) as raised:
        tree.protect("op")(lambda: None)()
    assert raised.value.__cause__ is error
    assert traceback.extract_tb(error.__traceback__)[-1].name == "fail"
    assert "is open" in str(raised.value)


def test_ignored_exceptions_do_not_run_the_fallback(boot: Boot) -> None:
    asked: list[Any] = []
    tree = boot(chain("op", ("cache", asked.append)), breaker=ONE)
    for _ in range(5):
        with pytest.raises(ValueError, match="bad"):
            tree.protect("op")(failing(ValueError("bad")))()
    assert not asked
    assert tree.breakers["op"].state is BreakerState.CLOSED


# Healing and the circuit.


def test_circuits_of_a_healed_resource_are_half_open_at_once(boot: Boot) -> None:
    resource = Resource()
    healer = Healer(fits=lambda report: report.operation == "heal")
    tree = boot(healer, breaker=LONG, retry=NO_RETRY)
    for name in ("a", "b"):
        tree.operation(name, "db", None, {})
        trip(tree, name)
    tree.operation("other", "elsewhere", None, {})
    trip(tree, "other")
    tree.recover(ConnectionError("down"), operation="heal", resource="db")
    for name in ("a", "b"):
        wait_until(lambda name=name: tree.breakers[name].state is BreakerState.HALF_OPEN)  # type: ignore[misc]
        assert tree.call(name, lambda: resource).status in (RecoveryStatus.SUCCEEDED, RecoveryStatus.HEALED)
    assert tree.breakers["other"].state is BreakerState.OPEN


def test_an_open_circuit_does_not_stop_the_healing_of_its_resource(boot: Boot) -> None:
    tree = boot(healer := Healer(fits=lambda report: report.operation == "heal"), breaker=LONG)
    tree.operation("op", "db", None, {})
    trip(tree)
    tree.report(ConnectionError("down"), operation="heal", resource="db")
    wait_until(lambda: healer.reports)


def test_a_proof_that_proves_nothing_does_not_keep_the_circuit_closed(boot: Boot) -> None:
    """A strategy that heals nothing and always says so must not hide an outage from the breaker."""
    tree = boot(Healer(), breaker={"minimum_number_of_calls": 5, "window_size": 10, "wait_duration_in_open": 30})
    for _ in range(20):
        tree.call("op", failing(ConnectionError("down")))
    assert tree._parts.trips.value >= 1


# By hand.


def test_forced_open_rejects_until_auto(boot: Boot) -> None:
    tree = boot()
    call = tree.protect("op")(lambda: "value")
    assert call() == "value"
    handle = tree.breakers["op"]
    handle.force_open()
    assert handle.state is BreakerState.FORCED_OPEN
    with pytest.raises(CircuitOpenError) as rejected:
        call()
    assert rejected.value.__cause__ is None
    assert rejected.value.wait_time > 0
    handle.auto()
    assert tree.breakers["op"].state is BreakerState.CLOSED
    assert call() == "value"


def test_forced_open_is_not_opened_by_a_healing(boot: Boot) -> None:
    tree = boot(Healer())
    tree.operation("op", "db", None, {})
    tree.breakers["op"].force_open()
    tree.recover(ConnectionError("down"), operation="heal", resource="db")
    wait_until(lambda: tree["breaker"].depth == 0)
    assert tree.call("op", lambda: 1).status is RecoveryStatus.CIRCUIT_OPEN
    assert tree.breakers["op"].state is BreakerState.FORCED_OPEN


def test_forced_closed_lets_every_failure_through(boot: Boot) -> None:
    tree = boot(breaker=ONE, retry=NO_RETRY)
    tree.protect("op")
    tree.breakers["op"].force_close()
    resource = Resource()
    for _ in range(5):
        with pytest.raises(ConnectionRefusedError):
            tree.protect("op")(resource.use)()
    assert len(resource.calls) == 5
    assert tree.breakers["op"].state is BreakerState.DISABLED
    tree.breakers["op"].auto()
    trip(tree)


def test_an_unknown_circuit_is_a_key_error(boot: Boot) -> None:
    tree = boot()
    with pytest.raises(KeyError, match="never"):
        tree.breakers["never"]
    before = list(tree.breakers)  # what other tests have protected late
    tree.protect("known")
    assert list(tree.breakers) == [*before, "known"]


def test_rejections_and_rates_show_in_the_status(boot: Boot) -> None:
    tree = boot(breaker=LONG, retry=NO_RETRY)
    trip(tree)
    for _ in range(3):
        tree.call("op", lambda: None)
    circuit = tree.status_of("breaker").details["circuits"]["op"]
    assert circuit["state"] == "OPEN"
    assert circuit["rejected"] == 3


def test_slow_calls_open_the_circuit_too(boot: Boot) -> None:
    tree = boot(breaker={"minimum_number_of_calls": 3, "slow_call_duration": 0.005, "wait_duration_in_open": 30})
    call = tree.protect("op")(lambda: time.sleep(0.01))
    assert [call() for _ in range(3)] == [None] * 3
    wait_until(lambda: tree.breakers["op"].state is BreakerState.OPEN)


# Making the call again, or not.


class _Request:
    def __init__(self, method: str) -> None:
        self.method = method


class HttpError(ConnectionError):
    def __init__(self, method: str) -> None:
        super().__init__("down")
        self.request = _Request(method)


@pytest.mark.parametrize(("method", "again"), [("POST", False), ("PATCH", False), ("GET", True), ("PUT", True)])
def test_http_calls_that_are_not_idempotent_are_neither_run_again_nor_retried(
    boot: Boot, method: str, *, again: bool
) -> None:
    tree = boot(Healer(), breaker=NO_CIRCUIT)
    resource = Resource(make_error=lambda: HttpError(method))
    result = tree.call("op", resource.use)
    assert (len(resource.calls) > 1) is again
    if not again:
        # The resource is healed, the call is not: it has no value, and its own error comes out.
        assert result.status is RecoveryStatus.HEALED
        assert result.value is None
        with pytest.raises(HttpError) as raised:
            tree.protect("op")(resource.use)()
        assert raised.value is resource.errors[-1]


def test_they_are_made_again_where_the_operation_allows_it(boot: Boot) -> None:
    tree = boot(Healer(), breaker=NO_CIRCUIT)
    resource = Resource(up_after=1, make_error=lambda: HttpError("POST"))
    assert tree.protect("op", idempotent=True)(resource.use)() == "value"


def test_an_operation_that_says_it_is_not_idempotent_is_never_made_again(boot: Boot) -> None:
    tree = boot(Healer(), chain("op", ("cache", lambda _: "cached")), breaker=NO_CIRCUIT)
    resource = Resource(up_after=1)
    outcome = []
    try:
        outcome.append(tree.protect("op", idempotent=False)(resource.use)())
    except ConnectionRefusedError as error:
        outcome.append(error)
    assert len(resource.calls) == 1


class RateLimited(ConnectionError):
    def __init__(self, seconds: str) -> None:
        super().__init__("429")
        self.response = type("Response", (), {"status_code": 429, "headers": {"Retry-After": seconds}})()


RateLimited.__module__ = "httpx"


def test_retry_after_is_waited_out_beyond_the_maximum(boot: Boot) -> None:
    tree = boot(breaker=NO_CIRCUIT, retry={"initial": 0.001, "maximum": 0.002})
    resource = Resource(up_after=1, make_error=lambda: RateLimited("0.2"))
    began = time.monotonic()
    result = tree.call("op", resource.use)
    assert result.method is RecoveryMethod.RETRY
    assert time.monotonic() - began >= 0.2


def test_retry_after_beyond_the_deadline_is_not_waited_for(boot: Boot) -> None:
    tree = boot(breaker=NO_CIRCUIT)
    resource = Resource(up_after=1, make_error=lambda: RateLimited("30"))
    began = time.monotonic()
    with pytest.raises(RateLimited):
        tree.protect("op", deadline=0.5)(resource.use)()
    assert time.monotonic() - began < 3
    assert len(resource.calls) == 1


def test_retries_go_through_the_breaker_and_end_when_it_opens(boot: Boot) -> None:
    tree = boot(
        breaker={"minimum_number_of_calls": 2, "window_size": 4, "wait_duration_in_open": 30},
        retry={"attempts": 50, "initial": 0.01, "maximum": 0.01, "budget": None},
    )
    resource = Resource()
    result = tree.call("op", resource.use)
    assert result.error is resource.errors[0]
    assert len(resource.calls) < 10
    assert tree.breakers["op"].state is BreakerState.OPEN
    assert trail(result)[-1] == ("RETRY", "retry", "FAILED")
