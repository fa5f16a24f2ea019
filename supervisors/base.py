"""What both kinds of supervisor share: watching children, counting restarts, trying again, giving up.

A supervisor never loops on a failing start. It posts itself a `TryAgain` behind whatever waits in its mailbox (or,
with a backoff, in time), so API calls and a shutdown come in between. Each retry carries the number of the attempt
it belongs to; it is ignored only if the child has been started, stopped or retried since, never because of a state
that somebody else set (klarna/supervisor3#24 lost its retries that way, and its children for ever).
"""

from __future__ import annotations

import logging
import random
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from upright.actors.actor import SupervisedActor
from upright.actors.exits import ExitReason, Hung, Shutdown, is_clean
from upright.actors.incarnation import Interrupted
from upright.actors.messages import ChildExited, SystemMessage
from upright.actors.process import stop_at_exit
from upright.strategies.clock import get_clock
from upright.strategies.foreign import is_of, shown
from upright.strategies.options import MAX_NAME, count_rule, is_count, is_finite_number
from upright.strategies.restart import RestartWindow
from upright.supervisors.child import Child, ChildState, check_still_in_charge, kill, kill_children
from upright.supervisors.errors import InvalidSupervisorFlags
from upright.supervisors.report import level_of, report
from upright.supervisors.spec import Restart
from upright.supervisors.watchdog import sweep

if TYPE_CHECKING:
    from collections.abc import Iterable

    from upright.actors.timers import Timer

__all__ = ["GAVE_UP", "BaseSupervisor", "TooManyZombies"]

GAVE_UP = Shutdown("restart intensity reached")
"""The exit reason of a supervisor past its restart intensity. It is clean, as in OTP: only a permanent supervisor
is started again by the one above it."""


class TooManyZombies(Exception):  # noqa: N818 - what happened, in the words of the contract
    """One child left more than `max_zombies` threads behind that could not be ended; crashes its supervisor."""


@dataclass(frozen=True, slots=True)
class TryAgain(SystemMessage):
    """Restart a child whose start failed; counts towards the restart intensity, as every request does."""

    child: Child
    attempt: int


@dataclass(frozen=True, slots=True)
class StartNow(SystemMessage):
    """The backoff of a restart that was counted already is over."""

    child: Child
    attempt: int


@dataclass(frozen=True, slots=True)
class Sweep(SystemMessage):
    """Look for children that hang."""


class BaseSupervisor(SupervisedActor):
    """Keeps its children running. The subclass owns the table and decides whom a failure concerns.

    Args:
        intensity: Restarts allowed within `period`; one more and the supervisor gives up.
        period: Seconds; the window is the precise `[now - period, now]`.
        name: Shown in the status and in log lines when the supervisor is not itself a child.
    """

    supervises: ClassVar[bool] = True
    _registered: ClassVar[bool] = False

    def __init__(self, *, intensity: int, period: float, name: str | None) -> None:
        super().__init__()
        if not is_count(intensity):
            raise InvalidSupervisorFlags("Supervisor.intensity", intensity, count_rule(intensity, 0))
        if not is_finite_number(period) or period <= 0:
            raise InvalidSupervisorFlags("Supervisor.period", period, "a finite number of seconds > 0")
        if name is not None and (not is_of(name, str) or not 0 < len(name) <= MAX_NAME):
            allowed = f"None or a non-empty string of at most {MAX_NAME} characters"
            raise InvalidSupervisorFlags("Supervisor.name", name, allowed)
        self._window = RestartWindow(intensity, period)
        self._history: deque[float] = deque()
        self._clock = get_clock()
        self._sweep_timer: Timer | None = None
        if name is not None and self._address.owner is None:
            self._address.name = name

    # What the subclass decides.

    def children_now(self) -> Iterable[Child]:
        """All entries of the table, in start order."""
        raise NotImplementedError

    def find(self, address: Any) -> Child | None:
        """The entry with this address."""
        raise NotImplementedError

    def restart_group(self, child: Child) -> None:
        """Stop whoever must go with `child`, before its (possibly delayed) restart."""
        raise NotImplementedError

    def start_group(self, child: Child) -> None:
        """Start `child` and whoever went with it, in order, up to the first that fails."""
        raise NotImplementedError

    def forget(self, child: Child) -> None:
        """Remove an entry from the table."""
        raise NotImplementedError

    def stop_children(self) -> None:
        """Stop all children."""
        raise NotImplementedError

    def ended_for_good(self, child: Child) -> None:
        """Decide whether the supervisor ends because this child ended by itself (auto-shutdown)."""

    # Life.

    def set_up(self) -> None:
        if self._address.owner is None:
            stop_at_exit(self._address)
        self.start_children()
        self.plan_sweep()

    def start_children(self) -> None:
        """Start the static children, if this kind of supervisor has any."""

    def tear_down(self) -> None:
        try:
            self.stop_children()
        finally:
            # What a fault in between left running: nobody would know of it. Unless a successor has the slots already.
            incarnation = self._incarnation
            if incarnation is None or not incarnation.detached:
                kill_children(self._address)

    # Messages of the machinery; a subclass of the user's may override on_receive freely.

    def on_system_message(self, message: Any) -> None:
        if isinstance(message, ChildExited):
            child = self.find(message.address)
            incarnation = None if child is None else child.incarnation
            # An unknown child, or an incarnation that was stopped or replaced meanwhile: dealt with already.
            if child is not None and incarnation is not None and incarnation.number == message.incarnation:
                self.child_exited(child, message.reason)
        else:
            super().on_system_message(message)

    def _handle_receive(self, message: Any) -> Any:
        if is_of(message, SystemMessage):
            if isinstance(message, TryAgain):
                if self._is_due(message):
                    self.restart(message.child)
                return None
            if isinstance(message, StartNow):
                if self._is_due(message):
                    # Again: while the backoff lasted, an API call may have started one of the group.
                    self.restart_group(message.child)
                    self.start_group(message.child)
                return None
            if isinstance(message, Sweep):
                self._sweep()
                return None
        return super()._handle_receive(message)

    def _is_due(self, retry: TryAgain | StartNow) -> bool:
        # The table is asked as well: a retry may have been queued by an earlier incarnation of this supervisor.
        child = retry.child
        return (
            self.find(child.address) is child
            and child.state is ChildState.RESTARTING
            and child.attempt == retry.attempt
        )

    # Exits and restarts: OTP's algorithms A2 to A4.

    def child_exited(self, child: Child, reason: ExitReason) -> None:
        """Act on the end of a child that nobody asked for."""
        child.ended()
        restart = child.spec.restart
        again = restart is Restart.PERMANENT or (restart is Restart.TRANSIENT and not is_clean(reason))
        event = "child_hung" if isinstance(reason, Hung) else "child_terminated"
        report(level_of(reason), event, self._address, child, reason, restart=again)
        if again:
            now = self._clock.now()
            if child.spec.backoff is not None:
                child.failures = child.spec.backoff.count(child.failures, now - child.started_at)
            self.restart(child)
            return
        self.drop(child, reason)
        self.ended_for_good(child)

    def drop(self, child: Child, reason: ExitReason) -> None:
        """End the slot of a child that stays down; a temporary child's spec is forgotten."""
        child.address.close(reason)
        if child.spec.restart is Restart.TEMPORARY:
            self.forget(child)

    def restart(self, child: Child) -> None:
        """Count one restart request and carry it out, or give up."""
        if not self._window.record(self._history, self._clock.now()):
            self.give_up(child)
        self.restart_group(child)
        backoff = child.spec.backoff
        if backoff is None:
            self.start_group(child)
            return
        number = child.wait_for_retry()
        delay = backoff.delay(max(1, child.failures), random.random())
        child.retry = self.send_after(delay, StartNow(child, number))

    def give_up(self, child: Child) -> None:
        """End this supervisor: its restart intensity is exceeded."""
        report(
            logging.ERROR,
            "supervisor_gave_up",
            self._address,
            child,
            "restart intensity reached",
            intensity=self._window.intensity,
            period=self._window.period,
        )
        child.cancel_retry()
        raise Shutdown(GAVE_UP.detail)

    def start_one(self, child: Child, extra_args: tuple[Any, ...] = ()) -> bool:
        """Start a child for the first time or by hand; False if it declined.

        Raises:
            Reply: An on_start may answer by itself (ChildAlreadyStarted, for one).
            BaseException: Whatever the start raised.
        """
        try:
            started = child.start(self._incarnation, extra_args)
            check_still_in_charge(self._incarnation, child)
            child.started_at = self._clock.now()
            if started:
                report(logging.DEBUG, "child_started", self._address, child, "started")
                if child.spec.hang_timeout is not None:
                    self._sweep_by(child.started_at + child.spec.hang_timeout)
            return started
        except BaseException:
            child.give_up(child.incarnation)  # or it would run on, and nobody know of it
            raise

    def start_again(self, child: Child, extra_args: tuple[Any, ...] = ()) -> bool:
        """Start a child as part of a restart; on failure plan the next attempt and return False."""
        self._check_zombies(child)
        try:
            started = self.start_one(child, extra_args)
        except Interrupted:
            raise
        except BaseException as error:
            report(logging.ERROR, "child_start_failed", self._address, child, error)
            self._check_zombies(child)
            if child.spec.backoff is not None:
                child.failures += 1
            self._address.send_unbounded(TryAgain(child, child.wait_for_retry()))
            return False
        if not started:
            self.declined(child)
        return True

    def declined(self, child: Child) -> None:
        """Act on `Ignore` at a restart: no retry and no error (OTP: the spec stays, X10)."""
        self.drop(child, Shutdown("ignored"))

    def stopped(self, child: Child, reason: ExitReason | None) -> None:
        """Report a stop that did not go as the spec says.

        Raises:
            Interrupted: This supervisor was detached while it waited.
        """
        check_still_in_charge(self._incarnation, child)
        if reason is not None and not child.is_expected(reason):
            report(logging.ERROR, "child_shutdown_error", self._address, child, reason)

    # Hangs and zombies.

    def plan_sweep(self) -> None:
        """Set the timer for the next look at children that may hang."""
        _, due = sweep(self.children_now(), self._clock.now())
        if due is not None:
            self._sweep_by(due)

    def _sweep_by(self, due: float) -> None:
        timer = self._sweep_timer
        if timer is not None and timer.active:
            if timer.due <= due:
                return
            timer.cancel()
        self._sweep_timer = self.send_after(due - self._clock.now(), Sweep())

    def _sweep(self) -> None:
        hung, _ = sweep(self.children_now(), self._clock.now())
        self._sweep_timer = None
        try:
            for child in hung:
                self._replace_hung(child)
        finally:
            self.plan_sweep()

    def _replace_hung(self, child: Child) -> None:
        incarnation, seconds = child.incarnation, child.spec.hang_timeout
        if incarnation is None or seconds is None or not sweep([child], self._clock.now())[0]:
            return  # an earlier restart of this sweep has replaced it
        reason = Hung(seconds)
        if kill(incarnation, reason):
            self._check_zombies(child)
            self.child_exited(child, reason)

    def _check_zombies(self, child: Child) -> None:
        zombies = len(child.address.zombies)
        if zombies > child.spec.max_zombies:
            raise TooManyZombies(
                f"child {shown(child.spec.id)} left {zombies} threads that could not be ended; "
                f"max_zombies is {child.spec.max_zombies}"
            )
