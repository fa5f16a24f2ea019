"""The storm: one tree after another under faults, each looked at in the quiet after a round and at its end."""

from __future__ import annotations

import faulthandler
import logging
import os
import random
import sys
import threading
import traceback
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, cast

import upright
import upright.supervisors.tree as standard_tree
from benchmarks.chaos.checks import SETTLE, Checks, addresses_of, brief, comes_true, is_whole
from benchmarks.chaos.control_client import ControlClient
from benchmarks.chaos.faults import Echo, Fault, Injector, Nudge, any_raise
from benchmarks.chaos.growth import Levels
from benchmarks.chaos.outbox import Outbox
from benchmarks.chaos.resources import AsyncRepair, Repair, Resources
from benchmarks.chaos.strikes import HANG, Striker
from benchmarks.chaos.surroundings import Surroundings
from benchmarks.chaos.workload import Workload, chains
from upright.actors import healing_record
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
    from upright.strategies.report import RecoveryId
    from upright.tree import Tree

__all__ = ["Storm"]

STOP = 10.0  # seconds that a clean stop may take
_ENOUGH_WAITING = 40  # armed faults that have not happened yet: more of them would only queue
_DECIDERS = ("orchestrator", "healing", "worker", "healers", "recovery")  # and who keeps them alive
_PATIENT = 1_000_000  # restart intensity, but where a supervisor is made to give up


class Storm:
    """One tree after another under faults.

    Args:
        seed: Of everything random.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.surroundings = Surroundings()
        self.injector = Injector()
        self.resources = Resources(lambda moment: self.injector.since(moment, _DECIDERS))
        for name in ("db", "api", "socket", "async-stream"):
            self.resources.add(name)
        self.resources.add("outage", heals_itself=0.3)
        self.resources.add("loose", loose=True)
        self.striker = Striker(self.random, self.injector, self.surroundings)
        self.outbox = Outbox(self.surroundings.queue, self.resources)
        self.socket = self.surroundings.folder / "control.sock"
        self.load = Workload(self.resources, seed, self.outbox, ControlClient(self.socket))
        self.checks = Checks(self.load, self.resources, self.injector)
        self.strategies = [
            Repair(self.resources, seed),
            AsyncRepair(self.resources, seed + 1),
            *chains(),
            self.outbox.chain,
        ]
        self.levels = Levels()
        self.threads: set[threading.Thread] = set()  # before the tree was booted
        self.stops: list[float] = []
        self.settles: list[float] = []
        self.config: dict[str, Any] = {
            "supervision": {"hang_timeout": HANG},
            "healing": {"heal_wait": 0.3, "timeout": 1.0, "attempt_window": 1.0, "cooldown": 0.2},
            "retry": {"initial": 0.001, "maximum": 0.005},
            "breaker": {"wait_duration_in_open": 0.1, "max_wait_duration_in_open": 0.5, "minimum_number_of_calls": 10},
            "control": {"path": str(self.socket)},
            "sentry": {"settle": 0.05, "cooldown": 1.0, "max_events": 1_000_000, "metrics_interval": 0.5},
        }

    # Setting up.

    def prepare(self) -> None:
        """Wrap the classes of the standard tree, and let supervisors bear a storm."""
        for name in ("upright", "pykka"):
            logging.getLogger(name).addHandler(logging.NullHandler())
            logging.getLogger(name).propagate = False
        standard_tree._BACKOFF = Backoff(0.001, 0.02, reset_after=0.05)  # type: ignore[misc]  # noqa: SLF001
        self._make_supervisors_patient()
        with upright.boot(self.config) as tree:
            classes: set[type[SupervisedActor]] = {address.actor_class for address in addresses_of(tree)}
        self.injector.install(sorted(classes | {Worker, Supervisor, DynamicSupervisor}, key=lambda c: c.__name__))
        self._watch_dead_letters()
        self._watch_proofs()

    def _make_supervisors_patient(self) -> None:
        set_up, give_up, injector = BaseSupervisor.__init__, BaseSupervisor.give_up, self.injector

        def patient(supervisor: Any, *, intensity: int, period: float, name: str | None) -> None:
            set_up(supervisor, intensity=max(intensity, _PATIENT), period=min(period, 1.0), name=name)

        def counted(supervisor: Any, child: Any) -> None:
            injector.happened("give-up", "supervision", supervisor.actor_ref.name)
            give_up(supervisor, child)

        BaseSupervisor.__init__ = patient  # type: ignore[assignment,method-assign]
        BaseSupervisor.give_up = counted  # type: ignore[assignment,method-assign]

    def _watch_dead_letters(self) -> None:
        letters, on_record = dead_letters.add, self.checks.on_record

        def add(to: str, message: Any, reason: str) -> None:
            letters(to, message, reason)
            report = getattr(message, "report", message)
            if isinstance(report, ErrorReport):
                on_record[report.target] = f"dead letter of {to}: {reason}"

        dead_letters.add = add  # type: ignore[method-assign]

    def _watch_proofs(self) -> None:
        keep, resources = healing_record.Shortcut._keep, self.resources  # noqa: SLF001 - where a proof is safe from crashes

        def kept(shortcut: Any, outcome: Any) -> None:
            keep(shortcut, outcome)
            if shortcut._healing.outcome is outcome and getattr(outcome.value, "proven", False):  # noqa: SLF001
                resources.proof_kept(shortcut._healing.report.target)  # noqa: SLF001

        healing_record.Shortcut._keep = kept  # type: ignore[method-assign,assignment]  # noqa: SLF001

    def boot(self) -> Tree:
        """Boot a tree that works on the resources; sometimes after a boot that fails."""
        if self.random.random() < 0.3:
            self._boot_in_vain()
        self.threads = set(threading.enumerate())
        tree = upright.boot(self.config, strategies=self.strategies)
        board = tree._parts.board  # noqa: SLF001
        board.subscribers = (*board.subscribers, cast("Address[Any]", _Chronicle(self.checks.on_record)))
        return tree

    def _boot_in_vain(self) -> None:
        """A crash in any actor's start fails the boot, and leaves nothing behind."""
        name = self.random.choice(["breaker", "healing", "monitor", "orchestrator", "predictor", "recovery", "control"])
        kind, effect = any_raise(self.random)
        self.injector.arm(name, Fault(kind, "start", self.random.choice(("before", "after")), effect))
        try:
            tree = upright.boot(self.config, strategies=self.strategies)
        except upright.supervisors.StartFailed:
            self.load.done["boots that failed"] += 1
        except BaseException as error:
            self.load.fault("a boot failed in an odd way", repr(error))
        else:
            self.load.fault("a boot went on without an actor", name)
            tree.stop()
        self.injector.disarm()

    # A round.

    def round(self, tree: Tree, faults: int, seconds: float) -> None:
        """Strike until so many faults have happened, then let the tree come to rest and look at it."""
        before, until = self.injector.total, monotonic() + seconds
        self.load.start(tree)
        while self.injector.total - before < faults and monotonic() < until:
            addresses = addresses_of(tree)
            self.striker.strike(addresses)
            while self.injector.waiting() > _ENOUGH_WAITING and monotonic() < until:
                self.striker.finish_administration()
                sleep(0.001)
                if self.random.random() < 0.05:
                    self.striker.poke_waiting(addresses)
            if self.random.random() < 0.002:
                self.fork(tree)
        self.injector.disarm()
        self.surroundings.put_right()
        self.settle(tree)
        self.load.stop()
        self.load.check_answers()
        self.checks.check(tree)
        self.levels.measure(tree)

    def settle(self, tree: Tree) -> None:
        """Wait until every actor runs again."""
        began = monotonic()
        while not (self.striker.finish_administration() and is_whole(tree)):
            if monotonic() - began > SETTLE:
                self.load.fault("the tree did not recover", brief(tree.status()))
                faulthandler.dump_traceback(all_threads=True)
                self.checks.explain(tree)
                return
            sleep(0.01)
        self.settles.append(monotonic() - began)

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
        pid = status = 0
        while not pid and monotonic() < deadline:
            pid, status = os.waitpid(child, os.WNOHANG)
            sleep(0.002)
        if not pid:
            os.kill(child, 9)
            os.waitpid(child, 0)
            status = -1
        self.injector.happened("fork", "process", "process")
        if status != 0:
            self.load.fault("a forked child hangs or errs", f"status {status}")

    # The end of a tree.

    def end(self, tree: Tree) -> None:
        """End a tree: in order, in order under fire, or because its root gives up."""
        dice = self.random.random()
        if dice < 0.4:
            self.give_up(tree)
        self.stop(tree, under_fire=dice < 0.8)

    def give_up(self, tree: Tree) -> None:
        """Have the root exceed its restart intensity: calls are bare calls from then on."""
        root = tree._parts.directory.root  # noqa: SLF001
        assert root is not None
        deadline = monotonic() + SETTLE
        while tree.is_running and monotonic() < deadline:
            branches = list(root.children.values())
            self.striker.give_up(root, self.random.choice(branches))
            sleep(0.05)
        if not root.actor_stopped.wait(SETTLE):
            self.load.fault("a root that gave up did not end", brief(tree.status()))
        # It takes no messages any more while it stops its children, and has given up when it has.
        elif not comes_true(lambda: tree.status().state is NodeState.GAVE_UP):
            self.load.fault("a root that gave up does not say so", brief(tree.status()))

    def stop(self, tree: Tree, *, under_fire: bool) -> None:
        """Stop the tree, while faults strike its last hooks if wanted, and see that nothing is left."""
        addresses = addresses_of(tree)
        for address in addresses if under_fire else ():
            if self.random.random() < 0.4:
                kind, effect = any_raise(self.random)
                point = self.random.choice(("stop", "receive", "system"))
                self.injector.arm(address.name, Fault(kind, point, "before", effect))
                if point == "system" and address.is_alive():
                    address.post(Nudge(0))
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
        open_ones = [address.name for address in addresses if address.is_alive()]
        if open_ones or tree.is_running:
            self.load.fault("something survived the stop", repr(open_ones))
        left: list[threading.Thread] = []

        def is_quiet() -> bool:
            new = set(threading.enumerate()) - self.threads
            left[:] = [thread for thread in new if not thread.name.startswith("sentry-sdk")]  # Sentry's client's own
            return not left

        if not comes_true(is_quiet):  # what hangs in C gets its time to return
            frames = sys._current_frames()  # noqa: SLF001 - documented, for debuggers
            stacks = ["".join(traceback.format_stack(frames.get(thread.ident or 0))) for thread in left]
            self.load.fault("something survived the stop", f"{left}\n{'---'.join(stacks)}")
        code = _look_around(tree)
        if code != 0:
            self.load.fault("a stopped tree is not out of the way", f"code {code}")


class _Chronicle:
    """Hears every event, as a subscriber; notes the failures that were told to the end."""

    name = "chronicle"

    def __init__(self, on_record: dict[str, str]) -> None:
        self.on_record = on_record

    def tell(self, event: Any) -> None:
        if isinstance(event, HealingEnded) and not event.healed:
            self._note(event.recovery_id, f"healing ended: {event.steps}")
        elif isinstance(event, RecoveryFinished) and event.report is not None and event.result.status == "FAILED":
            self._note(event.report.recovery_id, "told as failed")

    def _note(self, recovery_id: RecoveryId, what: str) -> None:
        self.on_record[recovery_id.target] = what


def _look_around(tree: Tree) -> int:
    """What is checked where there is no tree, after its end or in a forked child; 0 if all is well."""
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

    @tree.protect("bare")
    def fail() -> None:
        raise mine

    try:
        fail()
    except ConnectionError as error:
        if error is not mine or getattr(error, "__notes__", None):
            return 4
    tree.report(mine, operation="bare")
    return 0 if tree.recover(mine, operation="bare").status == "FAILED" else 5
