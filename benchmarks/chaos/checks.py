"""The invariants of a tree that has come to rest after a round."""

from __future__ import annotations

import faulthandler
import sys
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from benchmarks.chaos.faults import Echo
from benchmarks.chaos.strikes import call_of
from upright.supervisors.status import NodeState
from upright.supervisors.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.chaos.faults import Injector
    from benchmarks.chaos.resources import Resource, Resources
    from benchmarks.chaos.workload import Workload
    from upright.actors.address import Address
    from upright.supervisors.status import NodeStatus
    from upright.tree import Tree

__all__ = ["SETTLE", "Checks", "addresses_of", "brief", "comes_true", "is_whole"]

SETTLE = 20.0  # seconds that a tree gets to be whole again after a round
_WORKERS = ("healers", "steps")  # whose children come and go


def addresses_of(tree: Tree) -> list[Address[Any]]:
    """Every actor of the tree by its address, but the root and the workers."""
    return list(tree._parts.directory.walk())  # noqa: SLF001 - all of them


def is_whole(tree: Tree) -> bool:
    """Whether every actor runs and is idle."""

    def whole(node: NodeStatus) -> bool:
        if node.state is not NodeState.RUNNING or node.busy_for is not None:
            return False
        return node.name in _WORKERS or all(map(whole, node.children))

    return whole(tree.status())


class Checks:
    """Looks for what must not be; tells it to the workload, which counts.

    Args:
        load: The workload, which has stopped.
        resources: What it worked on.
        injector: Knows what was in the hand of an actor that was hit.
    """

    def __init__(self, load: Workload, resources: Resources, injector: Injector) -> None:
        self._load = load
        self._resources = resources
        self._injector = injector
        # Reports known to have failed, by target: told as an event, or a dead letter. Cleared after every round.
        self.on_record: dict[str, str] = {}

    def check(self, tree: Tree) -> None:
        """Check everything that holds for a quiet tree."""
        self._everybody_answers(tree)
        self._the_tree_is_as_specified(tree)
        self._no_recovery_is_left_open(tree)
        self._load.outbox.check(tree, self._load.fault)
        self._no_report_was_lost()
        for kind, examples in (
            ("a failure healed twice", self._resources.double),
            ("two healings at the same time", self._resources.overlapping),
        ):
            for example in examples:
                self._load.fault(kind, example)
            examples.clear()

    def _everybody_answers(self, tree: Tree) -> None:
        for address in addresses_of(tree):
            try:
                answer = address.ask(Echo(11), timeout=5.0)
                if answer != 11:
                    self._load.fault("an odd answer", f"{address.name}: {answer!r}")
            except BaseException as error:
                self._load.fault("an actor does not answer", f"{address.name}: {error!r} {brief(tree.status())}")
        if not self._load.control.is_answered(within=SETTLE):
            self._load.fault("the control socket does not answer", f"{tree.status_of('control')}")
            faulthandler.dump_traceback(all_threads=True)

    def _the_tree_is_as_specified(self, tree: Tree) -> None:
        for address in addresses_of(tree):
            if address.actor_class is Supervisor:
                self._compare_with_specs(address)

    def _compare_with_specs(self, address: Address[Any]) -> None:
        infos = address.ask(call_of("which_children"), timeout=5.0)
        actor = address.actor
        wanted = [spec.id for spec in actor._specs] if actor is not None else []  # noqa: SLF001
        # A child that was stopped and started by hand keeps its place; so the order is that of the specs.
        if [info.id for info in infos] != wanted:
            self._load.fault("a tree unlike its specs", f"{address.name}: {[i.id for i in infos]} instead of {wanted}")
        for info in infos:
            if info.state != "running" or info.address is not address.children.get(info.id):
                self._load.fault("a tree unlike its specs", f"{address.name}/{info.id}: {info.state}")

    def _no_recovery_is_left_open(self, tree: Tree) -> None:
        if not comes_true(lambda: next(_left_open(tree), None) is None):
            for what in _left_open(tree):
                self._load.fault("a recovery never ended", what[:500])

    def _no_report_was_lost(self) -> None:
        """Every failure that was reported once is healed, or it is on record why not."""
        shots = list(self._load.shots)
        self._load.shots.clear()
        by_name = self._resources.by_name
        comes_true(lambda: not any(self._is_lost(by_name[name]) for name, _ in shots))
        for name, at in shots:
            resource = by_name.pop(name)
            if not resource.down:
                self._load.done["reports healed"] += 1
            elif self._is_lost(resource):
                self._load.fault("a recovery was lost", f"{name} at {at:.3f} after {monotonic() - at:.1f} s")
            else:
                self._load.done["reports on record as failed"] += 1
        self.on_record.clear()
        self._injector.poisoned.clear()

    def _is_lost(self, resource: Resource) -> bool:
        name = resource.name
        return resource.down and name not in self._injector.poisoned and name not in self.on_record

    def explain(self, tree: Tree) -> None:
        """Print where a tree that does not come to rest stands."""
        for address in addresses_of(tree):
            one = address.incarnation
            state = one and (one.number, one.current, one.detached, one.ended, one.started)
            print(address.name, address.depth, len(address.lane.system), state, file=sys.stderr)


def _left_open(tree: Tree) -> Iterator[str]:
    board = tree._parts.board  # noqa: SLF001 - what is under way
    yield from (f"recovering {recovery_id}" for recovery_id in list(board.recovering))
    yield from (f"healing {name}" for name in list(board.healing))
    for address in addresses_of(tree):
        yield from (f"ticket of {address.name}: {ticket.message}" for ticket in address.ledger.tickets())
        if address.depth:
            yield f"mail for {address.name}"


def comes_true(condition: Callable[[], bool]) -> bool:
    """Wait until something is so; False if it is not in the time that a tree gets to be whole again."""
    deadline = monotonic() + SETTLE
    while not condition():
        if monotonic() > deadline:
            return False
        sleep(0.02)
    return True


def brief(node: NodeStatus) -> str:
    """Return a tree's states in one line."""
    inner = ", ".join(map(brief, node.children))
    busy = "" if node.busy_for is None else f" busy {node.busy_for:.1f}"
    return f"{node.name}:{node.state}{busy}({inner})" if inner else f"{node.name}:{node.state}{busy}"
