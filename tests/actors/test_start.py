from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pykka
import pytest

from upright.actors import ActorStopped, Address, Ignore, Shutdown, SupervisedActor
from upright.actors import incarnation as incarnation_module

if TYPE_CHECKING:
    from collections.abc import Callable


class Greeter(SupervisedActor):
    def __init__(self, name: str = "you") -> None:
        super().__init__()
        self.name = name
        self.started_in: threading.Thread | None = None

    def on_start(self) -> None:
        self.started_in = threading.current_thread()

    def on_receive(self, message: Any) -> Any:
        return f"{message}, {self.name}"


class Refuses(SupervisedActor):
    def __init__(self, where: str, error: BaseException) -> None:
        super().__init__()
        self.where, self.error = where, error
        if where == "__init__":
            raise error

    def on_start(self) -> None:
        raise self.error


class Answer(Exception):
    pass


def test_start_returns_once_on_start_has_run(keep: Callable[..., Any]) -> None:
    proxy = keep(Greeter.start()).proxy()
    assert proxy.started_in.get() is not None


def test_on_start_runs_in_the_actors_thread_which_is_a_daemon(keep: Callable[..., Any]) -> None:
    thread = keep(Greeter.start()).proxy().started_in.get()
    assert thread is not threading.current_thread()
    assert thread.daemon


@pytest.mark.parametrize("where", ["__init__", "on_start"])
@pytest.mark.parametrize("kind", [Answer, Shutdown, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_the_very_exception_of_the_start_comes_out_of_start(where: str, kind: type[BaseException]) -> None:
    error = kind("no")
    with pytest.raises(kind) as caught:
        Refuses.start(where, error)
    assert caught.value is error


@pytest.mark.parametrize("where", ["__init__", "on_start"])
def test_an_actor_that_declines_to_start_is_none_and_no_error(where: str) -> None:
    assert Refuses.start(where, Ignore()) is None


@pytest.mark.parametrize("where", ["__init__", "on_start"])
def test_a_failed_start_leaves_nothing_in_pykkas_registry(where: str) -> None:
    before = pykka.ActorRegistry.get_all()
    with pytest.raises(Answer):
        Refuses.start(where, Answer())
    assert pykka.ActorRegistry.get_all() == before


def test_a_message_sent_to_itself_by_an_actor_that_does_not_start_is_refused() -> None:
    class TellsItself(SupervisedActor):
        def __init__(self, seen: list[Address[Any]]) -> None:
            super().__init__()
            seen.append(self.actor_ref)

        def on_start(self) -> None:
            raise Answer

    seen: list[Address[Any]] = []
    with pytest.raises(Answer):
        TellsItself.start(seen)
    with pytest.raises(ActorStopped):
        seen[0].tell("hello")


def test_a_subclass_need_not_call_the_init_of_its_base(keep: Callable[..., Any]) -> None:
    class Terse(SupervisedActor):
        def __init__(self) -> None:
            self.value = 3

    assert keep(Terse.start()).proxy().value.get() == 3


def test_a_start_without_a_thread_to_be_had_raises_and_leaves_no_zombie(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoThread(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr("upright.actors.incarnation.threading.Thread", NoThread)
    addresses: list[Address[Any]] = []

    class Remembers(SupervisedActor):
        def __init__(self) -> None:
            super().__init__()
            addresses.append(self.actor_ref)

    with pytest.raises(RuntimeError, match="can't start new thread"):
        Remembers.start()
    assert not addresses[0].zombies
    assert not addresses[0].is_alive()


def test_ctrl_c_during_a_start_ends_the_actor_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    started, stopped, go_on = threading.Event(), threading.Event(), threading.Event()

    class Slow(SupervisedActor):
        def on_start(self) -> None:
            started.set()
            go_on.wait(5)

        def on_stop(self) -> None:
            stopped.set()

    class Interrupts:
        def acquire(self, *, timeout: float) -> bool:
            del timeout
            started.wait(5)
            raise KeyboardInterrupt

        def release(self) -> None:
            """Nobody waits."""

    made = incarnation_module.Incarnation.__init__

    def make(self: Any, *args: Any) -> None:
        made(self, *args)
        self.reach.shielded = True  # an interrupt would spoil what is looked at here: the way without one
        self._ready = Interrupts()

    monkeypatch.setattr(incarnation_module.Incarnation, "__init__", make)
    with pytest.raises(KeyboardInterrupt):
        Slow.start()
    go_on.set()
    assert stopped.wait(5)


def test_an_actor_made_by_hand_has_an_address_of_its_own() -> None:
    greeter = Greeter("Ada")
    assert greeter.on_receive("hi") == "hi, Ada"
    assert greeter.actor_ref.actor_urn == greeter.actor_urn
    with pytest.raises(RuntimeError, match="needs a started actor"):
        greeter.send_after(1.0, "later")


def test_addresses_are_equal_only_if_they_are_the_same_slot(keep: Callable[..., Any]) -> None:
    one, other = keep(Greeter.start()), keep(Greeter.start())
    assert one == one.proxy().actor_ref
    assert one != other
    assert len({one, other, one}) == 2
    assert one.name != other.name


def test_the_registry_of_pykka_finds_the_actors(keep: Callable[..., Any]) -> None:
    one, other = keep(Greeter.start()), keep(Greeter.start())
    assert pykka.ActorRegistry.get_by_class(Greeter) == [one, other]
    assert pykka.ActorRegistry.get_by_urn(one.actor_urn) == one
    assert pykka.ActorRegistry.get_by_class_name("Greeter") == [one, other]
    assert one.stop() is True
    assert pykka.ActorRegistry.get_by_class(Greeter) == [other]
    pykka.ActorRegistry.broadcast("hello", target_class=Greeter)
    assert pykka.ActorRegistry.stop_all() == [True]
    assert pykka.ActorRegistry.get_all() == []


def test_addresses_that_were_dropped_unclosed_do_not_pile_up() -> None:
    import gc

    from upright.actors import process

    for turn in range(5000):
        Greeter()
        if turn % 500 == 0:
            gc.collect()
    assert len(process._open) < 4000
