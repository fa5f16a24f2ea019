"""What to answer instead: steps that provide a substitute, and the chain of them for one operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from upright.strategies.errors import ConfigError, UprightError
from upright.strategies.foreign import is_of
from upright.strategies.options import MAX_NAME, is_finite_number, require_name

__all__ = ["FallbackChain", "FallbackStep", "NothingToOfferError", "RefusedError", "Substitute"]

_MAX_STEPS = 32


class NothingToOfferError(UprightError):
    """A step has no substitute for this call; the next step is tried.

    Unlike any other error it is no failure of the step, so it leaves its rank alone: a cache is not worse for
    not holding everything.
    """


class RefusedError(UprightError):
    """A step refuses the call, whatever other steps may have: none of them is tried.

    Unless a retry succeeds it comes out of `protect` in place of the call's own error, which is its `__cause__`.
    """


@dataclass(frozen=True, slots=True)
class Substitute:
    """A value that says what it lacks. A step may return it instead of the bare value.

    Attributes:
        value: What the call gets.
        detail: In what way the value is less than the real one ("cached 42 s ago"), for people and logs.
        age: Seconds since the value was the real one, where it is from before; None where it is not.

    Raises:
        ConfigError: `detail` is no text, or `age` no number; from inside of a step, that step has failed.
    """

    value: Any
    detail: str = ""
    age: float | None = None

    def __post_init__(self) -> None:
        if not is_of(self.detail, str):
            raise ConfigError("Substitute.detail", self.detail, "a text")
        object.__setattr__(self, "detail", str.__str__(self.detail))
        if self.age is not None and not is_finite_number(self.age):
            raise ConfigError("Substitute.age", self.age, "None or a finite number of seconds")


class FallbackStep:
    """One way to answer when the operation cannot.

    `provide` runs in the caller's thread or event loop, with its contextvars; with a `timeout`, or where it is
    `blocking` and the caller is a coroutine, in a worker that may be abandoned. An `async def` always stays on the
    caller's loop, and is cancelled when its time is over.

    Args:
        name: What results, logs and the ranking call it; unique within its chain.
        provide: `provide(context)` returns the substitute, bare or as a `Substitute`; it may be `async def`.
            Raising NothingToOfferError means that this step has none for this call, RefusedError that the chain
            ends here, anything else that the step has failed. The context holds `operation`, `resource`, `error`,
            `args` and `kwargs` of the call, `predicted_risk`, and what the application added.
        timeout: Seconds that it may take, above 0; None sets no limit.
        degradation: In what way its values are less than the real ones, where that is always the same.
        weight: What its values are worth beside those of other steps, above 0: the ranking multiplies the success
            rate by it, so that a poor answer that never fails does not replace a good one that seldom does.
        blocking: `provide` waits for a disk or a network, and must not do so in an event loop's thread.

    Raises:
        ConfigError: If a value is not allowed.

    Attributes:
        catch_up: None, or a function that does what was put off, once the operation works again: when the tree
            is booted, when its resource was healed, when its circuit closes. It runs in a supervised worker, never
            twice at once, and returns whether something is left, to be tried again later; so does an error.
        halting: The tree is being stopped: a `catch_up` under way should end after what it has in hand, within two
            seconds, for then it is interrupted.
        glance: None, or `provide` for the arguments of a call alone, giving the bare value: a short cut for outages
            with very many calls.
    """

    catch_up: Callable[[], bool] | None = None
    halting: bool = False
    glance: Callable[[tuple[Any, ...], Mapping[str, Any]], Any] | None = None

    def __init__(
        self,
        name: str,
        provide: Callable[[Mapping[str, Any]], Any],
        timeout: float | None = None,
        *,
        degradation: str = "",
        weight: float = 1.0,
        blocking: bool = False,
    ) -> None:
        name = require_name("FallbackStep.name", name)
        if not callable(provide):
            raise ConfigError("FallbackStep.provide", provide, "callable with the context")
        if timeout is not None and (not is_finite_number(timeout) or timeout <= 0):
            raise ConfigError("FallbackStep.timeout", timeout, "None or a finite number of seconds > 0")
        if not is_of(degradation, str) or len(degradation) > MAX_NAME:
            raise ConfigError("FallbackStep.degradation", degradation, f"a text of at most {MAX_NAME} characters")
        if not is_finite_number(weight) or weight <= 0:
            raise ConfigError("FallbackStep.weight", weight, "a finite number > 0")
        self.name = name
        self.provide = provide
        self.timeout = timeout
        self.degradation = degradation
        self.weight = weight
        self.blocking = blocking

    @property
    def details(self) -> dict[str, Any]:
        """What the tree's status shows of the step, as JSON data. Read from any thread at any time: never wait here."""
        return {}

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

    Examples:
        >>> chain = FallbackChain("greeting", [FallbackStep("plain", lambda context: "hello")])
        >>> chain.names
        ('plain',)
    """

    def __init__(self, operation: str, steps: Sequence[FallbackStep]) -> None:
        operation = require_name("FallbackChain.operation", operation)
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
