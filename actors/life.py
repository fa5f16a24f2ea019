"""What an incarnation does in its own thread: `on_start`, one message after another, the end.

What it must agree on with whoever wants to detach it at the same moment:

    The end or the detachment: `_fate` holds one item, and whoever pops it tells the owner.
    The message in hand: the thread sets `current`, then looks at `detached`; the other sets `detached`, then looks
        at `current`. So at least one of them sees the other, and if both do, whoever pops the one item of `_hand`
        decides: back into the mailbox, or given up with `ActorKilled`.
    The hooks: likewise with `ending` and `_fate`, so that a hook that hangs is interrupted too.
"""

from __future__ import annotations

import logging
from _thread import allocate_lock, get_ident
from collections import deque
from functools import partial
from queue import Empty
from time import sleep
from typing import TYPE_CHECKING, Any, cast

from upright.actors import registry
from upright.actors.errors import Reply
from upright.actors.exits import NORMAL, Crashed, ExitReason, Killed, Shutdown, describe
from upright.actors.hooks import log_quietly, run_last_hook
from upright.actors.interrupt import Interrupted, Reach
from upright.actors.ledger import Ticket
from upright.actors.letters import dead_letters
from upright.actors.mailbox import WAKE
from upright.actors.messages import ChildExited, Entrusted, Stop, SystemMessage
from upright.actors.timers import Timers
from upright.strategies.clock import get_clock
from upright.strategies.foreign import is_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.actors.actor import SupervisedActor
    from upright.actors.address import Address
    from upright.actors.incarnation import Incarnation
    from upright.actors.mailbox import Item, Lane

__all__ = ["Life", "StopNow"]


class StopNow(BaseException):  # control flow, never seen by users
    """Raised by the handling of an ordered `stop()` to leave the loop."""

    def __init__(self, reason: ExitReason = NORMAL) -> None:
        super().__init__(reason)
        self.reason = reason


class Life:
    """One start of an actor, as its own thread lives it; `Incarnation` adds what its owner does.

    Attributes:
        address: The slot it fills.
        actor: The pykka actor object; None once the thread has ended, so that a slot that stays down keeps nothing
            of it alive.
        lane: The mailbox that it reads. The slot has another one once it was closed and opened again.
        number: Which start of the slot this is, from 1.
        current: The message in hand and where its answer goes, or None while waiting.
        busy_since: Clock seconds when `current` was taken; set before it.
        now: Reads the clock that was installed at the launch.
        started_at: Clock seconds of the launch.
        ident: The thread's identifier, None before it runs.
        reach: Whether its thread can be interrupted now.
        started: `on_start` has returned.
        ending: It has left its mailbox; at most its last hooks run.
        detached: It has been given up; it must not touch the mailbox any more.
        ended: Its owner has been told of its end, or has detached it.
        timers: Its own pending messages to itself.
    """

    __slots__ = (
        "__weakref__",
        "_cancelled",
        "_fate",
        "_gates",
        "_hand",
        "_ready",
        "_start_error",
        "_stops",
        "_thread_ended",
        "_timer_fired",
        "actor",
        "address",
        "busy_since",
        "current",
        "detached",
        "ended",
        "ending",
        "ident",
        "lane",
        "now",
        "number",
        "reach",
        "started",
        "started_at",
        "timers",
        "when_detached",
    )

    def __init__(self, address: Address[Any], actor: SupervisedActor) -> None:
        self.when_detached: Callable[[], object] | None = None
        address.starts += 1
        self.address = address
        self.lane = address.lane
        self.actor: SupervisedActor | None = actor
        actor._incarnation = cast("Incarnation", self)  # noqa: SLF001 - its own way back
        self.number = address.starts
        self.current: Item | None = None
        clock = get_clock()
        self.now = clock.now
        self.started_at = self.busy_since = self.now()
        self.timers = Timers(clock)
        clock.attach(self._wake)
        self.ident: int | None = None
        self.reach = Reach(shielded=type(actor).supervises)
        self.started = self.ending = self.detached = self.ended = False
        self._cancelled = self._thread_ended = self._timer_fired = False
        self._fate = [True]
        self._hand = [True]
        self._ready = allocate_lock()
        self._ready.acquire()
        self._start_error: BaseException | None = None
        self._gates: deque[Callable[[], object]] = deque()
        self._stops: list[Stop] = []

    @property
    def is_gone(self) -> bool:
        """Whether its thread has ended, but for its last few bytecodes."""
        return self._thread_ended

    def _run(self) -> None:
        self.ident = get_ident()
        reason: ExitReason = Killed()
        try:
            self.reach.open()
            reason = self._live()
        except BaseException as error:
            # An interrupt that hit between two messages, or (never seen) a fault of this module.
            reason = Crashed(error)
        while True:
            try:
                self._end(reason)
                self.reach.close()
                return
            except Interrupted:
                continue  # each step of the end can be repeated

    def _live(self) -> ExitReason:
        actor = self.actor
        if self.detached or actor is None:
            return Killed()  # given up before it ran
        try:
            actor.set_up()
            actor.on_start()
        except BaseException as error:
            self._start_error = error
            if self._fate:
                actor.tear_down()
            return Crashed(error)
        self.started = True
        self.address.incarnations += 1
        self._ready_or_not()
        return NORMAL if self._cancelled else self._serve(actor)

    def _serve(self, actor: SupervisedActor) -> ExitReason:
        lane = self.lane
        system, head, timers, now = lane.system, lane.head, self.timers.heap, self.now
        gathers = actor._gathers  # noqa: SLF001 - of its class
        get = partial(_gathered, lane, gathers) if gathers else lane.get
        handle = actor._handle_receive  # noqa: SLF001 - pykka's own name for its dispatch
        while True:
            if self.detached:
                return Killed()
            if system:
                reason = self._handle_system(actor, system)
                if reason is not None:
                    return reason
            if head:
                item = head.popleft()
            elif timers:
                item = self._next_or_timer(get)
            else:
                item = get()
            if item is WAKE:
                lane.woken = False
                if self._cancelled:
                    return NORMAL
                continue
            if system:
                head.appendleft(item)  # what came on the system lane goes first
                self._bounce_if_closed(lane)
                continue
            self.busy_since = now()  # before `current`: see sweep() of the watchdog
            self.current = item
            if self.detached:
                if self._decide_on_hand():
                    self._hand_back(lane, item)
                return Killed()
            message, reply = item
            try:
                result = handle(message)
            except BaseException as error:
                reason = self._failed(error)
                if reason is not None:
                    return reason
            else:
                if reply is not None and self.current is item:  # else the handler has taken a ticket for it
                    reply.answer(result)
            self.current = None
            # Nothing of the last message is kept alive while waiting for the next.
            del item, message, reply
            result = None

    def _next_or_timer(self, get: Callable[..., Item]) -> Item:
        """Turn a timer that is due into a message, or take the next one, in turns; WAKE to look again."""
        wait = self.timers.wait()
        self._timer_fired = wait == 0.0 and not self._timer_fired
        if self._timer_fired:
            return (self.timers.pop().fire(), None)
        try:
            return get(True, wait)
        except Empty:  # a timer is due now
            return WAKE

    def _handle_system(self, actor: SupervisedActor, system: deque[Any]) -> ExitReason | None:
        while system:
            try:
                message = system.popleft()
            except IndexError:
                return None  # an address that is being closed was faster
            if is_of(message, Stop):
                if message.incarnation not in (None, self.number):
                    continue
                self._stops.append(message)
                self.busy_since = self.now()
                self.current = (message, None)
                return message.reason  # still in hand: an on_stop that hangs is a hang as well
            self.busy_since = self.now()
            self.current = (message, None)
            if self.detached:
                system.appendleft(message)
                self._bounce_if_closed(self.lane)
                return Killed()
            try:
                actor.on_system_message(message)
            except BaseException as error:
                reason = self._failed(error)
                if reason is not None:
                    return reason
            self.current = None
        return None

    def _hand_back(self, lane: Lane, item: Item) -> None:
        lane.hand_back(item)
        self._bounce_if_closed(lane)

    def _bounce_if_closed(self, lane: Lane) -> None:
        # Its slot may have been closed since this incarnation was detached, and a new one opened.
        if lane.closed:
            self.address.bounce(lane)

    def _failed(self, error: BaseException) -> ExitReason | None:
        """Decide what an exception from a handler means: None if the actor lives on, else its exit reason."""
        item = self.current
        reply = item[1] if item is not None else None
        if is_of(error, Reply) and not (item is not None and is_of(item[0], Entrusted)):
            if reply is not None:
                reply.fail(error)
            else:
                log_quietly(logging.DEBUG, "Reply without an asker from %s: %s", self.actor, describe(error))
            return None
        if self.detached:
            return Killed()
        if is_of(error, StopNow):
            return error.reason
        if reply is not None and self.address.owner is None:
            log_quietly(logging.INFO, "Exception returned from %s to caller:", self.actor, error=error)
        return error if is_of(error, Shutdown) else Crashed(error)

    def _end(self, reason: ExitReason) -> None:
        address, actor = self.address, self.actor
        self.ending = True
        if self._fate:
            if self.started and actor is not None:
                alone = address.owner is None
                if alone:
                    # As in pykka, an actor on its way out is not alive and not registered in its last hooks.
                    registry.unregister(address)
                    address.refuse_messages()
                reason = run_last_hook(actor, reason, alone=alone)
            try:
                self._fate.pop()
            except IndexError:
                pass  # it was detached meanwhile: the owner has moved on
            else:
                self._announce(reason)
        self._answer_stops()
        self._thread_ended = self.ended = True
        address.zombies.discard(self)
        self._open_gates()
        self._ready_or_not()
        self._wake()  # a WAKE meant for the successor may have been taken on the way out
        self.actor = None
        self.timers.clear()

    def _announce(self, reason: ExitReason) -> None:
        """Tell the owner, then whoever waits: so a caller that got its answer finds the exit dealt with first."""
        address = self.address
        address.exit_reason = reason
        item, self.current = self.current, None
        reply = item[1] if item is not None else None
        if isinstance(reply, Ticket):
            reply = reply.withdraw()  # the successor must not find what this one crashed on
        try:
            self._leave_tickets()
            self._take_stops()  # before the owner is told: its successor may then be running, and reads the same lane
            self.ended = True
            if self.started:
                if address.owner is not None:
                    address.owner.post(ChildExited(address, self.number, reason))
                else:
                    address.close(reason)
        finally:
            if reply is not None:
                if isinstance(reason, Crashed):
                    reply.fail(reason.error)
                elif isinstance(reason, Shutdown):
                    reply.fail(reason)
                else:
                    reply.answer(None)
        if item is not None and isinstance(reason, Crashed) and not is_of(item[0], SystemMessage):
            dead_letters.add(address.name, item[0], f"the actor crashed while handling it: {reason}")

    def _leave_tickets(self) -> None:
        """Leave what was accepted to the successor if the actor wants that, else answer it now."""
        if self.address.actor_class.keeps_tickets:
            self.address.ledger.hand_over()
        else:
            self.address.fail_tickets()

    def _take_stops(self) -> None:
        """Take out the stop requests that this end fulfils, leaving other system messages to the successor."""
        system = self.lane.system
        left: list[Any] = []
        for _ in range(len(system)):
            try:
                message = system.popleft()
            except IndexError:
                break
            if is_of(message, Stop) and message.incarnation in (None, self.number):
                self._stops.append(message)
            else:
                left.append(message)
        system.extendleft(reversed(left))

    def _answer_stops(self) -> None:
        for stop in list(self._stops):
            if stop.reply_to is not None:
                stop.reply_to.answer(True)

    # For both sides.

    def _decide_on_hand(self) -> bool:
        try:
            self._hand.pop()
        except IndexError:
            return False
        return True

    def _wake(self) -> None:
        self.lane.wake()

    def _open_gates(self) -> None:
        gates = self._gates
        while gates:
            try:
                wake = gates.popleft()
            except IndexError:
                return
            wake()

    def _ready_or_not(self) -> None:
        try:
            self._ready.release()
        except RuntimeError:
            return  # nobody waits


def _gathered(lane: Lane, seconds: float, block: bool = True, timeout: float | None = None) -> Item:  # noqa: FBT001, FBT002 - as `get`
    """Get the next message, and let more of them come meanwhile if it is the only one."""
    item = lane.get(block, timeout)
    if item is not WAKE and item[1] is None and not lane.qsize():
        sleep(seconds)
    return item
