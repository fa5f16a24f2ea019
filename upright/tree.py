"""The tree: everything an application does with upright, in one handle."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from upright import by_hand
from upright.actors.monitor import CatchUp
from upright.boundaries import Boundary
from upright.circuits import Breakers
from upright.protection import Binding, protected
from upright.strategies.classification import classify
from upright.strategies.foreign import is_of
from upright.strategies.options import require_count, require_timeout
from upright.strategies.report import ErrorReport, RecoveryId, RecoveryResult
from upright.supervisors.status import NodeStatus, status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from upright.actors.address import Address
    from upright.actors.notices import NoticeStream
    from upright.actors.operation import Operation
    from upright.parts import Parts
    from upright.strategies.history import HistoryEntry
    from upright.strategies.metrics import ResilienceMetrics

__all__ = ["Tree"]

_CATCH_UP: Final = 0.05  # seconds that the monitor is waited for

F = TypeVar("F", bound="Callable[..., Any]")


class Tree(AbstractContextManager["Tree"]):
    """A running supervision tree; made by `upright.boot()`.

    Every method may be called from any thread. None of them raises because the tree was stopped, has given up or
    lives in the parent of this forked process: calls are then bare calls, and reports are counted.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.edge = parts.edge
        self._board = parts.board
        self.flags = parts.flags
        self.config = parts.config
        self.name = parts.name
        self.breakers = Breakers(self)

    # The actors.

    @property
    def orchestrator(self) -> Address[Any]:
        """Takes errors: `tell(ErrorReport)` and forget, or `ask(ErrorReport)` for a RecoveryResult."""
        return self._parts.directory["orchestrator"]

    def __getitem__(self, name: str) -> Address[Any]:
        """Return the address of an actor of the standard tree by name; KeyError lists the names there are."""
        return self._parts.directory[name]

    @property
    def is_running(self) -> bool:
        """Whether the tree is up: neither stopped, nor given up, nor forked away."""
        return self._parts.directory.is_open

    # Protecting calls.

    def protect(
        self,
        operation: str,
        *,
        resource: str | None = None,
        idempotent: bool | None = None,
        **overrides: Any,
    ) -> Callable[[F], F]:
        """Decorate a `def` or `async def` so that its failures are recovered.

        A call that succeeds costs a few hundred nanoseconds and sends nothing. One that fails is healed and made
        again, or served by the operation's fallback chain, or retried, in this order; when nothing helps its own
        exception comes out unchanged. Runs in the caller's thread or task, with its context variables.

        A `def` that returns an awaitable is protected until it returns, and what is awaited is not: only an
        `async def`, a `functools.partial` of one and an object with an `async def __call__` are known before the call.

        Args:
            operation: Names the circuit, the fallback chain and the statistics; functions may share one.
            resource: What the function works on; failures of one resource are healed together. None: what the
                operation was said to work on last, or else the operation itself.
            idempotent: Whether a failed call of the function may be made again. None: as the operation says, or
                else yes, unless the error comes from an HTTP request whose method is not idempotent.
            overrides: Options of this operation, as in `[operations.NAME]` of upright.toml: those of the circuit
                breaker, `heal_wait`, `deadline`, and those of the retry policy with the prefix `retry_`. Of functions
                that share the operation the last word on each option holds.

        Raises:
            ConfigError: An option has a wrong name or value, or the decorated object cannot be protected.
        """
        found = self.operation(operation, resource, idempotent, overrides)
        binding = Binding(found, self.edge, resource=resource, idempotent=idempotent)

        def decorate(function: F) -> F:
            return protected(function, binding)

        return decorate

    def operation(
        self,
        operation: str,
        resource: str | None,
        idempotent: bool | None,  # noqa: FBT001 - three-valued, not a switch
        overrides: Mapping[str, Any],
    ) -> Operation:
        """Return what `protect` binds a function to: the operation with its options."""
        given = dict(overrides) if idempotent is None else {**overrides, "idempotent": idempotent}
        if not given:
            return self.edge.operations.get(operation, resource)
        known = self.edge.operations.find(operation)
        if known is not None:
            given = known.overridden(given)
        found = self.edge.operations.get(operation, resource, self._parts.options_for(operation, given))
        found.overrides = given
        return found

    def call(self, operation: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> RecoveryResult:
        """Call a function under protection and return everything that happened, its value included.

        A function that is protected already is called under this protection alone.

        Never raises what the function raised: `result.error` is the first failure, `result.status` says how it
        came out (SUCCEEDED if nothing failed). KeyboardInterrupt and its kind pass through.

        Raises:
            ConfigError: `function` is a coroutine function, which is for `call_async`, or a generator function.
        """
        return by_hand.run(self.edge, operation, function, args, kwargs)

    async def call_async(
        self, operation: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> RecoveryResult:
        """The same in this task, for a coroutine function; another function is called on the loop as it is."""
        return await by_hand.run_async(self.edge, operation, function, args, kwargs)

    def boundary(
        self, operation: str, *, resource: str | None = None, context: Mapping[str, Any] | None = None
    ) -> Boundary:
        """Return a context manager, for `with` and `async with`, that reports what escapes from its block.

        The outcome counts for the operation's circuit, the error is reported in the background, and comes out as
        it was: a block cannot be run again.
        """
        return Boundary(self, self.edge.operations.met(operation, resource), resource, context)

    # Sending errors.

    def report(
        self,
        error: BaseException,
        *,
        operation: str,
        resource: str | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> None:
        """Tell the orchestrator about an error and forget about it. Never raises for want of a recovery.

        A report of a failure that is being recovered is merged into that recovery without a message; one that
        cannot be taken (mailbox full, tree down) is counted.
        """
        board = self._board
        right = is_of(error, BaseException) and type(operation) is str and operation
        if right and (resource is None or (type(resource) is str and resource)) and context is None:
            # One that will be merged needs no report of its own.
            merged = board.recovering.get(RecoveryId(classify(error).code, resource or operation))
            if merged is not None:
                merged.add()
                board.joined_reports.add()
                return
        self.send(ErrorReport(error, operation, resource, {} if context is None else context))

    def send(self, report: ErrorReport) -> None:
        """Tell the orchestrator about an error as `report` does, from a report that was made already."""
        board = self._board
        merged = board.recovering.get(report.recovery_id)
        if merged is not None:
            merged.add()
            board.joined_reports.add()
            return
        try:
            self.orchestrator.tell(report)
        except Exception:
            board.refused_reports.add()

    def recover(
        self,
        error: BaseException,
        *,
        operation: str,
        resource: str | None = None,
        call: Callable[[], Any] | None = None,
        context: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> RecoveryResult:
        """Recover from an error in this thread, and return what became of it.

        Args:
            error: What was raised.
            operation: What failed.
            resource: What it failed on.
            call: The call again, without arguments: made once after a healing, and by the retry stage. Its value
                is the result's.
            context: What a healing strategy or fallback step may need to know.
            timeout: Seconds that a healing is waited for at most; None takes the operation's `heal_wait`.

        Raises:
            ConfigError: An argument is not allowed; `call` is a coroutine function, which is for `recover_async`.
        """
        by_hand.refuse_coroutine("recover.call", call, "recover_async")
        prepared = by_hand.prepare(self.edge, error, operation, resource, call, context, timeout)
        result = by_hand.recover(self.edge, prepared, error)
        by_hand.refuse_coroutine_value(result.value, "recover.call", call, "recover_async")
        return result

    async def recover_async(
        self,
        error: BaseException,
        *,
        operation: str,
        resource: str | None = None,
        call: Callable[[], Any] | None = None,
        context: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> RecoveryResult:
        """Recover from an error in this task: like `recover`, with a `call` that may be a coroutine function."""
        prepared = by_hand.prepare(self.edge, error, operation, resource, call, context, timeout)
        prepared.loop = asyncio.get_running_loop()
        return await by_hand.recover_async(self.edge, prepared, error)

    # Strategies.

    def register(self, *strategies: Any) -> Self:
        """Add healing strategies and fallback chains; effective at once.

        A healing strategy is tried after those registered before it. A chain replaces that of its operation.

        Raises:
            ConfigError: Something is neither a HealingStrategy nor a FallbackChain.
        """
        self._parts.register(strategies)
        return self

    # Looking inside.

    def status(self) -> NodeStatus:
        """Return what the whole tree is doing, without asking any actor; see upright.supervisors.status."""
        root = self._parts.directory.root
        assert root is not None  # noqa: S101 - set before the tree was made
        return status(root)

    def status_of(self, name: str) -> NodeStatus:
        """Return the status of one actor by name, and of what is below it; KeyError lists the names there are."""
        return status(self[name])

    def history(self, limit: int | None = None) -> list[HistoryEntry]:
        """Return the newest recoveries, at most `limit`, oldest first.

        What this thread has seen come out before is among them, unless the monitor is so busy that it has not taken
        it in within 50 ms.
        """
        if limit is not None:
            require_count("history.limit", limit)
        self._catch_up()
        return self._parts.monitor.history(limit)

    def metrics(self) -> ResilienceMetrics:
        """Return the ResilienceMetrics as of now; see `history`."""
        self._catch_up()
        return self._parts.monitor.metrics()

    def _catch_up(self) -> None:
        with contextlib.suppress(Exception):  # stopped, stuck, or flooded: what it knows is given all the same
            self._parts.directory["monitor"].ask(CatchUp(), timeout=_CATCH_UP)

    def notices(self, limit: int = 100, *, backlog: int = 0) -> NoticeStream:
        """Open a stream of RecoveryNotice: what may be told to the application's own users.

        Read it with `for` in a thread or with `async for` in a task; close it, or use it as a context manager. Calls
        that fail alike are one notice and not a thousand: it is repeated after 5 seconds at the earliest, unless it is
        another kind of news. At most 1 000 streams are open at once.

        Args:
            limit: Notices that wait to be read at most; beyond it the oldest is dropped, and counted in `dropped`.
            backlog: How many of the newest (at most 100) to begin with, for a page that is opened in an outage.

        Raises:
            ConfigError: A number is out of its range, or too many streams are open.
        """
        return self._parts.notices.open(limit, backlog)

    def listen(self, listener: Callable[[Any], object]) -> Callable[[], None]:
        """Have every event of upright.actors.events passed to `listener`; call what is returned to stop that.

        It runs in the monitor's thread, must be quick and must not block. One that raises is logged, and let go after
        the third time in a row.
        """
        return self._parts.monitor.listen(listener)

    @property
    def parts(self) -> Parts:
        """What the tree consists of: for upright's own integrations; may change with any release."""
        return self._parts

    # The end.

    def stop(self, timeout: float | None = 10.0) -> bool:
        """Stop all actors in order; afterwards protected calls are bare calls. True if the tree was up.

        Args:
            timeout: Seconds to wait for it.

        Raises:
            AskTimeout: It took longer; it goes on stopping.
        """
        require_timeout("Tree.stop.timeout", timeout)
        directory = self._parts.directory
        directory.closed = True
        self._board.let_go()
        try:
            return directory.root is not None and directory.root.stop(timeout=timeout)
        finally:
            self._board.let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "running" if self.is_running else "stopped"
        return f"<Tree {self.name!r}, {state}>"
