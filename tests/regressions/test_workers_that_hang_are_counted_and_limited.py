"""A fallback step that hangs left a thread at each failing call: in no status, in no metric, and without a limit."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

import upright
from upright.actors import SupervisedActor
from upright.strategies.fallback import FallbackChain, FallbackStep
from upright.supervisors import BRUTAL_KILL, ChildSpec, DynamicSupervisor, MaxChildren, Restart, status

if TYPE_CHECKING:
    from upright.supervisors.status import NodeStatus

PATIENCE = 20.0


class Hanging(SupervisedActor):
    """Hangs where no interrupt reaches it, until it is let go."""

    def __init__(self, begun: threading.Semaphore, go: threading.Event) -> None:
        super().__init__()
        self.begun, self.go = begun, go

    def on_receive(self, message: Any) -> None:
        self.begun.release()
        assert self.go.wait(PATIENCE)


def test_the_threads_of_forgotten_children_are_the_supervisors_and_take_their_places() -> None:
    begun, go = threading.Semaphore(0), threading.Event()
    spec = ChildSpec("hanging", Hanging, (begun, go), restart=Restart.TEMPORARY, shutdown=BRUTAL_KILL)
    supervisor = DynamicSupervisor.start(max_children=2)
    try:
        for left in (1, 2):
            child = supervisor.call("start_child", spec)
            child.tell("hang")
            assert begun.acquire(timeout=PATIENCE)
            supervisor.call("terminate_child", child)
            assert status(supervisor).zombies == left
        with pytest.raises(MaxChildren, match="0 children and 2 threads of earlier ones that could not be ended"):
            supervisor.call("start_child", spec)
        threads = list(supervisor.zombies)
        go.set()
        for incarnation in threads:
            assert incarnation.wait_gone(PATIENCE)
        assert status(supervisor).zombies == 0
        assert supervisor.call("start_child", spec) is not None
    finally:
        go.set()
        supervisor.stop()


def _zombies(node: NodeStatus) -> int:
    return node.zombies + sum(map(_zombies, node.children))


def test_a_step_that_hangs_is_left_out_when_all_workers_hang_in_it() -> None:
    go = threading.Event()

    def hang(_: Any) -> None:
        assert go.wait(PATIENCE)

    def fail() -> int:
        raise ConnectionError("down")

    chain = FallbackChain("query", [FallbackStep("hangs", hang, timeout=0.001), FallbackStep("works", lambda _: 5)])
    config: dict[str, Any] = {"control": {"enabled": False}, "retry": {"attempts": 1}}
    with upright.boot(config, strategies=[chain]) as tree:
        query = tree.protect("query", minimum_number_of_calls=10_000, window_size=10_000)(fail)
        before = threading.active_count()
        assert [query() for _ in range(300)] == [5] * 300
        assert threading.active_count() - before <= 256 + 8
        hung = tree.metrics().zombies
        assert 0 < hung <= 256
        assert hung == _zombies(tree.status())
        go.set()
