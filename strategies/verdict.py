"""What one rule says about one error, before the causes behind it have been heard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upright.strategies.codes import ErrorCode

__all__ = ["Verdict"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A code and how far it reaches.

    Attributes:
        code: What kind of failure it is.
        permanent: The same call will fail again.
        weak: A wrapper's type, which only says what failed: a definite verdict on one of its causes wins.
        healable: Repairing the resource could help; False where the resource is well.
    """

    code: ErrorCode
    permanent: bool = False
    weak: bool = False
    healable: bool = True
