"""What an application writes, and the types that it gets: checked by mypy and pyright in strict mode, never run."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_type

import upright
from upright.actors import Address, MonitorRef, SupervisedActor
from upright.strategies.fallback import CachedData, OfflineQueue
from upright.strategies.healing import DatabaseReconnection, WebSocketManager
from upright.strategies.prediction import PredictionEngine, RiskAssessment, RiskScorer, SystemMetrics
from upright.supervisors import ChildInfo, ChildSpec, DynamicSupervisor, Supervisor, status, which_child
from upright.testing import FakeClock, Injection, SentryRecorder, error_for, inject, instant

if TYPE_CHECKING:
    from upright.strategies.prediction import Prediction


@upright.protect("price", resource="shop")
def price(plan: str, *, seats: int = 1) -> float:
    """Decorated functions keep their signatures."""
    return float(len(plan) * seats)


@upright.protect("lesson")
async def lesson(topic: str) -> str:
    """Coroutine functions as well."""
    return topic


class Counter(SupervisedActor):
    """An actor of the application."""

    def add(self, number: int) -> int:
        """Return the number."""
        return number


class Reopen(upright.HealingStrategy):
    """A strategy of the application."""

    def can_handle(self, report: upright.ErrorReport) -> bool:
        """Whether it is about the spool."""
        return report.resource == "spool"

    async def heal(self, report: upright.ErrorReport) -> None:
        """May be a coroutine function."""

    def verify(self, report: upright.ErrorReport) -> None:
        """Or a function."""


async def application() -> None:
    """Every verb of the face."""
    assert_type(price("gold", seats=2), float)
    assert_type(await lesson("tides"), str)
    tree = assert_type(upright.boot({"healing": {"heal_wait": 2}}, strategies=[Reopen()]), upright.Tree)
    result = assert_type(tree.call("price", price, "gold"), upright.RecoveryResult)
    assert_type(result.status, upright.RecoveryStatus)
    assert_type(result.method, upright.RecoveryMethod | None)
    assert_type(result.steps, tuple[upright.RecoveryStep, ...])
    assert_type(await tree.recover_async(OSError(), operation="price"), upright.RecoveryResult)
    assert_type(upright.recover(OSError(), operation="price"), upright.RecoveryResult)
    assert_type(upright.status(), upright.NodeStatus)
    assert_type(tree.status().state, upright.NodeState)
    assert_type(tree.history(10), list[upright.HistoryEntry])
    assert_type(tree.metrics(), upright.ResilienceMetrics)
    assert_type(tree.breakers["price"].wait_time, float)
    assert_type(upright.classify(OSError()).code, upright.ErrorCode)
    assert_type(upright.default_tree(), upright.Tree | None)
    with tree.boundary("checkout"):
        tree.report(OSError(), operation="checkout")


def supervision() -> None:
    """Actors and supervisors."""
    counter = assert_type(Counter.start(), Address[Counter])
    counter.proxy().add(1).get()  # pykka's proxies are Any
    assert_type(counter.is_alive(), bool)
    assert_type(counter.monitor(counter), MonitorRef)
    top = Supervisor.start([ChildSpec("counter", Counter)], intensity=3)
    assert_type(which_child(top, "counter"), ChildInfo)
    assert_type(status(top), upright.NodeStatus)
    DynamicSupervisor.start(max_children=3)


def know_how() -> None:
    """Strategies and the engine of the predictor."""
    DatabaseReconnection(lambda: None, resource="orders-db")
    WebSocketManager("ws://127.0.0.1:9/")
    CachedData(max_age=60)
    assert_type(len(OfflineQueue("outbox.db")), int)
    metrics = SystemMetrics(0.0, 0.5, 10.0, 0.0, 3, 0.1)
    assert_type(RiskScorer().score(metrics), RiskAssessment)
    seen: Prediction = PredictionEngine().observe(metrics)
    assert_type(seen.alerting, bool)


def test_kit() -> None:
    """What tests are written with."""
    with FakeClock() as clock, instant(attempts=2), SentryRecorder() as sentry, inject("price", "NETWORK") as fault:
        assert_type(clock.now(), float)
        assert_type(fault, Injection)
        assert_type(fault.calls, int)
        assert_type(sentry.sent, str)
        assert_type(error_for("NETWORK"), Exception)
