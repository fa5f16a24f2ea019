"""The same verbs on the process's default tree, bound when they are called: decorators work before `boot()`."""

from __future__ import annotations

import time
from contextlib import nullcontext
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from upright.actors.operation import Operation, OperationOptions
from upright.booting import default_tree, on_boot
from upright.by_hand import refuse_coroutine
from upright.protection import Binding, protected, unprotected
from upright.strategies.breaker_options import BreakerOptions
from upright.strategies.errors import UprightError
from upright.strategies.foreign import is_awaitable
from upright.strategies.options import require_name
from upright.strategies.report import ErrorReport, RecoveryResult, RecoveryStatus, RecoveryStep, Stage, StepOutcome
from upright.strategies.retry import RetryPolicy
from upright.strategies.tally import Tally
from upright.supervisors.status import NodeState, NodeStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from upright.actors.notices import NoticeStream
    from upright.boundaries import Boundary
    from upright.strategies.history import HistoryEntry
    from upright.strategies.metrics import ResilienceMetrics
    from upright.tree import Tree

__all__ = [
    "NotBooted",
    "boundary",
    "call",
    "call_async",
    "history",
    "metrics",
    "notices",
    "protect",
    "recover",
    "recover_async",
    "report",
    "status",
]

F = TypeVar("F", bound="Callable[..., Any]")


_refused = Tally()  # reports made while there was no tree


class NotBooted(UprightError):  # noqa: N818 - says what is the matter
    """Something was asked of the default tree, and `upright.boot()` has not been called in this process."""


def protect(
    operation: str,
    *,
    resource: str | None = None,
    idempotent: bool | None = None,
    **overrides: Any,
) -> Callable[[F], F]:
    """Decorate a `def` or `async def` as `Tree.protect` does, for whichever tree is the default when it is called.

    Until there is one, and after it was stopped, calls are bare calls. A wrong option is found out at the latest
    when a tree is booted.

    Raises:
        ConfigError: `operation` is no name; it is a function where the parentheses were forgotten.
    """
    require_name("protect.operation", operation)
    binding = _LateBinding(operation, resource, idempotent, overrides)

    def decorate(function: F) -> F:
        return protected(function, binding)

    return decorate


class _LateBinding(Binding):
    """Follows the default tree."""

    __slots__ = ("_given", "_unbound")

    def __init__(self, operation: str, resource: str | None, idempotent: bool | None, overrides: Any) -> None:  # noqa: FBT001
        bare = OperationOptions(BreakerOptions(), RetryPolicy(), 0.0)
        self._unbound = Operation(operation, resource, bare)
        super().__init__(self._unbound, None, resource=resource, idempotent=idempotent)
        self._given = (operation, resource, idempotent, overrides)
        on_boot(self)
        tree = default_tree()
        if tree is not None:
            self.rebind(tree)

    def rebind(self, tree: Tree | None) -> None:
        """Belong to this tree from now on; to none, so that calls are bare calls, if there is none again."""
        if tree is None:
            self.bind(self._unbound, None)
        else:
            self.bind(tree.operation(*self._given), tree.edge)


def call(operation: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> RecoveryResult:
    """Call a function under protection of the default tree; see `Tree.call`. The bare call if there is none."""
    tree = default_tree()
    if tree is not None:
        return tree.call(operation, function, *args, **kwargs)
    refuse_coroutine("call.function", function, "call_async")
    function, args = unprotected(function, args)
    began = monotonic()
    try:
        return _succeeded(operation, began, function(*args, **kwargs))
    except Exception as error:
        return _not_booted(error, operation, None)


async def call_async(operation: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> RecoveryResult:
    """The same for a coroutine function; see `Tree.call_async`."""
    tree = default_tree()
    if tree is not None:
        return await tree.call_async(operation, function, *args, **kwargs)
    function, args = unprotected(function, args)
    began = monotonic()
    try:
        value = function(*args, **kwargs)
        return _succeeded(operation, began, await value if is_awaitable(value) else value)
    except Exception as error:
        return _not_booted(error, operation, None)


def boundary(
    operation: str, *, resource: str | None = None, context: Mapping[str, Any] | None = None
) -> Boundary | nullcontext[None]:
    """Report what escapes from a block to the default tree; see `Tree.boundary`. Nothing happens if there is none."""
    tree = default_tree()
    if tree is None:
        return nullcontext()
    return tree.boundary(operation, resource=resource, context=context)


def report(
    error: BaseException,
    *,
    operation: str,
    resource: str | None = None,
    context: Mapping[str, Any] | None = None,
) -> None:
    """Tell the default tree about an error; counted and otherwise without effect if there is none."""
    tree = default_tree()
    if tree is None:
        ErrorReport(
            error, operation, resource, {} if context is None else context
        )  # a wrong report is wrong without a tree as well
        _refused.add()
        return
    tree.report(error, operation=operation, resource=resource, context=context)


def recover(error: BaseException, *, operation: str, **options: Any) -> RecoveryResult:
    """Recover from an error on the default tree; see `Tree.recover`. FAILED with the error itself if there is none."""
    tree = default_tree()
    if tree is None:
        return _not_booted(error, operation, options.get("resource"))
    return tree.recover(error, operation=operation, **options)


async def recover_async(error: BaseException, *, operation: str, **options: Any) -> RecoveryResult:
    """The same in a coroutine; see `Tree.recover_async`."""
    tree = default_tree()
    if tree is None:
        return _not_booted(error, operation, options.get("resource"))
    return await tree.recover_async(error, operation=operation, **options)


def status() -> NodeStatus:
    """Return the status of the default tree; a single STOPPED node if there is none."""
    tree = default_tree()
    if tree is not None:
        return tree.status()
    return NodeStatus(
        name="upright",
        kind="supervisor",
        actor="none",
        state=NodeState.STOPPED,
        restarts=0,
        uptime=0.0,
        mailbox_depth=0,
        busy_for=None,
        last_exit="never booted in this process",
        zombies=0,
        details={"refused_reports": _refused.value},
        children=(),
    )


def history(limit: int | None = None) -> list[HistoryEntry]:
    """Return the newest recoveries of the default tree, oldest first; none if there is no tree."""
    tree = default_tree()
    return [] if tree is None else tree.history(limit)


def metrics() -> ResilienceMetrics:
    """Return the metrics of the default tree.

    Raises:
        NotBooted: There is none.
    """
    tree = default_tree()
    if tree is None:
        raise NotBooted("upright.metrics() needs a tree: call upright.boot() first")
    return tree.metrics()


def notices(limit: int = 100, *, backlog: int = 0) -> NoticeStream:
    """Open a stream of the default tree's RecoveryNotices; see `Tree.notices`.

    Raises:
        NotBooted: There is no tree.
    """
    tree = default_tree()
    if tree is None:
        raise NotBooted("upright.notices() needs a tree: call upright.boot() first")
    return tree.notices(limit, backlog=backlog)


def _succeeded(operation: str, began: float, value: Any) -> RecoveryResult:
    took = monotonic() - began
    return RecoveryResult(
        recovery_id=None,
        status=RecoveryStatus.SUCCEEDED,
        value=value,
        duration=took,
        operation=operation,
        started_at=time.time() - took,
    )


def _not_booted(error: BaseException, operation: str, resource: str | None) -> RecoveryResult:
    known = ErrorReport(error, operation, resource)
    return RecoveryResult(
        recovery_id=known.recovery_id,
        status=RecoveryStatus.FAILED,
        error=error,
        duration=monotonic() - known.created_at,
        steps=(RecoveryStep(Stage.HEALING, "none", StepOutcome.SKIPPED, 0.0, "never booted in this process"),),
        operation=operation,
        resource=resource,
        code=known.code,
    )
