"""What the process does to actors: it forks, and it exits.

Threads do not survive a fork. An address that was carried into a forked child would take messages for ever and
answer none, so in the child every open address is closed at once, and says why. At interpreter exit the
supervision trees that are still up are stopped, the newest first, each within `EXIT_TIMEOUT`.
"""

from __future__ import annotations

import atexit
import os
import weakref
from typing import TYPE_CHECKING, Any, Final

from upright.actors import registry

if TYPE_CHECKING:
    from upright.actors.address import Address

__all__ = ["EXIT_TIMEOUT", "closed", "open_addresses", "opened", "stop_at_exit"]

EXIT_TIMEOUT: Final = 5.0  # seconds that one tree may take to stop when the interpreter exits

# By id, and no WeakSet: its callbacks would run in whatever thread drops an address, where an interrupt can hit them.
_open: dict[int, weakref.ref[Address[Any]]] = {}
_PRUNE_AT = 1024
_prune_at = _PRUNE_AT  # above so many, those that were dropped without having been closed are forgotten
_roots: weakref.WeakKeyDictionary[Address[Any], None] = weakref.WeakKeyDictionary()  # in start order


def opened(address: Address[Any]) -> None:
    """Remember an address that must be closed in a forked child."""
    global _prune_at  # noqa: PLW0603 - one number for the one table
    if len(_open) >= _prune_at:
        for key, ref in list(_open.items()):
            if ref() is None:
                _open.pop(key, None)
        _prune_at = max(_PRUNE_AT, 2 * len(_open))
    _open[id(address)] = weakref.ref(address)


def closed(address: Address[Any]) -> None:
    """Forget an address that takes no messages any more."""
    _open.pop(id(address), None)


def open_addresses() -> list[Address[Any]]:
    """Return the addresses that take messages now; a test looks here for what it has left behind."""
    addresses = [ref() for ref in list(_open.values())]
    return [address for address in addresses if address is not None and address.is_alive()]


def stop_at_exit(root: Address[Any]) -> None:
    """Stop this supervision tree when the interpreter exits."""
    if not _roots:
        atexit.unregister(_stop_roots)
        atexit.register(_stop_roots)
    _roots[root] = None


def _stop_roots() -> None:
    for root in reversed(list(_roots)):
        try:
            root.stop(timeout=EXIT_TIMEOUT)
        except Exception:  # noqa: S112 - a tree that cannot stop in time ends with its daemon threads
            continue


def _close_in_forked_child() -> None:
    addresses = [address for ref in list(_open.values()) if (address := ref()) is not None]
    _open.clear()
    _roots.clear()
    registry.after_fork(addresses)
    for address in addresses:
        address.close_after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_close_in_forked_child)
