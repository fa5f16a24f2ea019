"""What a supervisor answers when it cannot do what it was asked to: all are `Reply`, it lives on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upright.actors.errors import Reply
from upright.actors.exits import describe
from upright.strategies.errors import ConfigError
from upright.strategies.foreign import shown

if TYPE_CHECKING:
    from upright.actors.address import Address

__all__ = [
    "ChildAlreadyPresent",
    "ChildAlreadyStarted",
    "ChildError",
    "ChildNotFound",
    "ChildRestarting",
    "ChildRunning",
    "InvalidChildSpec",
    "InvalidSupervisorFlags",
    "MaxChildren",
    "StartFailed",
]


class InvalidChildSpec(Reply, ConfigError):
    """A child spec has a value that is not allowed; see ConfigError for its fields."""


class InvalidSupervisorFlags(Reply, ConfigError):
    """A supervisor's flag (strategy, intensity, period, auto_shutdown, ...) has a value that is not allowed."""


class ChildError(Reply):
    """Base of the answers about one child.

    Attributes:
        child_id: The id (or address) that was asked for.
    """

    template = "child {}"

    def __init__(self, child_id: Any) -> None:
        super().__init__(self.template.format(shown(child_id)))
        self.child_id = child_id


class ChildNotFound(ChildError):
    """This supervisor has no such child (OTP's `not_found`)."""

    template = "no child {} under this supervisor"


class ChildRunning(ChildError):
    """The child runs; terminate it first (OTP's `running`)."""

    template = "child {} is running: terminate_child() it first"


class ChildRestarting(ChildError):
    """The supervisor is already trying to restart the child (OTP's `restarting`)."""

    template = "child {} is being restarted already"


class ChildAlreadyPresent(ChildError):
    """The id is taken by a child that is not running (OTP's `already_present`)."""

    template = "child {} is present but not running: restart_child() or delete_child() it"


class ChildAlreadyStarted(ChildError):
    """The id is taken by a running child (OTP's `already_started`); `on_start` may raise it as well.

    Attributes:
        address: Address of the one that runs.
    """

    template = "child {} is running already"

    def __init__(self, child_id: Any, address: Address[Any] | None = None) -> None:
        # OTP's term holds the pid alone, so an on_start may give just the address of the one that runs.
        if address is None:
            address = child_id
            child_id = getattr(child_id, "name", child_id)
        super().__init__(child_id)
        self.address = address


class MaxChildren(Reply):
    """The DynamicSupervisor has `max_children` children already, those being restarted included."""


class StartFailed(ChildError):
    """A child did not start; `__cause__` is the exception from its `__init__` or `on_start`."""

    template = "child {} did not start"

    def __init__(self, child_id: Any, reason: BaseException | None = None) -> None:
        super().__init__(child_id)
        if reason is not None:
            self.args = (f"{self.args[0]}: {describe(reason)}",)
            self.__cause__ = reason
