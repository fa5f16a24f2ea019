"""Never worse than nothing: no tree, a stopped one, one that has given up, one that lives in the parent process."""
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import textwrap
import threading
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from recovery_parts import Boot, Healer, Resource, chain, failing, wait_until

import upright
from upright.actors.breaker import BreakerActor
from upright.actors.orchestrator import OrchestratorActor
from upright.strategies.breaker import BreakerState
from upright.strategies.report import ErrorReport, RecoveryStatus
from upright.supervisors.status import NodeState

if TYPE_CHECKING:
    from upright.tree import Tree


def is_bare(tree: Tree) -> None:
    """Check that whatever is asked of a tree that is not there is answered as without it."""
    error = ConnectionError("own")
    for _ in range(3):
        with pytest.raises(ConnectionError) as raised:
            tree.protect("op", resource="db")(failing(error))()
        assert raised.value is error
    assert [frame.name for frame in traceback.extract_tb(error.__traceback__)][-1] == "fail"
    assert error.__cause__ is None
    assert error.__context__ is None
    assert not hasattr(error, "__notes__")
    assert tree.protect("op")(lambda: "value")() == "value"

    async def main() -> Any:
        with pytest.raises(ConnectionError):
            await tree.protect("op")(Resource(make_error=lambda: error).use_async)()
        return await tree.recover_async(error, operation="op")

    for result in (tree.recover(error, operation="op"), asyncio.run(main()), tree.call("op", failing(error))):
        assert (result.status, result.error, result.value) == (RecoveryStatus.FAILED, error, None)
    assert tree.call("op", lambda: "value").value == "value"
    refused = tree._board.refused_reports.value
    tree.report(error, operation="op")
    with pytest.raises(ConnectionError), tree.boundary("op"):
        raise error
    assert tree._board.refused_reports.value == refused + 1


def test_a_stopped_tree_leaves_bare_calls(boot: Boot) -> None:
    tree = boot(Healer(), chain("op", ("cache", lambda _: "cached")))
    tree.stop()
    is_bare(tree)
    assert tree.status().state is NodeState.STOPPED
    assert not tree.is_running
    with pytest.raises(upright.UprightError):
        tree.orchestrator.ask(ErrorReport(ConnectionError(), "op"), timeout=5)
    assert tree.stop() is False


def test_a_circuit_that_was_open_when_the_tree_stopped_keeps_nobody_away(boot: Boot) -> None:
    tree = boot(breaker={"minimum_number_of_calls": 1, "window_size": 1, "wait_duration_in_open": 60})
    call = tree.protect("op")(lambda fail: failing(ConnectionError())() if fail else "value")
    with pytest.raises(ConnectionError):
        call(True)
    wait_until(lambda: tree.breakers["op"].state is BreakerState.OPEN)
    tree.stop()
    assert call(False) == "value"
    is_bare(tree)


@pytest.mark.actor_crash
@pytest.mark.timeout(60)
def test_a_tree_that_has_given_up_leaves_bare_calls(boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = boot(Healer(), chain("op", ("cache", lambda _: "cached")))
    # The whole branch goes down with its root: nobody above is left to start it again.
    root = tree._parts.directory.root
    assert root is not None
    monkeypatch.setattr(OrchestratorActor, "on_start", failing(RuntimeError("cannot start")))
    monkeypatch.setattr(BreakerActor, "on_start", failing(RuntimeError("cannot start")))
    tree["orchestrator"].stop(block=False)
    tree["breaker"].stop(block=False)
    for _ in range(40):
        if not root.is_alive():
            break
        recovery = tree["recovery"]
        recovery.stop(block=False)
        wait_until(lambda: not root.is_alive() or tree["recovery"].depth == 0, timeout=5)
        threading.Event().wait(0.1)
    wait_until(lambda: not root.is_alive(), timeout=40)
    assert tree.status().state is NodeState.GAVE_UP
    is_bare(tree)


def test_no_thread_is_left_after_stop(boot: Boot) -> None:
    before = set(threading.enumerate())
    tree = boot(Healer(), chain("op", upright.FallbackStep("slow", lambda _: "value", timeout=5.0)))
    tree.call("op", failing(ConnectionError()))
    tree.recover(ConnectionError(), operation="other")
    tree.stop()
    wait_until(lambda: set(threading.enumerate()) <= before)


def test_stopping_while_callers_wait_answers_them(boot: Boot) -> None:
    hold = threading.Event()
    tree = boot(Healer(lambda _: hold.wait(10)), healing={"heal_wait": 20})
    error = ConnectionError("own")
    outcomes: list[Any] = []

    def run() -> None:
        try:
            outcomes.append(tree.protect("op", resource="db")(failing(error))())
        except ConnectionError as raised:
            outcomes.append(raised)

    asked = tree.orchestrator.ask(ErrorReport(ConnectionError(), "op", "db"), block=False)
    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: tree._board.joined_reports.value == 1 or tree._board.healing)
    tree.stop()
    thread.join(5)
    hold.set()
    assert outcomes == [error]
    with pytest.raises(upright.UprightError):
        asked.get(timeout=5)


# In processes of their own: a default tree that never was, and a fork.


def run_script(text: str) -> Any:
    """Run a script in a new process, and return what it printed as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


BARE = """
import asyncio, json, os, sys, threading
import upright

error = ConnectionError("own")
seen = {}

@upright.protect("op", resource="db")
def call(fail=True):
    if fail:
        raise error
    return "value"

@upright.protect("op", resource="db")
async def call_async(fail=True):
    return call.__wrapped__(fail)

def check(seen):
    for name, make in (("sync", call), ("async", lambda: asyncio.run(call_async()))):
        try:
            make()
        except ConnectionError as raised:
            seen[name] = raised is error and not hasattr(raised, "__notes__") and raised.__cause__ is None
    seen["value"] = call(False) == "value" == asyncio.run(call_async(False))
    upright.report(error, operation="op")
    result = upright.recover(error, operation="op")
    seen["recover"] = [str(result.status), result.error is error]
    result = asyncio.run(upright.recover_async(error, operation="op"))
    seen["recover_async"] = [str(result.status), result.error is error]
    for name, make in (
        ("call", upright.call), ("call_async", lambda *args: asyncio.run(upright.call_async(*args)))
    ):
        function = call if name == "call" else call_async
        failed, good = make("op", function), make("op", function, False)
        seen[name] = [str(failed.status), failed.error is error, str(good.status), good.value]
    try:
        with upright.boundary("op"):
            raise error
    except ConnectionError as raised:
        seen["boundary"] = raised is error
    seen["state"] = str(upright.status().state)
    seen["history"] = len(upright.history())
"""
ALL_BARE = {
    "sync": True,
    "async": True,
    "value": True,
    "recover": ["FAILED", True],
    "recover_async": ["FAILED", True],
    "call": ["FAILED", True, "SUCCEEDED", "value"],
    "call_async": ["FAILED", True, "SUCCEEDED", "value"],
    "boundary": True,
}


def test_a_tree_that_was_never_booted_leaves_bare_calls_and_starts_no_thread() -> None:
    seen, stderr = run_script(
        BARE
        + """
threads = threading.active_count()
check(seen)
seen["threads"] = threading.active_count() - threads
seen["refused"] = upright.status().details["refused_reports"]
print(json.dumps(seen))
"""
    )
    assert seen == {**ALL_BARE, "state": "stopped", "history": 0, "threads": 0, "refused": 1}
    assert stderr == ""


def test_decorators_that_ran_before_boot_are_protected_after_it() -> None:
    seen, _ = run_script(
        BARE
        + """
class Heal(upright.HealingStrategy):
    def can_handle(self, report): return True
    def heal(self, report):
        global error
        healed.append(report.resource)
    def verify(self, report): pass

healed = []
with upright.boot(strategies=[Heal()]) as tree:
    try:
        call()
    except ConnectionError:
        pass
    seen["healed"] = healed
    first = len(healed)
check(seen)
seen["healed"] = len(healed) - first
print(json.dumps(seen))
"""
    )
    assert seen == {**ALL_BARE, "state": "stopped", "history": seen["history"], "healed": 0}


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_a_forked_child_has_bare_calls_and_may_boot_a_tree_of_its_own() -> None:
    seen, _ = run_script(
        BARE
        + """
import time, warnings
warnings.simplefilter("ignore")
tree = upright.boot()
call(False)
read, write = os.pipe()
child = os.fork()
if child == 0:
    began = time.monotonic()
    check(seen)
    seen["refused"] = tree._board.refused_reports.value
    try:
        tree.orchestrator.ask(upright.ErrorReport(error, "op"), timeout=5)
    except upright.UprightError as refused:
        seen["ask"] = type(refused).__name__
    own = upright.boot()
    seen["own"] = str(own.recover(error, operation="op").status), str(own.status().state)
    own.stop()
    seen["fast"] = time.monotonic() - began < 5
    os.write(write, json.dumps(seen).encode())
    os._exit(0)
os.close(write)
with os.fdopen(read) as pipe:
    seen = json.loads(pipe.read())
os.waitpid(child, 0)
seen["parent"] = str(tree.status().state)
tree.stop()
print(json.dumps(seen))
"""
    )
    assert seen == {
        **ALL_BARE,
        "state": "stopped",
        "history": 0,
        "refused": 1,
        "ask": "ForkedActor",
        "own": ["FAILED", "running"],
        "fast": True,
        "parent": "running",
    }


def test_a_fork_in_the_middle_of_a_healing_ends_the_wait_in_the_child() -> None:
    seen, _ = run_script(
        """
import json, os, threading, time, warnings
import upright
warnings.simplefilter("ignore")
hold = threading.Event()

class Heal(upright.HealingStrategy):
    def can_handle(self, report): return True
    def heal(self, report): began.set(); hold.wait(20)
    def verify(self, report): pass

began = threading.Event()
tree = upright.boot({"healing": {"heal_wait": 5.0}}, strategies=[Heal()])
tree.report(ConnectionError("down"), operation="op", resource="db")
began.wait(5)
read, write = os.pipe()
child = os.fork()
if child == 0:
    start = time.monotonic()
    result = tree.recover(ConnectionError("own"), operation="op", resource="db")
    try:
        tree.protect("op", resource="db")(lambda: (_ for _ in ()).throw(ConnectionError("own")))()
    except ConnectionError:
        outcome = "own"
    os.write(write, json.dumps([str(result.status), outcome, time.monotonic() - start < 2]).encode())
    os._exit(0)
os.close(write)
with os.fdopen(read) as pipe:
    print(pipe.read(), flush=True)
os.waitpid(child, 0)
hold.set()
tree.stop()
"""
    )
    assert seen == ["FAILED", "own", True]
