"""Faults, and how they get into actors: by wrapping the handlers and hooks of the actor classes, not by mocks.

A fault is armed for one actor by name and waits for the next time that the wrapped point is reached there, by a
message of the real workload or by an `Echo` that the storm sends to get it going.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from collections import Counter, deque
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from upright.actors.counsel import Consult
from upright.actors.exits import Shutdown
from upright.actors.healing_record import Heal
from upright.actors.messages import SystemMessage
from upright.actors.worker import Run
from upright.strategies.report import ErrorReport

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable
    from types import FrameType

    from upright.actors import SupervisedActor

__all__ = [
    "RAISES",
    "ChaosBaseError",
    "ChaosError",
    "Echo",
    "Fault",
    "Injector",
    "Nudge",
    "Unspeakable",
    "is_ours",
    "worker_at_work",
]


class ChaosError(Exception):
    """A crash that was ordered."""


class ChaosBaseError(BaseException):
    """One that `except Exception` does not see."""


class Unspeakable(Exception):  # noqa: N818 - what it is
    """Raises whenever it is looked at."""

    def __str__(self) -> str:
        raise ChaosError("no text")

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        raise ChaosError("no comparison")

    def __hash__(self) -> int:
        raise ChaosError("no hash")


def _overflow(depth: int = 0) -> int:
    return _overflow(depth + 1) + 1


def _raise(error: BaseException) -> None:
    raise error


RAISES: dict[str, Callable[[], Any]] = {
    "Exception": lambda: _raise(ChaosError("ordered")),
    "BaseException": lambda: _raise(ChaosBaseError("ordered")),
    "SystemExit": lambda: sys.exit(3),
    "KeyboardInterrupt": lambda: _raise(KeyboardInterrupt()),
    "GeneratorExit": lambda: _raise(GeneratorExit()),
    "CancelledError": lambda: _raise(asyncio.CancelledError()),
    "StopIteration": lambda: _raise(StopIteration(1)),
    "MemoryError": lambda: _raise(MemoryError()),
    "RecursionError": _overflow,
    "Unspeakable": lambda: _raise(Unspeakable()),
    "ExceptionGroup": lambda: _raise(ExceptionGroup("many", [ChaosError("one"), ChaosError("two")])),
    "Shutdown": lambda: _raise(Shutdown("chaos")),
}

_OURS = (
    ChaosError,
    ChaosBaseError,
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    asyncio.CancelledError,
    StopIteration,
    MemoryError,
    RecursionError,
    Unspeakable,
    ExceptionGroup,
    Shutdown,
)


_at_work: ContextVar[Any] = ContextVar("at_work")


def worker_at_work() -> Any:
    """Return the worker, in whichever thread or loop, whose job runs here; None if none does."""
    return _at_work.get(None)


def is_ours(error: BaseException | None) -> bool:
    """Whether an error may be one that was ordered."""
    # Python itself turns a StopIteration that leaves a coroutine into a RuntimeError (PEP 479).
    return isinstance(error, _OURS) or (isinstance(error, RuntimeError) and isinstance(error.__cause__, StopIteration))


@dataclass(frozen=True, slots=True)
class Echo:
    """Every actor answers this with `token`: an ask whose answer is known."""

    token: int


@dataclass(frozen=True, slots=True)
class Nudge(SystemMessage):
    """The same on the system lane, where nothing is answered."""

    token: int


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        kind: Its name in the figures.
        point: "receive", "system", "start", "stop", "failure" or "init"; in the figures a start that finds what an
            earlier incarnation had accepted is a "hand-over".
        when: "before" the original runs, "after" it, or at so many executed lines of it.
        effect: What happens.
    """

    kind: str
    point: str
    when: str | int
    effect: Callable[[], Any]


class Injector:
    """Holds the armed faults and wraps the classes.

    Attributes:
        fired: How often each (kind, point) has happened.
        by_actor: How often each actor was hit.
        recent: The last of them, with monotonic seconds: what to look at when something went wrong.
        poisoned: Targets (resource or operation) of reports that were in the hand of an actor when it was hit.
    """

    def __init__(self) -> None:
        self.fired: Counter[tuple[str, str]] = Counter()
        self.by_actor: Counter[str] = Counter()
        self.poisoned: Counter[str] = Counter()
        self.recent: deque[tuple[float, str]] = deque(maxlen=2_000)
        self._armed: dict[tuple[str, str], deque[Fault]] = {}

    # Arming.

    def arm(self, actor: str, fault: Fault) -> None:
        """Have `fault` happen at the next occasion in the actor of this name."""
        self._armed.setdefault((actor, fault.point), deque()).append(fault)

    def disarm(self) -> int:
        """Forget what has not happened; returns how many."""
        left = sum(map(len, self._armed.values()))
        self._armed.clear()
        return left

    def waiting(self, actor: str | None = None) -> int:
        """How many armed faults have not happened yet."""
        return sum(len(q) for (name, _), q in list(self._armed.items()) if actor in (None, name))

    @property
    def total(self) -> int:
        """How many faults have happened."""
        return sum(self.fired.values())

    def happened(self, kind: str, point: str, actor: str) -> None:
        """Count a fault that is not one of a handler."""
        self.fired[(kind, point)] += 1
        self.by_actor[actor] += 1

    # Wrapping.

    def install(self, classes: Iterable[type[SupervisedActor]]) -> None:
        """Wrap the handlers and hooks of these classes."""
        points = {
            "_handle_receive": "receive",
            "on_system_message": "system",
            "on_start": "start",
            "on_stop": "stop",
            "on_failure": "failure",
            "__init__": "init",
        }
        # All are read first: a class that inherits a wrapper would be wrapped twice.
        for cls, name, original in [(cls, name, getattr(cls, name)) for cls in classes for name in points]:
            setattr(cls, name, self._wrapped(original, points[name]))

    def _wrapped(self, original: Any, point: str) -> Any:
        @functools.wraps(original)
        def reached(actor: Any, *args: Any, **kwargs: Any) -> Any:
            message = args[0] if args else None
            if isinstance(message, Run):
                message.context.run(_at_work.set, actor)
            known = isinstance(message, Echo | Nudge)
            fault = self._take(actor, point)
            if fault is None:
                return message.token if isinstance(message, Echo | Nudge) else original(actor, *args, **kwargs)
            if isinstance(fault.when, int) and known:
                fault = Fault(fault.kind, fault.point, "before", fault.effect)
            if isinstance(fault.when, int):
                # Counted when it strikes: the original may have fewer lines than that.
                with _Traced(fault, functools.partial(self._fires, actor, fault, message)):
                    return original(actor, *args, **kwargs)
            self._fires(actor, fault, message)
            if fault.when == "before":
                fault.effect()
            answer = message.token if isinstance(message, Echo | Nudge) else original(actor, *args, **kwargs)
            if fault.when == "after":
                fault.effect()
            return answer

        return reached

    def _take(self, actor: Any, point: str) -> Fault | None:
        name = actor.__dict__.get("_address")
        queue = None if name is None else self._armed.get((name.name, point))
        if not queue:
            return None
        try:
            return queue.popleft()
        except IndexError:
            return None

    def _fires(self, actor: Any, fault: Fault, message: Any, where: str = "") -> None:
        address = actor.__dict__["_address"]
        # A start that finds what an earlier incarnation had accepted is a hand-over.
        point = "hand-over" if fault.point == "start" and len(address.ledger) else fault.point
        self.happened(fault.kind, point, address.name)
        self.note(actor, f"{fault.kind}, {point} {fault.when}, in hand: {type(message).__name__}{where}")
        if isinstance(message, Consult | Heal):
            message = message.report
        if isinstance(message, ErrorReport):
            self.poisoned[message.target] += 1

    def note(self, actor: Any, what: str) -> None:
        """Remember what happened to an actor."""
        one = actor.__dict__.get("_incarnation")
        self.recent.append((monotonic(), f"{actor.__dict__['_address'].name}/{one and one.number}: {what}"))

    def since(self, moment: float, names: tuple[str, ...]) -> str:
        """Return what has happened to these actors since then, a line each."""
        return "".join(
            f"\n    {at:.4f} {what}" for at, what in list(self.recent) if at >= moment and what.startswith(names)
        )


class _Traced:
    """Have something happen after so many lines were executed in the code of actors, supervisors and their rules."""

    _rooms = ("/actors", "/supervisors", "/strategies")

    _machinery = (
        "life.py",
        "reply.py",
        "ledger.py",
        "mailbox.py",
        "interrupt.py",
        "incarnation.py",
        "address.py",
        "letters.py",
    )

    def __init__(self, fault: Fault, strikes: Callable[[str], None]) -> None:
        self._left = int(fault.when)
        self._effect = fault.effect
        self._strikes = strikes

    def __enter__(self) -> None:
        sys.settrace(self._call)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _call(self, frame: FrameType, _event: str, _arg: Any) -> Any:
        name = frame.f_code.co_filename
        if name.rpartition("/")[0].endswith(self._rooms) and not name.endswith(self._machinery):
            return self._line
        return None

    def _line(self, frame: FrameType, event: str, _arg: Any) -> Any:
        if event == "line":
            self._left -= 1
            if self._left == 0:
                sys.settrace(None)
                code = frame.f_code
                self._strikes(f", at {code.co_filename.rpartition('/')[2]}:{frame.f_lineno} in {code.co_name}")
                self._effect()
        return self._line


def spin(seconds: float) -> None:
    """Hang in bytecode: an interrupt ends it."""
    until = monotonic() + seconds
    while monotonic() < until:
        pass


def block(seconds: float) -> None:
    """Hang in a C call: nothing ends it early."""
    sleep(seconds)


def any_raise(rng: random.Random) -> tuple[str, Callable[[], Any]]:
    """Draw one of the exceptions."""
    kind = rng.choice(list(RAISES))
    return kind, RAISES[kind]
