"""SupervisedActor: pykka's ThreadingActor, made fit for a supervisor.

What pykka documents for ThreadingActor stays true, with the differences that its docstring lists.
"""

from __future__ import annotations

import logging
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import pykka
from pykka import messages
from pykka._introspection import get_attr_directly

from upright.actors import registry
from upright.actors.address import Address
from upright.actors.errors import Ignore
from upright.actors.exits import NORMAL
from upright.actors.hooks import log_quietly
from upright.actors.incarnation import Incarnation
from upright.actors.ledger import Ticket
from upright.actors.life import StopNow
from upright.actors.mailbox import DEFAULT_MAILBOX_LIMIT, Lane
from upright.actors.messages import Entrusted, Provoke, Stop
from upright.actors.reply import ReplyFuture
from upright.strategies.errors import ConfigError
from upright.strategies.foreign import is_of, shown
from upright.strategies.options import is_finite_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from upright.actors.timers import Timer

__all__ = ["SupervisedActor"]

_ENTRUSTED = Entrusted()
_MEANT_FOR_US = frozenset(
    {
        messages.ProxyCall,
        messages.ProxyGetAttr,
        messages.ProxySetAttr,
        messages._ActorStop,  # noqa: SLF001 - what pykka's own code sends to stop an actor
        Provoke,
        Stop,
    }
)

_numbers = count(1)


class SupervisedActor(pykka.ThreadingActor):
    """Base class of actors that can be supervised; a drop-in for `pykka.ThreadingActor`.

    What differs from pykka, and why it must:

    - `start()` returns an `Address` after `on_start` has run in the actor's thread. An exception from `__init__` or
      `on_start` comes out of `start()` unchanged; `Ignore` makes it return None.
    - An exception that escapes from a handler crashes the actor, for `ask` and proxy calls as for `tell`; the asker
      gets that exception. (pykka lets the actor live when it was asked, so no supervisor ever hears of it.) An
      exception derived from `Reply` is an answer and no crash.
    - Any BaseException crashes this actor alone. (A stray `sys.exit()` makes pykka stop every actor there is.)
    - `raise Shutdown(detail)` ends the actor cleanly, `self.stop()` ends it NORMAL.
    - Threads are daemon threads. Mailboxes are bounded. System messages overtake queued ones.
    - An actor under a supervisor is not in pykka's ActorRegistry: `ActorRegistry.stop_all()` is not able to stop
      part of a supervised tree by accident.

    Handlers, `on_start`, `on_stop` and `on_failure` run in the actor's own thread, `__init__` in the thread that
    starts it: the caller's, or the supervisor's.
    """

    use_daemon_thread = True

    mailbox_limit: ClassVar[int] = DEFAULT_MAILBOX_LIMIT
    """How many messages may wait when the actor is started without a ChildSpec."""

    status_details: Mapping[str, Any] = {}
    """What this actor shows of itself in the status: replace it as a whole, never change it in place."""

    _address: Address[Self]
    _incarnation: Incarnation | None = None  # its own, also when it has been replaced

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> Address[Self]:
        """Start the actor without a supervisor and return its address once `on_start` has run.

        Registers it in pykka's ActorRegistry, as pykka does. Arguments go to `__init__`.

        Returns:
            The address; None if `on_start` or `__init__` raised `Ignore`.

        Raises:
            BaseException: Whatever `__init__` or `on_start` raised, unchanged. Nothing stays behind.
        """
        address = Address(cls, f"{cls.__name__}-{next(_numbers)}", mailbox_limit=cls.mailbox_limit)
        try:
            actor = cls.bind(address, args, kwargs)
            if cls._registered:
                registry.register(address)
            Incarnation(address, actor).launch()
        except Ignore:
            cls._undo_start(address)
            return cast("Address[Self]", None)
        except BaseException:
            cls._undo_start(address)
            raise
        return address

    supervises: ClassVar[bool] = False
    """Whether this is a kind of supervisor: its own thread is then not interrupted, but looks by itself."""

    _gathers: ClassVar[float] = 0.0
    """Seconds for which a message that finds the mailbox empty waits for more, unless somebody waits for an answer."""

    _registered: ClassVar[bool] = True
    """Whether `start()` enters the actor in pykka's registry. Supervisors are left out of it."""

    @classmethod
    def _undo_start(cls, address: Address[Self]) -> None:
        if cls._registered:
            registry.unregister(address)
        address.close(NORMAL)
        if address.incarnation is not None:
            address.incarnation.cancel()

    @classmethod
    def bind(cls, address: Address[Self], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Self:
        """Make the actor object for a slot: the address is there before `__init__` runs."""
        actor = cls.__new__(cls, *args, **kwargs) if cls.__new__ is not object.__new__ else cls.__new__(cls)
        actor._adopt(address)  # noqa: SLF001 - our own object
        actor.__init__(*args, **kwargs)  # type: ignore[misc]
        return actor

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        if "_address" not in self.__dict__:
            # Made by hand instead of by start(), as in a unit test of its methods.
            self._adopt(Address(type(self), type(self).__name__, mailbox_limit=self.mailbox_limit))

    def _adopt(self, address: Address[Self]) -> None:
        self._address = self._actor_ref = address
        address.actor = self
        self.actor_urn = address.actor_urn
        self.actor_inbox = address.actor_inbox
        self.actor_stopped = address.actor_stopped

    @property
    def actor_ref(self) -> Address[Self]:
        """The actor's own address."""
        return self._address

    def stop(self) -> None:
        """End the actor NORMAL once the messages that are queued now have been handled."""
        number = self._incarnation.number if self._incarnation is not None else None
        self._address.send_unbounded(Stop(NORMAL, incarnation=number))

    def send_after(self, delay: float, message: Any) -> Timer:
        """Have `on_receive` get `message` in `delay` seconds (Erlang's `send_after`).

        The timer belongs to this incarnation and is gone with it. To be called from the actor's own thread.

        Returns:
            The timer, whose `cancel()` makes the message never come.

        Raises:
            ConfigError: `delay` is no finite number.
        """
        if not is_finite_number(delay):
            raise ConfigError("SupervisedActor.send_after.delay", delay, "a finite number of seconds")
        if self._incarnation is None:
            raise RuntimeError(f"{self}.send_after() needs a started actor: call it from on_start or later")
        return self._incarnation.timers.add(delay, message)

    keeps_tickets: ClassVar[bool] = False
    """Whether what was accepted by `defer()` and not answered is left to the next incarnation; if not, it is failed
    when this one ends."""

    def defer(self) -> Ticket:
        """Accept the message in hand without answering it yet; whatever the handler returns is then ignored.

        To be called from a handler, once. If that handler raises, the ticket is failed with its exception.

        Returns:
            The ticket, to be answered (or failed) once, now or later, from any thread.
        """
        incarnation = self._incarnation
        item = incarnation.current if incarnation is not None else None
        if incarnation is None or item is None or isinstance(item[1], Ticket):
            raise RuntimeError(f"{self}.defer() needs a message in hand that was not deferred before")
        ticket = self._address.ledger.open(*item)
        incarnation.current = (item[0], ticket)
        if incarnation.detached:
            ticket.withdraw()  # its asker has got ActorKilled, and the successor must not find it
        return ticket

    def entrust(self, ticket: Ticket) -> None:
        """Leave the message in hand to its ticket: a crash from here on leaves that open for the next incarnation.

        For a class with `keeps_tickets`, once the ticket's `note` says how to carry on. That the message itself is the
        reason of a crash must then be found out by other means (see `Carried`). From here on any exception is a
        crash, a `Reply` too. Nothing happens for a ticket of another message.
        """
        incarnation = self._incarnation
        item = incarnation.current if incarnation is not None else None
        if incarnation is not None and item is not None and item[1] is ticket:
            incarnation.current = (_ENTRUSTED, None)

    def open_tickets(self) -> list[Ticket]:
        """Return what was accepted and not answered yet, by this incarnation or those before it, oldest first."""
        return self._address.ledger.tickets()

    def on_receive(self, message: Any) -> Any:
        """Handle one message, and return what its asker gets.

        By default a warning is logged, as in pykka, with the first 200 characters of the message's text; a message that
        has no text, or raises when asked for one, is named by its type. Call `super().on_receive(message)` for messages
        that your actor does not handle.
        """
        log_quietly(logging.WARNING, "Unexpected message received by %s: %s", self, shown(message, text=str))

    # For kinds of actors with a life of their own (supervisors), so that a subclass may override the hooks freely.

    def set_up(self) -> None:
        """Run before `on_start`, in the actor's thread."""

    def tear_down(self) -> None:
        """Run before `on_stop` or `on_failure`, and when `on_start` raised, in the actor's thread."""

    def on_system_message(self, message: Any) -> None:
        """Handle what came on the system lane; by default `on_receive` does (a `Down`, for example)."""
        self.on_receive(message)

    # pykka's inner workings, replaced.

    @staticmethod
    def _create_actor_inbox() -> Any:
        return Lane()

    @staticmethod
    def _create_future() -> ReplyFuture[Any]:
        return ReplyFuture()

    def _handle_receive(self, message: Any) -> Any:
        """Dispatch one message: pykka's public messages by their meaning, all others to `on_receive`."""
        kind = type(message)
        if kind not in _MEANT_FOR_US:
            return self.on_receive(message)
        if kind is messages.ProxyCall:
            return get_attr_directly(self, message.attr_path)(*message.args, **message.kwargs)
        if kind is messages.ProxyGetAttr:
            return get_attr_directly(self, message.attr_path)
        if kind is messages.ProxySetAttr:
            return setattr(get_attr_directly(self, message.attr_path[:-1]), message.attr_path[-1], message.value)
        if kind is Provoke:
            return message.function()
        return self._stop_in_order(message)

    def _stop_in_order(self, message: Any) -> None:
        incarnation = self._incarnation
        if is_of(message, Stop) and incarnation is not None and message.incarnation != incarnation.number:
            return  # meant for an earlier incarnation, which ended in another way before it came to this
        raise StopNow
