"""One child as its supervisor sees it: starting it, stopping it, killing it.

Everything here runs in the supervisor's thread. Starting and stopping wait for the child (OTP does the same: its
supervisor is busy while a start function runs or a child takes its shutdown time).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from time import monotonic
from typing import TYPE_CHECKING, Any

from upright.actors.errors import Ignore
from upright.actors.exits import NORMAL, Crashed, ExitReason, Hung, Killed, Shutdown
from upright.actors.incarnation import Incarnation, Interrupted, StartTimeout
from upright.actors.messages import Stop
from upright.supervisors.spec import BRUTAL_KILL, INFINITY, ChildKind, ChildSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from upright.actors.actor import SupervisedActor
    from upright.actors.address import Address
    from upright.actors.timers import Timer

__all__ = ["Child", "ChildInfo", "ChildState", "check_still_in_charge", "kill", "lose", "stop_together"]

_LEAVING = 1.0  # seconds to wait at most for a detached supervisor to notice that it was


class ChildState(StrEnum):
    """RUNNING; RESTARTING: not running, and its supervisor tries to start it; STOPPED: it stays down, spec kept."""

    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ChildInfo:
    """A child, as `which_children` lists it.

    Attributes:
        id: The id in its spec.
        address: Its address; the same in every state and after every restart.
        state: RUNNING, RESTARTING or STOPPED.
        kind: WORKER or SUPERVISOR.
        restarts: How many times it was started after the first.
        spec: Its child spec; without arguments if the child is temporary.
    """

    id: Any
    address: Address[Any]
    state: ChildState
    kind: ChildKind
    restarts: int
    spec: ChildSpec


class Child:
    """One entry in a supervisor's table.

    Attributes:
        spec: How to start and stop it.
        address: Its slot; kept over restarts.
        state: As `which_children` shows it.
        incarnation: The one that runs; None in every other state. An exit report of another one is stale.
        failures: Failures in a row, for the backoff.
        failed_at: Clock seconds of the last of them.
        retry: The timer of a delayed start, or None.
        attempt: Number of the newest retry; an older one that arrives late is ignored.
    """

    __slots__ = (
        "address",
        "attempt",
        "failed_at",
        "failures",
        "incarnation",
        "retry",
        "spec",
        "started_at",
        "state",
    )

    def __init__(self, spec: ChildSpec, address: Address[Any]) -> None:
        self.spec = spec
        self.address = address
        self.state = ChildState.STOPPED
        self.incarnation: Incarnation | None = None
        self.failures = 0
        self.failed_at = self.started_at = 0.0
        self.retry: Timer | None = None
        self.attempt = 0

    def info(self) -> ChildInfo:
        """Return what `which_children` shows of this child."""
        return ChildInfo(self.spec.id, self.address, self.state, self.spec.kind, self.address.restarts, self.spec)

    def start(self, keeper: Incarnation | None, extra_args: tuple[Any, ...] = ()) -> bool:
        """Start a new incarnation and wait until its `on_start` has returned; False if it raised `Ignore`.

        Args:
            keeper: The supervisor's own incarnation.
            extra_args: Put before the `args` of the spec.

        Raises:
            Interrupted: The supervisor was detached meanwhile; nothing that it has started is left.
            BaseException: Whatever `__init__` or `on_start` raised; a StartTimeout past `hang_timeout`. The
                child is then STOPPED and its address as it was before.
        """
        spec, address = self.spec, self.address
        self.cancel_retry()
        address.reopen()
        incarnation = None
        try:
            actor = _bind(spec, address, keeper, extra_args)
            incarnation = Incarnation(address, actor)
            incarnation.launch(spec.hang_timeout)
            self.incarnation = incarnation
            self.state = ChildState.RUNNING
            address.restarting = False
            return True
        except Ignore:
            self._not_running()
            return False
        except StartTimeout:
            self._not_running()
            kill_children(address)
            raise
        except BaseException:
            self.give_up(incarnation)
            raise

    def give_up(self, incarnation: Incarnation | None) -> None:
        """End an incarnation that runs although its start has failed, with what it has started itself."""
        self._not_running()
        if incarnation is not None and not incarnation.ended:
            incarnation.give_up()
            if self.address.incarnation is incarnation:
                kill_children(self.address)

    def _not_running(self) -> None:
        self.incarnation = None
        self.state = ChildState.STOPPED

    def cancel_retry(self) -> None:
        """Make pending retries stale."""
        self.attempt += 1
        self.address.restarting = False
        if self.retry is not None:
            self.retry.cancel()
            self.retry = None

    def wait_for_retry(self) -> int:
        """Note that a retry is to come; returns the number that it must carry."""
        self.attempt += 1
        self.state = ChildState.RESTARTING
        self.address.restarting = True
        return self.attempt

    def ended(self) -> None:
        """Note that the incarnation is gone."""
        self._not_running()

    def stop(self) -> ExitReason | None:
        """Stop the child as its spec says and wait for it.

        Returns:
            Why it ended, its own reason if it was faster; None if it was not running.
        """
        self.cancel_retry()
        incarnation = self.incarnation
        self._not_running()
        if incarnation is None:
            return None
        shutdown = self.spec.shutdown
        if shutdown is BRUTAL_KILL:
            if not incarnation.ended:
                kill(incarnation, Killed())
        else:
            self.address.post(Stop(Shutdown(), incarnation=incarnation.number))
            timeout = None if shutdown is INFINITY else shutdown
            if not incarnation.wait_ended(timeout):
                kill(incarnation, Killed())
        return self.address.exit_reason

    def is_expected(self, reason: ExitReason | None) -> bool:
        """Whether a stop with this result is unremarkable (OTP's rule for reporting shutdown errors, A8)."""
        if reason is None or (isinstance(reason, Shutdown) and reason.detail is None):
            return True
        if isinstance(reason, Killed) and self.spec.shutdown is BRUTAL_KILL:
            return True
        return self.spec.restart != "permanent" and not isinstance(reason, Killed | Crashed | Hung)


def kill(incarnation: Incarnation, reason: ExitReason) -> bool:
    """Detach an incarnation, and with a supervisor everything below it; False if it had ended by itself."""
    if not incarnation.detach(reason):
        incarnation.wait_ended(None)  # it is telling its owner right now
        return False
    kill_children(incarnation.address)
    if incarnation.reach.shielded:
        # A supervisor that comes out of a wait must not touch slots that its successor fills already. It ends by
        # itself as soon as it looks, unless it is in a child's `__init__`, after which it looks as well.
        deadline = monotonic() + _LEAVING
        while not incarnation.wait_gone(_LEAVING / 20) and monotonic() < deadline:
            if not incarnation.reach.shielded:
                break
    return True


def kill_children(address: Address[Any]) -> None:
    """Detach whatever still runs below a supervisor that was detached itself."""
    for child in reversed(list(address.children.values())):
        incarnation = child.incarnation
        if incarnation is not None and not incarnation.ended:
            kill(incarnation, Killed())
        elif child.children:
            kill_children(child)  # whoever detached it failed before it came to these


def lose(supervisor: Address[Any], keys: Iterable[Any]) -> None:
    """End and forget children that an earlier incarnation of a supervisor has left; again, if it failed half-way."""
    for key in keys:
        address = supervisor.children[key]
        if address.incarnation is not None and not address.incarnation.ended:
            kill(address.incarnation, Killed())  # its end had failed as well
        address.close(address.exit_reason or NORMAL)
        supervisor.children.pop(key, None)


def stop_together(children: Iterable[Child]) -> list[tuple[Child, ExitReason | None]]:
    """Ask all to stop at once, give each its own time, kill the rest (Elixir's DynamicSupervisor; OTP case 64)."""
    started = monotonic()
    asked: list[tuple[Child, Incarnation, float | None]] = []
    results: list[tuple[Child, ExitReason | None]] = []
    for child in children:
        child.cancel_retry()
        incarnation = child.incarnation
        child.ended()
        if incarnation is None:
            results.append((child, None))
            continue
        shutdown = child.spec.shutdown
        if shutdown is BRUTAL_KILL:
            if not incarnation.ended:
                kill(incarnation, Killed())
            results.append((child, child.address.exit_reason))
            continue
        child.address.post(Stop(Shutdown(), incarnation=incarnation.number))
        seconds = None if shutdown is INFINITY else float(shutdown)
        asked.append((child, incarnation, seconds))
    for child, incarnation, seconds in sorted(asked, key=lambda entry: (entry[2] is None, entry[2] or 0.0)):
        left = None if seconds is None else started + seconds - monotonic()
        if not incarnation.wait_ended(left):
            kill(incarnation, Killed())
        results.append((child, child.address.exit_reason))
    return results


def check_still_in_charge(keeper: Incarnation | None, child: Child) -> None:
    """End a supervisor that was detached while it waited for a child, and that child with it."""
    if keeper is not None and keeper.detached:
        if child.incarnation is not None and not child.incarnation.ended:
            kill(child.incarnation, Killed())
        raise Interrupted


def _bind(
    spec: ChildSpec, address: Address[Any], keeper: Incarnation | None, extra_args: tuple[Any, ...]
) -> SupervisedActor:
    args = (*extra_args, *spec.args)
    if keeper is None:
        return spec.actor.bind(address, args, spec.kwargs)
    with keeper.reach.exposed():
        actor = spec.actor.bind(address, args, spec.kwargs)
    if keeper.detached:
        raise Interrupted
    return actor
