from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import pykka
import pytest

from upright.actors import (
    NORMAL,
    ActorStopped,
    Address,
    Crashed,
    Down,
    Reply,
    Shutdown,
    SupervisedActor,
    dead_letters,
)

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.actor_crash


class Raises(SupervisedActor):
    def __init__(self) -> None:
        super().__init__()
        self.ends: list[Any] = []
        self.stopped, self.failed = threading.Event(), threading.Event()

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, BaseException):
            raise message
        return message

    def fail(self, error: BaseException) -> None:
        raise error

    def on_stop(self) -> None:
        self.stopped.set()

    def on_failure(self, kind: Any, error: Any, traceback: Any) -> None:
        del traceback
        self.ends.append((kind, error))
        self.failed.set()


class Watcher(SupervisedActor):
    def __init__(self) -> None:
        super().__init__()
        self.downs: list[Down] = []
        self.got_one = threading.Event()

    def on_receive(self, message: Any) -> None:
        self.downs.append(message)
        self.got_one.set()


class Bad(Exception):
    pass


class NotNow(Reply):
    pass


def _end_of(address: Address[Any]) -> Any:
    incarnation = address.incarnation
    assert incarnation is not None
    assert incarnation.wait_ended(5)
    return address.exit_reason


@pytest.mark.parametrize("kind", [Bad, SystemExit, KeyboardInterrupt, GeneratorExit, BaseException])
def test_what_escapes_from_an_ask_goes_to_the_asker_and_crashes_the_actor(kind: type[BaseException]) -> None:
    address, error = Raises.start(), kind("x")
    with pytest.raises(kind) as caught:
        address.ask(error)
    assert caught.value is error
    assert _end_of(address) == Crashed(error)
    assert not address.is_alive()


@pytest.mark.parametrize("kind", [Bad, SystemExit, KeyboardInterrupt])
def test_what_escapes_from_a_proxy_call_crashes_the_actor(kind: type[BaseException]) -> None:
    address, error = Raises.start(), kind("x")
    with pytest.raises(kind):
        address.proxy().fail(error).get()
    assert _end_of(address) == Crashed(error)


@pytest.mark.parametrize("kind", [Bad, SystemExit, KeyboardInterrupt])
def test_what_escapes_from_a_tell_crashes_the_actor(kind: type[BaseException]) -> None:
    address, error = Raises.start(), kind("x")
    address.tell(error)
    assert _end_of(address) == Crashed(error)


def test_a_stray_sys_exit_stops_no_other_actor(keep: Callable[..., Any]) -> None:
    bystander = keep(Raises.start())
    address = Raises.start()
    address.tell(SystemExit(1))
    _end_of(address)
    assert bystander.ask("still here") == "still here"


def test_a_crash_runs_on_failure_and_not_on_stop() -> None:
    address, error = Raises.start(), Bad("x")
    actor = address.actor
    assert actor is not None
    address.tell(error)
    assert actor.failed.wait(5)
    assert actor.ends == [(Bad, error)]
    _end_of(address)
    assert not actor.stopped.is_set()


def test_a_reply_is_an_answer_and_no_crash(keep: Callable[..., Any]) -> None:
    address = keep(Raises.start())
    with pytest.raises(NotNow):
        address.ask(NotNow("busy"))
    address.tell(NotNow("to nobody"))
    assert address.ask("alive") == "alive"


def test_shutdown_ends_the_actor_cleanly(keep: Callable[..., Any]) -> None:
    watcher = keep(Watcher.start())
    address = Raises.start()
    address.monitor(watcher)
    actor = address.actor
    assert actor is not None
    with pytest.raises(Shutdown):
        address.ask(Shutdown("enough"))
    assert _end_of(address) == Shutdown("enough")
    assert actor.stopped.is_set()
    assert not actor.failed.is_set()


def test_an_asker_that_has_got_the_exception_finds_the_actor_down() -> None:
    for _ in range(50):
        address = Raises.start()
        with pytest.raises(Bad):
            address.ask(Bad())
        with pytest.raises(ActorStopped):
            address.ask("too late")


def test_a_crash_answers_the_queued_asks_with_actor_stopped() -> None:
    gate = threading.Event()

    class Waits(Raises):
        def on_receive(self, message: Any) -> Any:
            gate.wait(5)
            return super().on_receive(message)

    address = Waits.start()
    address.tell(Bad())
    queued = [address.ask(n, block=False) for n in range(10)]
    gate.set()
    for future in queued:
        with pytest.raises(pykka.ActorDeadError, match="stopped"):
            future.get(timeout=5)


def test_the_message_that_crashed_it_is_a_dead_letter() -> None:
    address, error = Raises.start(), Bad("poison")
    before = dead_letters.count
    with pytest.raises(Bad):
        address.ask(error)
    assert dead_letters.count == before + 1
    letter = dead_letters.recent(1)[0]
    assert letter.message is error
    assert letter.to == address.name
    assert "Bad: poison" in letter.reason


def test_an_exception_from_on_stop_becomes_the_exit_reason() -> None:
    error = Bad("in on_stop")

    class StopsBadly(SupervisedActor):
        def on_stop(self) -> None:
            raise error

    address = StopsBadly.start()
    assert address.stop() is True
    assert address.exit_reason == Crashed(error)


def test_an_exception_from_on_failure_does_not_hide_the_crash() -> None:
    first = Bad("first")

    class FailsBadly(Raises):
        def on_failure(self, *_args: Any) -> None:
            raise RuntimeError("second")

    address = FailsBadly.start()
    address.tell(first)
    assert _end_of(address) == Crashed(first)


def test_a_log_handler_that_raises_neither_hides_the_crash_nor_loses_the_answer() -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise SystemExit(record.msg)

    handler = Broken()
    logging.getLogger("pykka").addHandler(handler)
    try:
        address, error = Raises.start(), Bad("x")
        with pytest.raises(Bad) as caught:
            address.ask(error, timeout=5)
        assert caught.value is error
        assert _end_of(address) == Crashed(error)
    finally:
        logging.getLogger("pykka").removeHandler(handler)


class Hostile(Exception):
    def __str__(self) -> str:
        raise SystemExit("from __str__")

    __repr__ = __str__


class HostileDetail:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_an_exception_whose_text_raises_is_still_an_answer() -> None:
    address, error = Raises.start(), Hostile()
    with pytest.raises(Hostile) as caught:
        address.ask(error, timeout=5)
    assert caught.value is error
    assert "str() raised SystemExit" in dead_letters.recent(1)[0].reason


def test_a_shutdown_whose_detail_is_hostile_ends_the_actor_all_the_same() -> None:
    address = Raises.start()
    waiting = address.stop(block=False) if not address.is_alive() else None
    assert waiting is None
    with pytest.raises(Shutdown):
        address.ask(Shutdown(HostileDetail()), timeout=5)
    reason = _end_of(address)
    assert "str() raised RuntimeError" in str(reason)
    assert reason == reason  # noqa: PLR0124 - the comparison is what is tested
    assert reason != Shutdown("other")
    assert reason != NORMAL


def test_the_last_message_is_not_kept_alive(keep: Callable[..., Any]) -> None:
    import gc
    import weakref

    class Load:
        pass

    class Sink(SupervisedActor):
        def on_receive(self, message: Any) -> Any:
            if message == "timer":
                self.send_after(0.0, Load())
            return None

    address = keep(Sink.start())
    load = Load()
    seen = weakref.ref(load)
    address.ask(load)
    address.ask("barrier")
    del load
    assert seen() is None
    gc.collect()
    address.ask("timer")
    for _ in range(3):
        address.ask("barrier")
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) is Load]


def test_an_actor_that_ended_cleanly_leaves_nothing_behind_but_its_address() -> None:
    import gc
    import weakref

    class Load:
        pass

    class Holds(SupervisedActor):
        def __init__(self, load: Load) -> None:
            super().__init__()
            self.load = load

        def on_start(self) -> None:
            self.send_after(3600.0, self.load)

    load = Load()
    seen = weakref.ref(load)
    address = Holds.start(load)
    del load
    incarnation = address.incarnation
    assert incarnation is not None
    assert address.stop() is True
    assert incarnation.wait_gone(5)
    gc.collect()
    assert seen() is None
    assert address.exit_reason == NORMAL
