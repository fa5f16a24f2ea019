"""The parts of one tree, put together: what `boot()` makes before it starts anything."""

from __future__ import annotations

import dataclasses
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from upright.actors.board import Board
from upright.actors.breaker import BreakerActor, circuit_details
from upright.actors.call import Call
from upright.actors.collector import CollectorActor
from upright.actors.control import ControlServer
from upright.actors.directory import Directory
from upright.actors.drivers import drive
from upright.actors.edge import Edge
from upright.actors.fallback import Chains, ChainView, FallbackActor, WorksAgain
from upright.actors.healing import HealingActor
from upright.actors.letters import dead_letters
from upright.actors.monitor import MonitorActor, MonitorState
from upright.actors.notices import NoticeHub
from upright.actors.operation import OperationOptions, Operations
from upright.actors.orchestrator import OrchestratorActor
from upright.actors.predictor import PredictorActor
from upright.actors.tracker import TrackerActor, TrackerState
from upright.actors.worker import WorkerPool, run_to_end
from upright.commands import commands_for
from upright.host import HostReader
from upright.strategies.errors import ConfigError
from upright.strategies.fallback.chain import FallbackChain
from upright.strategies.foreign import kind_of
from upright.strategies.healing.base import HealingStrategy
from upright.strategies.options import is_finite_number, require_name, require_seconds
from upright.strategies.prediction.collector import Collector
from upright.strategies.tally import Tally
from upright.supervisors.tree import HEALERS, STEPS, Root, leaf, tree_specs, worker_spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from upright.actors.counsel import Counsel
    from upright.strategies.history import HistoryEntry
    from upright.strategies.metrics import ResilienceMetrics
    from upright.strategies.report import ErrorReport, RecoveryResult
    from upright.supervisors.spec import ChildSpec

__all__ = ["Parts"]

_MAX_CHAINS: Final = 1_000
_OWN_OPTIONS: Final = ("heal_wait", "deadline", "idempotent")


class Parts:
    """Everything that a tree consists of.

    Args:
        config: The effective configuration.
        flags: The stages that are on.
        name: The tree's name.
    """

    def __init__(self, config: Any, flags: Any, name: str) -> None:
        self.config = config
        self.flags = flags
        self.name = name
        self.board = Board()
        self.directory = Directory()
        self.chains: Chains = {}
        self.trips = Tally()
        self.operations = Operations(
            config.limits.operations, lambda operation, _resource: self.options_for(operation, {})
        )
        self.healers = WorkerPool(self.directory, HEALERS, worker_spec)
        self.steps = WorkerPool(self.directory, STEPS, worker_spec)
        self.host = HostReader(self.operations)
        self.monitor = MonitorState(self.board, config.limits.history, self.counts)
        self.tracker = TrackerState(config.sentry)
        self.notices = NoticeHub(lambda: not flags.now.observe_only)
        self.monitor.listen(self.notices.take)
        self.directory.at_end = self.notices.end
        self.edge = Edge(
            directory=self.directory,
            board=self.board,
            operations=self.operations,
            chains=self.chains,
            pool=self.steps,
            switches=flags,
        )

    def start(self) -> None:
        """Start the tree; nothing stays behind if that fails."""
        Root.start(self.directory, self._specs(), self.name)
        self.board.subscribers = tuple(
            self.directory[name] for name in ("monitor", "tracker") if name in self.directory
        )

    def _specs(self) -> list[ChildSpec]:
        hang = self.config.supervision.hang_timeout
        flags = self.flags
        recovery = [
            leaf("breaker", BreakerActor, self.board, self.operations, self.trips, self.directory, hang_timeout=hang),
            leaf(
                "fallback",
                FallbackActor,
                self.chains,
                self.operations,
                self.steps,
                lambda: flags.now.intelligent_fallback,
                hang_timeout=hang,
            ),
            leaf(
                "healing",
                HealingActor,
                self.board,
                self.directory,
                self.healers,
                self.config.healing,
                hang_timeout=hang,
            ),
            leaf(
                "orchestrator",
                OrchestratorActor,
                self.board,
                self.directory,
                self.steps,
                self.heal_wait,
                self.finish,
                lambda: flags.now.self_healing and not flags.now.observe_only,
                hang_timeout=hang,
            ),
        ]
        telemetry = [
            leaf("monitor", MonitorActor, self.monitor, self.board, hang_timeout=hang),
            leaf(
                "tracker",
                TrackerActor,
                self.tracker,
                self.board,
                self.config.sentry,
                pool=self.steps,
                service=self.name,
                metrics=self.metrics,
                hang_timeout=hang,
            ),
        ]
        if self.config.control.enabled:
            path = self.config.control.path
            telemetry.append(
                leaf("control", ControlServer, commands_for(self), name=self.name, path=path, hang_timeout=hang)
            )
        return tree_specs(telemetry=telemetry, recovery=recovery, prediction=self._prediction(hang))

    def _prediction(self, hang: float | None) -> list[ChildSpec]:
        options, flags = self.config.predictor, self.flags
        return [
            leaf(
                "collector",
                CollectorActor,
                self.directory,
                self.host.read,
                options.interval,
                lambda: flags.now.error_predictor,
                hang_timeout=hang,
            ),
            leaf(
                "predictor",
                PredictorActor,
                self.board,
                self.directory,
                options,
                lambda: not flags.now.observe_only,
                hang_timeout=hang,
            ),
        ]

    # Options.

    def options_for(self, operation: str, overrides: Mapping[str, Any]) -> OperationOptions:
        """Return what holds for an operation: the configuration, `[operations.NAME]`, then what the code says.

        Raises:
            ConfigError: A key or value of `overrides` is wrong.
        """
        config = self.config
        given = {**dict(config.operations.get(operation, {})), **overrides}
        breaker, retry, own = {}, {}, {}
        breaker_names = {field.name for field in dataclasses.fields(config.breaker)}
        retry_names = {field.name for field in dataclasses.fields(config.retry)}
        for key, value in given.items():
            if key in breaker_names:
                breaker[key] = value
            elif key.startswith("retry_") and key[6:] in retry_names:
                retry[key[6:]] = value
            elif key in _OWN_OPTIONS:
                own[key] = value
            else:
                allowed = sorted([*breaker_names, *(f"retry_{name}" for name in retry_names), *_OWN_OPTIONS])
                raise ConfigError(f"operations.{operation}", key, f"one of {', '.join(allowed)}")
        return OperationOptions(
            _overridden(f"operations.{operation}.", config.breaker, breaker),
            _overridden(f"operations.{operation}.retry_", config.retry, retry),
            _seconds(f"operations.{operation}.heal_wait", own.get("heal_wait"), config.healing.heal_wait),
            _three_valued(f"operations.{operation}.idempotent", own.get("idempotent")),
            _seconds(f"operations.{operation}.deadline", own.get("deadline"), None),
        )

    def heal_wait(self, operation: str) -> float:
        """Return the seconds that a bare ask about an operation waits for a healing."""
        found = self.operations.find(operation)
        wait: float = self.config.healing.heal_wait if found is None else found.options.heal_wait
        return wait

    def finish(self, report: ErrorReport, counsel: Counsel) -> RecoveryResult:
        """Do what follows a healing for a bare ask; runs in a worker."""
        operation = self.operations.met(report.operation, report.resource)
        # Here, since a worker has no loop: a coroutine is run to its end on one of its own.
        attempt = None if report.call is None else partial(run_to_end, report.call, None)
        call = Call(
            operation, report.error, attempt, report.created_at, report.context, report=report, given=report.resource
        )
        return drive(self.edge, self.edge.finish(call, counsel)).result

    def register(self, strategies: Iterable[Any]) -> None:
        """Add healing strategies and fallback chains, or replace the collector."""
        strategies = list(strategies)
        for strategy in strategies:
            if not isinstance(strategy, HealingStrategy | FallbackChain | Collector):
                raise ConfigError("register.strategies", strategy, "a HealingStrategy, a FallbackChain or a Collector")
            if isinstance(strategy, HealingStrategy):
                require_name(f"{kind_of(strategy)}.name", strategy.name)
            if isinstance(strategy, HealingStrategy) and strategy.timeout is not None:
                require_seconds(f"{kind_of(strategy)}.timeout", strategy.timeout, above=True)
        chains = [strategy for strategy in strategies if isinstance(strategy, FallbackChain)]
        if len(self.chains.keys() | {chain.operation for chain in chains}) > _MAX_CHAINS:
            raise ConfigError("register.strategies", chains[-1], f"at most {_MAX_CHAINS} chains in all")
        for chain in chains:
            self.chains[chain.operation] = ChainView(chain)
            if any(step.catch_up is not None for step in chain.steps):
                self.board.catches_up = True
            if self.directory.is_open and any(step.catch_up is not None for step in chain.steps):
                self.directory["fallback"].send_unbounded(WorksAgain(operation=chain.operation))
        for strategy in strategies:
            if isinstance(strategy, Collector):
                self.host.collector = strategy
        healing = tuple(s for s in strategies if isinstance(s, HealingStrategy))
        if healing:
            self.board.strategies = (*self.board.strategies, *healing)

    # Looking inside.

    def history(self, limit: int | None = None) -> list[HistoryEntry]:
        """Return the newest recoveries, oldest first."""
        return self.monitor.history(limit)

    def metrics(self) -> ResilienceMetrics:
        """Return the figures as of now."""
        return self.monitor.metrics()

    def circuits(self, limit: int) -> list[tuple[str, dict[str, Any]]]:
        """Return the circuits by operation, at most `limit`; those that keep calls away come first."""
        now = monotonic()
        known = sorted(self.operations, key=lambda one: (one.breaker.snapshot.passes, one.name))
        return [(one.name, circuit_details(one, now)) for one in known[:limit]]

    def counts(self) -> dict[str, int]:
        """Return the counts that callers and supervisors keep, by metric name."""
        restarts = zombies = 0
        for address in self.directory.walk():
            restarts += address.restarts
            zombies += len(address.zombies)
        board = self.board
        return {
            "breaker_trips": self.trips.value,
            "fallback_activations": board.fallback_activations.value,
            "retries": board.retries.value,
            "joined_reports": board.joined_reports.value,
            "refused_reports": board.refused_reports.value,
            "lost_events": board.lost_events.value,
            "restarts": restarts,
            "zombies": zombies,
            "dead_letters": dead_letters.count,
        }


def _seconds(field: str, value: Any, default: float | None) -> Any:
    if value is None:
        return default
    if not is_finite_number(value) or value < 0:
        raise ConfigError(field, value, "a finite number of seconds >= 0")
    return value


def _overridden(field: str, options: Any, overrides: dict[str, Any]) -> Any:
    """Return options with some of them replaced; `field` is how the names of these begin where they are given."""
    if not overrides:
        return options
    try:
        return dataclasses.replace(options, **overrides)
    except ConfigError as error:
        raise ConfigError(f"{field}{error.field.rpartition('.')[2]}", error.value, error.allowed) from None


def _three_valued(field: str, value: Any) -> bool | None:
    if value is not None and type(value) is not bool:
        raise ConfigError(field, value, "True, False or None")
    return value
