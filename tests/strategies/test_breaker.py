"""The circuit breaker's state machine, and its halves together under threads."""
# ruff: noqa: FBT001 - parametrized flags

from __future__ import annotations

import gc
import itertools
import math
import threading
from collections import deque
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from upright.strategies.breaker import BreakerSnapshot, BreakerState, CircuitBreaker, Transition
from upright.strategies.breaker_options import BreakerOptions
from upright.strategies.errors import ConfigError
from upright.strategies.permits import Permit, Probation, ProbeOutcome
from upright.strategies.window import Rates, WindowType, copied, rates_of

START = 1_000.0


def options(**changed: Any) -> BreakerOptions:
    return BreakerOptions(**{"minimum_number_of_calls": 4, "window_size": 10, **changed})


def log(breaker: CircuitBreaker, outcomes: str, now: float = START, took: float = 0.01) -> Transition | None:
    """Logs `.` as a success and `F` as a failure, and tells the owner as the boundary does."""
    transition = None
    for outcome in outcomes:
        breaker.snapshot.log.append((now, took, outcome == "F"))
        slow = took > breaker.options.slow_call_duration
        if outcome == "F" or slow:
            transition = breaker.on_failure(now, 0.0) or transition
    return transition


def opened(**changed: Any) -> CircuitBreaker:
    breaker = CircuitBreaker(options(**changed), START)
    log(breaker, "FFFF")
    assert breaker.state is BreakerState.OPEN
    return breaker


def half_opened(**changed: Any) -> CircuitBreaker:
    breaker = opened(**changed)
    breaker.tick(breaker.snapshot.retry_at)
    assert breaker.state is BreakerState.HALF_OPEN
    return breaker


def came_out(
    breaker: CircuitBreaker, permit: Permit, *, failed: bool, took: float, now: float, random: float
) -> Transition | None:
    """Notes an outcome on its permit, and tells the owner as the boundary does."""
    permit.outcome = ProbeOutcome(failed, took)
    return breaker.on_probe(permit, now=now, random=random)


def probe(breaker: CircuitBreaker, now: float, *, failed: bool = False, took: float = 0.0) -> Transition | None:
    permit = breaker.snapshot.acquire(now)
    assert permit is not None
    return came_out(breaker, permit, failed=failed, took=took, now=now, random=0.0)


# Window


def test_rates_count_failures_and_slow_calls() -> None:
    window = deque([(1.0, 0.1, False), (2.0, 9.0, True), (3.0, 9.0, False), (4.0, 5.0, True)])
    rates = rates_of(window, slow=5.0)
    assert rates == Rates(calls=4, failures=2, slow=2)
    assert (rates.failure_rate, rates.slow_rate) == (0.5, 0.5)
    assert rates_of(window, slow=5.0, since=3.0) == Rates(calls=2, failures=1, slow=1)


def test_an_empty_window_has_no_rates() -> None:
    assert (Rates().failure_rate, Rates().slow_rate) == (0.0, 0.0)


class Changing(deque[int]):
    """A deque that others change under its reader, as on a Python without the global lock."""

    def __init__(self, items: list[int], times: int) -> None:
        super().__init__(items)
        self.times = times

    def __iter__(self) -> Any:
        if self.times > 0:
            self.times -= 1
            yield 0
            raise RuntimeError("deque mutated during iteration")
        yield from [1, 2, 3]


def test_a_log_that_changes_under_its_reader_is_read_again() -> None:
    assert copied(Changing([1, 2, 3], times=7)) == (1, 2, 3)


def test_a_log_that_never_rests_gives_what_could_be_read() -> None:
    assert copied(Changing([1, 2, 3], times=99)) == (0,)


# Tripping


def test_a_new_breaker_is_closed_and_passes() -> None:
    breaker = CircuitBreaker(BreakerOptions(), START)
    assert breaker.state is BreakerState.CLOSED
    assert breaker.snapshot.passes
    assert breaker.snapshot.wait_time(START) == 0.0
    assert breaker.next_tick() is None
    assert breaker.tick(START) is None


def test_the_circuit_opens_when_the_failure_rate_reaches_its_threshold() -> None:
    breaker = CircuitBreaker(options(failure_rate_threshold=0.5), START)
    assert log(breaker, "...F") is None
    assert log(breaker, "F") is None
    transition = log(breaker, "F")
    assert transition is not None
    assert (transition.before, transition.after) == (BreakerState.CLOSED, BreakerState.OPEN)
    assert transition.reason == "3 of 6 calls failed"
    assert transition.rates == Rates(6, 3, 0)
    assert transition.wait == 5.0


def test_no_rate_is_worked_out_from_fewer_calls_than_the_minimum() -> None:
    breaker = CircuitBreaker(options(minimum_number_of_calls=10), START)
    assert log(breaker, "F" * 9) is None
    assert log(breaker, "F") is not None


def test_a_count_window_smaller_than_the_minimum_is_judged_when_full() -> None:
    breaker = CircuitBreaker(options(minimum_number_of_calls=10, window_size=3), START)
    assert log(breaker, "FF") is None
    assert log(breaker, "F") is not None


def test_a_count_window_forgets_what_is_too_many_calls_ago() -> None:
    breaker = CircuitBreaker(options(window_size=10), START)
    log(breaker, "..FFF....")
    log(breaker, "." * 5)
    assert breaker.rates(START) == Rates(10, 1, 0)
    assert log(breaker, "FF") is None


def test_a_time_window_forgets_what_is_too_long_ago() -> None:
    breaker = CircuitBreaker(options(window_type="TIME", window_size=10.0, failure_rate_threshold=1.0), START)
    log(breaker, "...FFF", now=START)
    assert log(breaker, "FFF", now=START + 10.0) is None
    assert breaker.rates(START + 10.0).calls == 9
    transition = log(breaker, "F", now=START + 10.1)
    assert transition is not None
    assert transition.rates == Rates(4, 4, 0)


def test_a_time_window_is_bounded_in_calls() -> None:
    breaker = CircuitBreaker(options(window_type=WindowType.TIME, window_size=1e6), START)
    for _ in range(20_000):
        breaker.snapshot.log.append((START, 0.0, False))
    assert breaker.rates(START).calls == 10_000


def test_slow_calls_open_the_circuit_though_they_succeed() -> None:
    breaker = CircuitBreaker(options(slow_call_duration=1.0, slow_call_rate_threshold=0.75), START)
    assert log(breaker, "..", took=0.5) is None
    assert log(breaker, ".....", took=2.0) is None
    transition = log(breaker, ".", took=2.0)
    assert transition is not None
    assert transition.reason == "6 of 8 calls were slow"


def test_a_call_of_exactly_the_slow_duration_is_not_slow() -> None:
    breaker = CircuitBreaker(options(slow_call_duration=1.0), START)
    assert log(breaker, "....", took=1.0) is None
    assert breaker.rates(START).slow == 0


def test_a_late_failure_of_a_call_that_began_before_the_trip_changes_nothing() -> None:
    breaker = opened()
    snapshot = breaker.snapshot
    assert breaker.on_failure(START, 0.0) is None
    assert breaker.snapshot is snapshot


def test_the_last_counted_failure_is_kept_for_the_rejected() -> None:
    breaker, failure = CircuitBreaker(options(), START), ConnectionResetError()
    for _ in range(4):
        breaker.snapshot.log.append((START, 0.0, True))
    breaker.on_failure(START, 0.0, failure)
    assert breaker.snapshot.cause is failure
    breaker.tick(START + 5)
    assert breaker.snapshot.cause is failure
    probe(breaker, START + 5)
    probe(breaker, START + 5)
    probe(breaker, START + 5)
    assert breaker.snapshot.cause is None


# Open


def test_an_open_circuit_rejects_and_says_how_long() -> None:
    breaker = opened()
    assert not breaker.snapshot.passes
    assert breaker.snapshot.acquire(START + 4.9) is None
    assert breaker.snapshot.wait_time(START + 1.0) == 4.0
    assert breaker.next_tick() == START + 5.0
    assert breaker.tick(START + 4.9) is None


def test_an_open_circuit_whose_wait_is_over_hands_out_permits_without_its_owner() -> None:
    breaker = opened(permitted_calls_in_half_open=2)
    at = START + 5.0
    taken = [breaker.snapshot.acquire(at) for _ in range(5)]
    assert sum(permit is not None for permit in taken) == 2
    assert breaker.snapshot.wait_time(at) > 0
    breaker.tick(at)
    assert breaker.state is BreakerState.HALF_OPEN
    assert breaker.snapshot.acquire(at) is None  # the owner's word gives out no second round


def test_a_probe_may_report_before_the_owner_has_said_half_open() -> None:
    breaker = opened(permitted_calls_in_half_open=2)
    first, second = breaker.snapshot.acquire(START + 5), breaker.snapshot.acquire(START + 5)
    assert first is not None
    assert second is not None
    turned = came_out(breaker, first, failed=False, took=0.0, now=START + 6, random=0.0)
    assert turned is not None
    assert (turned.before, turned.after) == (BreakerState.OPEN, BreakerState.HALF_OPEN)
    closed = came_out(breaker, second, failed=False, took=0.0, now=START + 6, random=0.0)
    assert closed is not None
    assert closed.after is BreakerState.CLOSED


def test_the_wait_grows_with_jitter_up_to_its_maximum() -> None:
    breaker = opened(wait_duration_in_open=1.0, max_wait_duration_in_open=6.0)
    waits, now = [], START
    for _ in range(5):
        now = breaker.snapshot.retry_at
        permit = breaker.snapshot.acquire(now)
        assert permit is not None
        again = breaker.snapshot.acquire(now)
        assert again is not None
        came_out(breaker, permit, failed=True, took=0.0, now=now, random=1.0)
        turned = came_out(breaker, again, failed=True, took=0.0, now=now, random=1.0)
        assert turned is not None
        waits.append(turned.wait)
    assert waits == pytest.approx([2.4, 4.8, 6.0, 6.0, 6.0])
    assert all(wait <= 6.0 for wait in waits)


def test_the_wait_starts_anew_after_a_quiet_period() -> None:
    breaker = half_opened(wait_duration_in_open=1.0, max_wait_duration_in_open=9.0)
    for _ in range(3):
        probe(breaker, START + 1)
    assert breaker.state is BreakerState.CLOSED
    at_once = log(breaker, "FFFF", now=START + 2)
    assert at_once is not None
    assert at_once.wait == 2.0
    breaker.tick(START + 4)
    for _ in range(3):
        probe(breaker, START + 4)
    later = log(breaker, "FFFF", now=START + 9.1)
    assert later is not None
    assert (later.wait, breaker.opens) == (1.0, 1)


# Half-open


def test_probes_that_go_well_close_the_circuit_with_an_empty_window() -> None:
    breaker = half_opened(permitted_calls_in_half_open=3)
    now = START + 5
    assert probe(breaker, now) is None
    assert probe(breaker, now, failed=True) is None
    assert breaker.rates(now) == Rates(2, 1, 0)
    transition = probe(breaker, now)
    assert transition is not None
    assert (transition.after, transition.rates) == (BreakerState.CLOSED, Rates(3, 1, 0))
    assert breaker.rates(now) == Rates()


def test_failures_reopen_as_soon_as_the_other_probes_cannot_save_it() -> None:
    breaker = half_opened(permitted_calls_in_half_open=4)
    assert probe(breaker, START + 5, failed=True) is None
    transition = probe(breaker, START + 5, failed=True)
    assert transition is not None
    assert (transition.after, transition.reason) == (BreakerState.OPEN, "probes: 2 of 4 calls failed")
    assert transition.wait == 10.0


def test_slow_probes_reopen_the_circuit() -> None:
    breaker = half_opened(permitted_calls_in_half_open=2, slow_call_duration=1.0)
    assert probe(breaker, START + 5, took=2.0) is None
    transition = probe(breaker, START + 5, took=2.0)
    assert transition is not None
    assert transition.after is BreakerState.OPEN


def test_a_probe_of_an_earlier_round_counts_for_nothing() -> None:
    breaker = half_opened(permitted_calls_in_half_open=2)
    late, failed = breaker.snapshot.acquire(START + 5), breaker.snapshot.acquire(START + 5)
    assert late is not None
    assert failed is not None
    came_out(breaker, failed, failed=True, took=0.0, now=START + 5, random=0.0)
    assert breaker.state is BreakerState.OPEN
    assert came_out(breaker, late, failed=False, took=0.0, now=START + 6, random=0.0) is None
    breaker.tick(breaker.snapshot.retry_at)
    assert came_out(breaker, late, failed=False, took=0.0, now=START + 99, random=0.0) is None
    assert breaker.rates(START + 99) == Rates()


def test_a_probe_reports_once() -> None:
    breaker = half_opened(permitted_calls_in_half_open=3)
    permit = breaker.snapshot.acquire(START + 5)
    assert permit is not None
    for _ in range(5):
        came_out(breaker, permit, failed=False, took=0.0, now=START + 5, random=0.0)
    assert breaker.rates(START + 5) == Rates(1, 0, 0)


def test_a_proven_healing_moves_an_open_circuit_to_half_open_at_once() -> None:
    breaker = opened()
    transition = breaker.half_open_now(START + 0.1)
    assert transition is not None
    assert transition.after is BreakerState.HALF_OPEN
    assert breaker.snapshot.acquire(START + 0.1) is not None


@pytest.mark.parametrize("prepare", [lambda: CircuitBreaker(options(), START), half_opened])
def test_a_proven_healing_is_no_news_to_a_circuit_that_is_not_open(prepare: Any) -> None:
    breaker = prepare()
    snapshot = breaker.snapshot
    assert breaker.half_open_now(START) is None
    assert breaker.snapshot is snapshot


# Forced


def test_a_forced_open_circuit_rejects_until_told_otherwise() -> None:
    breaker = CircuitBreaker(options(), START)
    transition = breaker.force_open(START)
    assert transition is not None
    assert breaker.state is BreakerState.FORCED_OPEN
    assert breaker.snapshot.acquire(START + 1e9) is None
    assert 0 < breaker.snapshot.wait_time(START + 1e9) < math.inf
    assert breaker.tick(START + 1e9) is None
    assert breaker.next_tick() is None
    assert breaker.half_open_now(START) is None
    assert breaker.force_open(START) is None


def test_a_forced_closed_circuit_passes_whatever_happens() -> None:
    breaker = opened()
    assert breaker.force_close(START) is not None
    assert breaker.state is BreakerState.DISABLED
    assert breaker.snapshot.passes
    assert log(breaker, "F" * 100) is None
    assert breaker.force_close(START) is None


@pytest.mark.parametrize("force", ["force_open", "force_close"])
def test_auto_ends_a_forced_state_with_an_empty_window(force: str) -> None:
    breaker = opened()
    getattr(breaker, force)(START)
    transition = breaker.auto(START)
    assert transition is not None
    assert (breaker.state, breaker.rates(START), breaker.opens) == (BreakerState.CLOSED, Rates(), 0)
    assert breaker.auto(START) is None


# Measured bugs of others


def test_20_callers_at_half_open_get_no_more_than_the_permitted_probes() -> None:
    """P2: circuitbreaker, purgatory, hyx, aiobreaker, crashbytes and pyresilience let 20 of 20 through."""
    for early in (False, True):
        breaker = opened(permitted_calls_in_half_open=3)
        if not early:
            breaker.tick(START + 5)
        begin, taken = threading.Barrier(21), deque[Permit]()

        def call(breaker: CircuitBreaker, begin: threading.Barrier, taken: deque[Permit]) -> None:
            begin.wait()
            permit = breaker.snapshot.acquire(START + 5)
            if permit is not None:
                taken.append(permit)

        threads = [threading.Thread(target=call, args=(breaker, begin, taken)) for _ in range(20)]
        for thread in threads:
            thread.start()
        begin.wait()
        breaker.tick(START + 5)
        for thread in threads:
            thread.join()
        assert len(taken) == 3
        assert len(set(taken)) == 3


def test_a_cancelled_probe_gives_its_permit_back_and_counts_as_neither() -> None:
    """P3: circuitbreaker counts a cancellation as a success, purgatory as a failure."""
    breaker = half_opened(permitted_calls_in_half_open=1)
    for _ in range(50):
        permit = breaker.snapshot.acquire(START + 5)
        assert permit is not None
        assert breaker.snapshot.acquire(START + 5) is None
        breaker.snapshot.release(permit)
        assert came_out(breaker, permit, failed=True, took=0.0, now=START + 5, random=0.0) is None
    assert breaker.rates(START + 5) == Rates()
    assert probe(breaker, START + 5) is not None


def test_a_probe_that_never_reports_gives_its_permit_back() -> None:
    """P4: unbreak and tranq stay rejecting for ever."""
    breaker = half_opened(permitted_calls_in_half_open=1, max_wait_in_half_open=30.0)
    lost = breaker.snapshot.acquire(START + 5)
    assert lost is not None
    assert breaker.next_tick() == START + 35
    breaker.tick(START + 34.9)
    assert breaker.snapshot.acquire(START + 34.9) is None
    breaker.tick(START + 35)
    again = breaker.snapshot.acquire(START + 35)
    assert again is not None
    assert came_out(breaker, lost, failed=True, took=0.0, now=START + 36, random=0.0) is None
    breaker.snapshot.release(lost)
    assert breaker.snapshot.acquire(START + 36) is None
    closed = came_out(breaker, again, failed=False, took=0.0, now=START + 36, random=0.0)
    assert closed is not None
    assert closed.after is BreakerState.CLOSED


def test_outcomes_whose_report_was_lost_are_caught_up_with() -> None:
    breaker = half_opened(permitted_calls_in_half_open=3)
    permits = [breaker.snapshot.acquire(START + 5) for _ in range(3)]
    assert breaker.catch_up(START + 6, 0.0) == []
    for permit in permits[:2]:
        assert permit is not None
        permit.outcome = ProbeOutcome(failed=False, took=0.0)
    assert breaker.catch_up(START + 6, 0.0) == []
    assert breaker.rates(START + 6).calls == 2
    assert permits[2] is not None
    permits[2].outcome = ProbeOutcome(failed=False, took=0.0)
    (closed,) = breaker.catch_up(START + 7, 0.0)
    assert closed.after is BreakerState.CLOSED
    assert breaker.catch_up(START + 7, 0.0) == []


def test_a_caller_that_died_between_taking_a_permit_and_saying_so_loses_it_in_time() -> None:
    breaker = half_opened(permitted_calls_in_half_open=1, max_wait_in_half_open=30.0)
    probation = breaker.snapshot.probation
    assert probation is not None
    probation._free.popleft()  # what remains of `claim` if its thread is gone after the first step
    assert breaker.next_tick() is None
    breaker.tick(START + 100)
    assert breaker.next_tick() == START + 130
    breaker.tick(START + 130)
    assert breaker.snapshot.acquire(START + 130) is not None


def test_logging_a_success_changes_no_state_and_takes_no_lock() -> None:
    """P1: pybreaker holds a lock round the call, so 16 threads of 0.1 s take 1.61 s."""
    breaker = CircuitBreaker(options(window_size=100), START)
    snapshot = breaker.snapshot

    def succeed() -> None:
        for _ in range(2_000):
            snapshot.log.append((START, 0.0, False))

    threads = [threading.Thread(target=succeed) for _ in range(8)]
    for thread in threads:
        thread.start()
    readings = [breaker.rates(START) for _ in range(200)]
    for thread in threads:
        thread.join()
    assert breaker.snapshot is snapshot
    assert all(reading.failures == 0 and reading.calls <= 100 for reading in readings)
    assert breaker.rates(START).calls == 100


def test_time_that_is_not_monotonic_elsewhere_does_not_matter_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wall clocks in pybreaker, purgatory, hyx and aioresilience: here every time is the caller's."""
    import time

    def fetch() -> float:
        raise AssertionError("the breaker fetched the time")

    monkeypatch.setattr(time, "time", fetch)
    monkeypatch.setattr(time, "monotonic", fetch)
    breaker = half_opened()
    for _ in range(3):
        probe(breaker, START + 5)
    assert breaker.state is BreakerState.CLOSED


def test_a_dropped_breaker_is_freed_with_its_permits() -> None:
    breakers = [half_opened() for _ in range(10)]
    ids = {id(breaker) for breaker in breakers}
    del breakers
    gc.collect()
    assert not [found for found in gc.get_objects() if type(found) is CircuitBreaker and id(found) in ids]


# Permits under threads


@pytest.mark.timeout(60)
def test_claims_releases_reports_and_revocations_never_exceed_the_permits() -> None:
    permitted = 3
    probation = Probation(permitted)
    clock, running, peak = itertools.count(), deque[None](), deque[int]()
    begin = threading.Barrier(7)
    stop = threading.Event()

    def claim_and_release() -> None:
        begin.wait()
        while not stop.is_set():
            permit = probation.claim(float(next(clock)))
            if permit is None:
                continue
            running.append(None)
            peak.append(len(running))
            running.pop()
            if len(peak) > 1_000:
                peak.popleft()
            probation.release(permit)

    def revoke() -> None:
        begin.wait()
        while not stop.is_set():
            probation.revoke_overdue(float(next(clock)), limit=1e9)

    threads = [threading.Thread(target=claim_and_release) for _ in range(5)] + [threading.Thread(target=revoke)]
    for thread in threads:
        thread.start()
    begin.wait()
    stop.wait(0.3)
    stop.set()
    for thread in threads:
        thread.join()
    assert max(peak) <= permitted
    assert probation.free == permitted


def test_a_permit_is_settled_by_one_of_many() -> None:
    for _ in range(50):
        permit, begin, winners = Probation(1).claim(0.0), threading.Barrier(6), deque[int]()
        assert permit is not None

        def settle(permit: Permit, begin: threading.Barrier, winners: deque[int], number: int) -> None:
            begin.wait()
            if permit.settle():
                winners.append(number)

        threads = [threading.Thread(target=settle, args=(permit, begin, winners, n)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(winners) == 1


# Properties


class BreakerMachine(RuleBasedStateMachine):
    """Random calls, probes, hangs and commands against the promises of the states."""

    allowed: ClassVar[set[tuple[str, str]]] = {
        ("CLOSED", "OPEN"),
        ("OPEN", "HALF_OPEN"),
        ("HALF_OPEN", "OPEN"),
        ("HALF_OPEN", "CLOSED"),
        ("FORCED_OPEN", "CLOSED"),
        ("DISABLED", "CLOSED"),
        *((state.value, "FORCED_OPEN") for state in BreakerState),
        *((state.value, "DISABLED") for state in BreakerState),
    }

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.breaker = CircuitBreaker(
            options(permitted_calls_in_half_open=2, max_wait_in_half_open=30.0, slow_call_duration=1.0), START
        )
        self.held: list[tuple[BreakerSnapshot, Permit]] = []

    def check(self, transition: Transition | None) -> None:
        if transition is not None:
            assert (transition.before.value, transition.after.value) in self.allowed
            if transition.after is BreakerState.OPEN:
                assert 5.0 <= transition.wait <= 60.0

    @rule(seconds=st.floats(0.0, 100.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def tick(self) -> None:
        self.check(self.breaker.tick(self.now))

    @rule(failed=st.booleans(), took=st.floats(0.0, 2.0), random=st.floats(0.0, 1.0))
    def call(self, failed: bool, took: float, random: float) -> None:
        snapshot = self.breaker.snapshot
        if snapshot.passes:
            snapshot.log.append((self.now, took, failed))
            if failed or took > 1.0:
                self.check(self.breaker.on_failure(self.now, random))
            return
        permit = snapshot.acquire(self.now)
        if permit is None:
            assert snapshot.wait_time(self.now) > 0
        else:
            self.held.append((snapshot, permit))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), failed=st.booleans(), took=st.floats(0.0, 2.0))
    def report(self, data: st.DataObject, failed: bool, took: float) -> None:
        _, permit = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        self.check(came_out(self.breaker, permit, failed=failed, took=took, now=self.now, random=0.5))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        snapshot, permit = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        snapshot.release(permit)

    @rule(command=st.sampled_from(["force_open", "force_close", "auto", "half_open_now"]))
    def command(self, command: str) -> None:
        self.check(getattr(self.breaker, command)(self.now))

    @invariant()
    def passes_says_what_the_state_says(self) -> None:
        state = self.breaker.state
        assert self.breaker.snapshot.passes is (state in (BreakerState.CLOSED, BreakerState.DISABLED))

    @invariant()
    def no_more_probes_than_permitted(self) -> None:
        probation = self.breaker.snapshot.probation
        open_probes = [p for _, p in self.held if p.probation is probation and not p.settled]
        if probation is not None:
            assert len(open_probes) + probation.free <= 2

    @invariant()
    def no_permit_is_lost(self) -> None:
        """Whatever happened, patience alone brings a half-open circuit to a decision."""
        probation = self.breaker.snapshot.probation
        if probation is not None:
            rates = self.breaker.rates(self.now) if self.breaker.state is BreakerState.HALF_OPEN else Rates()
            open_probes = [p for _, p in self.held if p.probation is probation and not p.settled]
            assert rates.calls + probation.free + len(open_probes) == 2


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0.0, 3.0)), max_size=60),
    st.integers(1, 12),
    st.integers(1, 20),
    st.sampled_from([0.25, 0.5, 1.0]),
)
def test_it_trips_at_the_first_failure_or_slow_call_that_finds_a_rate_reached(
    calls: list[tuple[bool, float]], minimum: int, size: int, threshold: float
) -> None:
    breaker = CircuitBreaker(
        options(
            minimum_number_of_calls=minimum,
            window_size=size,
            failure_rate_threshold=threshold,
            slow_call_rate_threshold=threshold,
            slow_call_duration=1.0,
        ),
        START,
    )
    for number, (failed, took) in enumerate(calls, start=1):
        breaker.snapshot.log.append((START, took, failed))
        window = calls[max(0, number - size) : number]
        due = (failed or took > 1.0) and len(window) >= min(minimum, size)
        failures = sum(f for f, _ in window)
        slow = sum(t > 1.0 for _, t in window)
        expected = due and max(failures, slow) / len(window) >= threshold
        if failed or took > 1.0:
            assert (breaker.on_failure(START, 0.0) is not None) is expected
        if expected:
            break


# Options


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"failure_rate_threshold": 0.0}, "failure_rate_threshold"),
        ({"failure_rate_threshold": 50}, "failure_rate_threshold"),
        ({"slow_call_rate_threshold": 1.5}, "slow_call_rate_threshold"),
        ({"slow_call_duration": 0}, "slow_call_duration"),
        ({"minimum_number_of_calls": 0}, "minimum_number_of_calls"),
        ({"window_type": "SLIDING"}, "window_type"),
        ({"window_size": 0}, "window_size"),
        ({"window_size": 1.5}, "window_size"),
        ({"window_size": 10_001}, "window_size"),
        ({"window_type": "TIME", "window_size": 0.0}, "window_size"),
        ({"window_type": "TIME", "window_size": math.inf}, "window_size"),
        ({"wait_duration_in_open": 0.0}, "wait_duration_in_open"),
        ({"wait_duration_in_open": 10.0, "max_wait_duration_in_open": 9.0}, "max_wait_duration_in_open"),
        ({"max_wait_duration_in_open": math.nan}, "max_wait_duration_in_open"),
        ({"permitted_calls_in_half_open": 0}, "permitted_calls_in_half_open"),
        ({"permitted_calls_in_half_open": 1_001}, "permitted_calls_in_half_open"),
        ({"max_wait_in_half_open": 0}, "max_wait_in_half_open"),
    ],
    ids=str,
)
def test_an_option_that_breaks_its_rule_is_refused_by_name(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        BreakerOptions(**changed)
    assert caught.value.field == f"BreakerOptions.{field}"


def test_the_window_type_may_be_given_by_name() -> None:
    assert BreakerOptions(window_type="TIME").window_type is WindowType.TIME  # type: ignore[arg-type]
