"""Finding the actors of one tree by name.

Addresses of static children outlive every restart, so each is looked up once. An actor is given the directory and
not the others' addresses, because those that start later have none yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upright.strategies.foreign import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from upright.actors.address import Address

__all__ = ["Directory"]


class Directory:
    """The actors below one root, by name. Safe from any thread.

    Attributes:
        root: Address of the root; set by the root itself before its children start.
        closed: The tree has been told to stop. Whoever asks `is_open` hears of it before the last actor has ended.
        at_end: Called once the last actor has ended, in the root's thread: stopped, or given up.
    """

    __slots__ = ("_found", "at_end", "closed", "root")

    def __init__(self) -> None:
        self.closed = False
        self.at_end: Callable[[], None] | None = None
        self.root: Address[Any] | None = None
        self._found: dict[str, Address[Any]] = {}

    @property
    def is_open(self) -> bool:
        """Whether the tree is up: started, and neither stopped, nor given up, nor forked away."""
        root = self.root
        return not (self.closed or root is None or root._lane.closed)  # noqa: SLF001 - asked by each call that fails

    def __getitem__(self, name: str) -> Address[Any]:
        """Return the address of the actor with this name.

        Raises:
            KeyError: There is none; the message lists those there are.
        """
        try:
            return self._found[name]
        except KeyError:
            pass
        for address in self.walk():
            if address.name == name:
                self._found[name] = address
                return address
        known = ", ".join(sorted(address.name for address in self.walk()))
        raise KeyError(f"no actor named {shown(name)} in this tree; there are: {known or 'none'}")

    def __contains__(self, name: object) -> bool:
        return any(address.name == name for address in self.walk())

    def walk(self) -> Iterator[Address[Any]]:
        """Yield every static actor below the root, parents before children."""
        if self.root is not None:
            yield from _below(self.root)


def _below(address: Address[Any]) -> Iterator[Address[Any]]:
    for key, child in list(address.children.items()):
        if key is not child:  # children of a DynamicSupervisor are keyed by their addresses; they come and go
            yield child
            yield from _below(child)
