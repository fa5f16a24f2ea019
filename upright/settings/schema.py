"""Which settings there are: read from the option dataclasses, so that they are said in one place only."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, get_type_hints

from upright.strategies.breaker_options import BreakerOptions
from upright.strategies.control_options import ControlOptions
from upright.strategies.flags import Flags
from upright.strategies.healing_options import HealingOptions
from upright.strategies.limit_options import LimitOptions
from upright.strategies.predictor_options import PredictorOptions
from upright.strategies.retry import RetryPolicy
from upright.strategies.sentry_options import SentryOptions
from upright.strategies.supervision_options import SupervisionOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ALIASES", "GROUPS", "OPERATIONS", "OPERATION_KEYS", "Group", "OperationKey", "group_of"]

GROUPS: Final[Mapping[str, type[Any]]] = MappingProxyType(
    {
        "flags": Flags,
        "supervision": SupervisionOptions,
        "healing": HealingOptions,
        "breaker": BreakerOptions,
        "retry": RetryPolicy,
        "predictor": PredictorOptions,
        "sentry": SentryOptions,
        "control": ControlOptions,
        "limits": LimitOptions,
    }
)
"""The groups of a configuration and the dataclasses that hold their rules, in the order of the documentation."""

OPERATIONS: Final = "operations"
"""The group with a table per operation."""

ALIASES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({"observe_only": ("flags", "observe_only")})
"""Names at the top that stand for a setting in a group."""


@dataclass(frozen=True, slots=True)
class Group:
    """The keys of one option dataclass.

    Attributes:
        options: The dataclass.
        leaves: Type by key.
        groups: The groups inside it by key.
    """

    options: type[Any]
    leaves: Mapping[str, Any]
    groups: Mapping[str, Group]

    @property
    def keys(self) -> list[str]:
        """All keys, in the order of the dataclass."""
        return [field.name for field in dataclasses.fields(self.options)]


@dataclass(frozen=True, slots=True)
class OperationKey:
    """One key of `[operations.NAME]`.

    Attributes:
        group: The group whose default it overrides; "operation" where there is none.
        field: Its name in that group.
        type: The type of its values.
    """

    group: str
    field: str
    type: Any


_known: Final[dict[type[Any], Group]] = {}  # at most one for each option dataclass


def group_of(options: type[Any]) -> Group:
    """Return the keys of an option dataclass."""
    if options not in _known:
        _known[options] = _read(options)
    return _known[options]


def _read(options: type[Any]) -> Group:
    hints = get_type_hints(options)
    leaves, groups = {}, {}
    for field in dataclasses.fields(options):
        kind = hints[field.name]
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            groups[field.name] = group_of(kind)
        else:
            leaves[field.name] = kind
    return Group(options, MappingProxyType(leaves), MappingProxyType(groups))


def _operation_keys() -> dict[str, OperationKey]:
    breaker, retry = group_of(BreakerOptions).leaves, group_of(RetryPolicy).leaves
    keys = {name: OperationKey("breaker", name, kind) for name, kind in breaker.items()}
    keys |= {f"retry_{name}": OperationKey("retry", name, kind) for name, kind in retry.items()}
    keys["heal_wait"] = OperationKey("healing", "heal_wait", float)
    keys["deadline"] = OperationKey("operation", "deadline", float | None)
    keys["idempotent"] = OperationKey("operation", "idempotent", bool | None)
    return keys


OPERATION_KEYS: Final[Mapping[str, OperationKey]] = MappingProxyType(_operation_keys())
"""What may be overridden for one operation: the keyword arguments of `protect`, and the keys of its table."""
