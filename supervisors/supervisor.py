"""The supervisor: OTP's, for pykka actors.

    class Counter(SupervisedActor):
        def __init__(self, start):
            super().__init__()
            self.value = start
        def add(self, n):
            self.value += n          # add("x") is a bug, and crashes the actor
            return self.value

    top = Supervisor.start([ChildSpec("counter", Counter, args=(10,))], strategy=RestartStrategy.ONE_FOR_ONE)
    counter = which_child(top, "counter").address.proxy()
    counter.add(1).get()             # 11
    counter.add("x").get()           # TypeError, to the caller as well
    counter.add(1).get()             # 11: started again from its spec; the same proxy, a new actor

Children start in the order of their specs and stop in the reverse. What happens when one ends depends on its
`restart`, whom it concerns on the supervisor's `strategy`, and how often on `intensity` and `period`.

Invariants
    1. A child id has at most one incarnation that takes messages.
    2. When a supervisor has ended, no child of it takes messages.
    3. A supervisor that has given up starts nothing more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upright.actors.address import Address
from upright.actors.errors import Reply
from upright.actors.exits import NORMAL, Shutdown
from upright.actors.incarnation import Interrupted
from upright.strategies.foreign import is_of, shown
from upright.supervisors.base import BaseSupervisor
from upright.supervisors.child import Child, ChildInfo, ChildState, lose
from upright.supervisors.counts import ChildCounts, count
from upright.supervisors.errors import (
    ChildAlreadyPresent,
    ChildAlreadyStarted,
    ChildNotFound,
    ChildRestarting,
    ChildRunning,
    InvalidSupervisorFlags,
    StartFailed,
)
from upright.supervisors.spec import (
    AutoShutdown,
    ChildSpec,
    Restart,
    RestartStrategy,
    check_childspec,
    check_childspecs,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

__all__ = ["Supervisor"]


class Supervisor(BaseSupervisor):
    """Keeps a fixed list of children running, plus those that `start_child` adds.

    `Supervisor.start(children, ...)` returns its address after all children have started, or raises
    `StartFailed(child_id)` from the original exception after the started ones were stopped again, newest first.
    A supervisor past its intensity ends with Shutdown("restart intensity reached"), so that only one above it for
    which it is a permanent child starts it again. Children added by `start_child` are lost when the supervisor is
    started anew; those of `children` keep their addresses.

    The methods below run in the supervisor's thread: reach them through `address.proxy()`, or with the functions
    of the same names in `upright.supervisors`. A call waits while a child starts or stops. Calling them from
    `__init__` or `on_start` of a child, and waiting, is a deadlock, as in OTP.

    Args:
        children: Child specs, in start order.
        strategy: ONE_FOR_ONE (default), ONE_FOR_ALL or REST_FOR_ONE.
        intensity: Restarts allowed within `period`, all children together; default 1.
        period: Seconds; default 5.0.
        auto_shutdown: Whether the end of significant children stops the supervisor; default NEVER.
        name: Shown in status and log if it is not a child itself.

    Raises:
        InvalidSupervisorFlags: A flag has a value that is not allowed.
        InvalidChildSpec: A child spec has, or an id is given twice.
        StartFailed: A child did not start.
    """

    def __init__(
        self,
        children: Iterable[ChildSpec] = (),
        *,
        strategy: RestartStrategy = RestartStrategy.ONE_FOR_ONE,
        intensity: int = 1,
        period: float = 5.0,
        auto_shutdown: AutoShutdown = AutoShutdown.NEVER,
        name: str | None = None,
    ) -> None:
        super().__init__(intensity=intensity, period=period, name=name)
        self._strategy = _flag(RestartStrategy, "Supervisor.strategy", strategy)
        self._auto_shutdown = _flag(AutoShutdown, "Supervisor.auto_shutdown", auto_shutdown)
        self._specs = check_childspecs(children, self._auto_shutdown)
        self._children: dict[Hashable, Child] = {}
        self._by_address: dict[Address[Any], Child] = {}

    # The API, run in this actor's thread.

    def start_child(self, spec: ChildSpec) -> Address[Any] | None:
        """Add a child after the others and start it; None if its `on_start` declined (the spec is then kept).

        Raises:
            InvalidChildSpec: The spec does not fit this supervisor.
            ChildAlreadyStarted: The id runs; its `address` is on the error.
            ChildAlreadyPresent: The id is there but not running.
            StartFailed: It did not start; nothing is kept. `__cause__` is the original exception.
        """
        check_childspec(spec, self._auto_shutdown)
        present = self._children.get(spec.id)
        if present is not None:
            if present.state is ChildState.RUNNING:
                raise ChildAlreadyStarted(spec.id, present.address)
            raise ChildAlreadyPresent(spec.id)
        child = self._add(spec)
        try:
            started = self._start_first(child)
        except Interrupted:
            raise  # the slots are the successor's by now
        except BaseException:
            self.forget(child)
            child.address.close(NORMAL)
            raise
        return child.address if started else None

    def terminate_child(self, child_id: Hashable) -> None:
        """Stop a child as its spec says and keep it down; also ends the retries of one that is restarting.

        Does nothing if it is down already. A temporary child's spec is forgotten.

        Raises:
            ChildNotFound: There is no such id.
        """
        child = self._get(child_id)
        was_retrying = child.state is ChildState.RESTARTING
        reason = child.stop()
        self.stopped(child, reason)
        self.drop(child, reason or Shutdown())
        if was_retrying:
            # Those that were to follow in the group stay down as well; nobody will come for their messages.
            for other in self._children.values():
                if other.state is ChildState.STOPPED:
                    other.address.close(Shutdown())

    def restart_child(self, child_id: Hashable) -> Address[Any] | None:
        """Start a child that is down, at its old place; its address works again. None if `on_start` declined.

        Raises:
            ChildNotFound: There is no such id.
            ChildRunning: It runs.
            ChildRestarting: The supervisor is trying already.
            StartFailed: It did not start; it stays down and there is no retry.
        """
        child = self._get(child_id)
        self._require_down(child)
        try:
            started = self._start_first(child)
        except Interrupted:
            raise  # as in start_child
        except BaseException:
            child.address.close(NORMAL)
            raise
        return child.address if started else None

    def delete_child(self, child_id: Hashable) -> None:
        """Forget the spec of a child that is down.

        Raises:
            ChildNotFound: There is no such id.
            ChildRunning: It runs; terminate it first.
            ChildRestarting: The supervisor is trying to start it.
        """
        child = self._get(child_id)
        self._require_down(child)
        child.address.close(NORMAL)
        self.forget(child)

    def which_children(self) -> list[ChildInfo]:
        """Return all children in start order (OTP lists them newest first)."""
        return [child.info() for child in self._children.values()]

    def which_child(self, child_id: Hashable) -> ChildInfo:
        """Return one child; ChildNotFound if there is no such id."""
        return self._get(child_id).info()

    def count_children(self) -> ChildCounts:
        """Return the numbers of specs, of running children, and of specs by kind."""
        return count(self._children.values())

    def get_childspec(self, child_id: Hashable) -> ChildSpec:
        """Return the full spec of a child, defaults filled in; ChildNotFound if there is no such id."""
        return self._get(child_id).spec

    # What BaseSupervisor asks for.

    def children_now(self) -> Iterable[Child]:
        return self._children.values()

    def find(self, address: Any) -> Child | None:
        return self._by_address.get(address)

    def start_children(self) -> None:
        kept = self._address.children
        static = {spec.id for spec in self._specs}
        # Children that start_child had added to the incarnation before.
        lose(self._address, [key for key in kept if key not in static])
        for spec in self._specs:
            child = self._add(spec)
            try:
                started = self._start_first(child)
            except Interrupted:
                raise  # as in start_child; whoever detached this supervisor ends the children
            except BaseException:
                self._roll_back(child)
                raise
            if not started and spec.restart is Restart.TEMPORARY:
                self.forget(child)

    def restart_group(self, child: Child) -> None:
        for other in reversed(self._group(child)):
            if other is child:
                continue
            reason = other.stop()
            self.stopped(other, reason)
            if other.spec.restart is Restart.TEMPORARY:
                other.address.close(reason or Shutdown())
                self.forget(other)

    def start_group(self, child: Child) -> None:
        for member in self._group(child):
            if member.spec.restart is Restart.TEMPORARY and member is not child:
                continue
            if not self.start_again(member):
                return

    def _group(self, child: Child) -> list[Child]:
        if self._strategy is RestartStrategy.ONE_FOR_ONE:
            return [child]
        everybody = list(self._children.values())
        if self._strategy is RestartStrategy.ONE_FOR_ALL:
            return everybody
        return everybody[everybody.index(child) :]

    def ended_for_good(self, child: Child) -> None:
        rule = self._auto_shutdown
        if rule is AutoShutdown.NEVER or not child.spec.significant:
            return
        if rule is AutoShutdown.ALL_SIGNIFICANT and any(
            other.spec.significant and other.state is not ChildState.STOPPED for other in self._children.values()
        ):
            return
        raise Shutdown

    def forget(self, child: Child) -> None:
        self._children.pop(child.spec.id, None)
        self._by_address.pop(child.address, None)
        self._address.children.pop(child.spec.id, None)

    def stop_children(self) -> None:
        for child in reversed(list(self._children.values())):
            self.stopped(child, child.stop())

    # Parts of the above.

    def _add(self, spec: ChildSpec) -> Child:
        """Enter a child at the end of the table, with the address that its id had before, if it had one."""
        address = self._address.children.pop(spec.id, None)
        if address is None or address.actor_class is not spec.actor:
            if address is not None:
                address.close(NORMAL)
            address = Address(
                spec.actor, shown(spec.id, text=str), mailbox_limit=spec.mailbox_limit, owner=self._address
            )
        child = Child(spec, address)
        self._children[spec.id] = self._by_address[address] = child
        self._address.children[spec.id] = address
        return child

    def _start_first(self, child: Child) -> bool:
        """Start a child that was asked for; errors go to whoever asked, and what is left is cleaned up."""
        try:
            started = self.start_one(child)
        except Reply as error:
            if is_of(error, StartFailed):
                # A supervisor child that could not start its own: each level names its child, as OTP's terms nest.
                raise StartFailed(child.spec.id, error) from error
            raise
        except Interrupted:
            raise  # not the child's: this supervisor itself was detached
        except BaseException as error:
            # SystemExit too: what a child raises must not end its supervisor.
            raise StartFailed(child.spec.id, error) from error
        if not started:
            child.address.close(Shutdown("ignored"))
            if child.spec.restart is Restart.TEMPORARY:
                self.forget(child)
        elif child.spec.restart is Restart.TEMPORARY:
            child.spec = child.spec.without_arguments()
        return started

    def _roll_back(self, failed: Child) -> None:
        for child in reversed(list(self._children.values())):
            if child is not failed:
                self.stopped(child, child.stop())

    def _get(self, child_id: Hashable) -> Child:
        try:
            child = self._children.get(child_id)
        except TypeError:  # unhashable: certainly not one of ours
            child = None
        if child is None:
            raise ChildNotFound(child_id)
        return child

    def _require_down(self, child: Child) -> None:
        if child.state is ChildState.RUNNING:
            raise ChildRunning(child.spec.id)
        if child.state is ChildState.RESTARTING:
            raise ChildRestarting(child.spec.id)


def _flag(kind: Any, name: str, value: Any) -> Any:
    try:
        return kind(value)
    except (ValueError, TypeError):
        allowed = ", ".join(f"{kind.__name__}.{member.name}" for member in kind)
        raise InvalidSupervisorFlags(name, value, f"one of {allowed}") from None
