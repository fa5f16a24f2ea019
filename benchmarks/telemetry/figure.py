"""One measured figure beside its goal."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Figure"]


@dataclass(frozen=True)
class Figure:
    """A measurement.

    Attributes:
        what: What was measured.
        value: How much.
        unit: Of what.
        goal: At most so much.
        note: How it was measured, or what else came out.
    """

    what: str
    value: float
    unit: str
    goal: float
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the goal was met."""
        return self.value <= self.goal

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**asdict(self), "met": self.met}
