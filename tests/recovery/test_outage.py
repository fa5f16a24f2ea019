"""Steady outages: answers of an open circuit take the short way once there are many, and nothing else changes."""
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from recovery_parts import Boot, Healer, Resource, Switch, broken_healer, chain, failing, wait_until

from upright.outage import LISTED_A_SECOND
from upright.strategies.breaker import BreakerState
from upright.strategies.errors import CircuitOpenError
from upright.strategies.fallback.cached_response import CachedResponse
from upright.strategies.fallback.chain import FallbackStep, NothingToOfferError, RefusedError, Substitute

if TYPE_CHECKING:
    from upright.actors.operation import Operation
    from upright.tree import Tree

MANY = LISTED_A_SECOND * 20


def forced_open(tree: Tree, name: str = "op") -> Operation:
    """Open a circuit for good, with every second's list of single answers far away."""
    tree.breakers[name].force_open()
    operation = tree.edge.operations.find(name)
    assert operation is not None
    operation.listed_from = float("inf")
    return operation


def never(*_: Any, **__: Any) -> Any:
    raise AssertionError("a call met an open circuit and was made")


def test_first_answers_of_an_outage_are_listed_and_the_rest_are_counted(boot: Boot) -> None:
    tree = boot(chain("op", ("cache", lambda context: context["args"][0] * 2)))
    call = tree.protect("op")(never)
    forced_open(tree)
    assert [call(n) for n in range(MANY)] == [n * 2 for n in range(MANY)]
    listed = wait_until(lambda: len(tree.history()) >= LISTED_A_SECOND and tree.history())
    assert len(listed) == LISTED_A_SECOND
    assert tree.status_of("monitor").details["unlisted_answers"] == MANY - LISTED_A_SECOND
    assert tree.metrics().fallback_activations == MANY
    assert tree.breakers["op"].state is BreakerState.FORCED_OPEN


def test_an_answer_is_listed_again_in_the_next_second(boot: Boot) -> None:
    tree = boot(chain("op", ("cache", lambda _: "old")))
    call = tree.protect("op")(never)
    operation = forced_open(tree)
    for _ in range(MANY):
        call()
    wait_until(lambda: len(tree.history()) == LISTED_A_SECOND)
    operation.listed_from = 0.0
    call()
    wait_until(lambda: len(tree.history()) == LISTED_A_SECOND + 1)


def test_coroutines_take_the_short_way_too(boot: Boot) -> None:
    tree = boot(chain("op", ("cache", lambda _: Substitute("old", "stale"))))

    async def work() -> str:
        return str(never())

    call = tree.protect("op")(work)
    forced_open(tree)

    async def main() -> list[str]:
        return [await call() for _ in range(MANY)]

    assert asyncio.run(main()) == ["old"] * MANY
    assert tree.edge.board.unlisted_answers.value == MANY - LISTED_A_SECOND


def test_step_that_fails_on_the_short_way_is_not_tried_twice(boot: Boot) -> None:
    tried: list[int] = []

    def first(_: Any) -> Any:
        tried.append(1)
        raise NothingToOfferError("not today")

    tree = boot(chain("op", ("first", first), ("second", lambda _: "second")))
    call = tree.protect("op")(never)
    forced_open(tree)
    assert [call() for _ in range(MANY)] == ["second"] * MANY
    assert len(tried) == MANY


def test_refusal_on_the_short_way_comes_out(boot: Boot) -> None:
    tree = boot(chain("op", ("queue", failing(RefusedError("full"))), ("second", never)))
    call = tree.protect("op")(never)
    forced_open(tree)
    for _ in range(MANY):
        with pytest.raises(RefusedError):
            call()


def test_awaitable_that_a_plain_function_returns_is_awaited_once(boot: Boot) -> None:
    made: list[int] = []

    async def later() -> str:
        made.append(1)
        return "later"

    tree = boot(chain("op", ("later", lambda _: later())))
    call, operation = tree.protect("op")(never), forced_open(tree)
    operation.listed = LISTED_A_SECOND
    assert call() == "later"

    async def work() -> Any:
        return never()

    call_async = tree.protect("op")(work)
    assert asyncio.run(call_async()) == "later"
    assert len(made) == 2


@pytest.mark.parametrize("option", ["timeout", "blocking", "catch_up"])
def test_step_that_needs_the_whole_way_takes_it_every_time(boot: Boot, option: str) -> None:
    step = FallbackStep("step", lambda _: "value", timeout=5.0 if option == "timeout" else None)
    if option == "blocking":
        step.blocking = True
    if option == "catch_up":
        step.catch_up = lambda: False
    tree = boot(chain("op", step))
    call, operation = tree.protect("op")(never), forced_open(tree)
    operation.listed = LISTED_A_SECOND
    for _ in range(3):
        assert call() == "value"
    assert tree.edge.board.unlisted_answers.value == 0


def test_outage_ends_with_the_healing_of_the_resource(boot: Boot) -> None:
    resource, gate = Resource(), [broken_healer()]
    healer = Healer(lambda report: gate[0].heal(report) if gate else resource.healer().heal(report))
    one = {"minimum_number_of_calls": 1, "window_size": 1, "wait_duration_in_open": 30.0}
    tree = boot(healer, chain("op", ("cache", lambda _: "old")), breaker=one, healing={"max_healing_attempts": 50})
    call = tree.protect("op", resource="db")(resource.use)
    assert [call() for _ in range(MANY)] == ["old"] * MANY
    assert tree.edge.board.unlisted_answers.value > 0
    gate.clear()
    tree.report(ConnectionRefusedError(111, "refused"), operation="op", resource="db")
    assert wait_until(lambda: call() == "value")


def test_a_stopped_tree_turns_nobody_away(boot: Boot) -> None:
    resource = Resource(down=False)
    tree = boot(chain("op", ("cache", lambda _: "old")))
    call = tree.protect("op")(resource.use)
    forced_open(tree)
    assert {call() for _ in range(MANY)} == {"old"}
    tree.stop()
    assert call() == "value"


def test_call_that_waits_for_no_healing_takes_the_short_way_while_one_runs(boot: Boot) -> None:
    begun, over = Switch(), Switch()

    def heal(_: Any) -> None:
        begun.set()
        over.wait()

    tree = boot(
        Healer(heal),
        chain("op", ("cache", lambda _: "old")),
        breaker={"minimum_number_of_calls": 1},
        healing={"heal_wait": 0},
    )
    call = tree.protect("op")(failing(ConnectionError("down")))
    try:
        assert call() == "old"
        begun.wait()
        wait_until(lambda: tree.breakers["op"].state is BreakerState.OPEN)
        operation = tree.edge.operations.find("op")
        assert operation is not None
        operation.listed_from = float("inf")
        operation.listed = LISTED_A_SECOND
        before = tree.edge.board.unlisted_answers.value
        assert [call() for _ in range(MANY)] == ["old"] * MANY
        assert tree.edge.board.unlisted_answers.value == before + MANY
    finally:
        over.set()


def test_flags_hold_for_the_short_way(boot: Boot) -> None:
    resource = Resource(down=False)
    tree = boot(chain("op", ("cache", lambda _: "old")))
    call, operation = tree.protect("op")(resource.use), forced_open(tree)
    operation.listed = LISTED_A_SECOND
    assert call() == "old"
    tree.flags["intelligent_fallback"] = False
    with pytest.raises(CircuitOpenError) as caught:
        call()
    assert caught.value.operation == "op"
    tree.flags["recovery_orchestrator"] = False
    assert call() == "value"


# The short cut of remembered answers.


def test_glance_gives_what_the_whole_way_gives(boot: Boot) -> None:
    step = CachedResponse()
    answers: list[tuple[Any, str]] = [("What is pi?", "3.14"), ("1", "text"), (1, "int"), (True, "bool")]
    remembered = step.remembering(lambda asked: next(to for of, to in answers if of is asked))
    tree = boot(chain("op", step))
    for question, _ in answers:
        tree.protect("op")(remembered)(question)
    call, operation = tree.protect("op")(never), forced_open(tree)
    for listed in (0, LISTED_A_SECOND, LISTED_A_SECOND):
        operation.listed = listed
        assert [call(question) for question in ("what is  PI?", "1", 1, True)] == ["3.14", "text", "int", "bool"]
        with pytest.raises(CircuitOpenError):
            call("never asked")


def test_glance_keeps_few_keys_and_none_of_other_key_functions() -> None:
    step = CachedResponse()
    assert step.glance is not None
    for n in range(2_500):
        with pytest.raises(NothingToOfferError):
            step.glance((n,), {})
    assert len(step._keys) <= 1_000
    with pytest.raises(NothingToOfferError):
        step.glance(("x" * 5_000,), {})
    assert ("x" * 5_000,) not in {args for args, _ in step._keys}


def test_how_an_outage_began_is_not_pushed_out_of_the_history_by_what_it_kept_away(boot: Boot) -> None:
    tree = boot(chain("op", ("cache", lambda _: "old")), limits={"history": 50}, breaker={"minimum_number_of_calls": 3})

    def fail() -> str:
        raise ConnectionError("down")

    call = tree.protect("op")(fail)
    assert [call() for _ in range(3)] == ["old"] * 3
    wait_until(lambda: tree.breakers["op"].state is BreakerState.OPEN)
    operation = tree.parts.operations.find("op")
    assert operation is not None
    for _ in range(200):
        operation.listed_from = 0.0  # a second has passed: it is listed again
        assert call() == "old"
    history = tree.history()
    kept_away = [entry for entry in history if entry.recovery_id is None]
    assert [entry.operation for entry in history if entry.recovery_id is not None] == ["op"] * 3
    assert len(kept_away) == 10
    assert [entry.number for entry in history] == sorted(entry.number for entry in history)
    assert len([line for line in tree.parts.monitor.events() if "op: CIRCUIT_OPEN" in line.text]) <= 2
    assert len(tree.parts.monitor.outline(100)) == 4
