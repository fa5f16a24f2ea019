"""The supervisor's API as functions: each takes the supervisor's address first and waits for its answer.

They raise what the method of the same name raises, and ActorStopped (a pykka.ActorDeadError) if the supervisor is
down. `child` is an id for a Supervisor and an address for a DynamicSupervisor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upright.actors.address import Address
    from upright.supervisors.child import ChildInfo
    from upright.supervisors.counts import ChildCounts
    from upright.supervisors.spec import ChildSpec

__all__ = [
    "count_children",
    "delete_child",
    "get_childspec",
    "restart_child",
    "start_child",
    "terminate_child",
    "which_child",
    "which_children",
]


def _call(supervisor: Address[Any], method: str, *args: Any) -> Any:
    if not hasattr(supervisor.actor_class, method):
        # Refused here: the actor would crash on a method that it does not have, and its children with it.
        raise TypeError(f"{supervisor.actor_class.__name__} has no {method}()")
    return supervisor.call(method, *args)


def start_child(supervisor: Address[Any], spec: ChildSpec) -> Address[Any] | None:
    """Add a child and start it; None if its `on_start` declined by raising `Ignore`."""
    address: Address[Any] | None = _call(supervisor, "start_child", spec)
    return address


def terminate_child(supervisor: Address[Any], child: Any) -> None:
    """Stop a child and keep it down."""
    _call(supervisor, "terminate_child", child)


def restart_child(supervisor: Address[Any], child: Any) -> Address[Any] | None:
    """Start a child that is down; None if its `on_start` declined."""
    address: Address[Any] | None = _call(supervisor, "restart_child", child)
    return address


def delete_child(supervisor: Address[Any], child: Any) -> None:
    """Forget the spec of a child that is down."""
    _call(supervisor, "delete_child", child)


def which_children(supervisor: Address[Any]) -> list[ChildInfo]:
    """Return all children, in start order."""
    children: list[ChildInfo] = _call(supervisor, "which_children")
    return children


def which_child(supervisor: Address[Any], child: Any) -> ChildInfo:
    """Return one child."""
    info: ChildInfo = _call(supervisor, "which_child", child)
    return info


def count_children(supervisor: Address[Any]) -> ChildCounts:
    """Return how many children there are."""
    counts: ChildCounts = _call(supervisor, "count_children")
    return counts


def get_childspec(supervisor: Address[Any], child: Any) -> ChildSpec:
    """Return the full spec of a child."""
    spec: ChildSpec = _call(supervisor, "get_childspec", child)
    return spec
