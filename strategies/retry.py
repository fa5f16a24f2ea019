"""When to call again, how long to wait before it, and when to give up. Tenacity does the retrying.

A retry stage begins with a call that has failed already. That failure is tenacity's first attempt, so the
first thing it does is to decide and to wait, and its numbers are the whole call's. All sleeping is tenacity's
own, in the caller's thread or on the caller's loop, or by the `sleep` that the caller passes in.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import tenacity

from upright.strategies import pace
from upright.strategies.backoff import Backoff
from upright.strategies.classification import Classification, classify
from upright.strategies.errors import ConfigError
from upright.strategies.foreign import Interruption, is_of, traceback_of
from upright.strategies.options import is_finite_number, require_count, require_fraction, require_seconds
from upright.strategies.window import Log, copied

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

__all__ = ["RetryBudget", "RetryPolicy", "RetryRun", "calls_since_failure", "retry", "retry_async"]

_PATIENCE = 60.0  # seconds that a caller without a deadline waits because the other side asked for it
_WHY = "upright_ended"  # on tenacity's state of a call: why it is not made again
_RESERVE = 5
_MAX_RESERVE = 1_000_000


class RetryBudget:
    """Retries that an operation may still make: earned by its calls, so that an outage is not multiplied.

    A token bucket. Each call earns a fraction of a retry, each retry spends one, and at most `reserve` are
    saved up, which is also what a new bucket holds. However many attempts a single call may make, N calls
    in a row that all fail make at most `N * ratio + reserve` retries between them. Any thread may earn and
    spend: both are atomic steps, and neither waits.

    Args:
        ratio: Retries earned by one call, 0 to 1.
        reserve: Retries that are saved up at most, 1 to 1 000 000.

    Raises:
        ConfigError: If `ratio` or `reserve` breaks its rule.
    """

    __slots__ = ("_calls", "_ratio", "_tokens")

    def __init__(self, ratio: float, reserve: int = _RESERVE) -> None:
        require_fraction("RetryBudget.ratio", ratio)
        require_count("RetryBudget.reserve", reserve, least=1)
        if reserve > _MAX_RESERVE:
            raise ConfigError("RetryBudget.reserve", reserve, f"an int from 1 to {_MAX_RESERVE}")
        self._ratio = ratio
        self._calls = itertools.count(1)
        self._tokens: deque[None] = deque([None] * reserve, maxlen=reserve)

    def earn(self, calls: int = 1) -> None:
        """Credit calls that were made; those beyond what fills the bucket count for nothing.

        Successful calls need not be credited one by one, which would cost each of them: who fails credits
        those before it as well (`calls_since_failure`).
        """
        require_count("RetryBudget.earn.calls", calls)
        for _ in range(min(calls, 1_000)):
            number = next(self._calls)
            # A whole token each time the sum of the fractions passes a whole number.
            if int(number * self._ratio) > int((number - 1) * self._ratio):
                self._tokens.append(None)

    def spend(self) -> bool:
        """Take one retry; False if none is left."""
        try:
            self._tokens.pop()
        except IndexError:
            return False
        return True

    @property
    def left(self) -> int:
        """Retries that are left."""
        return len(self._tokens)


def calls_since_failure(log: Log) -> int:
    """How many calls the last failure in a log may credit: itself, and the successes since the one before.

    Examples:
        >>> failed, went_well = (1.0, 0.1, True), (2.0, 0.1, False)
        >>> calls_since_failure(deque([went_well, failed, went_well, went_well, failed]))
        3
    """
    calls = 1
    outcomes = reversed(copied(log))
    for _, _, failed in outcomes:  # back to the last failure
        if failed:
            break
    for _, _, failed in outcomes:
        if failed:
            break
        calls += 1
    return calls


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and when a failed call is made again.

    Args:
        attempts: Calls in all, the first one included, at least 1; 1 never retries.
        initial: Seconds before the first retry, above 0.
        maximum: The longest wait, at least `initial`. A Retry-After of the other side is honoured beyond it, up to
            the operation's deadline; without one up to a minute, or `maximum` if that is more. A call that would
            have to wait longer is not made again.
        multiplier: Growth of the waits, at least 1.
        jitter: Spread of the waits as a fraction of each, 0 to 1.
        budget: Retries that the operation earns with each call, 0 to 1, see `RetryBudget`: at 0.5 an outage
            sees half as many retries as calls. None sets no limit.

    Raises:
        ConfigError: If a value breaks its rule.
    """

    attempts: int = 3
    initial: float = 0.1
    maximum: float = 10.0
    multiplier: float = 2.0
    jitter: float = 0.5
    budget: float | None = 0.5

    def __post_init__(self) -> None:
        require_count("RetryPolicy.attempts", self.attempts, least=1)
        require_seconds("RetryPolicy.initial", self.initial, above=True)
        require_seconds("RetryPolicy.maximum", self.maximum)
        if self.maximum < self.initial:
            raise ConfigError("RetryPolicy.maximum", self.maximum, f"at least initial ({self.initial!r})")
        require_seconds("RetryPolicy.multiplier", self.multiplier, least=1.0)
        require_fraction("RetryPolicy.jitter", self.jitter)
        if self.budget is not None:
            require_fraction("RetryPolicy.budget", self.budget)

    @property
    def backoff(self) -> Backoff:
        """The waits, where the other side asks for none."""
        return Backoff(self.initial, self.maximum, self.multiplier, self.jitter)

    def new_budget(self) -> RetryBudget | None:
        """A full bucket for one operation; None where there is no limit."""
        return None if self.budget is None else RetryBudget(self.budget)

    def wait(self, classification: Classification, attempt: int, random: float) -> float:
        """Seconds between a failed attempt and the next.

        Where the other side asked for a time, never earlier, and at most `initial` later, so that those who
        were turned away together do not return together.

        Args:
            classification: Of the failure.
            attempt: The number of the failed attempt, from 1.
            random: A number in [0, 1].
        """
        if classification.retry_after is not None:
            return classification.retry_after + self.initial * random
        return self.backoff.delay(attempt, random)

    def retrying(
        self,
        *,
        random: Callable[[], float],
        budget: RetryBudget | None = None,
        deadline: float | None = None,
        classify: Callable[[BaseException], Classification] = classify,
        sleep: Callable[[float], Any] | None = None,
        before_sleep: Callable[[tenacity.RetryCallState], Any] | None = None,
    ) -> tenacity.Retrying:
        """Tenacity's controller of one call, for `retry`.

        Args:
            random: Source of numbers in [0, 1].
            budget: What retries are paid from; None sets no limit.
            deadline: Monotonic seconds. A wait that would end later is not begun. None: one that the other side
                asked for is not begun if it is longer than a minute and `maximum`.
            classify: Decides what is retried (`retryable`) and when (`retry_after`).
            sleep: How to wait; None is tenacity's, `time.sleep`.
            before_sleep: Called with tenacity's state before each wait, for logs and steps.
        """
        options = self._options(random, budget, deadline, classify)
        if sleep is not None:
            options["sleep"] = sleep
        return tenacity.Retrying(**options, before_sleep=before_sleep)

    def async_retrying(
        self,
        *,
        random: Callable[[], float],
        budget: RetryBudget | None = None,
        deadline: float | None = None,
        classify: Callable[[BaseException], Classification] = classify,
        sleep: Callable[[float], Awaitable[None]] | None = None,
        before_sleep: Callable[[tenacity.RetryCallState], Any] | None = None,
    ) -> tenacity.AsyncRetrying:
        """The same for a coroutine function and `retry_async`; tenacity's own sleep is the running loop's."""
        options = self._options(random, budget, deadline, classify)
        if sleep is not None:
            options["sleep"] = sleep
        return tenacity.AsyncRetrying(**options, before_sleep=before_sleep)

    def _options(
        self,
        random: Callable[[], float],
        budget: RetryBudget | None,
        deadline: float | None,
        classify: Callable[[BaseException], Classification],
    ) -> dict[str, Any]:
        if deadline is not None and not is_finite_number(deadline):
            raise ConfigError("RetryPolicy.retrying.deadline", deadline, "None or a finite number of seconds")

        def failed(state: tenacity.RetryCallState) -> bool:
            return state.outcome is not None and state.outcome.failed

        def wait(state: tenacity.RetryCallState) -> float:
            return pace.seconds(self.wait(classify(_error_of(state)), state.attempt_number, random()))

        def why_stop(state: tenacity.RetryCallState) -> str:
            known = classify(_error_of(state))
            if not known.retryable:
                return "not to be retried"
            if state.attempt_number >= pace.attempts(self.attempts):
                return "all attempts made"
            if deadline is not None:
                if (state.outcome_timestamp or 0.0) + state.upcoming_sleep > deadline:
                    return "the deadline is too near"
            elif (known.retry_after or 0.0) > max(_PATIENCE, self.maximum):
                # A server may ask for a day, and the caller is a thread or a task that somebody waits for.
                return f"asked to wait for {known.retry_after:g} s"
            # Last, for it spends: nothing may stop a retry that was paid for.
            return "" if budget is None or budget.spend() else "the retry budget is spent"

        def must_stop(state: tenacity.RetryCallState) -> bool:
            why = why_stop(state)
            if why:
                vars(state)[_WHY] = why
            return bool(why)

        # What is permanent stops it, too, instead of being raised from inside of tenacity, which would add
        # tenacity's frames to the traceback of the application's error.
        return {"retry": failed, "wait": wait, "stop": must_stop, "retry_error_callback": _end}


@dataclass(frozen=True, slots=True, eq=False)
class RetryRun:
    """What became of the retries of one call.

    Attributes:
        succeeded: Whether a call got through.
        value: What it returned.
        error: The last failure; the first one if nothing was retried, None after a success.
        attempts: Calls in all, the first one included.
        waited: Seconds spent waiting between them.
        ended: Why no further call was made, for people; empty after a success.
    """

    succeeded: bool
    value: Any
    error: BaseException | None
    attempts: int
    waited: float
    ended: str = ""


def retry(controller: tenacity.Retrying, error: BaseException, call: Callable[[], Any]) -> RetryRun:
    """Make a failed call again, as its policy allows.

    Args:
        controller: From `RetryPolicy.retrying`, made for this call.
        error: The failure of the first call; neither raised nor changed.
        call: The call.

    Raises:
        BaseException: What passes through (`is_passthrough`) comes out as `call` raised it.
    """
    run, seen = RetryRun(False, None, error, 1, 0.0), dict[str, Any]()
    for attempt in controller:
        state = attempt.retry_state
        seen = vars(state)
        if state.attempt_number > 1:
            try:
                value = call()
            except Exception as failure:  # what passes through is no Exception
                error = failure
            else:
                return RetryRun(True, value, None, state.attempt_number, state.idle_for)
        run = RetryRun(False, None, error, state.attempt_number, state.idle_for)
        state.set_exception(_told(error))
    return replace(run, ended=seen.get(_WHY, ""))


async def retry_async(
    controller: tenacity.AsyncRetrying, error: BaseException, call: Callable[[], Awaitable[Any]]
) -> RetryRun:
    """The same for a coroutine function, on the running loop."""
    run, seen = RetryRun(False, None, error, 1, 0.0), dict[str, Any]()
    async for attempt in controller:
        state = attempt.retry_state
        seen = vars(state)
        if state.attempt_number > 1:
            try:
                value = await call()
            except Exception as failure:  # what passes through is no Exception
                error = failure
            else:
                return RetryRun(True, value, None, state.attempt_number, state.idle_for)
        run = RetryRun(False, None, error, state.attempt_number, state.idle_for)
        state.set_exception(_told(error))
    return replace(run, ended=seen.get(_WHY, ""))


def _error_of(state: tenacity.RetryCallState) -> BaseException:
    error = None if state.outcome is None else state.outcome.exception()
    assert error is not None  # noqa: S101 - tenacity asks these questions about failures alone
    return error.error if is_of(error, _Unreadable) else error


class _Unreadable(Exception):  # noqa: N818 - it stands for one
    """What tenacity gets instead of an error that raises on a look at its class, for it looks."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


def _told(error: BaseException) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    try:
        readable = error.__class__ is type(error)
    except (KeyboardInterrupt, Interruption):
        raise
    except BaseException:
        readable = False
    told = error if readable else _Unreadable(error)
    return type(told), told, traceback_of(told)


def _end(_state: tenacity.RetryCallState) -> None:
    """Ends the iteration."""
