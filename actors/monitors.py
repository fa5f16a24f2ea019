"""Watching an actor end: who wants to know, told exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upright.actors.interrupt import shielded
from upright.actors.messages import Down

if TYPE_CHECKING:
    from upright.actors.address import Address
    from upright.actors.exits import ExitReason

__all__ = ["MonitorRef", "Monitors"]

_PRUNE_AT = 1024  # above this many watchers, those that have ended themselves are dropped now and then


class MonitorRef:
    """One `monitor()` call, to be cancelled if it is no longer wanted.

    Attributes:
        address: The address that is watched.
        watcher: The address that gets the `Down`.
    """

    __slots__ = ("_monitors", "address", "watcher")

    def __init__(self, monitors: Monitors, address: Address[Any], watcher: Address[Any]) -> None:
        self._monitors = monitors
        self.address = address
        self.watcher = watcher

    def cancel(self) -> bool:
        """Stop watching; False if the `Down` has been sent already (it may still wait in the mailbox)."""
        return self._monitors.cancel(self)


class Monitors:
    """The watchers of one address. Safe from any thread: `dict.pop` decides who sends a `Down`, and so it is one."""

    __slots__ = ("_prune_at", "_watching")

    def __init__(self) -> None:
        self._watching: dict[MonitorRef, None] = {}
        self._prune_at = _PRUNE_AT

    def add(self, address: Address[Any], watcher: Address[Any]) -> MonitorRef:
        """Register a watcher; the caller then looks whether the address is down already."""
        if len(self._watching) >= self._prune_at:
            for ref in list(self._watching):
                if not ref.watcher.is_alive():
                    self._watching.pop(ref, None)
            self._prune_at = max(_PRUNE_AT, 2 * len(self._watching))  # so that many living ones cost little
        ref = MonitorRef(self, address, watcher)
        self._watching[ref] = None
        return ref

    def cancel(self, ref: MonitorRef) -> bool:
        """Forget one watcher; False if it was told already."""
        return self._watching.pop(ref, self) is None

    def fire(self, reason: ExitReason) -> None:
        """Tell every watcher that is still registered, and forget it."""
        for ref in list(self._watching):
            down = Down(ref.address, reason)
            with shielded():
                if self._watching.pop(ref, self) is None:
                    ref.watcher.post(down)
