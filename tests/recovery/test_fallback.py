"""Fallback chains in a running tree: ranked by evidence, refusing, never blocking a loop, and catching up."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from recovery_parts import Boot, Healer, Resource, Switch, chain, failing, trail, wait_until

from upright.actors.fallback import FallbackActor, StepsTried
from upright.strategies.errors import ConfigError
from upright.strategies.fallback.chain import FallbackChain, FallbackStep, NothingToOfferError, Substitute
from upright.strategies.fallback.offline_mode import OfflineMode
from upright.strategies.fallback.offline_queue import OfflineQueue
from upright.strategies.fallback.read_only import ReadOnlyError, ReadOnlyMode
from upright.strategies.report import RecoveryStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from upright.tree import Tree

NO_CIRCUIT = {"minimum_number_of_calls": 1_000_000}
ONE_TRY = {"attempts": 1}


def down() -> Any:
    raise ConnectionRefusedError(111, "refused")


def executing(resource: Resource) -> Callable[[str], Any]:
    """Return a function that executes SQL on a resource."""

    def execute(_sql: str) -> Any:
        return resource.use("done")

    return execute


def order_of(tree: Tree, operation: str = "op") -> list[str]:
    nodes = [tree.status()]
    for node in nodes:
        nodes.extend(node.children)
    (found,) = [node for node in nodes if node.name == "fallback"]
    order: list[str] = found.details["chains"][operation]["order"]
    return order


# Ranking.


def test_the_declared_order_holds_until_there_is_evidence(boot: Boot) -> None:
    tree = boot(chain("op", ("a", failing(OSError())), ("b", lambda _: 1), ("c", lambda _: 2)), breaker=NO_CIRCUIT)
    assert order_of(tree) == ["a", "b", "c"]
    for _ in range(4):  # five are evidence
        tree.call("op", down)
    wait_until(lambda: tree.status_of("fallback").details["chains"]["op"]["evidence"]["a"]["failures"] > 3.9)
    assert order_of(tree) == ["a", "b", "c"]


def test_a_step_that_fails_comes_after_those_that_succeed(boot: Boot) -> None:
    tried: list[str] = []

    def a(_: Any) -> Any:
        tried.append("a")
        raise OSError("still down")

    tree = boot(chain("op", ("a", a), ("b", lambda _: 1), ("c", lambda _: 2)), breaker=NO_CIRCUIT)
    for _ in range(20):
        assert tree.call("op", down).value == 1
    wait_until(lambda: order_of(tree) == ["b", "a", "c"])
    tried.clear()
    result = tree.call("op", down)
    assert trail(result)[-1] == ("FALLBACK", "b", "SUCCEEDED")
    assert tried == []
    assert tree.metrics().fallback_activations == 21


def test_steps_that_do_equally_well_keep_the_declared_order(boot: Boot) -> None:
    tree = boot(chain("op", ("a", failing(OSError())), ("b", failing(OSError())), ("c", failing(OSError()))))
    for _ in range(30):
        tree.call("op", down)
    wait_until(lambda: tree.status_of("fallback").details["chains"]["op"]["evidence"]["c"]["failures"] > 5)
    assert order_of(tree) == ["a", "b", "c"]


def test_a_step_that_recovered_rises_again(boot: Boot) -> None:
    works = threading.Event()

    def a(_: Any) -> str:
        if not works.is_set():
            raise OSError("down")
        return "a"

    def b(_: Any) -> str:
        if works.is_set():
            raise OSError("down")
        return "b"

    tree = boot(chain("op", ("a", a), ("b", b)), breaker=NO_CIRCUIT)
    for _ in range(10):
        tree.call("op", down)
    wait_until(lambda: order_of(tree) == ["b", "a"])
    works.set()

    def call_again() -> bool:
        tree.call("op", down)
        return order_of(tree) == ["a", "b"]

    wait_until(call_again, timeout=20.0)


def test_having_nothing_for_a_call_is_no_failure_of_a_step(boot: Boot) -> None:
    def miss(_: Any) -> Any:
        raise NothingToOfferError("nothing is remembered")

    tree = boot(chain("op", ("cache", miss), ("b", lambda _: 1)), breaker=NO_CIRCUIT)
    for _ in range(40):
        result = tree.call("op", down)
    assert trail(result)[-2:] == [("FALLBACK", "cache", "SKIPPED"), ("FALLBACK", "b", "SUCCEEDED")]
    assert result.steps[-2].detail == "nothing is remembered"
    wait_until(lambda: "b" in tree.status_of("fallback").details["chains"]["op"]["evidence"])
    assert order_of(tree) == ["cache", "b"]


def test_a_poor_answer_that_never_fails_does_not_replace_a_good_one_that_seldom_does(boot: Boot) -> None:
    calls = iter(range(10**6))

    def good(_: Any) -> str:
        if next(calls) % 5 == 4:
            raise OSError("sometimes")
        return "good"

    poor = FallbackStep("poor", lambda _: "poor", weight=0.5)
    tree = boot(FallbackChain("op", [FallbackStep("good", good), poor]), breaker=NO_CIRCUIT)
    values = [tree.call("op", down).value for _ in range(200)]
    wait_until(lambda: tree.status_of("fallback").details["chains"]["op"]["evidence"]["poor"]["successes"] > 20)
    assert order_of(tree) == ["good", "poor"]
    assert values.count("poor") == 40


@pytest.mark.actor_crash
def test_a_crash_of_the_fallback_actor_forgets_no_evidence(boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = boot(chain("op", ("a", failing(OSError())), ("b", lambda _: 1)), breaker=NO_CIRCUIT)
    for _ in range(10):
        tree.call("op", down)
    wait_until(lambda: order_of(tree) == ["b", "a"])
    before = tree.status_of("fallback").restarts
    with monkeypatch.context() as patched:
        patched.setattr(FallbackActor, "_read", failing(RuntimeError("crash")))
        tree["fallback"].tell(StepsTried(tree._parts.chains["op"]))
        wait_until(lambda: tree.status_of("fallback").restarts > before)
    assert order_of(tree) == ["b", "a"]
    for _ in range(40):
        tree.call("op", down)
    wait_until(lambda: tree.status_of("fallback").details["chains"]["op"]["evidence"]["b"]["successes"] > 25)


def test_a_burst_of_failing_steps_leaves_one_message_unread(boot: Boot, switch: Switch) -> None:
    tree = boot(chain("op", ("a", failing(OSError())), ("b", lambda _: 1)), breaker=NO_CIRCUIT)
    held = threading.Event()

    class Hold:
        """Keeps the actor busy, as a view whose outcomes cannot be read yet."""

        chain = chain("held", ("x", lambda _: 1))
        activations = 0
        evidence: ClassVar[dict[str, Any]] = {}
        order = tuple(enumerate(chain.steps))

        @property
        def outcomes(self) -> list[Any]:
            held.set()
            switch.wait()
            return []

    tree["fallback"].tell(StepsTried(Hold()))  # type: ignore[arg-type]
    assert held.wait(5.0)
    for _ in range(100):
        tree.call("op", down)
    assert tree.status_of("fallback").mailbox_depth == 1
    switch.set()
    wait_until(lambda: order_of(tree) == ["b", "a"])


# Refusing.


def test_a_refused_write_comes_out_as_such_from_the_calls_own_error(boot: Boot) -> None:
    never: list[Any] = []
    steps = [ReadOnlyMode(lambda _: 1), FallbackStep("after", never.append)]
    tree = boot(FallbackChain("op", steps), breaker=NO_CIRCUIT, retry=ONE_TRY)
    resource = Resource()
    execute = tree.protect("op")(executing(resource))
    with pytest.raises(ReadOnlyError) as caught:
        execute("INSERT INTO t VALUES (1)")
    assert caught.value.__cause__ is resource.errors[0]
    assert execute("SELECT 1") == 1
    assert never == []
    result = tree.call("op", executing(resource), "DELETE FROM t")
    assert (result.status, result.error) == (RecoveryStatus.FAILED, resource.errors[-1])
    assert ("FALLBACK", "read-only mode", "FAILED") in trail(result)


def test_a_coroutines_refused_write_comes_out_as_such(boot: Boot) -> None:
    tree = boot(FallbackChain("op", [ReadOnlyMode(lambda _: 1)]), breaker=NO_CIRCUIT, retry=ONE_TRY)
    resource = Resource()

    @tree.protect("op")
    async def execute(_sql: str) -> Any:
        return resource.use()

    with pytest.raises(ReadOnlyError) as caught:
        asyncio.run(execute("INSERT INTO t VALUES (1)"))
    assert caught.value.__cause__ is resource.errors[0]


def test_a_write_that_a_retry_makes_is_not_refused(boot: Boot) -> None:
    tree = boot(FallbackChain("op", [ReadOnlyMode(lambda _: 1)]), breaker=NO_CIRCUIT)
    resource = Resource(up_after=1)
    assert tree.protect("op")(executing(resource))("INSERT INTO t VALUES (1)") == "done"


def test_an_open_circuit_refuses_writes_as_such_and_serves_reads(boot: Boot) -> None:
    tree = boot(FallbackChain("op", [ReadOnlyMode(lambda _: "replica")]))
    execute = tree.protect("op")(executing(Resource(down=False)))
    execute("SELECT 1")
    tree.breakers["op"].force_open()
    assert execute("SELECT 1") == "replica"
    with pytest.raises(ReadOnlyError):
        execute("INSERT INTO t VALUES (1)")


# What a step may do.


def test_a_coroutine_can_be_called_for_everything_that_happened(boot: Boot) -> None:
    tree = boot(chain("op", ("cache", lambda _: Substitute("old", "cached 42.0 s ago", 42.0))), breaker=NO_CIRCUIT)
    resource = Resource(up_after=1)

    async def scenario() -> None:
        result = await tree.call_async("op", resource.use_async, "new")
        assert (result.value, result.degradation, result.age) == ("old", "cached 42.0 s ago", 42.0)
        result = await tree.call_async("op", resource.use_async, "new")
        assert (result.status, result.value, result.degraded) == (RecoveryStatus.SUCCEEDED, "new", False)
        tree.breakers["op"].force_open()
        result = await tree.call_async("op", resource.use_async, "new")
        assert (result.status, result.value) == (RecoveryStatus.CIRCUIT_OPEN, "old")
        tree.breakers["op"].auto()
        tree.stop()
        resource.down, resource.up_after = True, None
        result = await tree.call_async("op", resource.use_async, "new")
        assert (result.status, result.error) == (RecoveryStatus.FAILED, resource.errors[-1])

    asyncio.run(scenario())


def test_a_result_says_how_its_value_is_degraded_and_how_old_it_is(boot: Boot) -> None:
    tree = boot(chain("op", ("cache", lambda _: Substitute(1, "cached 42.0 s ago", 42.0))), breaker=NO_CIRCUIT)
    result = tree.call("op", down)
    assert (result.degraded, result.degradation, result.age) == (True, "cached 42.0 s ago", 42.0)
    assert result.to_dict()["age"] == 42.0
    fine = tree.call("op", lambda: 1)
    assert (fine.degraded, fine.degradation, fine.age) == (False, "", None)


def test_a_step_that_blocks_does_not_block_the_loop(boot: Boot) -> None:
    held = threading.Event()
    threads: list[int] = []

    def wait(_: Any) -> str:
        threads.append(threading.get_ident())
        assert held.wait(20.0)
        return "from disk"

    tree = boot(FallbackChain("op", [FallbackStep("disk", wait, blocking=True)]), breaker=NO_CIRCUIT)

    @tree.protect("op")
    async def call() -> Any:
        down()

    async def scenario() -> Any:
        calling = asyncio.ensure_future(call())
        while not threads:  # noqa: ASYNC110 - it is a thread that is waited for
            await asyncio.sleep(0.001)
        held.set()  # only a loop that is free gets here
        return await calling

    assert asyncio.run(scenario()) == "from disk"
    assert threads[0] != threading.get_ident()
    assert tree.protect("op")(down)() == "from disk"
    assert threads[1] == threading.get_ident()


def test_an_async_step_out_of_time_is_cancelled_and_says_so(boot: Boot) -> None:
    async def hang(_: Any) -> None:
        await asyncio.sleep(60)

    steps = [FallbackStep("slow", hang, timeout=0.01), FallbackStep("quick", lambda _: 1)]
    tree = boot(FallbackChain("op", steps), breaker=NO_CIRCUIT)

    async def scenario() -> Any:
        return await tree.recover_async(ConnectionRefusedError(111, "refused"), operation="op")

    result = asyncio.run(scenario())
    assert result.value == 1
    assert result.steps[-2].detail == "TimeoutError: not done within 0.01 s"


def test_a_report_may_bring_arguments_in_its_context(boot: Boot) -> None:
    seen: list[Any] = []

    def look(context: Any) -> None:
        seen.append((context["args"], context["kwargs"]))

    tree = boot(chain("op", ("look", look)), breaker=NO_CIRCUIT)
    error = ConnectionRefusedError(111, "refused")
    tree.recover(error, operation="op", context={"args": (7,), "kwargs": {"plan": "pro"}})
    tree.recover(error, operation="op")
    assert seen == [((7,), {"plan": "pro"}), ((), {})]


def test_a_step_whose_details_fail_does_not_take_the_status_with_it(boot: Boot) -> None:
    class Odd(FallbackStep):
        @property
        def details(self) -> dict[str, Any]:
            raise RuntimeError("odd")

    tree = boot(FallbackChain("op", [Odd("odd", lambda _: 1)]))
    assert tree.status_of("fallback").details["chains"]["op"]["steps"] == {"odd": {"error": "RuntimeError: odd"}}


def test_there_is_a_limit_to_chains(boot: Boot) -> None:
    tree = boot()
    tree.register(*(chain(f"op-{number}", ("a", lambda _: 1)) for number in range(1_000)))
    with pytest.raises(ConfigError, match="at most 1000 chains"):
        tree.register(chain("one more", ("a", lambda _: 1)))
    tree.register(chain("op-7", ("b", lambda _: 2)))


# Catching up.


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[OfflineQueue]:
    queue = OfflineQueue(tmp_path / "offline.db")
    yield queue
    queue.close()


class Later:
    """Takes what was put off; is down until told otherwise."""

    def __init__(self) -> None:
        self.works = threading.Event()
        self.taken: list[Any] = []

    def __call__(self, _key: str, payload: Any) -> None:
        if not self.works.is_set():
            raise ConnectionResetError("still down")
        self.taken.append(payload["args"][0])


def offline_chain(queue: OfflineQueue, later: Callable[[str, Any], Any]) -> FallbackChain:
    return FallbackChain("op", [OfflineMode(queue, later)])


def test_what_was_put_off_is_done_in_order_once_the_resource_is_healed(boot: Boot, queue: OfflineQueue) -> None:
    resource, later = Resource(), Later()
    healing = Switch()

    def heal(_: Any) -> None:
        healing.wait()
        resource.down = False
        later.works.set()

    healer = Healer(heal)
    tree = boot(healer, offline_chain(queue, later), breaker=NO_CIRCUIT, healing={"heal_wait": 0.0})
    submit = tree.protect("op", resource="db")(executing(resource))
    for number in range(5):
        assert submit(f"{number}").waiting == number + 1
    healing.set()
    wait_until(lambda: later.taken == ["0", "1", "2", "3", "4"], timeout=20.0)
    wait_until(lambda: tree.status_of("fallback").details["chains"]["op"]["steps"]["offline mode"]["waiting"] == 0)


def test_what_was_put_off_is_done_when_the_circuit_closes(boot: Boot, queue: OfflineQueue) -> None:
    later = Later()
    tree = boot(offline_chain(queue, later), breaker=NO_CIRCUIT)
    tree.call("op", lambda _: down(), 1)
    tree.breakers["op"].force_open()
    later.works.set()
    tree.breakers["op"].auto()
    wait_until(lambda: later.taken == [1], timeout=20.0)


def test_without_any_sign_it_is_tried_again_after_a_while(boot: Boot, queue: OfflineQueue) -> None:
    later = Later()
    tree = boot(offline_chain(queue, later), breaker=NO_CIRCUIT)
    tree.call("op", lambda _: down(), 1)
    later.works.set()
    wait_until(lambda: later.taken == [1], timeout=20.0)


@pytest.mark.parametrize("when", ["boot", "register"])
def test_what_an_earlier_process_put_off_is_done(when: str, boot: Boot, queue: OfflineQueue) -> None:
    queue.put({"args": ["left over"]})
    later = Later()
    later.works.set()
    if when == "boot":
        boot(offline_chain(queue, later))
    else:
        boot().register(offline_chain(queue, later))
    wait_until(lambda: later.taken == ["left over"])


def test_an_async_handler_catches_up_in_a_worker(boot: Boot, queue: OfflineQueue) -> None:
    queue.put({"args": ["left over"]})
    taken: list[Any] = []

    async def later(_key: str, payload: Any) -> None:
        await asyncio.sleep(0)
        taken.append(payload["args"][0])

    boot(offline_chain(queue, later))
    wait_until(lambda: taken == ["left over"])


def test_nothing_is_caught_up_with_while_the_stage_is_switched_off(boot: Boot, queue: OfflineQueue) -> None:
    queue.put({"args": ["left over"]})
    later = Later()
    later.works.set()
    tree = boot(offline_chain(queue, later), flags={"intelligent_fallback": False})
    assert later.taken == []
    tree.flags["intelligent_fallback"] = True
    wait_until(lambda: later.taken == ["left over"], timeout=20.0)


def test_a_chain_that_was_replaced_catches_up_no_more(boot: Boot, queue: OfflineQueue) -> None:
    later = Later()
    tree = boot(offline_chain(queue, later), breaker=NO_CIRCUIT)
    tree.call("op", lambda _: down(), 1)
    tree.register(chain("op", ("other", lambda _: 2)))
    later.works.set()
    tree.breakers["op"].force_open()
    tree.breakers["op"].auto()
    assert tree.call("op", lambda _: down(), 1).value == 2
    assert later.taken == []


def test_calling_a_protected_function_protects_it_once_and_tells_everything(boot: Boot) -> None:
    tree = boot(chain("op", ("stale", lambda context: f"stale {context['args'][-1]}")))

    class Service:
        @tree.protect("op")
        def ask(self, question: str) -> str:
            raise ConnectionRefusedError(111, f"refused {question}")

    @tree.protect("op")
    async def ask(question: str) -> str:
        raise ConnectionRefusedError(111, f"refused {question}")

    def shout(question: str) -> str:
        return Service().ask(question).upper()

    wrapped: Any = functools.wraps(Service.ask)(shout)
    for result in (tree.call("op", Service().ask, "tides"), asyncio.run(tree.call_async("op", ask, "tides"))):
        assert result.degraded
        assert result.value == "stale tides"
    assert tree.call("other", wrapped, "tides").value == "STALE TIDES"
