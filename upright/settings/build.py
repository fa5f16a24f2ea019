"""From settings to option dataclasses: later settings win, and every refusal is told with its origin."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from upright.settings.problems import Problem
from upright.settings.schema import GROUPS, OPERATION_KEYS, OPERATIONS, Group, group_of
from upright.strategies.errors import ConfigError
from upright.strategies.options import require_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from upright.settings.sources import Setting

__all__ = ["DEFAULT", "Build"]

DEFAULT = "default"
"""The origin of what nobody has set."""


class Build:
    """Builds the groups of a configuration from settings.

    Args:
        settings: The lowest precedence first; the last one for a path is the one that holds.

    Attributes:
        groups: The option dataclasses by group.
        operations: The overrides by operation.
        origins: Where each path that was set came from.
        problems: What was refused; what is built is of use only if there are none.
    """

    def __init__(self, settings: Iterable[Setting]) -> None:
        self._given = {setting.path: setting for setting in settings}
        self.origins = {".".join(path): setting.origin for path, setting in self._given.items()}
        self.problems: list[Problem] = []
        self.groups = {name: self._group((name,), group_of(cls)) for name, cls in GROUPS.items()}
        self.operations = self._operations()

    def _group(self, path: tuple[str, ...], group: Group) -> Any:
        values = {name: self._given[(*path, name)].value for name in group.leaves if (*path, name) in self._given}
        values |= {name: self._group((*path, name), inner) for name, inner in group.groups.items()}
        return self._made(path, group.options, values)

    def _made(self, path: tuple[str, ...], options: type[Any], values: dict[str, Any]) -> Any:
        """Make a dataclass, leaving out one refused value after the other, so that all of them are told."""
        refused: set[str] = set()
        while True:
            try:
                return options(**values)
            except ConfigError as error:
                field = error.field.rpartition(".")[2]
                # A rule about a value that was left out is broken by our leaving it out.
                if not any(name in error.allowed for name in refused):
                    self._refuse((*path, field), error)
                if field not in values:
                    return options()
                del values[field]
                refused.add(field)

    def _refuse(self, path: tuple[str, ...], error: ConfigError) -> None:
        dotted = ".".join(path)
        self.problems.append(Problem(dotted, self.origins.get(dotted, DEFAULT), error.value, error.allowed))

    def _operations(self) -> Mapping[str, Mapping[str, Any]]:
        tables: dict[str, dict[str, Any]] = {}
        for path, setting in self._given.items():
            if path[0] == OPERATIONS:
                tables.setdefault(path[1], {})[path[2]] = setting.value
        for name, table in tables.items():
            self._check_operation((OPERATIONS, name), table)
        return MappingProxyType({name: MappingProxyType(table) for name, table in tables.items()})

    def _check_operation(self, path: tuple[str, ...], table: Mapping[str, Any]) -> None:
        for group in ("breaker", "retry"):
            keys = {key: known.field for key, known in OPERATION_KEYS.items() if known.group == group}
            overridden = {field: table[key] for key, field in keys.items() if key in table}
            if overridden:
                self._check_overrides(path, group, overridden)
        for key in ("heal_wait", "deadline"):
            if table.get(key) is not None:
                try:
                    require_seconds(key, table[key])
                except ConfigError as error:
                    self._refuse((*path, key), error)
        idempotent = table.get("idempotent")
        if idempotent is not None and type(idempotent) is not bool:
            self._refuse((*path, "idempotent"), ConfigError("idempotent", table["idempotent"], "true or false"))

    def _check_overrides(self, path: tuple[str, ...], group: str, overridden: dict[str, Any]) -> None:
        """Check overrides on top of the group's own values: only together do they make sense or not."""
        prefix = "retry_" if group == "retry" else ""
        refused: set[str] = set()
        while True:
            try:
                dataclasses.replace(self.groups[group], **overridden)
                return
            except ConfigError as error:
                field = error.field.rpartition(".")[2]
                if not any(name in error.allowed for name in refused):
                    self._refuse((*path, prefix + field), error)
                if field not in overridden:
                    return
                del overridden[field]
                refused.add(field)
