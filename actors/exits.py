"""Why an actor ended: the exit reasons, and which of them are clean.

    NORMAL            the actor stopped itself, or was asked to stop
    Shutdown(detail)  its supervisor stopped it, or it raised Shutdown itself
    Killed()          it was detached: BRUTAL_KILL, or it outlived its shutdown time
    Crashed(error)    an exception escaped from one of its handlers
    Hung(seconds)     one message was handled for longer than `hang_timeout`

NORMAL and Shutdown are clean: a transient child that ends so is not restarted
(OTP's `normal`, `shutdown` and `{shutdown, Detail}`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from upright.strategies.errors import UprightError
from upright.strategies.foreign import kind_of, shown

__all__ = ["NORMAL", "Crashed", "ExitReason", "Hung", "Killed", "Normal", "Shutdown", "is_clean"]


@dataclass(frozen=True, slots=True)
class Normal:
    """The actor ended by its own decision or on request; see the constant `NORMAL`."""

    def __str__(self) -> str:
        return "normal"


NORMAL: Final = Normal()


class Shutdown(UprightError):  # noqa: N818 - it is an exit reason first, and an exception so that it can be raised
    """The actor was shut down in order, by its supervisor or by raising this itself.

    Raised from a handler, `on_start` excepted, it ends the actor cleanly: OTP's `{shutdown, Detail}`. Two
    reasons with equal details are equal.

    Attributes:
        detail: Anything that says why; None is OTP's bare `shutdown`.
    """

    def __init__(self, detail: Any = None) -> None:
        super().__init__(detail)
        self.detail = detail

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Shutdown):
            return NotImplemented
        try:
            return bool(self.detail == other.detail)
        except Exception:  # an array, for one, does not say whether it is equal
            return self.detail is other.detail

    def __hash__(self) -> int:
        # Equal reasons need equal hashes, and a detail need not be hashable.
        return hash(Shutdown)

    def __str__(self) -> str:
        return "shutdown" if self.detail is None else f"shutdown: {shown(self.detail, text=str)}"

    def __repr__(self) -> str:
        return f"Shutdown({self.detail!r})"


@dataclass(frozen=True, slots=True)
class Killed:
    """The actor was detached without being given (more) time to end."""

    def __str__(self) -> str:
        return "killed"


@dataclass(frozen=True, slots=True, eq=False)
class Crashed:
    """An exception escaped.

    Attributes:
        error: That very exception, with its traceback.
    """

    error: BaseException

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Crashed) and self.error is other.error

    def __hash__(self) -> int:
        return hash((Crashed, id(self.error)))

    def __str__(self) -> str:
        return f"crashed: {describe(self.error)}"


@dataclass(frozen=True, slots=True)
class Hung:
    """One message was handled for longer than allowed, and the actor was detached.

    Attributes:
        seconds: The `hang_timeout` that was exceeded.
    """

    seconds: float

    def __str__(self) -> str:
        return f"hung: no answer for {self.seconds:g} s"


ExitReason = Normal | Shutdown | Killed | Crashed | Hung


def is_clean(reason: ExitReason) -> bool:
    """Tell whether a transient child that ended for this reason stays down.

    Examples:
        >>> [is_clean(r) for r in (NORMAL, Shutdown("done"), Killed(), Hung(1.0))]
        [True, True, False, False]
    """
    return isinstance(reason, Normal | Shutdown)


def describe(error: BaseException, limit: int = 200) -> str:
    """Return `Type: text` of an exception, shortened to `limit`; never raises, however hostile its `__str__`."""
    text, name = shown(error, limit, str), kind_of(error)
    whole = f"{name}: {text}" if text else name
    return whole if len(whole) <= limit else whole[: limit - 3] + "..."
