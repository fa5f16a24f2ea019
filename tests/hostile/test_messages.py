"""Whatever is sent to whichever actor, the asker hears of it, and nobody but the receiver can be harmed by it."""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest
from hostile_things import PATIENCE, Repair, Unreadable, actors_of, booted, crash_counts, is_well, objects
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr

from upright.actors import SupervisedActor
from upright.actors.breaker import CallFailed, ForceCircuit, ProbeEnded, ResourceHealed
from upright.actors.counsel import Consult
from upright.actors.events import HealingEnded, RecoveryFinished, RecoveryStarted
from upright.actors.fallback import StepsTried, WorksAgain
from upright.actors.healing_record import Heal
from upright.actors.letters import dead_letters
from upright.actors.messages import Provoke
from upright.actors.worker import Run
from upright.strategies.report import ErrorReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.testing.clock import FakeClock
    from upright.tree import Tree

pytestmark = pytest.mark.actor_crash

_READABLE = {name: thing for name, thing in objects().items() if name not in ("unreadable", "a pretender")}


def _malformed() -> dict[str, Any]:
    """Messages of the right kinds that say nonsense."""
    blank = object.__new__(ErrorReport)
    return {
        "a blank report": blank,
        "a consult about nothing": Consult(None, 1.0, None),  # type: ignore[arg-type]
        "a consult for ever": Consult(ErrorReport(OSError(), "op"), float("nan"), None),
        "a consult of a text": Consult("report", "long", "loop"),  # type: ignore[arg-type]
        "a healing of nothing": Heal(None, None, 0),  # type: ignore[arg-type]
        "a healing on no loop": Heal(ErrorReport(ConnectionError(), "op"), 5, "x"),  # type: ignore[arg-type]
        "a failure of no operation": CallFailed(None, None, 0.0),  # type: ignore[arg-type]
        "a failure at no time": CallFailed(5, OSError(), "now"),  # type: ignore[arg-type]
        "a probe without a permit": ProbeEnded(None, None),  # type: ignore[arg-type]
        "a healed list": ResourceHealed([]),  # type: ignore[arg-type]
        "a forced nothing": ForceCircuit(None, "open"),  # type: ignore[arg-type]
        "no chain": StepsTried(None),  # type: ignore[arg-type]
        "nothing works again": WorksAgain(resource=Unreadable()),  # type: ignore[arg-type]
        "no result": RecoveryFinished(None, None),  # type: ignore[arg-type]
        "no start": RecoveryStarted(None, None),  # type: ignore[arg-type]
        "no end": HealingEnded(None, None, None, None, None, None, None),  # type: ignore[arg-type]
        "no job": Run(None, None, None),  # type: ignore[arg-type]
        "no such method": ProxyCall(attr_path=("there_is_none",), args=(), kwargs={}),
        "an unreadable argument": ProxyCall(attr_path=("on_receive",), args=(Unreadable(),), kwargs={}),
        "no path": ProxyCall(attr_path=(), args=(), kwargs={}),
        "an odd path": ProxyGetAttr(attr_path=(None, 5)),  # type: ignore[arg-type]
        "a path of texts": ProxyGetAttr(attr_path="x" * 1_000),  # type: ignore[arg-type]
        "a property set": ProxySetAttr(attr_path=("actor_ref",), value=None),
        "a function that exits": Provoke(_exit),
        "a function that is none": Provoke(None),  # type: ignore[arg-type]
    }


def _exit() -> None:
    raise SystemExit(5)


def test_what_no_actor_knows_is_answered_with_none_and_harms_nobody() -> None:
    with booted(Repair()) as tree:
        for address in actors_of(tree):
            for thing in _READABLE.values():
                assert address.ask(thing, timeout=PATIENCE) is None
                address.tell(thing)
            address.ask(None, timeout=PATIENCE)
        assert crash_counts(tree) == {}
        assert is_well(tree)


_SUPERVISORS = ("telemetry", "recovery", "prediction", "healers", "steps")
_LEAVES = ("monitor", "tracker", "breaker", "fallback", "healing", "orchestrator", "collector", "predictor")


@pytest.mark.parametrize("name", _LEAVES)
def test_every_garbage_is_answered_and_at_worst_costs_its_receiver_a_restart(name: str, clock: FakeClock) -> None:
    with booted(Repair()) as tree:
        assert {address.name for address in actors_of(tree)} == {*_SUPERVISORS, *_LEAVES}
        for what, thing in {**objects(), **_malformed()}.items():
            _outcome(tree, name, thing, clock)
            assert set(crash_counts(tree)) <= {name}, what
        assert _outcome(tree, name, None, clock) is None
        assert is_well(tree)


@pytest.mark.parametrize("name", _SUPERVISORS)
def test_a_supervisor_bears_what_it_does_not_know(name: str, clock: FakeClock) -> None:
    with booted(Repair()) as tree:
        for thing in objects().values():
            assert _outcome(tree, name, thing, clock) is None
        assert crash_counts(tree) == {}


@pytest.mark.parametrize("name", _SUPERVISORS)
@pytest.mark.parametrize("what", ["no such method", "a function that exits", "an odd path"])
def test_a_supervisor_that_is_crashed_is_restarted_with_its_branch(name: str, what: str, clock: FakeClock) -> None:
    with booted(Repair()) as tree:
        branch = {name, *(child.name for child in tree.status_of(name).children)}
        assert isinstance(_outcome(tree, name, _malformed()[what], clock), BaseException)
        assert _outcome(tree, name, None, clock) is None
        for address in actors_of(tree):
            assert _outcome(tree, address.name, None, clock) is None
        assert {name} <= set(crash_counts(tree)) <= branch | set(_below(tree, name))
        assert is_well(tree)


def _below(tree: Tree, name: str) -> list[str]:
    return [child.name for child in tree.status_of(name).children]


def _outcome(tree: Tree, name: str, message: Any, clock: FakeClock) -> Any:
    """Return the answer, or the exception that stands for it; the clock goes on until it is there."""
    reply = tree._parts.directory[name].ask(message, block=False)
    until = monotonic() + PATIENCE
    while not reply.done:
        assert monotonic() < until, f"{name} does not answer"
        clock.advance(0.25)
        gate = threading.Event()
        reply.add_waiter(gate.set)
        gate.wait(0.002)
    try:
        return reply.get()
    except BaseException as error:
        return error


def test_a_message_that_crashed_its_receiver_is_a_dead_letter() -> None:
    with booted() as tree:
        unreadable = Unreadable()
        with pytest.raises(RuntimeError, match="no __class__"):
            tree["monitor"].ask(unreadable, timeout=PATIENCE)
        tree["monitor"].ask(None, timeout=PATIENCE)
        assert any(letter.message is unreadable for letter in dead_letters.recent())


def test_messages_that_cannot_be_looked_at_wait_and_are_answered_when_their_actor_ends() -> None:
    class Waiting(SupervisedActor):
        go = threading.Event()

        def on_receive(self, message: Any) -> Any:
            self.go.wait(PATIENCE)

    address = Waiting.start()
    address.tell("busy")
    replies = [address.ask(Unreadable(), block=False) for _ in range(3)]
    stopped = address.stop(block=False)
    Waiting.go.set()
    assert stopped.get(timeout=PATIENCE)
    for reply in replies:
        with pytest.raises(Exception, match="before handling"):
            reply.get(timeout=PATIENCE)


@pytest.mark.parametrize("name", ["predictor", "monitor", "tracker", "orchestrator"])
def test_an_actor_that_fails_on_every_message_takes_nobody_down(name: str, clock: FakeClock) -> None:
    with booted(Repair()) as tree:
        for _ in range(30):
            _outcome(tree, name, Unreadable(), clock)
        assert _outcome(tree, name, None, clock) is None
        assert crash_counts(tree) == {name: 30}
        assert is_well(tree)


def test_a_log_line_about_garbage_is_short(caplog: pytest.LogCaptureFixture) -> None:
    with booted() as tree:
        for name in ("a million characters", "a long text", "no text", "a deep list", "a number"):
            tree["breaker"].ask(objects()[name], timeout=PATIENCE)
    lines = [record.getMessage() for record in caplog.records if "Unexpected message" in record.getMessage()]
    assert len(lines) == 5
    assert max(map(len, lines)) < 400
    assert any("Unprintable whose str() raised RuntimeError" in line for line in lines)


def test_a_flood_is_refused_at_the_limit_of_the_mailbox_and_kept_nowhere(
    keep: Callable[..., Any],
) -> None:
    class Busy(SupervisedActor):
        mailbox_limit = 100
        go = threading.Event()

        def on_receive(self, message: Any) -> Any:
            self.go.wait(PATIENCE)

    address = keep(Busy.start())
    refused = 0
    for number in range(20_000):
        try:
            address.tell(number)
        except Exception:
            refused += 1
    assert refused >= 20_000 - 101
    assert address.depth <= 100
    assert len(dead_letters.recent()) <= 256
    Busy.go.set()
