"""The child spec: what to start, when to start it again, and how to stop it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, Final

from upright.actors.actor import SupervisedActor
from upright.strategies.backoff import Backoff
from upright.strategies.foreign import is_of
from upright.strategies.options import count_rule, is_count, is_finite_number
from upright.supervisors.errors import InvalidChildSpec

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = [
    "BRUTAL_KILL",
    "INFINITY",
    "AutoShutdown",
    "ChildKind",
    "ChildSpec",
    "Restart",
    "RestartStrategy",
    "ShutdownRule",
    "check_childspecs",
]


class Restart(StrEnum):
    """When a child that ended by itself is started again.

    PERMANENT always, TRANSIENT unless it ended cleanly (NORMAL or Shutdown), TEMPORARY never; the spec of a
    temporary child is forgotten when it ends.
    """

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class RestartStrategy(StrEnum):
    """Which children are started again with one that failed: it alone, all, or it and those started after it."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


class AutoShutdown(StrEnum):
    """Whether a supervisor stops when significant children have ended by themselves: never, after any, after all."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


class ChildKind(StrEnum):
    """What a child is."""

    WORKER = "worker"
    SUPERVISOR = "supervisor"


class ShutdownRule(Enum):
    """The two ways of stopping a child that are no number of seconds."""

    BRUTAL_KILL = "brutal_kill"
    INFINITY = "infinity"

    def __repr__(self) -> str:
        return self.name


BRUTAL_KILL: Final = ShutdownRule.BRUTAL_KILL
"""Detach the child at once, without running its `on_stop`."""

INFINITY: Final = ShutdownRule.INFINITY
"""Wait for the child to stop, however long it takes. With a worker that hangs this waits for ever."""

_DEFAULT_SHUTDOWN: Final = 5.0


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How a supervisor starts, restarts and stops one child.

    Args:
        id: Names the child among its siblings; any hashable value but None.
        actor: A SupervisedActor subclass. A Supervisor or DynamicSupervisor makes it a supervisor child.
        args: Positional arguments of its `__init__`, at every start.
        kwargs: Keyword arguments of its `__init__`, at every start.
        restart: When to start it again; default PERMANENT.
        shutdown: Seconds that it gets to stop before it is killed, BRUTAL_KILL, or INFINITY. Default 5.0, and
            INFINITY for a supervisor, whose own children need their time.
        significant: Its end may stop the supervisor, see AutoShutdown; not with PERMANENT.
        hang_timeout: Seconds that one message (or `on_start`) may take; a longer one counts as a crash with the
            reason Hung. Default None: no limit.
        backoff: Waiting time before restarts; default None: restart at once, as OTP does.
        mailbox_limit: Messages that may wait; default that of the actor class, 10 000.
        max_zombies: Detached threads of this child that may still be running; one more crashes the supervisor.
            Default 16.

    Raises:
        InvalidChildSpec: If a value breaks its rule; names the field, the value and what is allowed.
    """

    id: Hashable
    actor: type[SupervisedActor]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    restart: Restart = field(default=Restart.PERMANENT, kw_only=True)
    shutdown: float | ShutdownRule = field(default=None, kw_only=True)  # type: ignore[assignment]
    significant: bool = field(default=False, kw_only=True)
    hang_timeout: float | None = field(default=None, kw_only=True)
    backoff: Backoff | None = field(default=None, kw_only=True)
    mailbox_limit: int = field(default=None, kw_only=True)  # type: ignore[assignment]
    max_zombies: int = field(default=16, kw_only=True)

    def __post_init__(self) -> None:
        _require_id(self.id)
        _require_actor(self.actor)
        set_field = object.__setattr__
        if not isinstance(self.args, list | tuple):
            raise InvalidChildSpec("ChildSpec.args", self.args, "a tuple of positional arguments")
        set_field(self, "args", tuple(self.args))
        if not isinstance(self.kwargs, Mapping) or not all(isinstance(key, str) for key in self.kwargs):
            raise InvalidChildSpec("ChildSpec.kwargs", self.kwargs, "a mapping of argument names to values")
        set_field(self, "kwargs", dict(self.kwargs))
        set_field(self, "restart", _member(Restart, "ChildSpec.restart", self.restart))
        if self.shutdown is None:
            set_field(self, "shutdown", INFINITY if self.kind is ChildKind.SUPERVISOR else _DEFAULT_SHUTDOWN)
        elif not is_of(self.shutdown, ShutdownRule) and not _is_seconds(self.shutdown):
            raise InvalidChildSpec(
                "ChildSpec.shutdown", self.shutdown, "a finite number of seconds >= 0, BRUTAL_KILL or INFINITY"
            )
        if not isinstance(self.significant, bool):
            raise InvalidChildSpec("ChildSpec.significant", self.significant, "True or False")
        if self.significant and self.restart is Restart.PERMANENT:
            raise InvalidChildSpec(
                "ChildSpec.significant",
                self.significant,
                "False for a permanent child, which never ends for good",
            )
        if self.hang_timeout is not None and not (_is_seconds(self.hang_timeout) and self.hang_timeout > 0):
            raise InvalidChildSpec(
                "ChildSpec.hang_timeout", self.hang_timeout, "None or a finite number of seconds > 0"
            )
        if self.backoff is not None and not isinstance(self.backoff, Backoff):
            raise InvalidChildSpec("ChildSpec.backoff", self.backoff, "None or a Backoff")
        if self.mailbox_limit is None:
            set_field(self, "mailbox_limit", self.actor.mailbox_limit)
        elif not is_count(self.mailbox_limit, least=1):
            raise InvalidChildSpec("ChildSpec.mailbox_limit", self.mailbox_limit, count_rule(self.mailbox_limit, 1))
        if not is_count(self.max_zombies):
            raise InvalidChildSpec("ChildSpec.max_zombies", self.max_zombies, count_rule(self.max_zombies, 0))

    @property
    def kind(self) -> ChildKind:
        """WORKER or SUPERVISOR, from the actor class."""
        return ChildKind.SUPERVISOR if getattr(self.actor, "supervises", False) else ChildKind.WORKER

    def without_arguments(self) -> ChildSpec:
        """Return the spec as it is kept for a temporary child: it will never be started again.

        Its arguments are let go (OTP: start parameters of temporary children are not saved).
        """
        return dataclasses.replace(self, args=(), kwargs={})


def check_childspecs(specs: Iterable[ChildSpec], auto_shutdown: AutoShutdown | None = None) -> list[ChildSpec]:
    """Check a list of child specs as a supervisor's start does.

    Args:
        specs: The specs, in start order.
        auto_shutdown: The flag of the supervisor they are for; None leaves out the check against it.

    Returns:
        The same specs as a list.

    Raises:
        InvalidChildSpec: For something that is no ChildSpec, an id given twice, or a significant child under a
            supervisor that never shuts down by itself (OTP's bad_combination).
    """
    if isinstance(specs, ChildSpec | str | bytes | Mapping) or not isinstance(specs, Iterable):
        raise InvalidChildSpec("children", specs, "an iterable of ChildSpec")
    checked: list[ChildSpec] = []
    seen = set()
    for spec in specs:
        check_childspec(spec, auto_shutdown)
        if spec.id in seen:
            raise InvalidChildSpec("ChildSpec.id", spec.id, "given to one child only")
        seen.add(spec.id)
        checked.append(spec)
    return checked


def check_childspec(spec: ChildSpec, auto_shutdown: AutoShutdown | None) -> None:
    """Check one spec against the supervisor it is for; see `check_childspecs`."""
    if not isinstance(spec, ChildSpec):
        raise InvalidChildSpec("children", spec, "made of ChildSpec(id, actor, ...) only")
    if auto_shutdown is not None:
        auto_shutdown = _member(AutoShutdown, "auto_shutdown", auto_shutdown)
        if spec.significant and auto_shutdown is AutoShutdown.NEVER:
            raise InvalidChildSpec(
                "ChildSpec.significant",
                spec.significant,
                "False under a supervisor whose auto_shutdown is NEVER",
            )


def _member(kind: Any, name: str, value: Any) -> Any:
    try:
        return kind(value)
    except (ValueError, TypeError):
        allowed = ", ".join(f"{kind.__name__}.{member.name}" for member in kind)
        raise InvalidChildSpec(name, value, f"one of {allowed}") from None


def _require_id(value: Any) -> None:
    if value is None:
        raise InvalidChildSpec("ChildSpec.id", value, "any hashable value but None")
    try:
        hash(value)
    except Exception:
        raise InvalidChildSpec("ChildSpec.id", value, "hashable") from None


def _require_actor(value: Any) -> None:
    if not (isinstance(value, type) and issubclass(value, SupervisedActor)):
        raise InvalidChildSpec(
            "ChildSpec.actor", value, "a subclass of upright.actors.SupervisedActor (the class, not an instance)"
        )


def _is_seconds(value: Any) -> bool:
    return is_finite_number(value) and bool(value >= 0)
