"""What recovery tests are made of: strategies, chains and calls that do as they are told and keep the score."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from upright.strategies.fallback.chain import FallbackChain, FallbackStep
from upright.strategies.healing.base import HealingStrategy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from upright.strategies.report import ErrorReport, RecoveryResult
    from upright.tree import Tree

PATIENCE = 5.0  # seconds; what is waited for comes far sooner


class Boot(Protocol):
    """The `boot` fixture."""

    def __call__(self, *strategies: Any, **config: Mapping[str, Any]) -> Tree: ...


class Switch(threading.Event):
    """An event that must come; `wait` without a timeout fails the test instead of hanging it."""

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is not None:
            return super().wait(timeout)
        if not super().wait(PATIENCE * 4):
            raise AssertionError("the event never came")
        return True


class Healer(HealingStrategy):
    """Heals what it is told to by a function; without one it heals everything, by doing nothing."""

    name = "healer"

    def __init__(
        self,
        heal: Callable[[ErrorReport], Any] | None = None,
        *,
        name: str = "healer",
        fits: Callable[[ErrorReport], Any] = lambda _: True,
        verify: Callable[[ErrorReport], Any] = lambda _: None,
        timeout: float | None = None,
    ) -> None:
        self.name = name
        self.timeout = timeout
        self._heal = heal
        self._fits = fits
        self._verify = verify
        self.reports: list[ErrorReport] = []
        self.threads: list[int] = []

    def can_handle(self, report: ErrorReport) -> Any:
        return self._fits(report)

    def heal(self, report: ErrorReport) -> Any:
        self.reports.append(report)
        self.threads.append(threading.get_ident())
        return self._heal(report) if self._heal is not None else None

    def verify(self, report: ErrorReport) -> Any:
        return self._verify(report)


def failing(error: BaseException) -> Callable[..., Any]:
    """Return a function that raises `error`, always that very object."""

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def broken_healer(name: str = "broken") -> Healer:
    """Return a strategy that never heals."""
    return Healer(failing(OSError("still broken")), name=name)


@dataclass
class Resource:
    """Something that is down until it is healed, or has been called so many times; counts the calls in a list."""

    down: bool = True
    up_after: int | None = None
    make_error: Callable[[], BaseException] = lambda: ConnectionRefusedError(111, "refused")
    calls: list[int] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    def use(self, value: Any = "value") -> Any:
        self.calls.append(threading.get_ident())
        if self.down and (self.up_after is None or len(self.calls) <= self.up_after):
            error = self.make_error()
            self.errors.append(error)
            raise error
        return value

    async def use_async(self, value: Any = "value") -> Any:
        return self.use(value)

    def healer(self, **options: Any) -> Healer:
        """Return a strategy that brings it up, and whose proof is a look at it."""

        def heal(_: ErrorReport) -> None:
            self.down = False

        def verify(_: ErrorReport) -> None:
            assert not self.down

        return Healer(heal, verify=verify, **options)


def chain(operation: str, *steps: tuple[str, Callable[[Any], Any]] | FallbackStep) -> FallbackChain:
    """Return a chain of (name, provide) pairs."""
    return FallbackChain(
        operation, [step if isinstance(step, FallbackStep) else FallbackStep(step[0], step[1]) for step in steps]
    )


def trail(result: RecoveryResult) -> list[tuple[str, str, str]]:
    """Return the steps of a result as (stage, strategy, outcome)."""
    return [(str(step.stage), step.strategy, str(step.outcome)) for step in result.steps]


def wait_until(condition: Callable[[], Any], timeout: float = PATIENCE) -> Any:
    """Wait for what another thread is about to do; returns what the condition said."""
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {timeout} s in vain for {condition}"
        time.sleep(0.001)
