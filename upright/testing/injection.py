"""Fault injection: errors, latency and hangs of protected calls; crashes and hangs of the tree's actors."""

from __future__ import annotations

import asyncio
import functools
import random
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from upright.actors.messages import Provoke
from upright.booting import default_tree
from upright.interception import intercept
from upright.strategies.codes import ErrorCode
from upright.strategies.errors import ConfigError, UprightError
from upright.strategies.foreign import is_coroutine_function
from upright.strategies.options import (
    is_finite_number,
    require_count,
    require_fraction,
    require_seconds,
    require_timeout,
)
from upright.strategies.tally import Tally
from upright.testing.errors import error_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from upright.actors.address import Address
    from upright.tree import Tree

__all__ = ["Crash", "Injection", "Injector", "inject"]


class Crash(UprightError):  # noqa: N818 - a fault, and no error of ours
    """What `inject.crash` crashes an actor with unless told otherwise."""


class Injection:
    """A fault that is in force from the moment it was made until `stop()`, or the end of its `with` block.

    Attributes:
        operation: Whose calls are hit; the name of an actor where that is hung.
    """

    def __init__(self, operation: str) -> None:
        self.operation = operation
        self._calls = Tally()
        self._faults = Tally()
        self._ended = threading.Event()
        self._sleepers: weakref.WeakSet[_Sleeper] = weakref.WeakSet()
        self._end: Callable[[], None] = _nothing

    @property
    def calls(self) -> int:
        """Calls seen, repetitions included."""
        return self._calls.value

    @property
    def faults(self) -> int:
        """Calls that were hit."""
        return self._faults.value

    def struck(self) -> None:
        """Count a call that was seen and hit."""
        self._calls.add()
        self._faults.add()

    def stop(self) -> None:
        """End the fault and let go what hangs in it. A second call does nothing."""
        self._end()
        self._ended.set()
        for sleeper in list(self._sleepers):
            sleeper.wake()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "over" if self._ended.is_set() else "in force"
        return f"<Injection into {self.operation!r}, {state}: {self.faults} of {self.calls} calls hit>"

    # Waiting, in a thread or on a loop, that ends with the injection.

    def wait(self, seconds: float | None) -> None:
        """Block this thread for so long, or until the end of the injection (None).

        Raises:
            ConfigError: `seconds` is neither None nor a number.
        """
        require_timeout("Injection.wait.seconds", seconds)
        self._ended.wait(None if seconds is None else min(seconds, threading.TIMEOUT_MAX))

    async def wait_async(self, seconds: float | None) -> None:
        """Suspend this task for so long, or until the end of the injection (None).

        Raises:
            ConfigError: `seconds` is neither None nor a number.
        """
        require_timeout("Injection.wait_async.seconds", seconds)
        sleeper = _Sleeper()
        self._sleepers.add(sleeper)
        if not self._ended.is_set():
            await sleeper.sleep(seconds)


class _Sleeper:
    """One task that waits for the end of an injection or of a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)

    async def sleep(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(None if seconds is None else min(seconds, threading.TIMEOUT_MAX)):
                await self._event.wait()
        except TimeoutError:
            return


class _CallFaults(Injection):
    """Faults of an operation's calls."""

    def __init__(
        self,
        operation: str,
        error: Callable[[], BaseException] | None,
        *,
        rate: float,
        times: int | None,
        latency: float,
        hang: bool,
        seed: int | None,
    ) -> None:
        super().__init__(operation)
        self._error = error
        self._rate = rate
        # One token for each call that may still be hit: taking one is a single step, whatever the thread.
        self._left = None if times is None else deque([None] * times)
        self._latency = latency
        self._hang = hang
        self._chance = random.Random(seed)
        self._end = intercept(operation, self._around)

    def _hits(self) -> bool:
        self._calls.add()
        if self._ended.is_set() or (self._rate < 1.0 and self._chance.random() >= self._rate):
            return False
        if self._left is not None:
            try:
                self._left.pop()
            except IndexError:
                return False
        self._faults.add()
        return True

    def _raise(self) -> None:
        if self._error is not None:
            # Without the frames of the time before: one exception may be given for many calls.
            raise self._error().with_traceback(None)

    def _around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if is_coroutine_function(function):

            @functools.wraps(function)
            async def hit_async(*args: Any, **kwargs: Any) -> Any:
                if self._hits():
                    if self._hang or self._latency:
                        await self.wait_async(None if self._hang else self._latency)
                    self._raise()
                return await function(*args, **kwargs)

            return hit_async

        @functools.wraps(function)
        def hit(*args: Any, **kwargs: Any) -> Any:
            if self._hits():
                if self._hang or self._latency:
                    self.wait(None if self._hang else self._latency)
                self._raise()
            return function(*args, **kwargs)

        return hit


class Injector:
    """Injects faults; `upright.testing.inject` is one, and the pytest fixture `inject` one that cleans up.

    Examples:
        >>> import upright
        >>> @upright.protect("price")
        ... def price(): return 42
        >>> with inject("price", ConnectionError("no route"), times=1) as fault:
        ...     try:
        ...         price()
        ...     except ConnectionError as error:
        ...         print("without a tree:", error)
        ...     price(), fault.faults, fault.calls
        without a tree: no route
        (42, 1, 2)
    """

    def __init__(self) -> None:
        self._made: weakref.WeakSet[Injection] = weakref.WeakSet()

    def __call__(
        self,
        operation: str,
        error: Any = None,
        *,
        rate: float = 1.0,
        times: int | None = None,
        latency: float = 0.0,
        hang: bool = False,
        seed: int | None = 0,
    ) -> Injection:
        """Let calls of an operation fail, be late or hang, in every tree of this process, from now on.

        What is hit: functions under `protect`, `tree.call`, the `call` of `tree.recover`, and each repetition of
        these after a healing or by a retry. A block under `tree.boundary` is hit at its beginning.

        Args:
            operation: Its name; one that nothing uses yet is fine.
            error: What a call that is hit raises: an exception (raised as it is, each time), an exception type
                (called without arguments), a function that returns a new one, or an ErrorCode or its name, for a
                real exception of that code as `error_for` makes it. None: nothing, the call is only late.
            rate: Fraction of the calls that are hit, 0 to 1.
            times: At most so many calls are hit; None sets no limit.
            latency: Seconds by which a call that is hit is late, before it is made or fails. These are real.
            hang: A call that is hit does not go on before the injection ends; then it fails with `error`, or is
                made if there is none.
            seed: Of the random numbers behind `rate`, so that a test meets the same calls each time; None takes
                new ones.

        Returns:
            The injection, in force; a context manager, or to be ended with `stop()`.

        Raises:
            ConfigError: An argument is not allowed, or there is nothing to inject.
        """
        if not isinstance(operation, str) or not operation:
            raise ConfigError("inject.operation", operation, "a text that is not empty")
        require_fraction("inject.rate", rate)
        if times is not None:
            require_count("inject.times", times)
        require_seconds("inject.latency", latency)
        if seed is not None and not is_finite_number(seed):
            raise ConfigError("inject.seed", seed, "None or an int")
        if not isinstance(hang, bool):
            raise ConfigError("inject.hang", hang, "True or False")
        if error is None and not latency and not hang:
            raise ConfigError("inject.error", error, "given, unless there is a latency or a hang")
        made = _CallFaults(
            operation,
            None if error is None else _maker(error),
            rate=rate,
            times=times,
            latency=latency,
            hang=hang,
            seed=seed,
        )
        self._made.add(made)
        return made

    def crash(
        self,
        actor: str | Address[Any],
        error: BaseException | None = None,
        *,
        tree: Tree | None = None,
        within: float = 10.0,
    ) -> None:
        """Crash an actor, and return when its next incarnation is at work.

        The crash comes in line with the actor's other messages, as if its handler had raised `error`; what waits
        behind it is kept for the next incarnation.

        Args:
            actor: Its name in the standard tree, such as "orchestrator", or the address of any SupervisedActor.
            error: What its handler raises; a `Crash` unless given. No `Reply`, for that is an answer.
            tree: Whose actor; the process's default tree unless given.
            within: Seconds that this may take.

        Raises:
            ActorStopped: It does not come back: its supervisor gave up, or its spec says so.
            AskTimeout: It has not crashed and come back within that time.
            ConfigError: There is no tree, or no such actor, or `within` is no finite number >= 0.
        """
        require_seconds("inject.crash.within", within)
        address = _address(actor, tree, "crash")
        fault = Crash("injected") if error is None else error

        def crash() -> None:
            raise fault

        until = time.monotonic() + within
        try:
            address.ask(Provoke(crash), timeout=within)
        except BaseException as raised:
            if raised is not fault:
                raise
        address.ask(Provoke(_nothing), timeout=max(0.0, until - time.monotonic()))

    def hang(self, actor: str | Address[Any], *, tree: Tree | None = None) -> Injection:
        """Let an actor hang in its next message until the injection ends, or its supervisor gives it up as hung.

        A supervisor does that after the `hang_timeout` of the actor's spec; in a standard tree after
        `supervision.hang_timeout` of the configuration.

        Raises:
            ActorStopped: It has stopped.
            ConfigError: There is no tree, or no such actor.
        """
        address = _address(actor, tree, "hang")
        made = Injection(address.name)

        def hang() -> None:
            made.struck()
            made.wait(None)

        address.tell(Provoke(hang))
        self._made.add(made)
        return made

    def stop(self) -> None:
        """End every injection of this injector that is still in force."""
        for injection in list(self._made):
            injection.stop()


inject = Injector()
"""The injector of the process; what it injects is ended by its `with` block, or by `stop()`."""


def _maker(error: Any) -> Callable[[], BaseException]:
    if isinstance(error, BaseException):
        return lambda: error
    if isinstance(error, str):
        if error not in ErrorCode.__members__:
            raise ConfigError("inject.error", error, f"an exception or one of {', '.join(ErrorCode)}")
        return lambda: error_for(error)
    if isinstance(error, type) and not issubclass(error, BaseException):
        raise ConfigError("inject.error", error, "an exception type")
    if not callable(error):
        raise ConfigError("inject.error", error, "an exception, an exception type, a function or an ErrorCode")
    made = error()
    if not isinstance(made, BaseException):
        raise ConfigError("inject.error", error, f"a function that returns an exception; it returned {made!r}, so it")
    return error  # type: ignore[no-any-return]


def _address(actor: str | Address[Any], tree: Tree | None, verb: str) -> Address[Any]:
    if not isinstance(actor, str):
        if not hasattr(actor, "incarnations"):
            raise ConfigError(f"inject.{verb}.actor", actor, "the name of an actor, or an Address")
        return actor
    tree = tree if tree is not None else default_tree()
    if tree is None:
        raise ConfigError(f"inject.{verb}.actor", actor, "an address, unless a tree was booted or is given")
    try:
        return tree[actor]
    except KeyError as error:
        raise ConfigError(f"inject.{verb}.actor", actor, f"an actor of the tree ({error.args[0]})") from None


def _nothing() -> None:
    """Do nothing."""
