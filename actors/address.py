"""The address of a child slot: what everybody holds instead of the actor.

An actor may crash, be killed and be started again; its address stays. It owns the mailbox, so messages sent while
nobody is running wait for the next incarnation. It knows the incarnation that runs now, how many there have been,
who watches, and who is the owner to be told of an exit. Only the owner (a supervisor, or `start()` for an actor
without one) opens and closes it.
"""

from __future__ import annotations

import functools
import threading
import uuid
from _thread import get_ident
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast, overload

import pykka
from pykka.messages import ProxyCall

from upright.actors import process
from upright.actors.errors import ActorStopped, ForkedActor, MailboxFull, SelfAsk
from upright.actors.exits import NORMAL, ExitReason
from upright.actors.interrupt import shielded
from upright.actors.ledger import Ledger
from upright.actors.letters import dead_letters
from upright.actors.mailbox import DEFAULT_MAILBOX_LIMIT, Lane
from upright.actors.messages import Stop, SystemMessage
from upright.actors.monitors import MonitorRef, Monitors
from upright.actors.reply import ReplyFuture
from upright.strategies.errors import ConfigError
from upright.strategies.foreign import is_of
from upright.strategies.options import count_rule, is_count, require_timeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.actors.actor import SupervisedActor
    from upright.actors.incarnation import Incarnation
    from upright.actors.reply import Answer

__all__ = ["Address"]

A = TypeVar("A", bound="SupervisedActor")


class Address(pykka.ActorRef[A], Generic[A]):
    """Where to send messages; works across restarts and may be shared between threads.

    Two addresses are equal only if they are the same child slot. `tell`, `ask`, `stop` and `proxy` are pykka's,
    with bounded mailboxes and exactly one answer to every ask; see their docstrings for what differs.

    Attributes:
        name: The child's id under a supervisor, else the class name with a number.
        mailbox_limit: How many messages may wait; one more is refused with `MailboxFull`.
    """

    def __init__(
        self,
        actor_class: type[A],
        name: str,
        *,
        mailbox_limit: int = DEFAULT_MAILBOX_LIMIT,
        owner: Address[Any] | None = None,
    ) -> None:
        if not is_count(mailbox_limit, least=1):
            raise ConfigError("Address.mailbox_limit", mailbox_limit, count_rule(mailbox_limit, 1))
        self.actor_class = actor_class
        self.actor_urn = uuid.uuid4().urn
        self.actor_stopped = threading.Event()
        self.name = name
        self.mailbox_limit = mailbox_limit
        self.owner = owner
        # The slots of a supervisor's static children, by id. They belong to the supervisor's slot, not to one
        # incarnation of it, so that their addresses survive its restart too. Written by its thread only.
        self.children: dict[Any, Address[Any]] = {}
        self.incarnation: Incarnation | None = None
        self.actor: A | None = None  # the newest actor object, for proxies; none once the slot is closed
        self.starts = 0  # attempts, also those that failed: it numbers the incarnations
        self.incarnations = 0  # starts that succeeded
        self.restarting = False  # nobody runs, and its supervisor is about to try (again)
        self.exit_reason: ExitReason | None = None  # of the last incarnation that ended
        self.zombies: set[Incarnation] = set()
        self.ledger = Ledger()
        self._lane = Lane()
        self._monitors = Monitors()
        self._down: ExitReason | None = None
        self._refusal: type[ActorStopped] = ActorStopped
        process.opened(self)

    def __repr__(self) -> str:
        return f"<Address {self.name!r}, ActorRef for {self}>"

    def __str__(self) -> str:
        # As pykka prints an ActorRef, so that its log lines and ours can be matched.
        return f"{self.actor_class.__name__} ({self.actor_urn})"

    # Sending: from any thread.

    @property
    def actor_inbox(self) -> Any:  # type: ignore[override]
        """The mailbox as pykka names it, for inspection (`qsize()`, `empty()`)."""
        return self._lane

    @property
    def lane(self) -> Lane:
        """The mailbox that is open now."""
        return self._lane

    @property
    def restarts(self) -> int:
        """How many starts succeeded after the first."""
        return max(0, self.incarnations - 1)

    @property
    def depth(self) -> int:
        """How many messages wait."""
        return self._lane.depth

    def is_alive(self) -> bool:
        """Whether messages are taken: the actor runs, or its supervisor is about to start it again."""
        return not self._lane.closed

    def tell(self, message: Any) -> None:
        """Send a message without waiting for an answer; never blocks.

        Raises:
            MailboxFull: If `mailbox_limit` messages wait already; the message is refused and counted.
            ActorStopped: If the actor has ended and will not come back by itself (a pykka.ActorDeadError).
        """
        lane = self._lane
        if lane.closed or lane.qsize() >= self.mailbox_limit:
            self._refuse_if_unable(lane, message)
        lane.put((message, None))
        if lane.closed:
            self.bounce(lane)

    @overload
    def ask(self, message: Any, *, block: Literal[False], timeout: float | None = None) -> ReplyFuture[Any]: ...

    @overload
    def ask(self, message: Any, *, block: Literal[True] = True, timeout: float | None = None) -> Any: ...

    @overload
    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any | ReplyFuture[Any]: ...

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any | ReplyFuture[Any]:
        """Send a message and return the answer, or a future of it if `block` is false.

        Every ask is answered once: with the handler's result, with the exception that it raised (which crashes
        the actor unless it is a `Reply`), or with one of the errors below. The future can be awaited.

        Args:
            message: Anything; it is not copied.
            block: Whether to wait here.
            timeout: Seconds to wait if blocking; None waits for ever.

        Raises:
            AskTimeout: No answer in time (a pykka.Timeout).
            MailboxFull: `mailbox_limit` messages wait already.
            ActorStopped: The actor ended before it came to the message (a pykka.ActorDeadError).
            ActorKilled: It was detached while handling the message.
            SelfAsk: The actor asked itself and would have waited for ever.
            ConfigError: `timeout` is no number; nothing was sent.
        """
        if timeout is not None:
            require_timeout("Address.ask.timeout", timeout)
        reply: ReplyFuture[Any] = ReplyFuture()
        if block:
            self._refuse_self_ask()
        self.send(message, reply)
        return reply.get(timeout=timeout) if block else reply

    async def ask_async(self, message: Any, *, timeout: float | None = None) -> Any:
        """Ask from a coroutine: suspends the running asyncio task, blocks neither its loop nor a thread.

        Same answers and errors as `ask`. Cancelling the task gives up waiting; the message is handled all the same.
        """
        require_timeout("Address.ask_async.timeout", timeout)
        reply: ReplyFuture[Any] = ReplyFuture()
        self.send(message, reply)
        return await reply.wait_async(timeout)

    def call(self, method: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the actor in its thread and wait: `proxy().method(...).get()` without the proxy."""
        return self.ask(ProxyCall(attr_path=(method,), args=args, kwargs=kwargs))

    def send(self, message: Any, reply: Answer) -> None:
        """Send a message whose answer goes to `reply`; a refusal goes there too. Never raises, never blocks."""
        lane = self._lane
        if lane.closed or lane.qsize() >= self.mailbox_limit:
            try:
                self._refuse_if_unable(lane, message)
            except (ActorStopped, MailboxFull) as error:
                reply.fail(error)
                return
        lane.put((message, reply))
        if lane.closed:
            self.bounce(lane)

    def send_unbounded(self, message: Any) -> None:
        """Put a message behind the queued ones, even into a full mailbox: for what must not be lost."""
        lane = self._lane
        lane.put((message, None))
        if lane.closed:
            self.bounce(lane)

    def post(self, message: Any) -> None:
        """Send a system message: ahead of the queue, never refused while the address is open."""
        lane = self._lane
        lane.post(message)
        if lane.closed:
            self.bounce(lane)

    @overload
    def stop(self, *, block: Literal[True] = True, timeout: float | None = None) -> bool: ...

    @overload
    def stop(self, *, block: Literal[False], timeout: float | None = None) -> pykka.Future[bool]: ...

    @overload
    def stop(self, *, block: bool = True, timeout: float | None = None) -> bool | pykka.Future[bool]: ...

    def stop(self, *, block: bool = True, timeout: float | None = None) -> bool | pykka.Future[bool]:
        """Ask the actor to stop after the message in hand; it ends NORMAL, and a supervisor may start it again.

        Unlike in pykka the request overtakes queued messages. Answered after `on_stop` has run: True, or False if
        the actor was down already. `block` and `timeout` are those of `ask`.
        """
        require_timeout("Address.stop.timeout", timeout)
        if block:
            self._refuse_self_ask()
        reply: ReplyFuture[Any] = ReplyFuture()
        lane = self._lane
        if lane.closed:
            self._answer_when_down(lane, reply, False)
        else:
            self.post(Stop(NORMAL, reply_to=reply))
        return cast("bool", reply.get(timeout=timeout)) if block else reply

    def proxy(self) -> pykka.ActorProxy[A]:
        """Return a pykka proxy; it keeps working across restarts, since it sends to this address."""
        return pykka.ActorProxy(actor_ref=self)

    def _actor_weakref(self) -> A | None:  # type: ignore[override]
        # pykka's proxy looks the actor up here to see which attributes it has.
        return self.actor

    # Watching.

    def monitor(self, watcher: Address[Any]) -> MonitorRef:
        """Have `watcher` told `Down(address, reason)` when this actor has ended for good; at once if it has.

        Exactly one `Down` comes for every call, on the system lane of the watcher. A restart is no `Down`.
        """
        if not isinstance(watcher, Address):
            raise TypeError(f"Address.monitor.watcher must be the Address of a SupervisedActor, got {watcher!r}")
        ref = self._monitors.add(self, watcher)
        if self._down is not None:
            self._monitors.fire(self._down)
        return ref

    # For the owner: its supervisor's thread, or the actor's own if it has none.

    def reopen(self) -> None:
        """Take messages again after a `close`, with a new and empty mailbox."""
        if self._lane.closed:
            self._down = None
            self._refusal = ActorStopped
            self._lane = Lane()
            self.actor_stopped.clear()
            process.opened(self)

    def close(self, reason: ExitReason) -> None:
        """End this slot: refuse new messages, answer the queued ones with `ActorStopped`, tell the watchers."""
        self.refuse_messages()
        self.exit_reason = reason if self.exit_reason is None else self.exit_reason
        self.actor = None
        for child in list(self.children.values()):
            # Each with a reason of its own: one may have been killed while the supervisor ended in order.
            child.close(reason if child.exit_reason is None else child.exit_reason)
        if self._down is None:
            self._down = reason
        self._monitors.fire(self._down)

    def refuse_messages(self) -> None:
        """Refuse new messages and answer the queued ones; watchers are told by `close`, when the hooks have run."""
        lane = self._lane
        lane.closed = True
        try:
            self.actor_stopped.set()
            process.closed(self)
        finally:
            try:
                self.bounce(lane)  # also if it was closed before: whoever did that may have been interrupted
            finally:
                self.fail_tickets()

    def fail_tickets(self) -> None:
        """Answer what was accepted and never answered; what nobody waits for becomes a dead letter."""
        error: Callable[[], ActorStopped] = self._refusal
        gone = "has stopped"
        try:
            gone = self._gone()
            error = functools.partial(self._refusal, f"{self} {gone} before it answered")
        finally:  # whatever failed in finding the words: they are answered
            for ticket in self.ledger.tickets():
                if ticket.fail(error()) and not ticket.asked:
                    dead_letters.add(self.name, ticket.message, f"accepted, but its actor {gone}")

    def close_after_fork(self) -> None:
        """Close in a forked child, where no thread will ever read this mailbox."""
        self._refusal = ForkedActor
        self._lane.closed = True
        self.actor_stopped.set()
        self._down = NORMAL if self._down is None else self._down
        incarnation, self.incarnation = self.incarnation, None
        item = None if incarnation is None else incarnation.current
        if item is not None and item[1] is not None:
            item[1].fail(ForkedActor(f"{self} {self._gone()}"))
        self.bounce(self._lane)
        self.fail_tickets()

    def inherit_zombies(self, child: Address[Any]) -> None:
        """Count the threads that a child leaves behind from now on as this supervisor's own: the child is forgotten."""
        left, child.zombies = child.zombies, self.zombies
        for incarnation in tuple(left):
            self.zombies.add(incarnation)
            if incarnation.is_gone:
                self.zombies.discard(incarnation)  # it looked for itself in the set of before

    def bounce(self, lane: Lane) -> None:
        """Answer what waits in a mailbox that was closed; from any thread, any number of times."""

        def take(message: Any, reply: Answer | None) -> None:
            try:
                if is_of(message, SystemMessage):
                    if is_of(message, Stop) and message.reply_to is not None:
                        self._answer_when_down(lane, message.reply_to, True)
                    return
                if reply is not None:
                    reply.fail(error())
                dead_letters.add(self.name, message, gone)
            except BaseException as failed:
                if reply is not None:
                    reply.fail(failed)  # it is out of the mailbox: nobody else will answer
                raise

        error: Callable[[], ActorStopped] = self._refusal
        gone = "has stopped"
        with shielded():
            try:
                gone = self._gone()
                error = functools.partial(self._refusal, f"{self} {gone} before handling the message")
            finally:  # whatever failed in finding the words: they are answered
                lane.drain(take)

    def _answer_when_down(self, lane: Lane, reply: Answer, value: bool) -> None:  # noqa: FBT001 - the answer itself
        """Answer a request to stop that came too late: now, or when the last hooks of that actor have run."""
        incarnation = self.incarnation
        if incarnation is None or incarnation.ended or incarnation.lane is not lane:
            reply.answer(value)
        else:
            incarnation.when_ended(lambda: reply.answer(True))

    def _refuse_if_unable(self, lane: Lane, message: Any) -> None:
        if lane.closed:
            dead_letters.add(self.name, message, self._gone())
            # pykka's own words where nothing more is to be said
            detail = f": it {self._gone()}" if self._refusal is ForkedActor else ""
            raise self._refusal(f"{self} not found{detail}")
        if lane.depth >= self.mailbox_limit:
            dead_letters.add(self.name, message, "mailbox full")
            raise MailboxFull(self.name, self.mailbox_limit)

    def _refuse_self_ask(self) -> None:
        incarnation = self.incarnation
        if incarnation is not None and incarnation.ident == get_ident() and not incarnation.ended:
            raise SelfAsk(f"{self} waits for its own answer and would do so for ever; call the method directly")

    def _gone(self) -> str:
        if self._refusal is ForkedActor:
            return (
                "lives in the process that this one was forked from, where its thread is; "
                "start or boot anew in this process"
            )
        return "has stopped" if self.exit_reason is None else f"has stopped ({self.exit_reason})"
