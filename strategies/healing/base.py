"""The interface of a healing strategy: what it handles, how it repairs, and how it proves the repair."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from upright.strategies.errors import UprightError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from upright.strategies.report import ErrorReport

__all__ = ["HealingFailed", "HealingStrategy"]


class HealingFailed(UprightError):  # noqa: N818 - the field's own word
    """A healing strategy gave up; `__cause__` is the last failure it met.

    Attributes:
        attempts: How often it tried to use the resource.
    """

    def __init__(self, reason: str, *, attempts: int = 0) -> None:
        super().__init__(reason)
        self.attempts = attempts


class HealingStrategy(ABC):
    """Know-how to repair one kind of resource.

    The three methods run in a worker that may be abandoned, never in the caller's thread, in this order:
    `can_handle`, `heal`, `verify`. Each may be a coroutine function, or return an awaitable; it is then run on
    the event loop of the failed call if that still runs, else on one of its own. Whatever they raise means that
    this strategy has failed, and the next one that fits is tried. What they return is ignored, except for a
    false answer of `can_handle` (not for me) and a `verify` that returns False (not proven).

    One object serves the whole process. Reports on one resource come one after another, but one abandoned for
    its time may still be running when the next begins, so keep no state of a single healing on `self`.

    Examples:
        >>> class Reopen(HealingStrategy):
        ...     name = "reopen the spool file"
        ...     def can_handle(self, report):
        ...         return report.resource == "spool"
        ...     def heal(self, report):
        ...         spool.reopen()
        ...     def verify(self, report):
        ...         spool.flush()
    """

    name: str
    """What steps, logs and metrics call it; the name of the class unless given."""

    timeout: float | None = None
    """Seconds for `heal` and `verify` together, after which the worker is abandoned; None takes the
    configuration's `healing.timeout`."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not hasattr(cls, "name"):
            cls.name = cls.__name__

    @abstractmethod
    def can_handle(self, report: ErrorReport) -> bool | Awaitable[bool]:
        """Whether this strategy may repair what `report` is about.

        Cheap and free of I/O: it is asked for every failure. A permanent error never gets here.
        """

    @abstractmethod
    def heal(self, report: ErrorReport) -> Any:
        """Repair the resource; one call is one attempt, which may try several times within `timeout`.

        Raises:
            Exception: If it could not.
        """

    @abstractmethod
    def verify(self, report: ErrorReport) -> Any:
        """Prove the repair by using the resource as the application does.

        Raises:
            Exception: If it does not work.
        """
