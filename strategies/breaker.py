"""The circuit breaker: keeps calls away from what is failing, and finds out when it works again.

Two halves meet in one immutable `BreakerSnapshot`. The owner (one actor) has the `CircuitBreaker`: it alone
changes the state, and publishes each state as a new snapshot. The callers (any threads) only read the present
one, append outcomes to its log and take permits from it; none of that waits or locks:

    snapshot = breaker.snapshot
    if snapshot.passes:                                        # CLOSED, DISABLED: the hot path
        began = monotonic()
        value = call()                                         # a failure: append (..., True), tell the owner
        ended = monotonic()
        snapshot.log.append((ended, ended - began, False))     # slow: tell the owner as well
    else:
        permit = snapshot.acquire(monotonic())                 # None: rejected, see snapshot.wait_time
        ...                                                    # tell the owner, or snapshot.release(permit)

A success tells nobody, since a failure rate can only rise on a failure and a slow call rate on a slow call:
the owner evaluates on those alone (`on_failure`). So the call that brings a window to its minimum number of
calls does not trip the circuit if it succeeds; the next failure does. The state machine, after resilience4j:

    CLOSED      --a rate reaches its threshold------------------------> OPEN
    OPEN        --its wait is over, or a proven healing (half_open_now)-> HALF_OPEN
    HALF_OPEN   --the failures cannot stay below the threshold-------> OPEN, for longer
    HALF_OPEN   --every permitted probe reported, rates below---------> CLOSED, with an empty window
    any         --force_open / force_close----------------------------> FORCED_OPEN / DISABLED
    FORCED_OPEN, DISABLED --auto--------------------------------------> CLOSED, with an empty window

An open circuit whose wait is over hands out its permits before its owner has said HALF_OPEN, so a crashed or
busy owner keeps nobody out. Unlike resilience4j, failures reopen a half-open circuit as soon as no outcome of
the remaining probes could save it, and a probe that never reports gives its permit back instead of reopening
it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from upright.strategies.permits import Permit, Probation
from upright.strategies.window import Log, Rates, WindowType, rates_of

if TYPE_CHECKING:
    from upright.strategies.breaker_options import BreakerOptions

__all__ = ["BreakerSnapshot", "BreakerState", "CircuitBreaker", "Transition"]


class BreakerState(StrEnum):
    """What a circuit breaker does with calls."""

    CLOSED = "CLOSED"
    """Lets them through and watches."""
    OPEN = "OPEN"
    """Rejects them until its wait is over."""
    HALF_OPEN = "HALF_OPEN"
    """Lets a few probes through and rejects the rest."""
    FORCED_OPEN = "FORCED_OPEN"
    """Rejects them until told otherwise."""
    DISABLED = "DISABLED"
    """Lets them through until told otherwise."""


@dataclass(frozen=True, slots=True, eq=False)
class BreakerSnapshot:
    """One published state; callers hold on to the one that they began with.

    Attributes:
        state: What the owner has said.
        passes: Calls go through without a permit.
        log: Where outcomes of calls that passed go.
        since: When this state began, on the monotonic clock.
        retry_at: From when on probes are let through; infinite where time alone changes nothing.
        probation: The permits of this round of probing; None where there is none.
        patience: Seconds to suggest to a rejected caller where there is no better estimate.
        cause: The last counted failure before the circuit opened, for the `__cause__` of rejections.
    """

    state: BreakerState
    passes: bool
    log: Log
    since: float
    retry_at: float = float("inf")
    probation: Probation | None = None
    patience: float = 0.0
    cause: BaseException | None = None

    def acquire(self, now: float) -> Permit | None:
        """The permit for one probe; None if the call is rejected. Only asked where `passes` is False."""
        if self.probation is None or now < self.retry_at:
            return None
        return self.probation.claim(now)

    def release(self, permit: Permit) -> None:
        """Give a permit back whose probe came to no verdict: cancelled, or a permanent error."""
        permit.probation.release(permit)

    def wait_time(self, now: float) -> float:
        """Seconds after which a rejected call is worth making again, above 0 unless calls pass."""
        if self.passes:
            return 0.0
        if now < self.retry_at < float("inf"):
            return self.retry_at - now
        return self.patience


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of state.

    Attributes:
        before: The state left.
        after: The state entered.
        reason: Why, for people.
        rates: What was measured when it was decided.
        wait: Seconds until probing, above 0 only for OPEN.
    """

    before: BreakerState
    after: BreakerState
    reason: str
    rates: Rates
    wait: float = 0.0


class CircuitBreaker:
    """The state machine of one operation; belongs to one owner, who brings the clock and the random numbers.

    Every method that may change the state returns the `Transition`, or None if nothing changed; `snapshot` is
    the present state afterwards. The clock must be monotonic.

    Args:
        options: When it trips and how it probes.
        now: The present.

    Attributes:
        options: As given.
        snapshot: The present state, replaced as a whole.
    """

    __slots__ = ("_failed_probes", "_good_probes", "_opens", "_slow_probes", "options", "snapshot")

    def __init__(self, options: BreakerOptions, now: float) -> None:
        self.options = options
        # Times opened in a row without a quiet period between; see BreakerOptions.wait_duration_in_open.
        self._opens = 0
        self._good_probes = self._failed_probes = self._slow_probes = 0
        self.snapshot = self._closed(now)

    @property
    def state(self) -> BreakerState:
        """The present state."""
        return self.snapshot.state

    @property
    def opens(self) -> int:
        """Times opened in a row without a quiet period between."""
        return self._opens

    def rates(self, now: float) -> Rates:
        """What the window holds; of the probes while half open."""
        if self.snapshot.state is BreakerState.HALF_OPEN:
            return self._probe_rates()
        since = now - self.options.window_size if self.options.window_type is WindowType.TIME else float("-inf")
        return rates_of(self.snapshot.log, slow=self.options.slow_call_duration, since=since)

    def on_failure(self, now: float, random: float, cause: BaseException | None = None) -> Transition | None:
        """Judge the window after a failure or a slow call was logged.

        Does nothing unless CLOSED: a late failure of a call that began before the circuit opened is no news.

        Args:
            now: The present.
            random: A number in [0, 1], for the jitter of the wait.
            cause: The failure; None for a slow success.
        """
        if self.snapshot.state is not BreakerState.CLOSED:
            return None
        rates = self.rates(now)
        reason = self._verdict(rates, needed=self.options.least_calls)
        if reason is None:
            return None
        self._opens = self.options.waits.count(self._opens, now - self.snapshot.since)
        return self._open(now, random, reason, rates, cause)

    def on_probe(
        self,
        permit: Permit,
        *,
        now: float,
        random: float,
    ) -> Transition | None:
        """Take the outcome of a probe, which its holder has noted on the permit.

        One whose permit was revoked, given back or reported before, or belongs to an earlier round, is
        ignored. An open circuit whose wait is over turns half open on the way, which is what is returned if
        the outcome decides nothing more.

        Args:
            permit: What `acquire` gave out.
            now: The present.
            random: A number in [0, 1], for the jitter of the wait.
        """
        began = self.tick(now)
        snapshot, outcome = self.snapshot, permit.outcome
        if snapshot.state is not BreakerState.HALF_OPEN or permit.probation is not snapshot.probation:
            return began
        if outcome is None or not permit.settle():
            return began
        self._good_probes += not outcome.failed
        self._failed_probes += outcome.failed
        self._slow_probes += outcome.took > self.options.slow_call_duration
        rates = self._probe_rates()
        permitted = self.options.permitted_calls_in_half_open
        # Judged as if all the remaining probes went well: if that would not save it, nothing will.
        best = Rates(permitted, rates.failures, rates.slow)
        reason = self._verdict(best, needed=permitted)
        if reason is not None:
            self._opens += 1
            return self._open(now, random, f"probes: {reason}", rates, outcome.error or snapshot.cause)
        if rates.calls < permitted:
            return began
        return self._become(self._closed(now), "the probes went well", rates)

    def catch_up(self, now: float, random: float) -> list[Transition]:
        """Take the outcomes of probes that were noted on their permits, and whose report was lost.

        Args:
            now: The present.
            random: A number in [0, 1], for the jitter of the wait.
        """
        probation = self.snapshot.probation
        noted = () if probation is None else probation.noted()
        changed = [self.on_probe(permit, now=now, random=random) for permit in noted]
        return [transition for transition in changed if transition is not None]

    def tick(self, now: float) -> Transition | None:
        """Do what is due: begin probing when the wait is over, take back the permits of lost probes."""
        snapshot = self.snapshot
        if snapshot.state is BreakerState.OPEN and now >= snapshot.retry_at:
            return self._half_open(now, "the wait is over")
        if snapshot.state is BreakerState.HALF_OPEN and snapshot.probation is not None:
            snapshot.probation.revoke_overdue(now, self.options.max_wait_in_half_open)
        return None

    def next_tick(self) -> float | None:
        """When `tick` will have something to do; None if nothing is to be expected."""
        snapshot = self.snapshot
        if snapshot.state is BreakerState.OPEN:
            return snapshot.retry_at
        if snapshot.state is BreakerState.HALF_OPEN and snapshot.probation is not None:
            return snapshot.probation.next_overdue(self.options.max_wait_in_half_open)
        return None

    def half_open_now(self, now: float) -> Transition | None:
        """Begin probing without waiting any longer, because the resource was proven to be healed."""
        if self.snapshot.state is not BreakerState.OPEN:
            return None
        return self._half_open(now, "its resource was healed")

    def force_open(self, now: float) -> Transition | None:
        """Reject every call until `auto` or `force_close`."""
        if self.snapshot.state is BreakerState.FORCED_OPEN:
            return None
        cause = self.snapshot.cause
        patience = self.options.max_wait_duration_in_open
        forced = BreakerSnapshot(BreakerState.FORCED_OPEN, False, self._new_log(), now, patience=patience, cause=cause)
        return self._become(forced, "forced open", self.rates(now))

    def force_close(self, now: float) -> Transition | None:
        """Let every call through, whatever it comes to, until `auto` or `force_open`: DISABLED."""
        if self.snapshot.state is BreakerState.DISABLED:
            return None
        disabled = BreakerSnapshot(BreakerState.DISABLED, True, self._new_log(), now)
        return self._become(disabled, "forced closed", self.rates(now))

    def auto(self, now: float) -> Transition | None:
        """End a forced state: CLOSED, with an empty window."""
        if self.snapshot.state not in (BreakerState.FORCED_OPEN, BreakerState.DISABLED):
            return None
        self._opens = 0
        return self._become(self._closed(now), "no longer forced", self.rates(now))

    def _verdict(self, rates: Rates, *, needed: int) -> str | None:
        """Why a window must open the circuit; None if it need not."""
        if rates.calls < needed:
            return None
        if rates.failure_rate >= self.options.failure_rate_threshold:
            return f"{rates.failures} of {rates.calls} calls failed"
        if rates.slow_rate >= self.options.slow_call_rate_threshold:
            return f"{rates.slow} of {rates.calls} calls were slow"
        return None

    def _probe_rates(self) -> Rates:
        return Rates(self._good_probes + self._failed_probes, self._failed_probes, self._slow_probes)

    def _open(self, now: float, random: float, reason: str, rates: Rates, cause: BaseException | None) -> Transition:
        wait = self.options.waits.delay(self._opens, random)
        self._good_probes = self._failed_probes = self._slow_probes = 0
        probation = Probation(self.options.permitted_calls_in_half_open)
        opened = BreakerSnapshot(
            BreakerState.OPEN,
            False,
            self._new_log(),
            now,
            retry_at=now + wait,
            probation=probation,
            patience=self.options.wait_duration_in_open,
            cause=cause,
        )
        return self._become(opened, reason, rates, wait)

    def _half_open(self, now: float, reason: str) -> Transition:
        opened = self.snapshot
        rates = self.rates(now)
        # The permits stay those of the open state: callers may have claimed some of them already.
        half_open = BreakerSnapshot(
            BreakerState.HALF_OPEN,
            False,
            opened.log,
            now,
            retry_at=now,
            probation=opened.probation,
            patience=opened.patience,
            cause=opened.cause,
        )
        return self._become(half_open, reason, rates)

    def _closed(self, now: float) -> BreakerSnapshot:
        return BreakerSnapshot(BreakerState.CLOSED, True, self._new_log(), now)

    def _new_log(self) -> Log:
        return deque(maxlen=self.options.log_length)

    def _become(self, snapshot: BreakerSnapshot, reason: str, rates: Rates, wait: float = 0.0) -> Transition:
        before, self.snapshot = self.snapshot.state, snapshot
        return Transition(before, snapshot.state, reason, rates, wait)
