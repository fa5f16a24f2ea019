"""The supervisor for children that come and go: Elixir's DynamicSupervisor.

Always one_for_one, starts empty, every child has a spec of its own and is known by its address. Children stop in
parallel. OTP's simple_one_for_one is the older form of the same thing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upright.actors.address import Address
from upright.actors.errors import Reply
from upright.actors.exits import NORMAL, ExitReason, Shutdown
from upright.actors.incarnation import Interrupted
from upright.strategies.foreign import is_of, shown
from upright.strategies.options import is_count
from upright.supervisors.base import BaseSupervisor
from upright.supervisors.child import Child, ChildInfo, lose, stop_together
from upright.supervisors.counts import ChildCounts, count
from upright.supervisors.errors import ChildNotFound, InvalidSupervisorFlags, MaxChildren, StartFailed
from upright.supervisors.spec import AutoShutdown, ChildSpec, Restart, check_childspec

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["DynamicSupervisor"]


class DynamicSupervisor(BaseSupervisor):
    """Keeps any number of independent children, each started by `start_child`.

    Args:
        max_children: Children that may be there at a time, those being restarted included; None: any number.
        intensity: Restarts allowed within `period`, all children together; default 3, as in Elixir.
        period: Seconds; default 5.0.
        extra_args: Put before the `args` of every spec, at every start.
        name: Shown in status and log if it is not a child itself.

    Raises:
        InvalidSupervisorFlags: A flag has a value that is not allowed.
    """

    def __init__(
        self,
        *,
        max_children: int | None = None,
        intensity: int = 3,
        period: float = 5.0,
        extra_args: Iterable[Any] = (),
        name: str | None = None,
    ) -> None:
        super().__init__(intensity=intensity, period=period, name=name)
        if max_children is not None and (not is_count(max_children)):
            raise InvalidSupervisorFlags("DynamicSupervisor.max_children", max_children, "None or an int >= 0")
        if not isinstance(extra_args, list | tuple):
            raise InvalidSupervisorFlags("DynamicSupervisor.extra_args", extra_args, "a tuple of arguments")
        self._max_children = max_children
        self._extra_args = tuple(extra_args)
        self._children: dict[Address[Any], Child] = {}

    # The API, run in this actor's thread.

    def start_child(self, spec: ChildSpec) -> Address[Any] | None:
        """Start one more child; None if its `on_start` declined, and then nothing is kept.

        The id must be there but need not be unique: the child is known by its address.

        Raises:
            InvalidChildSpec: The spec is none, or asks to be significant.
            MaxChildren: There are `max_children` already. A thread that a killed child has left behind counts as
                one until it ends, or children that hang would fill the process one after the other.
            StartFailed: It did not start; nothing is kept. `__cause__` is the original exception.
        """
        check_childspec(spec, AutoShutdown.NEVER)
        children, threads = len(self._children), len(self._address.zombies)
        if self._max_children is not None and children + threads >= self._max_children:
            left = f" and {threads} threads of earlier ones that could not be ended" if threads else ""
            raise MaxChildren(f"{self._address.name} has {children} children{left}, max_children is reached")
        address = Address(spec.actor, shown(spec.id, text=str), mailbox_limit=spec.mailbox_limit, owner=self._address)
        child = Child(spec, address)
        self._children[address] = child
        self._address.children[address] = address
        try:
            started = self.start_one(child, self._extra_args)
        except Reply as error:
            self.drop_now(child, NORMAL)
            if is_of(error, StartFailed):
                raise StartFailed(spec.id, error) from error  # each level names its own child
            raise
        except Interrupted:
            self.drop_now(child, NORMAL)
            raise  # not the child's: this supervisor itself was detached
        except BaseException as error:
            # SystemExit too: what a child raises must not end its supervisor.
            self.drop_now(child, NORMAL)
            raise StartFailed(spec.id, error) from error
        if not started:
            self.drop_now(child, Shutdown("ignored"))
            return None
        if spec.restart is Restart.TEMPORARY:
            child.spec = spec.without_arguments()
        return address

    def terminate_child(self, address: Address[Any]) -> None:
        """Stop a child, also one that is being restarted, and forget it.

        Raises:
            ChildNotFound: It is no child of this supervisor (any more).
        """
        child = self._get(address)
        reason = child.stop()
        self.stopped(child, reason)
        self.drop_now(child, reason or Shutdown())

    def which_children(self) -> list[ChildInfo]:
        """Return all children in start order."""
        return [child.info() for child in self._children.values()]

    def which_child(self, address: Address[Any]) -> ChildInfo:
        """Return one child; ChildNotFound if it is none of ours."""
        return self._get(address).info()

    def count_children(self) -> ChildCounts:
        """Return the numbers of children, of running ones, and of children by kind."""
        return count(self._children.values())

    def get_childspec(self, address: Address[Any]) -> ChildSpec:
        """Return the spec of a child; ChildNotFound if it is none of ours."""
        return self._get(address).spec

    # What BaseSupervisor asks for.

    def children_now(self) -> Iterable[Child]:
        return self._children.values()

    def find(self, address: Any) -> Child | None:
        return self._children.get(address)

    def start_children(self) -> None:
        lose(self._address, list(self._address.children))  # the children of an earlier incarnation, as in OTP

    def restart_group(self, child: Child) -> None:
        """Nobody goes with a child of a one_for_one supervisor."""

    def start_group(self, child: Child) -> None:
        self.start_again(child, self._extra_args)

    def drop(self, child: Child, reason: ExitReason) -> None:
        # Whatever its restart type, a dynamic child that stays down is forgotten.
        self.drop_now(child, reason)

    def drop_now(self, child: Child, reason: ExitReason) -> None:
        """End the slot of a child and forget it."""
        child.cancel_retry()
        self.forget(child)
        child.address.close(reason)

    def forget(self, child: Child) -> None:
        self._children.pop(child.address, None)
        self._address.children.pop(child.address, None)
        self._address.inherit_zombies(child.address)

    def stop_children(self) -> None:
        for child, reason in stop_together(list(self._children.values())):
            self.stopped(child, reason)

    def _get(self, address: Address[Any]) -> Child:
        child = self._children.get(address) if isinstance(address, Address) else None
        if child is None:
            raise ChildNotFound(address)
        return child
