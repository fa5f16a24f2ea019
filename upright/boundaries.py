"""Blocks of code that cannot be run again, and whose errors are reported all the same."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from upright.actors.edge import note_failure
from upright.interception import entered, entered_async
from upright.strategies.classification import classify
from upright.strategies.foreign import traceback_of
from upright.strategies.report import ErrorReport

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from upright.actors.operation import Operation
    from upright.strategies.breaker import BreakerSnapshot
    from upright.strategies.permits import Permit
    from upright.tree import Tree

__all__ = ["Boundary"]


class Boundary:
    """A block whose errors are reported; see `Tree.boundary`."""

    __slots__ = ("_context", "_entered", "_operation", "_resource", "_tree")

    def __init__(
        self, tree: Tree, operation: Operation, resource: str | None, context: Mapping[str, Any] | None
    ) -> None:
        self._tree = tree
        self._operation = operation
        self._resource = resource
        self._context = context
        self._entered: list[tuple[BreakerSnapshot, Permit | None, float]] = []  # the same one may be entered again

    def _begin(self) -> None:
        snapshot, now = self._operation.breaker.snapshot, monotonic()
        # A block is never turned away, but one that comes when a probe is due is one.
        permit = None if snapshot.passes or not self._tree.edge.active else snapshot.acquire(now)
        self._entered.append((snapshot, permit, now))

    def __enter__(self) -> Self:
        self._begin()
        try:
            entered(self._operation.name)
        except BaseException as error:
            self.__exit__(type(error), error, traceback_of(error))
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        edge, operation, resource = self._tree.edge, self._operation, self._resource or self._operation.resource
        snapshot, permit, began = self._entered.pop()
        if not edge.active or (error is not None and not isinstance(error, Exception)):
            if permit is not None:
                snapshot.release(permit)
            elif error is None:
                edge.succeeded(operation, snapshot, began)
            return
        target = resource or operation.name
        try:
            outcome = edge.came_out(operation, snapshot, permit, began, error, target)
            if error is not None and not classify(error).permanent:
                epoch = edge.board.epoch_at(target, began)
                self._tree.send(
                    ErrorReport(
                        error, operation.name, resource, {} if self._context is None else self._context, epoch=epoch
                    )
                )
            if outcome is not None:
                edge.tell_breaker(outcome)  # after the report: see Edge.meet_circuit
        except Exception as internal:
            note_failure(error, internal)

    async def __aenter__(self) -> Self:
        self._begin()
        try:
            await entered_async(self._operation.name)
        except BaseException as error:
            self.__exit__(type(error), error, traceback_of(error))
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)
