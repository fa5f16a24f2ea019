"""One start of an actor: its thread, from `on_start` to its exit reason.

The life of an incarnation, in order:

    launch     `__init__` in the thread that starts it, then a daemon thread of its own, then `on_start` there;
               whoever starts it waits for the outcome and gets the original exception
    serve      one message after another; system messages first
    end        `on_stop` or `on_failure`; then the owner is told, then the asker of the message that crashed it
    detach     instead of an end, if it must be killed: see below

Python cannot kill a thread. Killing therefore means to detach: from that moment the incarnation takes no message
any more, the asker of the one in hand gets `ActorKilled`, whatever it still answers is discarded, and a replacement
can start without waiting. If it runs bytecode it is interrupted by an exception; a C call that blocks has to return
first. Until its thread has ended it counts as a zombie of its address.
"""

from __future__ import annotations

import threading
from _thread import TIMEOUT_MAX, allocate_lock, get_ident
from itertools import count
from typing import TYPE_CHECKING

from upright.actors.errors import ActorKilled
from upright.actors.exits import ExitReason, Killed
from upright.actors.interrupt import Interrupted
from upright.actors.letters import dead_letters
from upright.actors.life import Life
from upright.actors.messages import SystemMessage
from upright.strategies.foreign import is_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Incarnation", "Interrupted", "StartTimeout"]

_thread_numbers = count()

_HANDOVER = 0.05  # seconds to wait for an idle incarnation to leave its mailbox when it is detached


class StartTimeout(Exception):  # noqa: N818 - beside pykka.Timeout
    """`on_start` did not return within the child's `hang_timeout`."""


class Incarnation(Life):
    """One start of an actor, for its owner: launched and detached by the owner's thread; see Life for its state."""

    __slots__ = ()

    def launch(self, timeout: float | None = None) -> None:
        """Start the thread and wait until `on_start` has returned.

        Raises:
            StartTimeout: If it did not within `timeout` seconds; the incarnation is then detached.
            Interrupted: If it was detached by somebody else meanwhile, who has detached the caller too.
            BaseException: Whatever `on_start` raised, unchanged.
        """
        self.address.incarnation = self
        name = f"{type(self.actor).__name__}-{next(_thread_numbers)}"
        thread = threading.Thread(target=self._run, name=name, daemon=True)
        try:
            thread.start()
            in_time = self._ready.acquire(timeout=-1 if timeout is None else min(timeout, TIMEOUT_MAX))
        except RuntimeError:  # there is no thread to be had
            self._thread_ended = True
            self.detach(Killed())
            raise
        if not in_time:
            self.detach(Killed())
            raise StartTimeout(f"{self.address}: on_start did not return within {timeout:g} s")
        if self.detached:
            raise Interrupted
        error, self._start_error = self._start_error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # or this frame, the error and its traceback keep each other alive

    def give_up(self) -> None:
        """Detach it, wherever its start got to: nobody will know of it."""
        if self.ident is None:
            self._thread_ended = True  # it has not begun, and if it does it ends at once
        if not self.ended:
            self.detach(Killed())

    def cancel(self) -> None:
        """Have it end in order as soon as it can: nobody waits for its start any more (Ctrl-C)."""
        if self.ended:
            return
        self._cancelled = True
        self.reach.interrupt()
        self._wake()

    def wait_ended(self, timeout: float | None) -> bool:
        """Wait until the owner has been told of the end; False if that takes longer than `timeout` seconds."""
        if self.ended:
            return True
        gate = allocate_lock()
        gate.acquire()
        self.when_ended(gate.release)
        return gate.acquire(timeout=-1 if timeout is None else min(max(0.0, timeout), TIMEOUT_MAX))

    def when_ended(self, wake: Callable[[], object]) -> None:
        """Call `wake()` once when the owner has been told of the end, at once if it has."""
        self._gates.append(wake)
        if self.ended:
            self._open_gates()

    def wait_gone(self, timeout: float) -> bool:
        """Wait until the thread has ended but for its last few bytecodes; False after `timeout` seconds."""
        gate = allocate_lock()
        gate.acquire()
        self._gates.append(gate.release)
        if self._thread_ended or self.ident == get_ident():
            return True
        return gate.acquire(timeout=timeout)

    def _withdraw(self) -> None:
        """End what its thread waits for elsewhere, where no interrupt reaches."""
        withdraw, self.when_detached = self.when_detached, None
        if withdraw is not None:
            try:
                withdraw()
            except Exception:  # the event loop that it goes on is closed
                return

    def detach(self, reason: ExitReason) -> bool:
        """Give this incarnation up at once; False if it had ended by itself before.

        The asker of the message in hand gets `ActorKilled`, its thread is interrupted and counted as a zombie.
        The owner is not told: it is the one who calls this.
        """
        address = self.address
        # Made before anything is decided: what could fail in making it must not leave the rest half done.
        killed = ActorKilled(f"{address} was detached while handling the message ({reason})")
        letter = f"detached while handling it: {reason}"
        try:
            self._fate.pop()
        except IndexError:
            return False
        self.detached = True
        address.zombies.add(self)
        if self._thread_ended:
            address.zombies.discard(self)
        address.exit_reason = reason
        item = self.current
        busy = item is not None and self._decide_on_hand()
        if busy or self.ending or not self.started:
            self.reach.interrupt()
        self._wake()
        self._withdraw()
        if item is not None and busy:
            message, reply = item
            known = reply is not None and not reply.fail(killed)
            if not known and not is_of(message, SystemMessage):
                dead_letters.add(address.name, message, letter)
        self._leave_tickets()
        self._answer_stops()
        self.ended = True
        self._open_gates()
        self._ready_or_not()
        if not busy and self.started and not self.ending:
            # It waits for a message and leaves within microseconds. Should it be slower, it hands back
            # whatever it takes, so waiting only keeps the order of messages that arrive right now.
            self.wait_gone(_HANDOVER)
        return True
