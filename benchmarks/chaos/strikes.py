"""What a storm does to a tree: one blow at a time, drawn from a seed."""

from __future__ import annotations

from contextlib import suppress
from time import sleep
from typing import TYPE_CHECKING, Any

from pykka.messages import ProxyCall

import upright
from benchmarks.chaos.faults import Echo, Fault, Injector, Nudge, any_raise, block, spin
from upright.strategies.restart import RestartWindow

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from benchmarks.chaos.surroundings import Surroundings
    from upright.actors.address import Address
    from upright.actors.reply import ReplyFuture

__all__ = ["HANG", "Striker", "call_of"]

HANG = 0.25  # seconds: the hang timeout of every actor in the storm
_FLOOD = 12_000  # messages: more than most mailboxes hold


class Striker:
    """Arms faults at random, and makes them happen.

    Args:
        rng: Where all chance comes from.
        injector: Holds what is armed.
        surroundings: Clock, disk and Sentry.
    """

    def __init__(self, rng: random.Random, injector: Injector, surroundings: Surroundings) -> None:
        self.random = rng
        self.injector = injector
        self._surroundings = surroundings
        self._tokens = iter(range(10**12))
        # An operator's requests to a supervisor that are under way: whom, the child, and the answer.
        self._administration: list[tuple[Address[Any], str, ReplyFuture[Any]]] = []

    def strike(self, addresses: list[Address[Any]]) -> None:
        """One blow: arm something somewhere, and make it happen."""
        rng, injector = self.random, self.injector
        dice = rng.random()
        if dice < 0.55:
            self.one(rng.choice(addresses))
        elif dice < 0.70:
            self._arm_worker()
        elif dice < 0.80:
            for address in rng.sample(addresses, rng.randint(2, len(addresses))):  # at the same time
                self.one(address)
        elif dice < 0.88:
            self._broken_start(rng.choice(addresses))
        elif dice < 0.93:
            address = rng.choice(addresses)
            kind, effect = any_raise(rng)
            injector.arm(address.name, Fault(kind, "stop", rng.choice(("before", "after")), effect))
            address.stop(block=False)
        elif dice < 0.94:
            self._flood(rng.choice(addresses))
        elif dice < 0.96:
            injector.happened(self._surroundings.turn(rng), "surroundings", "process")
        elif dice < 0.98:
            self._replace(rng.choice(addresses))
        else:
            self.give_up(rng.choice([a for a in addresses if a.actor_class.supervises]))

    def one(self, address: Address[Any]) -> None:
        """Have one fault happen in one actor, and perhaps a second while the first is dealt with."""
        rng = self.random
        kind, effect = self._effect()
        if rng.random() < 0.25:
            kind2, effect2 = any_raise(rng)
            self.injector.arm(address.name, Fault(kind2, "failure", "before", effect2))
        point = rng.choice(("receive", "receive", "receive", "system"))
        self.injector.arm(address.name, Fault(kind, point, self._when(), effect))
        if rng.random() < 0.7:  # else the workload will bring the message
            self.poke(address, point)

    def poke(self, address: Address[Any], point: str) -> None:
        """Send what gets a fault at this point going; a mailbox that refuses it has had enough as it is."""
        if point == "system":
            address.post(Nudge(next(self._tokens)))
            return
        with suppress(upright.UprightError):
            address.tell(Echo(next(self._tokens)))

    def poke_waiting(self, addresses: list[Address[Any]]) -> None:
        """Get going what is armed in actors to whom nobody sends."""
        for address in addresses:
            if self.injector.waiting(address.name):
                self.poke(address, "system")
                self.poke(address, "receive")

    def give_up(self, supervisor: Address[Any], child: Address[Any] | None = None) -> None:
        """Have a supervisor exceed its restart intensity; counted where it gives up, which a crash may forestall."""
        actor = supervisor.actor
        children = [child] if child is not None else [c for k, c in supervisor.children.items() if k is not c]
        if actor is None or not children:
            return
        actor._window = RestartWindow(0, 1.0)  # noqa: SLF001 - of this incarnation only
        victim = self.random.choice(children)
        kind, effect = any_raise(self.random)
        self.injector.arm(victim.name, Fault(kind, "receive", "before", effect))
        self.poke(victim, "receive")

    def finish_administration(self) -> bool:
        """Make an operator's second request again where it was lost with a crash; True if nothing is left to do."""
        waiting, self._administration = self._administration, []
        for owner, name, start in waiting:
            if not start.done:
                self._administration.append((owner, name, start))
            elif _failed(start):
                again = owner.ask(call_of("restart_child", name), block=False)
                self._administration.append((owner, name, again))
        return not self._administration

    def _effect(self) -> tuple[str, Callable[[], Any]]:
        rng = self.random
        dice = rng.random()
        if dice < 0.955:
            return any_raise(rng)
        if dice < 0.975:
            return "slow", lambda: sleep(HANG / 5)
        if dice < 0.9875:
            return "hang in bytecode", lambda: spin(HANG * 3)
        return "hang in C", lambda: block(HANG * 2)

    def _when(self) -> str | int:
        rng = self.random
        return rng.choice(("before", "after", rng.randint(1, 80)))

    def _arm_worker(self) -> None:
        kind, effect = self._effect()
        point = self.random.choice(("receive", "receive", "start"))
        self.injector.arm("worker", Fault(kind, point, self._when(), effect))

    def _broken_start(self, address: Address[Any]) -> None:
        rng = self.random
        for _ in range(rng.randint(1, 3)):
            kind, effect = any_raise(rng) if rng.random() < 0.97 else ("hang", lambda: block(HANG * 2))
            point = "start" if kind == "hang" or address.actor_class.supervises else rng.choice(("start", "init"))
            when = "before" if point == "init" else self._when()
            self.injector.arm(address.name, Fault(kind, point, when, effect))
        self.one(address)
        self.poke(address, "receive")

    def _flood(self, address: Address[Any]) -> None:
        """Fill the mailbox while its actor is busy."""
        self.injector.arm(address.name, Fault("slow", "receive", "before", lambda: sleep(HANG / 5)))
        kind = "flood"
        for _ in range(min(address.mailbox_limit, _FLOOD) + 10):
            try:
                address.tell(Echo(0))
            except upright.UprightError:
                kind = "full mailbox"
                break
        self.injector.happened(kind, "mailbox", address.name)

    def _replace(self, address: Address[Any]) -> None:
        """Have an operator stop and start a child through its supervisor, while all else goes on."""
        owner = address.owner
        assert owner is not None
        owner.ask(call_of("terminate_child", address.name), block=False)
        start = owner.ask(call_of("restart_child", address.name), block=False)
        self.injector.happened("terminate and restart", "administration", address.name)
        self._administration.append((owner, address.name, start))


def call_of(method: str, *args: Any) -> Any:
    """Return the message that a proxy would send for this call."""
    return ProxyCall(attr_path=(method,), args=args, kwargs={})


def _failed(reply: ReplyFuture[Any]) -> bool:
    outcome = reply._outcome  # noqa: SLF001 - getting it would raise it
    if outcome is None or outcome[1] is None:
        return False
    return not isinstance(outcome[1], upright.supervisors.ChildRunning | upright.supervisors.ChildRestarting)
