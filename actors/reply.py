"""The reply to one ask: set once, by whoever comes first, and awaited by threads and event loops alike.

pykka's ThreadingFuture makes a Condition for every ask and raises when it is set twice. Here an answer and a kill
may race for the same ask, so setting is a claim: `answer()` and `fail()` say whether they were first. A thread
that waits brings its own raw lock, made only if the answer is not there yet; an event loop brings a callback.

An actor can be interrupted between any two bytecodes, so nothing may be half done: the outcome is claimed and stored
by one `dict.setdefault`, and whoever comes second wakes the waiters as well, each of which bears being woken twice.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sys
from _thread import TIMEOUT_MAX, allocate_lock
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import pykka

from upright.actors.errors import AskTimeout
from upright.actors.interrupt import shielded
from upright.actors.messages import Answered
from upright.strategies.foreign import traceback_of
from upright.strategies.options import require_timeout

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from types import TracebackType

    from upright.actors.address import Address

    _Outcome = tuple[Any, BaseException | None, TracebackType | None]
    OptExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]

__all__ = ["Answer", "ReplyFuture", "TellBack"]

_logger = logging.getLogger("upright")

T = TypeVar("T")
M = TypeVar("M")
J = TypeVar("J")
R = TypeVar("R")


class Answer(Protocol):
    """Where an answer goes. The first of `answer` and `fail` wins; both say whether they were first."""

    def answer(self, value: Any, /) -> bool:
        """Give the result."""
        ...

    def fail(self, error: BaseException, /) -> bool:
        """Give an exception instead of a result."""
        ...


class TellBack:
    """Have the answer to an ask told to an actor, as `Answered(key, ...)` on its system lane.

    So an actor asks another one without waiting in a handler; the rule of exactly one answer holds all the same,
    whatever becomes of the actor that was asked.

    Args:
        address: Who is told.
        key: What it will know the ask by.
    """

    __slots__ = ("_claim", "address", "key")

    def __init__(self, address: Address[Any], key: Any) -> None:
        self.address = address
        self.key = key
        self._claim = [True]

    @property
    def done(self) -> bool:
        """Whether the answer has been told."""
        return not self._claim

    def answer(self, value: Any) -> bool:
        """Tell the result."""
        return self.tell(Answered(self.key, value))

    def fail(self, error: BaseException) -> bool:
        """Tell the exception."""
        return self.tell(Answered(self.key, error=error))

    def tell(self, answered: Answered, *, wake: bool = True) -> bool:
        """Tell the answer as the actor will get it.

        Args:
            answered: What it gets before anything else.
            wake: Whether it is to look at once. If not, it finds the answer when it is woken for another reason.
        """
        with shielded():
            try:
                self._claim.pop()
            except IndexError:
                return False
            try:
                lane = self.address.lane
                lane.system.append(answered)
            except BaseException:
                self._claim.append(True)  # it was not told: whoever comes next can
                raise
            if wake:
                lane.wake()
            if lane.closed:
                self.address.bounce(lane)
            return True


class ReplyFuture(pykka.ThreadingFuture[T]):
    """A pykka future that is answered exactly once and can be awaited without blocking the loop.

    `get(timeout=)` waits in a thread and raises `AskTimeout` (a `pykka.Timeout`); `await` suspends the running
    asyncio task instead, holding no thread. `map`, `filter`, `reduce` and `join` work as pykka documents them.
    """

    def __init__(self) -> None:
        # pykka's own __init__ is left out on purpose: it would make the Condition this class does without.
        self._get_hook = None
        self._outcomes: dict[str, _Outcome] = {}
        self._waiters: deque[Callable[[], object]] = deque()
        self._sources: tuple[pykka.Future[Any], ...] = ()

    # Setting: once, from any thread.

    def answer(self, value: Any) -> bool:
        """Set the result; False if the reply was set before."""
        return self._settle((value, None, None))

    def fail(self, error: BaseException) -> bool:
        """Set an exception, which `get` raises with its traceback; False if the reply was set before."""
        return self._settle((None, error, traceback_of(error)))

    def _settle(self, outcome: _Outcome) -> bool:
        first = self._outcomes.setdefault("it", outcome) is outcome
        if self._waiters:
            self._wake_waiters()
        return first

    @property
    def _outcome(self) -> _Outcome | None:
        return self._outcomes.get("it")

    def _wake_waiters(self) -> None:
        waiters = self._waiters
        while waiters:
            try:
                wake = waiters[0]
            except IndexError:
                return
            try:
                wake()
            except RuntimeError:
                pass  # a gate that somebody else has just opened
            except Exception:
                _logger.exception("A waiter of a reply raised")  # not the business of the actor that answers
            self._forget(wake)

    def set(self, value: T | None = None) -> None:
        """Set the result, as `pykka.Future.set` does: `queue.Full` if it was set before."""
        if self._get_hook is not None or not self.answer(value):
            raise queue.Full

    def set_exception(self, exc_info: OptExcInfo | None = None) -> None:
        """Set an exception, as `pykka.Future.set_exception` does: `queue.Full` if it was set before."""
        kind, error, traceback = exc_info or sys.exc_info()
        if error is None:
            if kind is None:
                raise TypeError("ReplyFuture.set_exception() needs exc_info outside an except block, got None")
            error = kind()
        if self._get_hook is not None or not self._settle((None, error, traceback)):
            raise queue.Full

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        """Compute the value when it is asked for, as `pykka.Future.set_get_hook` does."""
        if self._outcome is not None:
            raise queue.Full
        self._get_hook = func

    # Waiting.

    @property
    def done(self) -> bool:
        """Whether the reply has been set."""
        return self._outcome is not None

    def holds(self, error: BaseException) -> bool:
        """Whether the reply is this very exception; if not, it came from somewhere else while waiting."""
        outcome = self._outcome
        return outcome is not None and outcome[1] is error

    def add_waiter(self, wake: Callable[[], object]) -> None:
        """Call `wake()` when the reply is set, at once if it is; it runs on the thread that sets it.

        Called once, and in rare races twice: a waiter must bear that.
        """
        self._waiters.append(wake)
        if self._outcome is not None:
            self._wake_waiters()

    def get(self, *, timeout: float | None = None) -> Any:
        """Wait for the reply and return it, or raise the exception it holds.

        Args:
            timeout: Seconds to wait; None waits for ever.

        Raises:
            AskTimeout: If there was no reply in time. The reply can still be waited for again.
        """
        outcome = self._outcomes.get("it")
        if outcome is None:
            require_timeout("ReplyFuture.get.timeout", timeout)
            if self._get_hook is not None:
                return self._hooked(timeout)
            gate = allocate_lock()
            gate.acquire()
            self.add_waiter(gate.release)
            if not gate.acquire(timeout=-1 if timeout is None else min(max(0.0, timeout), TIMEOUT_MAX)):
                self._forget(gate.release)
                if self._outcome is None:
                    raise AskTimeout(f"no answer within {timeout} seconds")
            outcome = self._outcome
            assert outcome is not None  # the gate opens only after the outcome was stored  # noqa: S101
        value, error, traceback = outcome
        if error is not None:
            raise BaseException.with_traceback(error, traceback)  # past a method of its own that stands before it
        return value

    def _hooked(self, timeout: float | None) -> Any:
        # As in pykka the hook runs once; a hook that raises runs again at the next get.
        assert self._get_hook is not None  # noqa: S101 - the caller checked
        value = self._get_hook(timeout)
        self._settle((value, None, None))
        return value

    def _forget(self, wake: Callable[[], object]) -> None:
        try:
            self._waiters.remove(wake)
        except ValueError:
            return  # it is being woken at this moment

    def __await__(self) -> Generator[Any, None, T]:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # Outside asyncio: pykka's own behaviour, which the documentation of its futures promises.
            yield
            return cast("T", self.get())
        for source in self._sources:
            # The value is computed from others: wait for those first, so that the hook does not block the loop.
            if isinstance(source, ReplyFuture):
                yield from source._settled(loop)  # noqa: SLF001 - our own class
        if self._get_hook is None:
            yield from self._settled(loop)
        return cast("T", self.get())

    __iter__ = __await__

    def _settled(self, loop: asyncio.AbstractEventLoop) -> Generator[Any, None, None]:
        """Suspend the running task until the reply is there; raises nothing that the reply holds."""
        for source in self._sources:
            if isinstance(source, ReplyFuture):
                yield from source._settled(loop)  # noqa: SLF001 - our own class
        if self._outcome is not None or self._get_hook is not None:
            return
        waiter = loop.create_future()

        def release() -> None:
            if not waiter.done():
                waiter.set_result(None)

        def wake() -> None:
            try:
                loop.call_soon_threadsafe(release)
            except RuntimeError:
                return  # the loop was closed: nobody waits any more

        self.add_waiter(wake)
        try:
            yield from waiter
        finally:
            self._forget(wake)

    async def wait_async(self, timeout: float | None) -> T:
        """Wait like `get`, suspending the running asyncio task; raises `AskTimeout` after `timeout` seconds."""
        if timeout is None:
            return await self
        require_timeout("ReplyFuture.wait_async.timeout", timeout)
        try:
            async with asyncio.timeout(min(timeout, TIMEOUT_MAX)):
                return await self
        except TimeoutError:
            if self._outcome is not None:
                return cast("T", self.get())  # it came at the last moment, or is itself a TimeoutError
            raise AskTimeout(f"no answer within {timeout} seconds") from None

    # pykka's combinators, told what they wait for.

    def filter(self: ReplyFuture[Iterable[J]], func: Callable[[J], bool]) -> pykka.Future[Iterable[J]]:
        """Return a future of the items that pass `func`, as in pykka."""
        return self._from(super().filter(func), self)

    def join(self: ReplyFuture[Any], *futures: pykka.Future[Any]) -> pykka.Future[Iterable[Any]]:
        """Return a future of the list of all results, as in pykka."""
        return self._from(super().join(*futures), self, *futures)

    def map(self, func: Callable[[T], M]) -> pykka.Future[M]:
        """Return a future of `func(result)`, as in pykka."""
        return self._from(super().map(func), self)

    def reduce(self: ReplyFuture[Iterable[J]], func: Callable[[R, J], R], *args: R) -> pykka.Future[R]:
        """Return a future of the items folded by `func`, as in pykka."""
        return self._from(super().reduce(func, *args), self)

    def _from(self, future: pykka.Future[M], *sources: pykka.Future[Any]) -> pykka.Future[M]:
        if isinstance(future, ReplyFuture):
            future._sources = sources  # noqa: SLF001 - our own class
        return future
