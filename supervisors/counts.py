"""How many children there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from upright.supervisors.child import ChildState
from upright.supervisors.spec import ChildKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from upright.supervisors.child import Child

__all__ = ["ChildCounts", "count"]


@dataclass(frozen=True, slots=True)
class ChildCounts:
    """The numbers of a supervisor's children (OTP's `count_children`).

    Attributes:
        specs: Child specs, running or not.
        active: Children that run.
        supervisors: Specs of supervisors, running or not.
        workers: Specs of workers, running or not.
    """

    specs: int
    active: int
    supervisors: int
    workers: int


def count(children: Iterable[Child]) -> ChildCounts:
    """Count the entries of a table."""
    specs = active = supervisors = 0
    for child in children:
        specs += 1
        active += child.state is ChildState.RUNNING
        supervisors += child.spec.kind is ChildKind.SUPERVISOR
    return ChildCounts(specs, active, supervisors, specs - supervisors)
