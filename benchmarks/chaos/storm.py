"""The storm: arms faults at random all over a tree, and checks after each round that the tree has healed."""

from __future__ import annotations

import gc
import logging
import os
import random
import threading
import time
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, cast

import psutil
from pykka.messages import ProxyCall

import upright
import upright.supervisors.tree as standard_tree
from benchmarks.chaos.faults import Echo, Fault, Injector, Nudge, any_raise, block, spin
from benchmarks.chaos.resources import AsyncRepair, Repair, Resources
from benchmarks.chaos.workload import Workload, chains
from upright.actors.errors import ActorStopped
from upright.actors.events import HealingEnded, RecoveryFinished
from upright.actors.letters import dead_letters
from upright.actors.worker import Worker
from upright.strategies.backoff import Backoff
from upright.strategies.report import ErrorReport
from upright.supervisors.base import BaseSupervisor
from upright.supervisors.dynamic import DynamicSupervisor
from upright.supervisors.status import NodeState
from upright.supervisors.supervisor import Supervisor

if TYPE_CHECKING:
    from upright.actors.actor import SupervisedActor
    from upright.actors.address import Address
    from upright.actors.reply import ReplyFuture
    from upright.supervisors.status import NodeStatus
    from upright.tree import Tree

__all__ = ["HANG", "Storm"]

HANG = 0.25  # seconds: the hang timeout of every actor in the storm
SETTLE = 20.0  # seconds that a tree gets to be whole again after a round
STOP = 10.0  # seconds that a clean stop may take

CONFIG: dict[str, Any] = {
    "supervision": {"hang_timeout": HANG},
    "healing": {"heal_wait": 0.3, "timeout": 1.0, "attempt_window": 1.0, "cooldown": 0.2},
    "retry": {"initial": 0.001, "maximum": 0.005},
    "breaker": {"wait_duration_in_open": 0.1, "max_wait_duration_in_open": 0.5, "minimum_number_of_calls": 10},
    "control": {"enabled": False},
}


@dataclass
class Levels:
    """What must not grow, at one quiet moment."""

    threads: int
    zombies: int
    descriptors: int
    objects: int
    rss: float
    fields: list[str] = field(default_factory=list)


class Storm:
    """One tree after another under faults.

    Args:
        seed: Of everything random.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.resources = Resources()
        for name in ("db", "api", "socket", "async-stream"):
            self.resources.add(name)
        self.resources.add("outage", heals_itself=0.3)
        self.resources.add("loose", loose=True)
        self.injector = Injector()
        self.injector.on_worker_hit = self.resources.worker_hit
        self.load = Workload(self.resources, seed)
        self.strategies = [Repair(self.resources, seed), AsyncRepair(self.resources, seed + 1), *chains()]
        self.levels: list[Levels] = []
        self.stops: list[float] = []
        self.settles: list[float] = []
        self.clock_offset = 0.0
        self._intensity = 1_000_000
        self._tokens = iter(range(10**12))
        self.forks = 0
        self.on_record: dict[
            str, str
        ] = {}  # reports known to have failed, by resource: told as an event, or dead letters
        self._administration: list[tuple[Address[Any], str, ReplyFuture[Any]]] = []

    # Setting up.

    def prepare(self) -> None:
        """Wrap the classes of the standard tree, and let supervisors bear a storm."""
        logging.getLogger("upright").addHandler(logging.NullHandler())
        logging.getLogger("upright").propagate = False
        logging.getLogger("pykka").addHandler(logging.NullHandler())
        logging.getLogger("pykka").propagate = False
        standard_tree._BACKOFF = Backoff(0.001, 0.02, reset_after=0.05)  # type: ignore[misc]  # noqa: SLF001
        original = BaseSupervisor.__init__
        storm = self

        def patient(supervisor: Any, *, intensity: int, period: float, name: str | None) -> None:
            original(supervisor, intensity=max(intensity, storm._intensity), period=min(period, 1.0), name=name)

        BaseSupervisor.__init__ = patient  # type: ignore[assignment,method-assign]
        real = time.time
        time.time = lambda: real() + storm.clock_offset  # clock steps: no window may care
        with upright.boot(CONFIG) as tree:
            classes: set[type[SupervisedActor]] = {a.actor_class for a in tree._parts.directory.walk()}  # noqa: SLF001
        self.injector.install(sorted(classes | {Worker, Supervisor, DynamicSupervisor}, key=lambda c: c.__name__))

        letters = dead_letters.add

        def add(to: str, message: Any, reason: str) -> None:
            letters(to, message, reason)
            report = getattr(message, "report", message)
            if isinstance(report, ErrorReport):
                storm.on_record[report.target] = f"dead letter of {to}: {reason}"

        dead_letters.add = add  # type: ignore[method-assign]

    def boot(self) -> Tree:
        """Boot a tree that works on the resources."""
        tree = upright.boot(CONFIG, strategies=self.strategies)
        board = tree._parts.board  # noqa: SLF001
        board.subscribers = (*board.subscribers, cast("Address[Any]", _Chronicle(self.on_record)))
        return tree

    # Faults.

    def strike(self, tree: Tree) -> None:
        """One blow: arm something somewhere, and make it happen."""
        rng, injector = self.random, self.injector
        addresses = self.addresses(tree)
        dice = rng.random()
        if dice < 0.55:
            self._one(rng.choice(addresses))
        elif dice < 0.70:
            self._arm_worker()
        elif dice < 0.80:
            for address in rng.sample(addresses, rng.randint(2, len(addresses))):  # at the same time
                self._one(address)
        elif dice < 0.86:
            self._broken_start(rng.choice(addresses))
        elif dice < 0.91:
            address = rng.choice(addresses)
            kind, effect = any_raise(rng)
            injector.arm(address.name, Fault(kind, "stop", rng.choice(("before", "after")), effect))
            address.stop(block=False)
        elif dice < 0.95:
            self._flood(rng.choice(addresses))
        elif dice < 0.97:
            self.clock_offset += rng.uniform(-1e7, 1e7)
            injector.happened("clock step", "process", "process")
        else:
            self._replace(rng.choice(addresses))

    def addresses(self, tree: Tree) -> list[Address[Any]]:
        """Every actor of the tree by its address."""
        return list(tree._parts.directory.walk())  # noqa: SLF001 - all but the root

    def _effect(self) -> tuple[str, Any]:
        rng = self.random
        dice = rng.random()
        if dice < 0.93:
            return any_raise(rng)
        if dice < 0.95:
            return "slow", lambda: sleep(HANG / 5)
        if dice < 0.975:
            return "hang in bytecode", lambda: spin(HANG * 3)
        return "hang in C", lambda: block(HANG * 2)

    def _when(self) -> str | int:
        rng = self.random
        return rng.choice(("before", "after", rng.randint(1, 80)))

    def _one(self, address: Address[Any]) -> None:
        rng = self.random
        kind, effect = self._effect()
        if rng.random() < 0.25:
            kind2, effect2 = any_raise(rng)
            self.injector.arm(address.name, Fault(kind2, "failure", "before", effect2))
        point = rng.choice(("receive", "receive", "receive", "system"))
        self.injector.arm(address.name, Fault(kind, point, self._when(), effect))
        self._poke(address, point)

    def _poke(self, address: Address[Any], point: str) -> None:
        if self.random.random() < 0.5:
            return  # the workload will bring the message
        if point == "system":
            address.post(Nudge(next(self._tokens)))
        else:
            try:
                address.tell(Echo(next(self._tokens)))
            except Exception:
                self.injector.happened("refused", "poke", address.name)

    def _arm_worker(self) -> None:
        kind, effect = self._effect()
        self.injector.arm(
            "worker", Fault(kind, self.random.choice(("receive", "receive", "start")), self._when(), effect)
        )

    def _broken_start(self, address: Address[Any]) -> None:
        rng = self.random
        for _ in range(rng.randint(1, 3)):
            kind, effect = any_raise(rng) if rng.random() < 0.95 else ("hang in start", lambda: block(HANG * 2))
            point = "start" if kind == "hang in start" else rng.choice(("start", "init"))
            if address.actor_class.supervises and point == "init":
                point = "start"
            self.injector.arm(address.name, Fault(kind, point, "before", effect))
        self._one(address)
        try:
            address.tell(Echo(0))
        except Exception:
            self.injector.happened("refused", "poke", address.name)

    def _flood(self, address: Address[Any]) -> None:
        """Fill the mailbox while its actor is busy."""
        self.injector.arm(address.name, Fault("slow", "receive", "before", lambda: sleep(HANG / 5)))
        refused = 0
        for _ in range(min(address.mailbox_limit, 12_000) + 10):
            try:
                address.tell(Echo(0))
            except upright.UprightError:
                refused += 1
                break
        self.injector.happened("flood" if not refused else "full mailbox", "mailbox", address.name)

    def _replace(self, address: Address[Any]) -> None:
        """Have an operator stop and start a child through its supervisor, while all else goes on."""
        owner = address.owner
        assert owner is not None
        owner.ask(_call("terminate_child", address.name), block=False)
        start = owner.ask(_call("restart_child", address.name), block=False)
        self.injector.happened("terminate and restart", "administration", address.name)
        self._administration.append((owner, address.name, start))

    # A round.

    def round(self, tree: Tree, faults: int, seconds: float) -> None:
        """Strike until so many faults have happened, then let the tree come to rest and look at it."""
        before, until = self.injector.total, monotonic() + seconds
        self.load.start(tree)
        while self.injector.total - before < faults and monotonic() < until:
            self.strike(tree)
            while self.injector.waiting() > 40 and monotonic() < until:
                sleep(0.001)
                if self.random.random() < 0.05:
                    for address in self.addresses(tree):  # what nobody sends to stays armed
                        if self.injector.waiting(address.name):
                            address.post(Nudge(0))
                            self._poke(address, "receive")
            if self.random.random() < 0.002:
                self.fork(tree)
        self.injector.disarm()
        self.settle(tree)
        self.load.stop()
        self.load.check_answers()
        self.check(tree)

    def settle(self, tree: Tree) -> None:
        """Wait until every actor runs again."""
        began = monotonic()
        while not self.is_whole(tree):
            if monotonic() - began > SETTLE:
                self.load.fault("the tree did not recover", _brief(tree.status()))
                return
            self._finish_administration()
            sleep(0.01)
        self.settles.append(monotonic() - began)

    def _finish_administration(self) -> None:
        """An operator whose second request was lost with a crash makes it again."""
        waiting, self._administration = self._administration, []
        for owner, name, start in waiting:
            if not start.done:
                self._administration.append((owner, name, start))
            elif start._outcome is not None and start._outcome[1] is not None:  # noqa: SLF001
                owner.ask(_call("restart_child", name), block=False)

    def is_whole(self, tree: Tree) -> bool:
        """Whether every actor runs and is idle."""

        def whole(node: NodeStatus) -> bool:
            return node.state is NodeState.RUNNING and node.busy_for is None and all(map(whole, node.children))

        return not self._administration and all(
            node.state is NodeState.RUNNING and (node.name in _WORKERS or all(map(whole, node.children)))
            for node in [tree.status()]
        )

    def check(self, tree: Tree) -> None:
        """The invariants of a quiet tree."""
        load = self.load
        # Everybody answers, and is where the specs say.
        for address in self.addresses(tree):
            try:
                answer = address.ask(Echo(11), timeout=5.0)
                if answer != 11:
                    load.fault("an odd answer", f"{address.name}: {answer!r}")
            except BaseException as error:
                load.fault("an actor does not answer", f"{address.name}: {error!r} {_brief(tree.status())}")
        for address in self.addresses(tree):
            if address.actor_class is Supervisor:
                self._compare_with_specs(address)
        # No recovery is left open.
        deadline = monotonic() + SETTLE
        board = tree._parts.board  # noqa: SLF001
        while monotonic() < deadline:
            left = [
                *(f"recovering {i}" for i in list(board.recovering)),
                *(f"healing {n}" for n, v in list(board.resources.items()) if v.healing is not None),
                *(f"ticket {a.name} {t.message}" for a in self.addresses(tree) for t in a.ledger.tickets()),
                *(f"mail for {a.name}" for a in self.addresses(tree) if a.depth),
            ]
            if not left:
                break
            sleep(0.02)
        for what in left:
            load.fault("a recovery never ended", what[:500])
        self._check_shots()
        for what in self.resources.double:
            load.fault("a failure healed twice", what)
        for what in self.resources.overlapping:
            load.fault("two healings at the same time", what)
        self.resources.double.clear()
        self.resources.overlapping.clear()
        self._measure(tree)

    def _compare_with_specs(self, address: Address[Any]) -> None:
        infos = address.ask(_call("which_children"), timeout=5.0)
        actor = address.actor
        wanted = [spec.id for spec in actor._specs] if actor is not None else []  # noqa: SLF001
        # A child that was stopped and started by hand keeps its place; so the order is that of the specs.
        if [info.id for info in infos] != wanted:
            self.load.fault("a tree unlike its specs", f"{address.name}: {[i.id for i in infos]} instead of {wanted}")
        for info in infos:
            if info.state != "running" or info.address is not address.children.get(info.id):
                self.load.fault("a tree unlike its specs", f"{address.name}/{info.id}: {info.state}")

    def _check_shots(self) -> None:
        """Every failure that was reported once is healed, or it is on record why not."""
        waiting = list(self.load.shots)
        self.load.shots.clear()
        deadline = monotonic() + SETTLE
        while monotonic() < deadline and any(self._is_lost(name) for name, _ in waiting):
            sleep(0.02)
        for name, at in waiting:
            resource = self.resources.by_name.pop(name)
            if not resource.down:
                self.load.done["reports healed"] += 1
            elif self._is_lost(name, resource):
                self.load.fault("a recovery was lost", f"{name} after {monotonic() - at:.1f} s")
            else:
                self.load.done["reports on record as failed"] += 1

    def _is_lost(self, name: str, resource: Any = None) -> bool:
        resource = resource or self.resources.by_name[name]
        return resource.down and name not in self.injector.poisoned and name not in self.on_record

    def _measure(self, tree: Tree) -> None:
        process = psutil.Process()
        deadline = monotonic() + 5.0
        while monotonic() < deadline:
            gc.collect()
            zombies = sum(len(a.zombies) for a in self.addresses(tree))
            if zombies == 0:
                break
            sleep(0.05)
        idle = len(tree._parts.healers._idle) + len(tree._parts.steps._idle)  # noqa: SLF001
        self.levels.append(
            Levels(
                threads=threading.active_count() - zombies - idle,
                zombies=zombies,
                descriptors=process.num_fds(),
                objects=len(gc.get_objects()),
                rss=process.memory_info().rss / 2**20,
            )
        )

    # The whole process.

    def fork(self, tree: Tree) -> None:
        """In a forked child there is no tree: every answer says so at once, and calls are bare calls."""
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = _look_around(tree)
            finally:
                os._exit(code)
        deadline = monotonic() + 10.0
        while True:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                break
            if monotonic() > deadline:
                os.kill(child, 9)
                os.waitpid(child, 0)
                status = -1
                break
            sleep(0.005)
        self.injector.happened("fork", "process", "process")
        if status != 0:
            self.load.fault("a forked child hangs or errs", f"status {status}")

    def stop(self, tree: Tree, *, under_fire: bool) -> None:
        """Stop the tree, while faults strike its last hooks if wanted, and see that nothing is left."""
        if under_fire:
            for address in self.addresses(tree):
                if self.random.random() < 0.4:
                    kind, effect = any_raise(self.random)
                    point = self.random.choice(("stop", "receive", "system"))
                    self.injector.arm(address.name, Fault(kind, point, "before", effect))
        began = monotonic()
        try:
            tree.stop(timeout=STOP * 3)
        except BaseException as error:
            self.load.fault("a stop failed", repr(error))
        took = monotonic() - began
        self.stops.append(took)
        self.injector.disarm()
        if took > STOP:
            self.load.fault("a stop took too long", f"{took:.1f} s")
        open_ones = [a.name for a in self.addresses(tree) if a.is_alive()]
        if open_ones or tree.is_running:
            self.load.fault("something survived the stop", repr(open_ones))
        result = tree.recover(ConnectionError("after"), operation="query", resource="db")
        if result.status != "FAILED":
            self.load.fault("a stopped tree recovers", repr(result))

    def dead_letters(self) -> int:
        """How many letters nobody took, all trees together."""
        return dead_letters.count


class _Chronicle:
    """Hears every event, as a subscriber; notes the failures that were told to the end."""

    name = "chronicle"

    def __init__(self, on_record: dict[str, str]) -> None:
        self.on_record = on_record

    def tell(self, event: Any) -> None:
        if isinstance(event, HealingEnded) and not event.healed:
            self.on_record[event.recovery_id.target] = f"healing ended: {event.steps}"
        elif isinstance(event, RecoveryFinished) and event.report is not None and event.result.status == "FAILED":
            self.on_record[event.report.target] = "told as failed"


_WORKERS = ("healers", "steps")


def _call(method: str, *args: Any) -> Any:
    return ProxyCall(attr_path=(method,), args=args, kwargs={})


def _brief(node: NodeStatus) -> str:
    inner = ", ".join(map(_brief, node.children))
    busy = "" if node.busy_for is None else f" busy {node.busy_for:.1f}"
    return f"{node.name}:{node.state}{busy}({inner})" if inner else f"{node.name}:{node.state}{busy}"


def _look_around(tree: Tree) -> int:
    """What a forked child checks; 0 if all is well."""
    if tree.is_running:
        return 2
    tree.status()
    try:
        tree["breaker"].ask(Echo(1), timeout=2.0)
    except ActorStopped:
        pass
    else:
        return 3
    mine = ConnectionError("bare")

    @tree.protect("forked")
    def fail() -> None:
        raise mine

    try:
        fail()
    except ConnectionError as error:
        if error is not mine:
            return 4
    tree.report(mine, operation="forked")
    return 0 if tree.recover(mine, operation="forked").status == "FAILED" else 5
