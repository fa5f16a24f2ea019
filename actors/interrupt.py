"""Interrupting one thread, and no other, by an exception.

CPython throws an exception into a thread by its identifier, between two bytecodes. Two things go wrong with that
when it is used bare: an identifier is given to a new thread as soon as the old one has ended, so a late interrupt
hits somebody else; and an interrupt between the two halves of an operation of the machinery leaves it half done.
So each thread has a `Reach`, which it closes before it ends, and behind which it may shield itself.
"""

from __future__ import annotations

import ctypes
from _thread import allocate_lock, get_ident
from contextlib import contextmanager
from typing import TYPE_CHECKING

from upright.strategies.foreign import Interruption

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Interrupted", "Reach", "shielded"]

_reaches: dict[int, Reach] = {}  # by thread identifier; each thread enters and removes its own


class Interrupted(Interruption):
    """Thrown into the thread of a detached incarnation. Not to be caught: the replacement is running already."""


class Reach:
    """Whether one thread can be interrupted now. `interrupt` is for others, everything else for that thread.

    A supervisor's thread is shielded but for the time in which it runs a child's `__init__`: its own code looks
    by itself whether it was detached, wherever it has waited, and is never cut in half.

    `with lock:` is safe against an interrupt of the thread that enters it: CPython delivers none between the
    acquisition and the first statement of the block.

    Args:
        shielded: Whether the thread starts shielded.

    Attributes:
        guard: Held while an interrupt is thrown, and while the shield is put up or down.
        shielded: The shield is up; written with `guard`, by that thread.
        missed: An interrupt came while the shield was up.
    """

    __slots__ = ("_ident", "_sent", "guard", "missed", "shielded")

    def __init__(self, *, shielded: bool) -> None:
        self.guard = allocate_lock()
        self._ident: int | None = None
        self._sent = False
        self.missed = False
        self.shielded = shielded

    def open(self) -> None:
        """Note which thread this is."""
        self._ident = get_ident()
        _reaches[self._ident] = self

    def close(self) -> None:
        """Let no interrupt come any more, and drop one that is on its way."""
        _reaches.pop(get_ident(), None)
        with self.guard:
            self._ident = None
        if self._sent:
            _take_interrupt()

    def interrupt(self) -> bool:
        """Throw `Interrupted` into the thread; False if it is not running, shielded, or the caller itself.

        The exception arrives when the thread runs its next bytecode: a C call that blocks has to return first.
        """
        with self.guard:
            if self._ident is None or self._ident == get_ident():
                return False
            if self.shielded:
                self.missed = True
                return False
            self._sent = True
            _throw(self._ident, Interrupted)
            return True

    @contextmanager
    def exposed(self) -> Iterator[None]:
        """Run a block of the user's code unshielded; the thread's shield is up again when it is left."""
        before = self.shielded
        with self.guard:
            self.shielded = False
        try:
            yield
        finally:
            with self.guard:
                self.shielded = before


class shielded:  # noqa: N801 - used like a function, and a generator would cost three times as much
    """Run a block of the machinery without interrupts, in whatever thread it runs: what it has begun it finishes."""

    __slots__ = ("_reach",)
    _reach: Reach | None

    def __enter__(self) -> None:
        reach = _reaches.get(get_ident())
        if reach is None or reach.shielded:
            self._reach = None
            return
        with reach.guard:
            reach.shielded = True
        self._reach = reach

    def __exit__(self, *_: object) -> None:
        reach = self._reach
        if reach is None:
            return
        with reach.guard:
            reach.shielded = False
        if reach.missed:
            reach.missed = False
            raise Interrupted


def _take_interrupt() -> None:
    """Receive the interrupt that is on its way to this thread, or one in its place.

    Calling it off (`PyThreadState_SetAsyncExc` with NULL) would leave CPython 3.11 believing that one is pending
    somewhere, for ever: all threads then look for it again and again, and a traced one (debugger, coverage) does not
    get beyond that look.
    """
    try:
        _throw(get_ident(), Interrupted)
        while True:  # it comes with the next bytecodes
            pass
    except Interrupted:
        return


def _throw(ident: int, kind: type[BaseException]) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(kind))
