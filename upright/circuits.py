"""The circuits of a tree, to look at and to override by hand: `tree.breakers`."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from upright.actors.breaker import ForceCircuit
from upright.strategies.foreign import shown

if TYPE_CHECKING:
    from upright.tree import Tree

__all__ = ["Breakers", "CircuitHandle"]


class Breakers:
    """The circuit breakers of a tree: `tree.breakers["database_query"]`, and iteration over the names."""

    __slots__ = ("_tree",)

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def __getitem__(self, operation: str) -> CircuitHandle:
        """Return the circuit of an operation; KeyError if nothing of that name has been protected yet."""
        found = self._tree.edge.operations.find(operation)
        if found is None:
            raise KeyError(f"no operation named {shown(operation)} has been protected yet")
        return CircuitHandle(self._tree, found)

    def __iter__(self) -> Any:
        return (operation.name for operation in self._tree.edge.operations)

    def __len__(self) -> int:
        return len(self._tree.edge.operations)


class CircuitHandle:
    """One circuit, to look at and to override by hand. The overrides wait until the breaker has made them."""

    __slots__ = ("_operation", "_tree")

    def __init__(self, tree: Tree, operation: Any) -> None:
        self._tree = tree
        self._operation = operation

    @property
    def state(self) -> Any:
        """CLOSED, OPEN, HALF_OPEN, FORCED_OPEN or DISABLED."""
        return self._operation.breaker.snapshot.state

    @property
    def wait_time(self) -> float:
        """Seconds after which a rejected call is worth making again; 0 while calls pass."""
        return float(self._operation.breaker.snapshot.wait_time(monotonic()))

    def force_open(self) -> None:
        """Reject every call until `auto()` or `force_close()`: FORCED_OPEN."""
        self._force("open")

    def force_close(self) -> None:
        """Let every call through, whatever comes of it, until `auto()` or `force_open()`: DISABLED."""
        self._force("close")

    def auto(self) -> None:
        """End a forced state: CLOSED, with an empty window."""
        self._force("auto")

    def _force(self, action: str) -> None:
        self._tree["breaker"].ask(ForceCircuit(self._operation, action), timeout=10.0)
