"""What to answer instead: steps that provide a substitute, and the chain of them for one operation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from upright.strategies.errors import ConfigError, UprightError

__all__ = ["FallbackChain", "FallbackStep", "NothingToOfferError", "Substitute"]

_MAX_STEPS = 32


class NothingToOfferError(UprightError):
    """A step has no substitute for this call; the next step is tried."""


@dataclass(frozen=True, slots=True)
class Substitute:
    """A value that says what it lacks. A step may return it instead of the bare value.

    Attributes:
        value: What the call gets.
        detail: In what way the value is less than the real one ("cached 42 s ago"), for people and logs.
    """

    value: Any
    detail: str = ""


class FallbackStep:
    """One way to answer when the operation cannot.

    `provide` runs in the caller's thread or event loop, with its contextvars; with a `timeout` it runs in a
    worker that may be abandoned (an `async def` stays on the caller's loop and is cancelled).

    Args:
        name: What results, logs and the ranking call it; unique within its chain.
        provide: `provide(context)` returns the substitute, bare or as a `Substitute`; it may be `async def`.
            Raising anything means that this step has none for this call. The context holds `operation`,
            `resource`, `error`, `args` and `kwargs` of the call, `predicted_risk`, and what the application
            added.
        timeout: Seconds that it may take, above 0; None sets no limit.
        degradation: In what way its values are less than the real ones, where that is always the same.

    Raises:
        ConfigError: If a value is not allowed.
    """

    def __init__(
        self,
        name: str,
        provide: Callable[[Mapping[str, Any]], Any],
        timeout: float | None = None,
        *,
        degradation: str = "",
    ) -> None:
        if not isinstance(name, str) or not name:
            raise ConfigError("FallbackStep.name", name, "a text that is not empty")
        if not callable(provide):
            raise ConfigError("FallbackStep.provide", provide, "callable with the context")
        if timeout is not None and not _is_positive(timeout):
            raise ConfigError("FallbackStep.timeout", timeout, "None or a finite number of seconds > 0")
        if not isinstance(degradation, str):
            raise ConfigError("FallbackStep.degradation", degradation, "a text")
        self.name = name
        self.provide = provide
        self.timeout = timeout
        self.degradation = degradation

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class FallbackChain:
    """The steps to try for an operation, best first.

    The declared order holds until there is evidence for a better one (see `Ranking`).

    Args:
        operation: What the chain stands in for, as protected calls name it.
        steps: At least one, at most 32, with names of their own.

    Raises:
        ConfigError: If a value is not allowed.

    Example:
        >>> chain = FallbackChain("greeting", [FallbackStep("plain", lambda context: "hello")])
        >>> chain.names
        ('plain',)
    """

    def __init__(self, operation: str, steps: Sequence[FallbackStep]) -> None:
        if not isinstance(operation, str) or not operation:
            raise ConfigError("FallbackChain.operation", operation, "a text that is not empty")
        if not isinstance(steps, Sequence) or not 1 <= len(steps) <= _MAX_STEPS:
            raise ConfigError("FallbackChain.steps", steps, f"a list of 1 to {_MAX_STEPS} steps")
        for step in steps:
            if not isinstance(step, FallbackStep):
                raise ConfigError("FallbackChain.steps", step, "made of FallbackStep objects")
        names = tuple(step.name for step in steps)
        if len(set(names)) != len(names):
            raise ConfigError("FallbackChain.steps", list(names), "steps with different names")
        self.operation = operation
        self.steps = tuple(steps)
        self.names = names

    def __repr__(self) -> str:
        return f"FallbackChain({self.operation!r}, {' -> '.join(self.names)})"


def _is_positive(value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return math.isfinite(value) and value > 0
