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

    from upright.tree import Tree

__all__ = ["Boundary"]


class Boundary:
    """A block whose errors are reported; see `Tree.boundary`."""

    __slots__ = ("_began", "_context", "_operation", "_snapshot", "_tree")

    def __init__(self, tree: Tree, operation: Any, context: Mapping[str, Any] | None) -> None:
        self._tree = tree
        self._operation = operation
        self._context = context
        self._began = 0.0
        self._snapshot: Any = None

    def _begin(self) -> None:
        self._snapshot = self._operation.breaker.snapshot
        self._began = monotonic()

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
        edge, operation, snapshot = self._tree.edge, self._operation, self._snapshot
        if error is None:
            edge.succeeded(operation, snapshot, self._began)
            return
        if not isinstance(error, Exception) or not edge.active:
            return
        try:
            known = classify(error)
            if known.permanent:
                return
            counted = edge.log_failure(operation, snapshot, self._began, error) if known.counted else None
            epoch = edge.board.epoch_at(operation.target, self._began)
            report = ErrorReport(error, operation.name, operation.resource, self._context or {}, epoch=epoch)
            self._tree.send(report)
            if counted is not None:
                edge.tell_breaker(counted)  # after the report: see Edge.meet_circuit
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
