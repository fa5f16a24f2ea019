"""What is injected is met by the calls, in threads and on loops, and is over when it is said to be."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

import upright
from upright.actors import SupervisedActor
from upright.actors.errors import ActorStopped, AskTimeout
from upright.strategies.classification import classify
from upright.strategies.codes import ErrorCode
from upright.strategies.errors import ConfigError
from upright.supervisors import ChildSpec, Restart, Supervisor, which_child
from upright.testing import Crash

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.testing import Injector
    from upright.tree import Tree

PATIENCE = 20.0


def ignoring(kind: type[BaseException], function: Callable[[], Any]) -> Any:
    try:
        return function()
    except kind as error:
        return error


def test_the_first_calls_fail_and_the_retry_gets_through(upright_tree: Tree, inject: Injector) -> None:
    @upright_tree.protect("price")
    def price() -> int:
        return 42

    with inject("price", "NETWORK", times=2) as fault:
        assert price() == 42
        assert (fault.faults, fault.calls) == (2, 3)
    assert upright_tree.metrics().retries >= 1


def test_a_rate_hits_the_same_calls_in_every_run(inject: Injector) -> None:
    @upright.protect("price")
    def price() -> int:
        return 42

    def hits() -> list[bool]:
        with inject("price", KeyError, rate=0.5, seed=7):
            return [isinstance(ignoring(KeyError, price), KeyError) for _ in range(100)]

    first = hits()
    assert first == hits()
    assert 30 < sum(first) < 70


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (ConnectionResetError("gone"), ErrorCode.NETWORK),
        (MemoryError, ErrorCode.MEMORY_PRESSURE),
        (lambda: TimeoutError("late"), ErrorCode.NETWORK),
        (ErrorCode.RATE_LIMITED, ErrorCode.RATE_LIMITED),
        ("DATABASE_CONNECTION", ErrorCode.DATABASE_CONNECTION),
    ],
)
def test_an_error_may_be_given_in_every_form(given: Any, code: ErrorCode, inject: Injector) -> None:
    @upright.protect("price")
    def price() -> None: ...

    with inject("price", given):
        assert classify(ignoring(Exception, price)).code is code


def test_a_call_made_through_the_tree_and_a_repetition_are_hit_alike(upright_tree: Tree, inject: Injector) -> None:
    with inject("price", "NETWORK", times=1) as fault:
        assert upright_tree.call("price", int, "42").value == 42
    assert fault.calls == 2
    with inject("price", "NETWORK", times=1) as fault:
        result = upright_tree.recover(ConnectionError(), operation="price", call=lambda: 42)
    assert (result.value, fault.faults) == (42, 1)


def test_a_block_fails_at_its_beginning_and_is_reported(upright_tree: Tree, inject: Injector) -> None:
    entered = []
    with inject("checkout", ConnectionError("injected")), pytest.raises(ConnectionError, match="injected"):  # noqa: SIM117
        with upright_tree.boundary("checkout"):
            entered.append(True)
    assert not entered


def test_a_block_of_a_coroutine_is_hit_too(upright_tree: Tree, inject: Injector) -> None:
    async def checkout() -> None:
        async with upright_tree.boundary("checkout"):
            raise AssertionError("not reached")

    with inject("checkout", ConnectionError("injected")), pytest.raises(ConnectionError, match="injected"):
        asyncio.run(checkout())


def test_a_coroutine_function_is_hit_without_blocking_its_loop(upright_tree: Tree, inject: Injector) -> None:
    @upright_tree.protect("price")
    async def price() -> int:
        return 42

    async def main() -> tuple[int, int]:
        with inject("price", hang=True) as fault:
            call = asyncio.create_task(price())
            await asyncio.sleep(0)  # the task runs until it hangs, and this loop runs on
            assert fault.faults == 1
            assert not call.done()
            fault.stop()
            return await call, fault.faults

    assert asyncio.run(main()) == (42, 1)


def test_a_call_hangs_until_the_injection_ends(inject: Injector) -> None:
    @upright.protect("price")
    def price() -> int:
        return 42

    fault, got = inject("price", "API_TIMEOUT", hang=True), []
    thread = threading.Thread(target=lambda: got.append(ignoring(TimeoutError, price)))
    thread.start()
    while not fault.faults:
        thread.join(0.001)
    assert not got
    fault.stop()
    thread.join(PATIENCE)
    assert isinstance(got[0], TimeoutError)


def test_latency_alone_lets_the_call_through_and_late(inject: Injector) -> None:
    @upright.protect("price")
    def price() -> int:
        return 42

    with inject("price", latency=0.001) as fault:
        assert price() == 42
    assert fault.faults == 1


def test_two_injections_of_one_operation_end_one_by_one(inject: Injector) -> None:
    @upright.protect("price")
    def price() -> int:
        return 42

    outer = inject("price", KeyError)
    with inject("price", IndexError):
        assert isinstance(ignoring(LookupError, price), IndexError)
    assert isinstance(ignoring(LookupError, price), KeyError)
    outer.stop()
    outer.stop()
    assert price() == 42


def test_an_injection_before_the_function_exists_hits_it(inject: Injector) -> None:
    with inject("later", KeyError):

        @upright.protect("later")
        def later() -> int:
            return 1

        assert isinstance(ignoring(KeyError, later), KeyError)
    assert later() == 1


def test_a_thousand_threads_share_the_number_of_faults(inject: Injector) -> None:
    @upright.protect("price")
    def price() -> int:
        return 42

    with inject("price", KeyError, times=250) as fault:
        outcomes: list[Any] = []

        def calls() -> None:
            outcomes.extend(ignoring(KeyError, price) for _ in range(100))

        threads = [threading.Thread(target=calls) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(isinstance(outcome, KeyError) for outcome in outcomes) == 250
    assert (fault.calls, fault.faults) == (1000, 250)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"operation": ""}, "inject.operation"),
        ({"error": "NETWROK"}, "inject.error"),
        ({"error": 3}, "inject.error"),
        ({"error": int}, "inject.error"),
        ({"error": lambda: 3}, "inject.error"),
        ({}, "inject.error"),
        ({"error": KeyError, "rate": 1.5}, "inject.rate"),
        ({"error": KeyError, "times": -1}, "inject.times"),
        ({"latency": -1.0}, "inject.latency"),
        ({"hang": "yes"}, "inject.hang"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, Any], field: str, inject: Injector) -> None:
    with pytest.raises(ConfigError, match=field):
        inject(**{"operation": "price", **arguments})


# Actors.


class Counter(SupervisedActor):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def add(self) -> int:
        self.count += 1
        return self.count


@pytest.mark.actor_crash
@pytest.mark.parametrize("name", ["orchestrator", "healing", "fallback", "breaker", "monitor"])
def test_an_actor_of_the_tree_is_crashed_and_back_at_work(name: str, upright_tree: Tree, inject: Injector) -> None:
    inject.crash(name)
    node = upright_tree.status_of(name)
    assert node.restarts == 1
    assert upright_tree.call("price", int, "42").value == 42


@pytest.mark.actor_crash
def test_any_supervised_actor_is_crashed_by_its_address(inject: Injector, keep: Any) -> None:
    supervisor = keep(Supervisor.start([ChildSpec("counter", Counter)]))
    counter = which_child(supervisor, "counter").address
    proxy = counter.proxy()
    assert [proxy.add().get(), proxy.add().get()] == [1, 2]
    inject.crash(counter, ZeroDivisionError("mine"))
    assert proxy.add().get() == 1


@pytest.mark.actor_crash
def test_an_actor_that_does_not_come_back_is_said_to_have_stopped(inject: Injector, keep: Any) -> None:
    supervisor = keep(Supervisor.start([ChildSpec("counter", Counter, restart=Restart.TEMPORARY)]))
    counter = which_child(supervisor, "counter").address
    with pytest.raises(ActorStopped):
        inject.crash(counter)


@pytest.mark.actor_crash
def test_a_hung_actor_is_replaced_after_its_hang_timeout(inject: Injector, keep: Any, clock: Any) -> None:
    supervisor = keep(Supervisor.start([ChildSpec("counter", Counter, hang_timeout=30.0)]))
    counter = which_child(supervisor, "counter").address
    fault = inject.hang(counter)
    asked = counter.proxy().add()
    for _ in range(10_000):
        clock.advance(10.0)
        try:
            assert asked.get(timeout=0.01) == 1
            break
        except (TimeoutError, AskTimeout):
            continue
    assert which_child(supervisor, "counter").restarts >= 1
    fault.stop()


def test_a_hang_that_is_ended_in_time_costs_nothing(upright_tree: Tree, inject: Injector) -> None:
    fault = inject.hang("fallback")
    fault.stop()
    upright_tree["fallback"].ask(object(), timeout=PATIENCE, block=False)
    assert upright_tree.status_of("fallback").restarts == 0


def test_who_is_to_crash_must_be_there(upright_tree: Tree, inject: Injector) -> None:
    with pytest.raises(ConfigError, match=r"inject.crash.actor.*orchestrator"):
        inject.crash("orchestrater")
    with pytest.raises(ConfigError, match=r"inject.hang.actor"):
        inject.hang(3)  # type: ignore[arg-type]
    upright_tree.stop()


def test_a_crash_without_a_tree_says_that_there_is_none(inject: Injector) -> None:
    with pytest.raises(ConfigError, match=r"inject\.crash\.actor"):
        inject.crash("orchestrator")


def test_the_default_crash_says_what_it_is() -> None:
    assert issubclass(Crash, upright.UprightError)
