"""What every test must leave as it found it, and the fixtures that all rooms share."""

from __future__ import annotations

import gc
import logging
import signal
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from upright.actors.letters import dead_letters
from upright.actors.process import open_addresses
from upright.booting import restore_default
from upright.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from upright.actors import Address, SupervisedActor

_PATIENCE = 5.0  # seconds that threads get to end after a test; far more than they need
_CRASH_EVENTS = {
    "child_hung",
    "child_shutdown_error",
    "child_start_failed",
    "child_terminated",
    "supervisor_gave_up",
}


def pytest_configure() -> None:
    """Heed Ctrl-C also where a shell has started this in the background, for what the tests start inherits that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class _CrashWatch(logging.Handler):
    """Collects what actors log when they crash: pykka itself would log it, and the test would pass."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.crashes: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "pykka" or str(record.msg) in _CRASH_EVENTS:
            fields = {key: getattr(record, key, None) for key in ("supervisor", "child_id", "reason")}
            text = record.getMessage() if record.name == "pykka" else f"{record.msg} {fields}"
            error = record.exc_info[1] if record.exc_info else None
            self.crashes.append(text if error is None else f"{text} ({error!r})")


@pytest.fixture(autouse=True)
def _nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaks a thread or an open address, or that crashed an actor without saying so."""
    threads = set(threading.enumerate())
    addresses = {id(address) for address in open_addresses()}
    watch = _CrashWatch()
    loggers = [logging.getLogger("pykka"), logging.getLogger("upright")]
    for logger in loggers:
        logger.addHandler(watch)
    try:
        with restore_default():
            yield
    finally:
        for logger in loggers:
            logger.removeHandler(watch)
        dead_letters.clear()  # a message of one test, which may be hostile, is not to be looked at by the next
    problems = []
    if watch.crashes and request.node.get_closest_marker("actor_crash") is None:
        problems += [f"an actor crashed: {crash}" for crash in watch.crashes]
    problems += [f"a thread is left: {thread.name}" for thread in _threads_left(threads)]
    problems += [f"an address is open: {address!r}" for address in _addresses_left(addresses)]
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


def _threads_left(before: set[threading.Thread]) -> list[threading.Thread]:
    deadline = monotonic() + _PATIENCE
    for thread in set(threading.enumerate()) - before:
        if thread is not threading.current_thread() and "timeout" not in thread.name:
            thread.join(max(0.0, deadline - monotonic()))
    return [t for t in set(threading.enumerate()) - before if t.is_alive() and "timeout" not in t.name]


def _addresses_left(before: set[int]) -> list[Address[Any]]:
    if not [address for address in open_addresses() if id(address) not in before]:
        return []
    gc.collect()  # one that nobody holds any more is no leak, only not collected yet
    return [address for address in open_addresses() if id(address) not in before]


A = TypeVar("A", bound="SupervisedActor")


@pytest.fixture
def keep() -> Iterator[Callable[[Address[A]], Address[A]]]:
    """Pass an address through, and stop it after the test: the newest first."""
    kept: list[Address[Any]] = []

    def keep(address: Address[A]) -> Address[A]:
        kept.append(address)
        return address

    yield keep
    for address in reversed(kept):
        address.stop(timeout=10.0)


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    """A clock that stands still until the test moves it, for all actors that the test starts."""
    with FakeClock() as clock:
        yield clock


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Make threads take turns as often as they can, so that races show."""
    import sys

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)
