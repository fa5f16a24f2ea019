"""The root of every error that upright raises, and the one for a wrong option."""

from __future__ import annotations

from typing import Any

from upright.strategies.foreign import shown

__all__ = ["CircuitOpenError", "ConfigError", "UprightError"]


class UprightError(Exception):
    """Base of every error that upright itself raises; the application's own never derive from it."""


class ConfigError(UprightError, ValueError):
    """An option has a value that is not allowed.

    The text always reads `<Type>.<field> must be <rule>, got <repr>`; of the repr 200 characters at most.

    Attributes:
        field: Where the value was given, as `Type.field` or as a dotted path of the configuration.
        value: The value that was refused.
        allowed: What is allowed, in words.
    """

    def __init__(self, field: str, value: Any, allowed: str) -> None:
        super().__init__(f"{field} must be {allowed}, got {shown(value)}")
        self.field = field
        self.value = value
        self.allowed = allowed


class CircuitOpenError(UprightError):
    """A call was rejected, because the circuit of its operation is open; `__cause__` is the last counted failure.

    Made from `wait_time` and, optionally, `operation`, in this order.

    Attributes:
        operation: Whose circuit.
        wait_time: Seconds after which a call is worth making again.
    """

    # Rejections come by the thousand, so making one is left to BaseException, which keeps its arguments in `args`,
    # and nothing is spelled out before somebody reads it.

    @property
    def wait_time(self) -> float:
        """Seconds after which a call is worth making again."""
        seconds: float = self.args[0]
        return seconds

    @property
    def operation(self) -> str:
        """Whose circuit."""
        name: str = self.args[1] if len(self.args) > 1 else ""
        return name

    def __str__(self) -> str:
        return f"the circuit of {self.operation!r} is open; worth another try in {self.wait_time:.3g} s"
