"""What a tree looks like right now, read without asking anybody.

Every figure is read from the addresses, which any thread may do: no actor has to answer, so a status comes in
bounded time while actors are stuck, restarting or flooded.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from upright.strategies.redaction import redact_text
from upright.strategies.secret_shapes import SECRET, is_secret_name
from upright.supervisors.base import GAVE_UP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from upright.actors.address import Address
    from upright.actors.incarnation import Incarnation

__all__ = ["NodeState", "NodeStatus", "status"]

_NO_TEXT: Final = frozenset({int, float, bool, type(None)})
_MAX_SHORT: Final = 200  # characters of a text that is remembered with what is shown of it


class NodeState(StrEnum):
    """What a node of the tree is doing.

    RUNNING; STARTING (`on_start` runs); RESTARTING (its supervisor is about to start it again); STOPPED;
    GAVE_UP (a supervisor past its restart intensity).
    """

    RUNNING = "running"
    STARTING = "starting"
    RESTARTING = "restarting"
    STOPPED = "stopped"
    GAVE_UP = "gave_up"


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One actor and everything below it, at one moment.

    Attributes:
        name: Its name: the child id, or the supervisor's `name`.
        kind: "worker" or "supervisor".
        actor: The actor class.
        state: What it is doing.
        restarts: Starts after the first.
        uptime: Seconds since its present incarnation was started; 0.0 if none runs.
        mailbox_depth: Messages that wait.
        busy_for: Seconds that it has been handling the message in hand; None while it waits for one.
        last_exit: Why its last incarnation ended, in words; None if none has ended yet.
        zombies: Detached threads of earlier incarnations that still run.
        details: What the actor shows of itself.
        children: The nodes below it, in start order.
    """

    name: str
    kind: str
    actor: str
    state: NodeState
    restarts: int
    uptime: float
    mailbox_depth: int
    busy_for: float | None
    last_exit: str | None
    zombies: int
    details: Mapping[str, Any]
    children: tuple[NodeStatus, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the same as plain dicts and lists, ready for JSON (details as the actors gave them)."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        fields["state"] = self.state.value
        fields["details"] = dict(self.details)
        fields["children"] = [child.to_dict() for child in self.children]
        return fields


def status(address: Address[Any]) -> NodeStatus:
    """Return the status of an actor and of all below it, in or out of a standard tree.

    Safe from any thread; asks no actor, so it never waits. Figures of different nodes are read one after another.
    """
    incarnation = address.incarnation
    running = incarnation is not None and not incarnation.ended
    actor = incarnation.actor if running and incarnation is not None else None
    return NodeStatus(
        name=address.name,
        kind="supervisor" if getattr(address.actor_class, "supervises", False) else "worker",
        actor=address.actor_class.__name__,
        state=_state(address),
        restarts=address.restarts,
        uptime=incarnation.now() - incarnation.started_at if running and incarnation is not None else 0.0,
        mailbox_depth=address.depth,
        busy_for=_busy_for(incarnation),
        last_exit=None if address.exit_reason is None else redact_text(str(address.exit_reason)),
        zombies=len(address.zombies),
        details={} if actor is None else _shown(actor.status_details),
        children=tuple(status(child) for child in list(address.children.values())),
    )


@lru_cache(maxsize=4_096)
def _short(text: str) -> str:
    """A short text without secrets: the same names are looked at again and again."""
    return redact_text(text)


def _shown(value: Any) -> Any:
    """The same without secrets: names of operations and resources are the application's, and may hold one."""
    kind = type(value)
    if kind is str:
        return _short(value) if len(value) <= _MAX_SHORT else redact_text(value)
    if kind is dict:
        shown: dict[Any, Any] = {}
        for key, one in value.items():
            name = _shown(key) if type(key) is str else key
            if name in shown:  # two that are alike without their secrets
                name = f"{name} ({len(shown)})"
            if type(one) in _NO_TEXT:
                shown[name] = one
            elif type(key) is str and type(one) is str and is_secret_name(key, one):
                shown[name] = SECRET
            else:
                shown[name] = _shown(one)
        return shown
    if kind is list or kind is tuple:
        return kind(_shown(one) for one in value)
    return value


def _state(address: Address[Any]) -> NodeState:
    incarnation = address.incarnation
    if incarnation is not None and not incarnation.ended:
        return NodeState.RUNNING if incarnation.started else NodeState.STARTING
    if address.restarting:
        return NodeState.RESTARTING
    return NodeState.GAVE_UP if address.exit_reason == GAVE_UP else NodeState.STOPPED


def _busy_for(incarnation: Incarnation | None) -> float | None:
    if incarnation is None or incarnation.ended or incarnation.current is None:
        return None
    return max(0.0, incarnation.now() - incarnation.busy_since)
