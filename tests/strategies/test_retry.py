from __future__ import annotations

import asyncio
import math
import threading
import time
import traceback
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.strategies.classification import Classification, classify
from upright.strategies.codes import ErrorCode
from upright.strategies.errors import ConfigError
from upright.strategies.retry import RetryBudget, RetryPolicy, RetryRun, calls_since_failure, retry, retry_async

if TYPE_CHECKING:
    import tenacity


class Calls:
    """A call with a planned outcome for each time it is made, and the waits before it."""

    def __init__(self, *outcomes: BaseException | str) -> None:
        self.outcomes = list(outcomes)
        self.made = 0
        self.waits: list[float] = []

    def __call__(self) -> str:
        outcome = self.outcomes[min(self.made, len(self.outcomes) - 1)]
        self.made += 1
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def later(self) -> str:
        await asyncio.sleep(0)
        return self()

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def wait_async(self, seconds: float) -> None:
        self.waits.append(seconds)


class AskingError(Exception):
    """Answered with a Retry-After."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.retry_after = seconds


EXACT = RetryPolicy(attempts=5, initial=0.1, maximum=10.0, jitter=0.0)


def run(policy: RetryPolicy, calls: Calls, error: Exception | None = None, **options: Any) -> RetryRun:
    controller = policy.retrying(random=lambda: 0.0, sleep=calls.wait, **options)
    return retry(controller, error or ConnectionResetError("first"), calls)


def run_async(policy: RetryPolicy, calls: Calls, error: Exception | None = None, **options: Any) -> RetryRun:
    controller = policy.async_retrying(random=lambda: 0.0, sleep=calls.wait_async, **options)
    return asyncio.run(retry_async(controller, error or ConnectionResetError("first"), calls.later))


BOTH = pytest.mark.parametrize("runs", [run, run_async])


@BOTH
def test_a_failed_call_is_made_again_after_growing_waits_until_it_succeeds(runs: Any) -> None:
    calls = Calls(ConnectionResetError(), ConnectionResetError(), "value")
    result = runs(EXACT, calls)
    assert (result.succeeded, result.value, result.error, result.attempts) == (True, "value", None, 4)
    assert calls.waits == [0.1, 0.2, 0.4]
    assert result.waited == pytest.approx(0.7)


@BOTH
def test_attempts_count_the_first_call(runs: Any) -> None:
    last = ConnectionResetError("last")
    calls = Calls(ConnectionResetError(), last)
    result = runs(RetryPolicy(attempts=3), calls)
    assert (result.succeeded, result.error, result.attempts, calls.made) == (False, last, 3, 2)


@BOTH
def test_one_attempt_never_retries(runs: Any) -> None:
    calls, first = Calls("value"), ConnectionResetError()
    result = runs(RetryPolicy(attempts=1), calls, first)
    assert (result.succeeded, result.error, result.attempts, calls.made) == (False, first, 1, 0)


@BOTH
def test_a_permanent_error_is_not_retried(runs: Any) -> None:
    calls = Calls(ValueError("no"), "value")
    result = runs(EXACT, calls)
    assert (result.succeeded, calls.made) == (False, 1)
    assert isinstance(result.error, ValueError)
    assert runs(EXACT, Calls("value"), ValueError("first")).attempts == 1


@BOTH
@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), asyncio.CancelledError()], ids=repr)
def test_what_passes_through_is_never_retried(runs: Any, error: BaseException) -> None:
    """tenacity#529: a cancelled call that is made again."""
    calls = Calls(error, "value")
    with pytest.raises(type(error)):
        runs(EXACT, calls)
    assert calls.made == 1


def test_the_original_error_keeps_its_traceback() -> None:
    """tenacity#24, #544: the error that comes out is another one, or shows another place."""
    try:
        raise ConnectionResetError("first")
    except ConnectionResetError as caught:
        error = caught
    before = traceback.format_exception(error)
    again = ConnectionResetError("again")
    result = run(RetryPolicy(attempts=2), Calls(again), error)
    assert result.error is again
    assert error.__context__ is None
    assert traceback.format_exception(error) == before


@pytest.mark.parametrize(("asked", "deadline", "made"), [(61.0, None, 0), (59.0, None, 1), (61.0, math.inf, 1)])
def test_without_a_deadline_nobody_waits_longer_than_a_minute_because_it_was_asked_for(
    asked: float, deadline: float | None, made: int
) -> None:
    calls = Calls("value")
    limit = {} if deadline is None else {"deadline": time.monotonic() + 3600.0}
    assert run(EXACT, calls, AskingError(asked), **limit).succeeded is bool(made)
    assert calls.waits == [asked] * made


def test_a_maximum_of_more_than_a_minute_is_the_longest_wait_that_may_be_asked_for() -> None:
    patient = RetryPolicy(attempts=2, initial=0.1, maximum=3600.0, jitter=0.0)
    assert run(patient, Calls("value"), AskingError(3600.0)).succeeded
    assert not run(patient, Calls("value"), AskingError(3601.0)).succeeded


@BOTH
def test_retry_after_wins_over_the_maximum(runs: Any) -> None:
    calls = Calls(AskingError(0.5), "value")
    result = runs(RetryPolicy(attempts=3, initial=0.1, maximum=1.0, jitter=0.0), calls, AskingError(50.0))
    assert result.succeeded
    assert calls.waits == [50.0, 0.5]


@BOTH
def test_no_wait_is_begun_that_would_end_after_the_deadline(runs: Any) -> None:
    calls = Calls("value")
    result = runs(RetryPolicy(attempts=3), calls, AskingError(120.0), deadline=time.monotonic() + 60)
    assert (result.succeeded, calls.made, calls.waits) == (False, 0, [])
    assert runs(RetryPolicy(attempts=3), calls, AskingError(50.0), deadline=time.monotonic() + 60).succeeded


def test_those_turned_away_together_do_not_return_together() -> None:
    asked = Classification(ErrorCode.RATE_LIMITED, permanent=False, retry_after=30.0)
    waits = {EXACT.wait(asked, 1, random) for random in (0.0, 0.25, 0.5, 1.0)}
    assert waits == {30.0, 30.025, 30.05, 30.1}


def test_the_application_may_classify() -> None:
    def never(_: BaseException) -> Classification:
        return Classification(ErrorCode.UNKNOWN, permanent=True)

    assert run(EXACT, Calls("value"), classify=never).attempts == 1
    assert run(EXACT, Calls("value"), ValueError(), classify=lambda _: classify(OSError())).succeeded


@BOTH
def test_each_wait_is_announced(runs: Any) -> None:
    seen: list[tuple[int, float]] = []

    def before_sleep(state: tenacity.RetryCallState) -> None:
        seen.append((state.attempt_number, state.upcoming_sleep))

    runs(EXACT, Calls(ConnectionResetError(), "value"), before_sleep=before_sleep)
    assert seen == [(1, 0.1), (2, 0.2)]


def test_without_a_sleep_of_its_own_tenacity_waits_really() -> None:
    policy = RetryPolicy(attempts=2, initial=0.001, maximum=0.001)
    assert retry(policy.retrying(random=lambda: 0.0), OSError(), Calls("value")).succeeded
    controller = policy.async_retrying(random=lambda: 0.0)
    assert asyncio.run(retry_async(controller, OSError(), Calls("value").later)).succeeded


# Budget


def test_a_new_budget_holds_its_reserve() -> None:
    budget = RetryBudget(0.5, reserve=3)
    assert [budget.spend() for _ in range(4)] == [True, True, True, False]
    assert budget.left == 0


def test_calls_earn_their_fraction_and_fill_the_bucket_at_most() -> None:
    budget = RetryBudget(0.25, reserve=2)
    while budget.spend():
        pass
    earned = []
    for _ in range(8):
        budget.earn()
        earned.append(budget.left)
    assert earned == [0, 0, 0, 1, 1, 1, 1, 2]
    budget.earn(10**9)
    assert budget.left == 2


def test_a_budget_of_nothing_leaves_the_reserve() -> None:
    budget = RetryBudget(0.0, reserve=1)
    budget.earn(100)
    assert [budget.spend(), budget.spend()] == [True, False]


@BOTH
def test_an_exhausted_budget_ends_the_retries(runs: Any) -> None:
    budget = RetryBudget(0.0, reserve=2)
    calls = Calls(ConnectionResetError())
    assert runs(EXACT, calls, budget=budget).attempts == 3
    assert runs(EXACT, calls, budget=budget).attempts == 1


def test_a_retry_that_something_else_stops_is_not_paid_for() -> None:
    budget = RetryBudget(0.0, reserve=2)
    run(EXACT, Calls("value"), ValueError(), budget=budget)
    run(RetryPolicy(attempts=1), Calls("value"), budget=budget)
    run(EXACT, Calls("value"), AskingError(9.0), budget=budget, deadline=0.0)
    assert budget.left == 2


@given(st.floats(0.0, 1.0), st.integers(1, 10), st.integers(1, 300), st.integers(1, 10))
def test_an_outage_sees_no_more_than_the_budget_in_retries(
    ratio: float, reserve: int, calls: int, attempts: int
) -> None:
    budget, retries = RetryBudget(ratio, reserve), 0
    for _ in range(calls):
        budget.earn()
        for _ in range(attempts - 1):
            retries += budget.spend()
    assert retries <= calls * ratio + reserve


def test_in_an_outage_attempts_stay_under_twice_the_calls() -> None:
    """resilience4j#172, Polly#2348, hyx#83: retries multiply an outage."""
    policy = RetryPolicy(attempts=5)
    budget, attempts = policy.new_budget(), 0
    assert budget is not None
    for _ in range(1_000):
        budget.earn()
        attempts += run(policy, Calls(ConnectionResetError()), budget=budget).attempts
    assert 1_400 < attempts < 2_000


def test_threads_spend_each_token_once() -> None:
    budget, spent, begin = RetryBudget(0.5, reserve=100), deque[bool](), threading.Barrier(8)

    def work() -> None:
        begin.wait()
        for _ in range(500):
            budget.earn()
            spent.append(budget.spend())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(spent) + budget.left <= 4_000 * 0.5 + 100
    assert sum(spent) >= 2_000 - 100


def test_no_budget_is_no_limit() -> None:
    policy = RetryPolicy(attempts=4, budget=None)
    assert policy.new_budget() is None
    assert run(policy, Calls(ConnectionResetError()), budget=policy.new_budget()).attempts == 4


@pytest.mark.parametrize(
    ("outcomes", "calls"),
    [("", 1), ("F", 1), ("...F", 4), ("F...F", 4), ("FF", 1), ("F..F.", 3), ("....", 1)],
)
def test_a_failure_credits_itself_and_the_successes_since_the_one_before(outcomes: str, calls: int) -> None:
    log = deque((1.0, 0.1, outcome == "F") for outcome in outcomes)
    assert calls_since_failure(log) == calls


# Options


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"attempts": 0}, "RetryPolicy.attempts"),
        ({"attempts": 2.0}, "RetryPolicy.attempts"),
        ({"initial": 0.0}, "RetryPolicy.initial"),
        ({"maximum": 0.01}, "RetryPolicy.maximum"),
        ({"maximum": math.inf}, "RetryPolicy.maximum"),
        ({"multiplier": 0.5}, "RetryPolicy.multiplier"),
        ({"jitter": 2.0}, "RetryPolicy.jitter"),
        ({"budget": 1.5}, "RetryPolicy.budget"),
        ({"budget": -0.1}, "RetryPolicy.budget"),
    ],
    ids=str,
)
def test_an_option_that_breaks_its_rule_is_refused_by_name(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RetryPolicy(**changed)
    assert caught.value.field == field


def test_a_budget_checks_what_it_is_given() -> None:
    with pytest.raises(ConfigError, match=r"RetryBudget\.ratio"):
        RetryBudget(2.0)
    with pytest.raises(ConfigError, match=r"RetryBudget\.reserve"):
        RetryBudget(0.5, reserve=0)


@BOTH
def test_it_says_why_no_further_call_was_made(runs: Any) -> None:
    error, empty = ConnectionError("down"), RetryBudget(0.0, reserve=1)
    assert empty.spend()
    near = time.monotonic() + 0.01
    ended = {
        runs(EXACT, Calls("value"), error).ended: "",
        runs(EXACT, Calls(error), error).ended: "all attempts made",
        runs(EXACT, Calls(ValueError("no")), error).ended: "not to be retried",
        runs(EXACT, Calls("value"), error, budget=empty).ended: "the retry budget is spent",
        runs(EXACT, Calls("value"), error, deadline=near).ended: "the deadline is too near",
        runs(EXACT, Calls("value"), AskingError(86_400.0)).ended: "asked to wait for 86400 s",
    }
    assert list(ended) == list(ended.values())
