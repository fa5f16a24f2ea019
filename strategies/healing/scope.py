"""Which reports a healing strategy takes: those of its resource, by what its kind of failure looks like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from upright.strategies.codes import ErrorCode
from upright.strategies.errors import ConfigError

if TYPE_CHECKING:
    from upright.strategies.report import ErrorReport

__all__ = ["Scope"]


@dataclass(frozen=True, slots=True)
class Scope:
    """The reports that a strategy takes.

    Args:
        resource: Name of the resource, as reports give it. None takes reports on any resource, which is right
            for an application that has one of a kind only: with two databases, the proof that one works would
            be taken as proof for the other.
        codes: Codes that are about this kind of resource whatever it is called.
        named: Codes that say too little on their own, such as NETWORK: taken only on a report that names
            `resource`.

    Raises:
        ConfigError: If `resource` is neither None nor a text that is not empty.
    """

    resource: str | None
    codes: frozenset[ErrorCode]
    named: frozenset[ErrorCode] = frozenset({ErrorCode.NETWORK, ErrorCode.UNKNOWN})

    def __post_init__(self) -> None:
        if self.resource is not None and (not isinstance(self.resource, str) or not self.resource):
            raise ConfigError("resource", self.resource, "None or a text that is not empty")

    def holds(self, report: ErrorReport) -> bool:
        """Whether a report is within the scope. Never one that is permanent, or that no repair can help."""
        if report.permanent or not report.classification.healable:
            return False
        if self.resource is None:
            return report.code in self.codes
        return report.resource == self.resource and (report.code in self.codes or report.code in self.named)
