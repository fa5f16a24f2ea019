"""The flags of a running tree: switched at any time, read without waiting.

All five are one immutable `Flags` value. Whoever decides by them reads `flags.now` once and goes by that; a change
replaces the value as a whole. Staged roll-out, in the order of what each stage can do to an application:
`error_predictor` (only watches), then `self_healing`, then `intelligent_fallback`, then `recovery_orchestrator`
for all; and `observe_only` before any of them acts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from upright.settings.problems import SettingsError, nearest
from upright.settings.sources import from_flags
from upright.strategies.errors import ConfigError
from upright.strategies.flags import FLAG_NAMES, Flags

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

__all__ = ["FLAG_NAMES", "FlagSet", "Flags", "UnknownFlag"]

_SWITCHES: Final = (*FLAG_NAMES, "observe_only")


class UnknownFlag(ConfigError, KeyError):  # noqa: N818 - names the mistake
    """There is no flag of this name; the text lists those there are."""

    def __init__(self, name: Any) -> None:
        super().__init__("flags", name, f"one of {', '.join(_SWITCHES)}")
        self.suggestion = nearest(name, _SWITCHES) if isinstance(name, str) else None
        if self.suggestion:
            self.args = (f"{self.args[0]}; did you mean {self.suggestion!r}?",)

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError would put it in quotes

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.value,))


class FlagSet(Mapping[str, bool]):
    """A tree's flags by name; safe from any thread.

    Reads and sets `self_healing`, `error_predictor`, `intelligent_fallback`, `recovery_orchestrator` and
    `observe_only`. Two threads that set different flags at the same moment both get what they asked for.

    Args:
        flags: What holds at first.
        file: The feature-flags.json that `reload()` reads.

    Attributes:
        now: What holds now. Immutable, replaced as a whole; read it once per decision.
        file: The feature-flags.json.
        last_error: Why the last reload changed nothing; None once one has succeeded.

    Raises:
        UnknownFlag: On reading or setting another name. A KeyError, and a ConfigError.
        ConfigError: On setting what is no bool.

    Examples:
        >>> flags = FlagSet()
        >>> flags["self_healing"] = False
        >>> flags.now.self_healing, flags.now.intelligent_fallback
        (False, True)
    """

    def __init__(self, flags: Flags | None = None, *, file: Path | None = None) -> None:
        self.now = Flags() if flags is None else flags
        self.file = file
        self.last_error: str | None = None
        # What `now` must say; each item is written in one atomic step.
        self._wanted = dataclasses.asdict(self.now)

    def __getitem__(self, name: str) -> bool:
        if name not in _SWITCHES:
            raise UnknownFlag(name)
        value: bool = getattr(self.now, name)
        return value

    def __setitem__(self, name: str, value: bool) -> None:
        self.set({name: value})

    def set(self, changes: Mapping[str, bool]) -> Flags:
        """Set several flags at once, all or none; return what holds then.

        Raises:
            UnknownFlag: A name is none of the five.
            ConfigError: A value is no bool.
        """
        for name, value in changes.items():
            if name not in _SWITCHES:
                raise UnknownFlag(name)
            if not isinstance(value, bool):
                raise ConfigError(f"flags.{name}", value, "True or False")
        self._wanted.update(changes)
        while True:
            flags = Flags(**self._wanted)
            self.now = flags
            # Another thread may have published between our reading and our writing; whoever is last sees it here.
            if Flags(**self._wanted) == self.now:
                return flags

    def reload(self, file: str | os.PathLike[str] | None = None) -> Flags:
        """Read the feature-flags.json again and set what it says; flags that it does not name stay as they are.

        Args:
            file: Which file, from now on; None: the one read before, by default the one found at boot.

        Raises:
            SettingsError: It cannot be read, or says anything wrong. The flags then stay as they were, and
                `last_error` says why.
            ConfigError: There is no file to read.
        """
        path = self.file if file is None else Path(file)
        if path is None:
            raise ConfigError("flags.reload.file", None, "a path; no feature-flags.json was found at boot")
        reading = from_flags(path, named_by=f"the flags file {path}")
        if reading.problems:
            problem = SettingsError(reading.problems)
            self.last_error = str(problem)
            raise problem
        self.file = path
        flags = self.set({setting.path[-1]: setting.value for setting in reading.settings})
        self.last_error = None
        return flags

    def __iter__(self) -> Iterator[str]:
        return iter(_SWITCHES)

    def __len__(self) -> int:
        return len(_SWITCHES)

    def __repr__(self) -> str:
        return f"FlagSet({', '.join(f'{name}={self[name]}' for name in self)})"
