"""What is wrong with a configuration, all of it at once."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from upright.strategies.errors import ConfigError
from upright.strategies.foreign import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["MAX_LINES", "Problem", "SettingsError", "nearest"]

_MAX_SHOWN = 200  # characters of a value, a path or a place that are shown
MAX_LINES: Final = 50
"""Problems that the text of a SettingsError tells of."""
_MAX_NAME = 100  # characters of a name that is compared with the right ones: the work grows with their square


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
        path, origin = _readable(self.path), _readable(self.origin, 2 * _MAX_SHOWN)
        if self.unknown:
            given = f"{path} = {shown(self.value, _MAX_SHOWN)}"
            return f"{given}: there is no such key{hint or ';'} allowed: {self.allowed} (from {origin})"
        return f"{path} must be {self.allowed}, got {shown(self.value, _MAX_SHOWN)}{hint} (from {origin})"


class SettingsError(ConfigError):
    """A configuration has wrong keys or values; the text has a line for each of the first 50.

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
            lines = "".join(f"\n  {problem}" for problem in self.problems[:MAX_LINES])
            more = f"\n  ... and {left} more" if (left := len(self.problems) - MAX_LINES) > 0 else ""
            text = f"{len(self.problems)} settings are wrong:{lines}{more}"
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
    if len(name) > _MAX_NAME:
        return None
    folded = {candidate.replace("_", "").lower(): candidate for candidate in allowed}
    found = difflib.get_close_matches(name.replace("_", "").replace("-", "").lower(), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def _readable(text: str, limit: int = _MAX_SHOWN) -> str:
    """Return a name as one line of limited length, with escapes for what cannot be printed."""
    text = text if len(text) <= limit else f"{text[: limit - 3]}..."
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
