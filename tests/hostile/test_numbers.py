"""Every numeric option works as documented with what it is given, or refuses it at once, by name.

The options are found by looking at the public face. A new one needs an entry in `OPTIONS`, or, if it is the field of
something that upright itself makes, in `NO_OPTIONS`; without one the first test fails.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import importlib
import inspect
import itertools
import re
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import httpx
import prometheus_client
import pytest
import redis
from hostile_things import booted, is_well, objects

import upright
from tests.test_public_surface import documented
from upright.actors import AskTimeout, DeadLetters, SupervisedActor
from upright.actors.address import Address
from upright.actors.notices import NoticeStream
from upright.actors.reply import ReplyFuture
from upright.control_client import ControlClient, ControlError, Found, find, find_all
from upright.integrations.prometheus import UprightCollector
from upright.integrations.prometheus import register as register_collector
from upright.strategies.breaker_options import BreakerOptions
from upright.strategies.errors import ConfigError
from upright.strategies.fallback import (
    AudioFormat,
    AudioRecording,
    CachedData,
    CachedResponse,
    LocalStorage,
    LocalStore,
    MemoryStore,
    OfflineMode,
    OfflineQueue,
    ReadOnlyMode,
    RedisStore,
    SimplifiedTutoring,
    TextChat,
    TextOnly,
)
from upright.strategies.fallback.chain import FallbackChain, FallbackStep
from upright.strategies.healing import (
    ApiRetry,
    DatabaseReconnection,
    MemoryCleanup,
    RedisReconnection,
    WebSocketManager,
    WebSocketReconnection,
)
from upright.strategies.healing_options import HealingOptions
from upright.strategies.limit_options import LimitOptions
from upright.strategies.prediction import Limits, PredictionEngine, draw_chart
from upright.strategies.predictor_options import PredictorOptions
from upright.strategies.report import ErrorReport
from upright.strategies.retry import RetryBudget, RetryPolicy, retry
from upright.strategies.sentry_options import SentryOptions
from upright.strategies.supervision_options import SupervisionOptions
from upright.supervisors import Backoff, ChildSpec, DynamicSupervisor, Supervisor
from upright.testing import (
    FakeClock,
    FaultProxy,
    PostgresServer,
    RedisServer,
    SentryRecorder,
    WebSocketServer,
    inject,
    instant,
)
from upright.testing.servers.http import Reply
from upright.testing.servers.process import ServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from upright.testing import Injection


def _raising(kind: type, value: Any, *names: str) -> Any:
    def refuse(*_: object) -> NoReturn:
        raise RuntimeError("no")

    return type("Hostile", (kind,), dict.fromkeys(names, refuse))(value)


_FOLDER = tempfile.TemporaryDirectory(prefix="upright")
atexit.register(_FOLDER.cleanup)
_numbers = itertools.count()


def _file() -> Path:
    return Path(_FOLDER.name, f"{next(_numbers)}.db")


_COMPARING = ("__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__", "__hash__")


@cache
def _values() -> dict[str, Any]:
    return {
        "nan": float("nan"),
        "inf": float("inf"),
        "-inf": float("-inf"),
        "-1": -1,
        "-0.5": -0.5,
        "0": 0,
        "0.0": 0.0,
        "5e-324": 5e-324,
        "True": True,
        "a text": "3",
        "bytes": b"3",
        "a list": [3],
        "1e308": 1e308,
        "10**30": 10**30,
        "10**400": 10**400,
        "10**5000": 10**5_000,
        "a complex number": 3j,
        "a float without a float": _raising(float, 3.0, "__float__", "__int__", "__index__", "__round__"),
        "an int without an int": _raising(int, 3, "__float__", "__int__", "__index__", "__round__"),
        "a float that is not compared": _raising(float, 3.0, *_COMPARING),
        "an int that is not compared": _raising(int, 3, *_COMPARING),
        "a float without a text": _raising(float, 3.0, "__repr__", "__str__", "__format__"),
        "an int without a text": _raising(int, 3, "__repr__", "__str__", "__format__"),
        "unreadable": objects()["unreadable"],
        "a liar": objects()["a liar"],
    }


class _Idle(SupervisedActor):
    """Answers None."""


class _Delaying(SupervisedActor):
    def set(self, delay: Any) -> None:
        self.send_after(delay, "later")


def _configured(kind: type, group: str) -> Callable[..., None]:
    """Return what makes an option class, and lives with it."""

    def use(**given: Any) -> None:
        if kind is RetryPolicy and "initial" in given:
            given["maximum"] = given["initial"]
        if kind is BreakerOptions and "wait_duration_in_open" in given:
            given["max_wait_duration_in_open"] = given["wait_duration_in_open"]
        options = kind(**given)
        if kind is RetryPolicy:  # its waits are taken, but not waited for
            given = {"attempts": 1}
            controller = options.retrying(random=lambda: 0.5, deadline=0.0)
            assert not retry(controller, ConnectionError("down"), lambda: None).succeeded
        with booted(**{group: given if kind is RetryPolicy else options}) as tree:
            for _ in range(3):
                tree.call("fails", _fail)
            assert is_well(tree) or given.get("hang_timeout", 1.0) < 1e-9  # nobody is as quick as that
            tree.metrics()

    return use


def _fail() -> NoReturn:
    raise ConnectionError("down")


def _five() -> int:
    return 5


def _overridden(**given: Any) -> None:
    with booted() as tree:
        assert tree.protect("query", **given)(_five)() == 5
        assert is_well(tree)


def _in_tree(use: Callable[..., Any]) -> Callable[..., None]:
    def wrapped(**given: Any) -> None:
        with booted() as tree:
            use(tree, **given)
            assert is_well(tree)

    return wrapped


def _asked(use: Callable[..., Any]) -> Callable[..., None]:
    def wrapped(**given: Any) -> None:
        address = _Idle.start()
        try:
            use(address, **given)
        except AskTimeout:
            assert given["timeout"] <= 1e-9
        finally:
            address.stop()

    return wrapped


def _answered(**given: Any) -> None:
    reply: ReplyFuture[int] = ReplyFuture()
    threading.Timer(0.01, reply.answer, [5]).start()
    try:
        assert reply.get(**given) == 5
    except AskTimeout:
        assert given["timeout"] <= 1e-9


def _answered_async(**given: Any) -> None:
    reply: ReplyFuture[int] = ReplyFuture()

    async def wait() -> None:
        asyncio.get_running_loop().call_later(0.01, reply.answer, 5)
        try:
            assert await reply.wait_async(**given) == 5
        except AskTimeout:
            assert given["timeout"] <= 1e-9

    asyncio.run(wait())


def _noticed(**given: Any) -> None:
    stream = NoticeStream(5, lambda: None)
    threading.Timer(0.01, stream.end).start()
    assert stream.get(**given) is None
    stream.end()


def _supervised(start: Callable[..., Address[Any]]) -> Callable[..., None]:
    def use(**given: Any) -> None:
        supervisor = start(**given)
        supervisor.stop()

    return use


def _specified(**given: Any) -> None:
    supervisor = Supervisor.start([ChildSpec("child", _Idle, **given)])
    supervisor.stop()


def _delayed(**given: Any) -> None:
    address = _Delaying.start()
    try:
        address.proxy().set(**given).get(timeout=10.0)
    finally:
        address.stop()


def _unreachable(**given: Any) -> None:
    with pytest.raises(ControlError):
        ControlClient(Found(None, None, Path("/nonexistent")), **given)


def _not_found(**given: Any) -> None:
    with pytest.raises(ControlError):
        find(**given)


def _with_client(use: Callable[..., Any]) -> Callable[..., None]:
    def wrapped(**given: Any) -> None:
        with httpx.Client() as client:
            use(client, **given)

    return wrapped


def _managed(use: Callable[..., Any]) -> Callable[..., None]:
    def wrapped(**given: Any) -> None:
        manager = WebSocketManager("ws://127.0.0.1:9/")
        with contextlib.suppress(OSError):  # nobody listens there
            use(manager, **given)

    return wrapped


def _advanced(**given: Any) -> None:
    FakeClock().advance(**given)


def _reported(**given: Any) -> None:
    with booted() as tree:
        report = ErrorReport(ConnectionError("down"), "query", **given)
        assert tree.orchestrator.ask(report, timeout=20.0).error is report.error
        assert is_well(tree)


def _chained(**given: Any) -> None:
    step = FallbackStep("step", lambda _: 5, **given)
    with booted(FallbackChain("query", [step])) as tree:
        assert tree.call("query", _fail).status in ("RECOVERED", "FAILED")
        assert is_well(tree)


def _retried(**given: Any) -> None:
    RetryPolicy().retrying(random=lambda: 0.5, **given)


def _retried_async(**given: Any) -> None:
    RetryPolicy().async_retrying(random=lambda: 0.5, **given)


def _injected(**given: Any) -> None:
    with inject("query", ConnectionError, **given):
        pass


def _instantly(**given: Any) -> None:
    with instant(**given):
        pass


def _audio(**given: Any) -> None:
    AudioFormat(**given).header(0)


def _stopped(**given: Any) -> None:
    with booted() as tree:
        try:
            tree.stop(**given)
        except AskTimeout:
            assert given["timeout"] <= 1e-9


def _stored(store: Any) -> None:
    store.put("key", "value")
    store.get("key")
    getattr(store, "close", lambda: None)()


def _queued(queue: OfflineQueue) -> None:
    with contextlib.suppress(ConfigError):
        queue.put({"a": 1})
    queue.close()


def _redis(**given: Any) -> None:
    RedisReconnection(redis.Redis(), **given)


def _by(kind: Callable[..., Any], argument: Any, use: Callable[..., Any]) -> Callable[..., None]:
    """Return what uses a test server with what is given, where it is."""

    def wrapped(**given: Any) -> None:
        with kind() if argument is None else kind(argument) as server:
            try:
                use(server, **given)
            except OSError:
                assert given["timeout"] <= 1e-9

    return wrapped


def _started(kind: Callable[..., Any]) -> Callable[..., None]:
    def wrapped(**given: Any) -> None:
        try:
            with kind(**given):
                pass
        except ServerError:
            assert given["ready_within"] <= 1e-9

    return wrapped


class _Prepared(PostgresServer):
    """One that is not started, for a start takes seconds."""

    def start(self) -> _Prepared:
        return self

    def _init(self) -> None:
        pass

    def _create_role(self) -> None:
        pass


@cache
def _prepared() -> PostgresServer:
    server = _Prepared()
    atexit.register(server.close)
    return server


def _ended() -> Injection:
    injection = inject("query", ConnectionError)
    injection.stop()
    return injection


def _crashed(**given: Any) -> None:
    with booted() as tree:
        try:
            inject.crash("fallback", tree=tree, **given)
        except AskTimeout:
            assert given["within"] <= 1e-9


def _waited(**given: Any) -> None:
    with SentryRecorder() as recorder:
        try:
            recorder.wait_for(**{"number": 0, **given})
        except AssertionError:
            assert given["number"] > 0


OPTIONS: dict[str, Callable[..., Any]] = {
    "upright.FallbackStep": _chained,
    "upright.ErrorReport": _reported,
    "upright.Tree.history": _in_tree(lambda tree, **given: tree.history(**given)),
    "upright.history": _in_tree(lambda _, **given: upright.history(**given)),
    "upright.Tree.notices": _in_tree(lambda tree, **given: tree.notices(**given).close()),
    "upright.notices": _in_tree(lambda _, **given: upright.notices(**given).close()),
    "upright.Tree.recover": _in_tree(lambda tree, **given: tree.recover(OSError(), operation="query", **given)),
    "upright.Tree.recover_async": _in_tree(
        lambda tree, **given: asyncio.run(tree.recover_async(OSError(), operation="query", **given))
    ),
    "upright.Tree.stop": _stopped,
    "upright.classify": lambda **given: upright.classify(OSError(), **given),
    "upright.actors.Address": lambda **given: Address(_Idle, "idle", **given).close(upright.actors.exits.NORMAL),
    "upright.actors.Address.ask": _asked(lambda address, **given: address.ask("x", **given)),
    "upright.actors.Address.ask_async": _asked(lambda address, **given: asyncio.run(address.ask_async("x", **given))),
    "upright.actors.Address.stop": _asked(lambda address, **given: address.stop(**given)),
    "upright.actors.DeadLetters": lambda **given: DeadLetters(**given).add("a", "b", "c"),
    "upright.actors.DeadLetters.recent": lambda **given: DeadLetters().recent(**given),
    "upright.actors.SupervisedActor.send_after": _delayed,
    "upright.actors.notices.NoticeStream": lambda **given: NoticeStream(close=lambda: None, **given).end(),
    "upright.actors.notices.NoticeStream.get": _noticed,
    "upright.actors.reply.ReplyFuture.get": _answered,
    "upright.actors.reply.ReplyFuture.wait_async": _answered_async,
    "upright.control_client.ControlClient": _unreachable,
    "upright.control_client.find": _not_found,
    "upright.control_client.find_all": find_all,
    "upright.integrations.prometheus.UprightCollector": lambda **given: list(UprightCollector(**given).collect()),
    "upright.integrations.prometheus.register": lambda **given: register_collector(
        registry=prometheus_client.CollectorRegistry(), **given
    ),
    "upright.strategies.breaker_options.BreakerOptions": _configured(BreakerOptions, "breaker"),
    "upright.strategies.healing_options.HealingOptions": _configured(HealingOptions, "healing"),
    "upright.strategies.limit_options.LimitOptions": _configured(LimitOptions, "limits"),
    "upright.strategies.predictor_options.PredictorOptions": _configured(PredictorOptions, "predictor"),
    "upright.strategies.retry.RetryPolicy": _configured(RetryPolicy, "retry"),
    "upright.strategies.sentry_options.SentryOptions": _configured(SentryOptions, "sentry"),
    "upright.strategies.supervision_options.SupervisionOptions": _configured(SupervisionOptions, "supervision"),
    "upright.strategies.retry.RetryPolicy.retrying": _retried,
    "upright.strategies.retry.RetryPolicy.async_retrying": _retried_async,
    "upright.strategies.retry.RetryBudget": lambda **given: RetryBudget(**{"ratio": 0.5, **given}).earn(),
    "upright.strategies.retry.RetryBudget.earn": lambda **given: RetryBudget(0.5).earn(**given),
    "upright.strategies.fallback.AudioFormat": _audio,
    "upright.strategies.fallback.AudioFormat.header": lambda **given: AudioFormat().header(**given),
    "upright.strategies.fallback.AudioRecording": lambda **given: AudioRecording("/tmp", **given),
    "upright.strategies.fallback.CachedData": CachedData,
    "upright.strategies.fallback.CachedResponse": CachedResponse,
    "upright.strategies.fallback.LocalStorage": lambda **given: LocalStorage(_file(), **given),
    "upright.strategies.fallback.LocalStore": lambda **given: _stored(LocalStore(_file(), **given)),
    "upright.strategies.fallback.MemoryStore": lambda **given: _stored(MemoryStore(**given)),
    "upright.strategies.fallback.OfflineMode": lambda **given: OfflineMode(OfflineQueue(_file()), **given),
    "upright.strategies.fallback.OfflineQueue": lambda **given: _queued(OfflineQueue(_file(), **given)),
    "upright.strategies.fallback.ReadOnlyMode": ReadOnlyMode,
    "upright.strategies.fallback.RedisStore": lambda **given: RedisStore(redis.Redis(), "prefix", **given),
    "upright.strategies.fallback.SimplifiedTutoring": _with_client(
        lambda client, **given: SimplifiedTutoring(client, model="m", url="http://127.0.0.1:9/", **given)
    ),
    "upright.strategies.fallback.TextChat": lambda **given: TextChat(lambda _: "", **given),
    "upright.strategies.fallback.TextOnly": TextOnly,
    "upright.strategies.healing.ApiRetry": _with_client(
        lambda client, **given: ApiRetry(client, verify="http://127.0.0.1:9/", **given)
    ),
    "upright.strategies.healing.DatabaseReconnection": lambda **given: DatabaseReconnection(lambda: None, **given),
    "upright.strategies.healing.MemoryCleanup": MemoryCleanup,
    "upright.strategies.healing.RedisReconnection": _redis,
    "upright.strategies.healing.WebSocketManager": lambda **given: WebSocketManager("ws://127.0.0.1:9/", **given),
    "upright.strategies.healing.WebSocketManager.ping": _managed(lambda manager, **given: manager.ping(**given)),
    "upright.strategies.healing.WebSocketManager.reconnect": _managed(
        lambda manager, **given: manager.reconnect(**given)
    ),
    "upright.strategies.healing.WebSocketManager.subscribe": _managed(
        lambda manager, **given: manager.subscribe("topic", **given)
    ),
    "upright.strategies.healing.WebSocketReconnection": lambda **given: WebSocketReconnection(
        WebSocketManager("ws://127.0.0.1:9/"), **given
    ),
    "upright.strategies.prediction.Limits": lambda **given: PredictionEngine(Limits(**given)),
    "upright.strategies.prediction.PredictionEngine": lambda **given: PredictionEngine(**given).snapshot(),
    "upright.strategies.prediction.draw_chart": lambda **given: draw_chart(
        "cpu", [(0.0, 0.5), (60.0, None)], **{"limit": 1.0, **given}
    ),
    "upright.supervisors.Backoff": lambda **given: Backoff(**{"initial": 0.1, "maximum": 1e308, **given}),
    "upright.supervisors.ChildSpec": _specified,
    "upright.supervisors.DynamicSupervisor": _supervised(DynamicSupervisor.start),
    "upright.supervisors.Supervisor": _supervised(Supervisor.start),
    "upright.testing.FaultProxy.delay": _by(FaultProxy, ("127.0.0.1", 9), FaultProxy.delay),
    "upright.testing.FaultProxy.drop_after": _by(FaultProxy, ("127.0.0.1", 9), FaultProxy.drop_after),
    "upright.testing.Injection.wait": lambda **given: _ended().wait(**given),
    "upright.testing.Injection.wait_async": lambda **given: asyncio.run(_ended().wait_async(**given)),
    "upright.testing.Injector.crash": _crashed,
    "upright.testing.PostgresServer": lambda **given: _Prepared(**given).close(),
    "upright.testing.PostgresServer.dsn_at": lambda **given: _prepared().dsn_at(**{"host": "localhost", **given}),
    "upright.testing.PostgresServer.stop": lambda **given: _prepared().stop(**given),
    "upright.testing.RedisServer": _started(RedisServer),
    "upright.testing.RedisServer.ask": _by(RedisServer, None, lambda server, **given: server.ask("PING", **given)),
    "upright.testing.SentryRecorder.wait_for": _waited,
    "upright.testing.ServerProcess.log_tail": _by(RedisServer, None, RedisServer.log_tail),
    "upright.testing.ServerProcess.stop": _by(RedisServer, None, RedisServer.stop),
    "upright.testing.WebSocketServer": _started(WebSocketServer),
    "upright.testing.WebSocketServer.refuse": _by(WebSocketServer, None, WebSocketServer.refuse),
    "upright.testing.servers.http.Reply": Reply,
    "upright.testing.FakeClock": lambda **given: FakeClock(**given).now(),
    "upright.testing.FakeClock.advance": _advanced,
    "upright.testing.inject": _injected,
    "upright.testing.instant": _instantly,
}
"""How each is made and used, by where it is found: called with one hostile number."""


NO_OPTIONS = {
    "what a recovery, a healing, a step or an incident was; made by upright": (
        "upright.Classification upright.HealingFailed upright.HistoryEntry upright.HistoryEntry.of upright.NodeStatus "
        "upright.RecoveryNotice upright.RecoveryResult upright.RecoveryStep upright.ResilienceMetrics "
        "upright.actors.DeadLetter upright.actors.Hung upright.actors.MailboxFull upright.actors.Timer "
        "upright.control_client.Found upright.strategies.fallback.Queued upright.strategies.fallback.Recording "
        "upright.strategies.fallback.Substitute upright.strategies.fallback.offline_queue.PoisonEntry "
        "upright.strategies.fallback.offline_queue.Replay upright.strategies.fallback.remembering.Remembered "
        "upright.strategies.prediction.Alert upright.strategies.prediction.Event "
        "upright.strategies.prediction.Forecast "
        "upright.strategies.prediction.Prediction upright.strategies.prediction.RiskAssessment "
        "upright.supervisors.ChildCounts upright.supervisors.ChildInfo"
    ),
    "readings, which tests/strategies/prediction feeds with anything": (
        "upright.strategies.prediction.SystemMetrics upright.strategies.prediction.Collector.collect"
    ),
    "what a rule is told by who applies it": (
        "upright.supervisors.Backoff.count upright.supervisors.Backoff.delay upright.strategies.retry.RetryPolicy.wait "
        "upright.testing.FakeClock.wait_for"
    ),
}

_NUMERIC = re.compile(r"\b(int|float)\b")
_COLLECTION = re.compile(r"(Callable|Sequence|Iterable|tuple)\[.*\]")


def _found() -> Iterator[tuple[str, str]]:
    """Yield each numeric parameter of the public face: where it is, and its name."""
    seen: set[int] = set()
    for home, names in documented():
        module = importlib.import_module(home)
        for name in names:
            for place, target in _callables(name, getattr(module, name)):
                try:
                    parameters = inspect.signature(target).parameters.values()
                except (ValueError, TypeError):
                    continue
                if id(target) in seen:
                    continue
                seen.add(id(target))
                for parameter in parameters:
                    if _NUMERIC.search(_COLLECTION.sub("", str(parameter.annotation))):
                        yield f"{home}.{place}", parameter.name


def _callables(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if callable(value):
        yield name, value
    if inspect.isclass(value):
        for member in dir(value):
            found = inspect.getattr_static(value, member)
            if isinstance(found, staticmethod | classmethod):
                found = getattr(value, member)
            ours = getattr(found, "__module__", None) or ""
            if not member.startswith("_") and inspect.isroutine(found) and ours.startswith("upright"):
                yield found.__qualname__, found


_PAIRS = {"initial": "maximum", "wait_duration_in_open": "max_wait_duration_in_open"}
_NEVER = {"nan", "a text", "bytes", "a list", "unreadable", "a liar", "a complex number"}

FOUND = list(_found())
CASES = [(place, name) for place, name in FOUND if place in OPTIONS]
CASES += [("upright.Tree.protect", name) for name in ("heal_wait", "deadline", "window_size", "retry_attempts")]
OPTIONS["upright.Tree.protect"] = _overridden


def test_every_numeric_option_of_the_public_face_is_here() -> None:
    left_out = {place for places in NO_OPTIONS.values() for place in places.split()}
    places = {place for place, _ in FOUND}
    assert places - OPTIONS.keys() - left_out == set(), "give it an entry in OPTIONS"
    assert (OPTIONS.keys() | left_out) - places - {"upright.Tree.protect"} == set(), "it is no more"


@pytest.mark.actor_crash  # who gets no time to stop is killed
@pytest.mark.parametrize(("place", "name"), CASES, ids=lambda given: given.removeprefix("upright."))
def test_a_hostile_number_works_or_is_refused_by_name(place: str, name: str) -> None:
    wrong = {what: why for what in _values() if (why := _wrong(place, name, what)) is not None}
    assert not wrong, "\n" + "\n".join(f"{what}: {why}" for what, why in wrong.items())


def _wrong(place: str, name: str, what: str) -> str | None:
    """Use one number, and say what is wrong about that."""
    value = _values()[what]
    try:
        OPTIONS[place](**{name: value})
    except ConfigError as error:
        other = _PAIRS.get(name)
        if error.field.rpartition(".")[2] not in (name, other) or (error.value is not value and other is None):
            return f"is not named: {error}"
        return None if len(str(error)) < 600 else "is told at length"
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return "was taken" if what in _NEVER else None
