"""One protected operation: its circuit, its fallback chain, its options, as callers read them.

Operations are known by name, and names may be made up at run time (`tree.call(f"tenant-{n}", ...)`), so the registry
is bounded: idle ones whose circuit is closed go first. An operation that somebody still holds is found again under
its name also after it was let go.
"""

from __future__ import annotations

import weakref
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from upright.actors.reply import ReplyFuture
from upright.strategies.breaker import BreakerState, CircuitBreaker
from upright.strategies.options import require_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from upright.strategies.breaker import BreakerSnapshot
    from upright.strategies.breaker_options import BreakerOptions
    from upright.strategies.retry import RetryBudget, RetryPolicy

__all__ = ["Operation", "OperationOptions", "Operations"]

_NONE: Final[Mapping[str, Any]] = {}
_LOOK_AT: Final = 32  # operations looked at, oldest first, to find one that may go


class OperationOptions:
    """What holds for one operation: the configuration, with what was overridden for it.

    Attributes:
        breaker: When its circuit trips.
        retry: How failed calls are made again.
        heal_wait: Seconds that a caller waits for a healing.
        idempotent: Whether a call may be made again; None: unless the error comes from an HTTP request whose
            method is not idempotent.
        deadline: Seconds from its start within which a call may be retried; None sets no limit. The one call after a
            healing comes within `heal_wait` and the time that those before it take.
    """

    __slots__ = ("breaker", "deadline", "heal_wait", "idempotent", "retry")

    def __init__(
        self,
        breaker: BreakerOptions,
        retry: RetryPolicy,
        heal_wait: float,
        idempotent: bool | None = None,  # noqa: FBT001 - three-valued, not a switch
        deadline: float | None = None,
    ) -> None:
        self.breaker = breaker
        self.retry = retry
        self.heal_wait = heal_wait
        self.idempotent = idempotent
        self.deadline = deadline


class Operation:
    """One operation of one tree.

    Attributes:
        name: As the application calls it.
        resource: What it works on; None if that has no name of its own.
        options: What holds for it.
        breaker: Its circuit. Changed by the breaker actor only; callers read `breaker.snapshot`.
        rejected: Calls that the circuit kept away, for the status; raised by callers, approximately.
        listed_from: When the second began in which `listed` answers of its open circuit were listed one by one; see
            upright.outage. Both are changed by callers, approximately.
        inquired: The state of the circuit since which the orchestrator was asked whether it heals the resource.
        suspect: What is healed if its circuit opens: what the newest counted failure was about. Written by callers.
        overrides: Options that the code gave for it, so far.
    """

    __slots__ = (
        "__weakref__",
        "_made",
        "breaker",
        "inquired",
        "listed",
        "listed_from",
        "name",
        "options",
        "overrides",
        "rejected",
        "resource",
        "suspect",
    )

    def __init__(self, name: str, resource: str | None, options: OperationOptions) -> None:
        self.name = name
        self.resource = resource
        self.options = options
        self.breaker = CircuitBreaker(options.breaker, monotonic())
        # What most operations never need, and what most of their memory would be.
        self._made: dict[str, Any] = {}
        self.rejected = 0
        self.listed_from = 0.0
        self.listed = 0
        self.inquired: BreakerSnapshot | None = None
        self.suspect = self.target
        self.overrides: Mapping[str, Any] = _NONE

    @property
    def budget(self) -> RetryBudget | None:
        """What its retries are paid from; None if they are not limited."""
        made: dict[str, RetryBudget | None] = self._made
        try:
            return made["budget"]
        except KeyError:
            return made.setdefault("budget", self.options.retry.new_budget())

    @property
    def changed(self) -> ReplyFuture[None]:
        """Settled when the circuit changes its state, which the breaker actor says by `has_changed`."""
        future: ReplyFuture[None] = self._made.setdefault("changed", ReplyFuture())
        return future

    def has_changed(self) -> None:
        """Wake who waits for a change of the circuit's state; whoever comes later waits for the next."""
        future = self._made.pop("changed", None)
        if future is not None:
            future.answer(None)

    def overridden(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Return all that the code has given for it so far, the last word on each option.

        But for one: where any of its functions must not be repeated, another that may be says so for itself alone.
        """
        given = {**self.overrides, **overrides}
        if self.overrides.get("idempotent") is False:
            given["idempotent"] = False
        return given

    def set_options(self, options: OperationOptions) -> None:
        """Let other options hold from now on."""
        before, self.options = self.options, options
        self.breaker.options = options.breaker
        if options.retry.budget != before.retry.budget:
            self._made.pop("budget", None)  # else it would be full again each time a function is decorated

    @property
    def target(self) -> str:
        """What is healed when it fails."""
        return self.resource or self.name

    def is_idle(self, now: float, quiet: float) -> bool:
        """Whether nothing would be lost by forgetting it: circuit closed, no call for `quiet` seconds."""
        snapshot = self.breaker.snapshot
        if snapshot.state is not BreakerState.CLOSED:
            return False
        log = snapshot.log
        try:
            return not log or now - log[-1][0] > quiet
        except IndexError:
            return True


class Operations:
    """All operations of one tree, by name. Safe from any thread: every step on the dicts is atomic.

    Args:
        limit: How many are kept.
        make_options: Gives the options of a new one: `make_options(name, resource)`.
    """

    __slots__ = ("_known", "_living", "_make_options", "limit")

    def __init__(self, limit: int, make_options: Callable[[str, str | None], OperationOptions]) -> None:
        self.limit = limit
        self._make_options = make_options
        self._known: dict[str, Operation] = {}
        self._living: weakref.WeakValueDictionary[str, Operation] = weakref.WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Any:
        return iter(list(self._known.values()))

    def find(self, name: str) -> Operation | None:
        """Return an operation that is known, or None."""
        return self._known.get(name) or self._living.get(name)

    def get(self, name: str, resource: str | None = None, options: OperationOptions | None = None) -> Operation:
        """Return the operation of this name, making it if need be.

        A resource or options given for one that is there already replace what it had: the last word holds. What a
        function was bound to is its own all the same, see `Call.given`.

        Raises:
            ConfigError: `name` or `resource` is no text, empty, or longer than 1 000 characters.
        """
        if type(name) is not str:
            name = require_name("protect.operation", name)
        found = self._known.get(name)
        if found is None:
            found = self._make(name, resource, options)
        elif resource is not None and resource is not found.resource:
            found.resource = require_name("protect.resource", resource)
            found.suspect = found.target
        if options is not None and options is not found.options:
            found.set_options(options)
        return found

    def met(self, name: str, resource: str | None) -> Operation:
        """Return the operation of this name, which has failed or may fail on a resource: its own, unless it has one."""
        found = self.get(name)
        if resource is not None and found.resource is None:
            found = self.get(name, resource)
        return found

    def _make(self, name: str, resource: str | None, options: OperationOptions | None) -> Operation:
        name = require_name("protect.operation", name)
        if resource is not None:
            resource = require_name("protect.resource", resource)
        operation = self._living.get(name)
        if operation is None:
            operation = Operation(name, resource, options or self._make_options(name, resource))
        if len(self._known) >= self.limit:
            self._let_one_go()
        operation = self._known.setdefault(name, operation)
        self._living[name] = operation
        return operation

    def _let_one_go(self) -> None:
        """Forget the oldest that is idle; circuits that are not closed only if there is nothing else."""
        for _ in range(self.limit // _LOOK_AT + 1):
            now = monotonic()
            oldest = self._oldest()
            for quiet in (60.0, 0.0):
                for name in oldest:
                    operation = self._known.get(name)
                    if operation is not None and operation.is_idle(now, quiet):
                        self._known.pop(name, None)
                        return
            for name in oldest:
                # Circuits that are not closed, at the old end: to the young end with them, and look further.
                operation = self._known.pop(name, None)
                if operation is not None:
                    self._known[name] = operation
        for name in self._oldest():
            self._known.pop(name, None)  # open circuits as far as one can see: the limit holds all the same

    def _oldest(self) -> list[str]:
        for _ in range(8):
            try:
                return [name for name, _ in zip(self._known, range(_LOOK_AT), strict=False)]
            except RuntimeError:  # another thread changed the dict: look again
                continue
        return []
