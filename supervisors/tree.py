"""The standard tree: which actors there are, under which supervisors, with which intensity, and why.

    upright                 one_for_one   5 in 60 s   the root; if it gives up, calls are bare calls again
    ├── telemetry           one_for_one  20 in 10 s   nobody waits for these, and nothing else may go with them
    │   ├── monitor
    │   ├── tracker
    │   └── control                                   if the control socket is switched on
    ├── recovery            one_for_one  20 in 10 s   they keep their state outside (see below), so each restarts alone
    │   ├── breaker
    │   ├── fallback
    │   ├── healers         dynamic      10 in 10 s   workers that heal; temporary, so their ends are not counted
    │   ├── steps           dynamic      10 in 10 s   workers for fallback steps with a timeout
    │   ├── healing
    │   └── orchestrator
    └── prediction          one_for_one  20 in 10 s   a predictor that fails must not take recovery down
        ├── collector
        └── predictor

Everywhere one_for_one: an actor finds the others through addresses that outlive their restarts, and what it must
not forget is on tickets, operations or the board, so no group needs to start anew together. Restarts wait a little
(a backoff from 10 ms to 2 s), so that an actor that fails on every message does not burn through the intensity: it
needs some 14 restarts for 10 s, and alone takes nobody down. Two that fail so in one branch do.
All actors but the workers have a hang timeout; the supervisors have none, since starting a child may take its time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from upright.actors.worker import Worker
from upright.strategies.backoff import Backoff
from upright.supervisors.dynamic import DynamicSupervisor
from upright.supervisors.spec import BRUTAL_KILL, ChildSpec, Restart, RestartStrategy
from upright.supervisors.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from upright.actors.actor import SupervisedActor
    from upright.actors.directory import Directory
    from upright.actors.worker import WorkerPool

__all__ = ["HEALERS", "STEPS", "Root", "branch", "leaf", "tree_specs", "worker_spec"]

HEALERS: Final = "healers"
STEPS: Final = "steps"
_MAX_HEALERS: Final = 64
_MAX_STEP_WORKERS: Final = 256

_BACKOFF: Final = Backoff(0.01, 2.0)


class Root(Supervisor):
    """The supervisor at the top of a standard tree.

    Args:
        directory: Is told where the root is before any child starts.
        children: The branches.
        name: The tree's name.
    """

    def __init__(self, directory: Directory, children: Sequence[ChildSpec], name: str) -> None:
        self._directory = directory
        directory.root = self.actor_ref
        super().__init__(children, strategy=RestartStrategy.ONE_FOR_ONE, intensity=5, period=60.0, name=name)

    def tear_down(self) -> None:
        """Stop the children, then say that the tree has ended."""
        try:
            super().tear_down()
        finally:
            if self._directory.at_end is not None:
                self._directory.at_end()


def leaf(
    name: str, actor: type[SupervisedActor], /, *args: Any, hang_timeout: float | None, **kwargs: Any
) -> ChildSpec:
    """Return the child spec of one actor of the standard tree."""
    return ChildSpec(name, actor, args, kwargs, hang_timeout=hang_timeout, backoff=_BACKOFF)


def branch(name: str, children: Sequence[ChildSpec], *, intensity: int, period: float) -> ChildSpec:
    """Return the child spec of a supervisor over some of them."""
    return ChildSpec(name, Supervisor, (children,), {"intensity": intensity, "period": period}, backoff=_BACKOFF)


def worker_spec(pool: WorkerPool) -> ChildSpec:
    """Return the child spec of a worker: never restarted, and killed without being asked."""
    return ChildSpec("worker", Worker, (pool,), restart=Restart.TEMPORARY, shutdown=BRUTAL_KILL)


def tree_specs(
    *, telemetry: Sequence[ChildSpec], recovery: Sequence[ChildSpec], prediction: Sequence[ChildSpec]
) -> list[ChildSpec]:
    """Arrange the actors under their supervisors, in start order."""
    workers = [
        # Threads that hang count towards `max_children`: so many are no reason for this branch to crash.
        ChildSpec(
            name, DynamicSupervisor, (), {"max_children": size, "intensity": 10, "period": 10.0}, max_zombies=size
        )
        for name, size in ((HEALERS, _MAX_HEALERS), (STEPS, _MAX_STEP_WORKERS))
    ]
    return [
        branch("telemetry", telemetry, intensity=20, period=10.0),
        branch("recovery", [*workers, *recovery], intensity=20, period=10.0),
        branch("prediction", prediction, intensity=20, period=10.0),
    ]
