"""pykka's ActorRegistry, made flat.

pykka keeps its refs in a list and searches it when an actor stops: beside 5 000 others a stop costs 50 times what it
costs beside ten (measured with pykka 4.5, see benchmarks/kernel.py). The first actor of ours that registers swaps
that list for one with the same interface that finds a ref by hash. The API of the registry stays pykka's.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from pykka import ActorRegistry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from upright.actors.address import Address

__all__ = ["register", "unregister"]


class _Refs:
    """What ActorRegistry does with its list: append, remove, `in`, iterate, copy by slicing."""

    __slots__ = ("_refs",)

    def __init__(self, refs: Iterable[Any]) -> None:
        self._refs = dict.fromkeys(refs)

    def __contains__(self, ref: object) -> bool:
        return ref in self._refs

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._refs))

    def __len__(self) -> int:
        return len(self._refs)

    def __getitem__(self, index: Any) -> Any:
        return list(self._refs)[index]

    def append(self, ref: Any) -> None:
        self._refs[ref] = None

    def remove(self, ref: Any) -> None:
        del self._refs[ref]


def register(address: Address[Any]) -> None:
    """Enter an actor, as pykka does at its start."""
    # Looked at each time, since a test may have put a list back. Another version of pykka keeps its own ways.
    if type(getattr(ActorRegistry, "_actor_refs", None)) is list:
        with ActorRegistry._actor_refs_lock:  # noqa: SLF001 - the lock that guards the list
            if type(ActorRegistry._actor_refs) is list:  # noqa: SLF001
                ActorRegistry._actor_refs = _Refs(ActorRegistry._actor_refs)  # type: ignore[assignment]  # noqa: SLF001
    ActorRegistry.register(address)


def after_fork(addresses: Iterable[Address[Any]]) -> None:
    """Forget, in a forked child, the actors of its parent; another thread may have held the lock at the fork."""
    refs: Any = ActorRegistry._actor_refs  # noqa: SLF001
    if isinstance(refs, _Refs):
        ActorRegistry._actor_refs_lock = threading.RLock()  # noqa: SLF001
        for address in addresses:
            if address in refs:
                refs.remove(address)


def unregister(address: Address[Any]) -> None:
    """Remove an actor; does nothing if it is not there."""
    ActorRegistry.unregister(address)
