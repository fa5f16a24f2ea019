"""What is wrong with a configuration, all of it at once."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from upright.strategies.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Problem", "SettingsError", "nearest"]

_MAX_REPR = 200  # characters of a refused value that are shown


@dataclass(frozen=True, slots=True)
class Problem:
    """One key or value that was refused.

    Attributes:
        path: The dotted path of the setting, as in `healing.timeout`.
        origin: Where it was given: a file and its key, a variable, or the code.
        value: What was given.
        allowed: What is allowed, in words; for a wrong key, the keys there are.
        suggestion: The nearest right name for a mistyped one, else None.
        unknown: Whether the key is wrong, and not the value.
    """

    path: str
    origin: str
    value: Any
    allowed: str
    suggestion: str | None = None
    unknown: bool = False

    def __str__(self) -> str:
        hint = f"; did you mean {self.suggestion!r}?" if self.suggestion else ""
        if self.unknown:
            given = f"{self.path} = {shorten(self.value)}"
            return f"{given}: there is no such key{hint or ';'} allowed: {self.allowed} (from {self.origin})"
        return f"{self.path} must be {self.allowed}, got {shorten(self.value)}{hint} (from {self.origin})"


class SettingsError(ConfigError):
    """A configuration has wrong keys or values; the text has a line for each of them.

    Attributes:
        problems: All of them, in the order of the sources. `field`, `value` and `allowed` are those of the first.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        super().__init__(first.path, first.value, first.allowed)
        if len(self.problems) == 1:
            text = str(first)
        else:
            lines = "".join(f"\n  {problem}" for problem in self.problems)
            text = f"{len(self.problems)} settings are wrong:{lines}"
        self.args = (text,)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.problems,))


def nearest(name: str, allowed: Sequence[str]) -> str | None:
    """Return the one of `allowed` that `name` was probably meant to be, or None.

    Examples:
        >>> nearest("falure_rate_treshold", ["failure_rate_threshold", "window_size"])
        'failure_rate_threshold'
        >>> nearest("xyz", ["window_size"]) is None
        True
    """
    folded = {candidate.replace("_", "").lower(): candidate for candidate in allowed}
    found = difflib.get_close_matches(name.replace("_", "").replace("-", "").lower(), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def shorten(value: Any) -> str:
    """Return the `repr` of a value, cut where it is too long for a line."""
    text = repr(value)
    return text if len(text) <= _MAX_REPR else f"{text[: _MAX_REPR - 3]}..."
