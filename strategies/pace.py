"""How patiently waits are waited: replaceable in tests, as the clock is.

Retries, healing attempts and the spreading after a shared healing ask here for how long they wait and how often
they try. Normally the answer is what their options say; `upright.testing.instant` makes it none and a few.
"""

from __future__ import annotations

__all__ = ["attempts", "seconds", "set_cap"]

_LONGEST = 1e9  # seconds, some 31 years: longer sleeps overflow what the system can be asked for

_cap: int | None = None


def seconds(planned: float) -> float:
    """Return the seconds to wait where `planned` was decided."""
    return min(planned, _LONGEST) if _cap is None else 0.0


def attempts(planned: int) -> int:
    """Return how many attempts to make where `planned` were allowed."""
    return planned if _cap is None else min(planned, _cap)


def set_cap(cap: int | None) -> int | None:
    """Make at most `cap` attempts and wait between none, in the whole process; None ends that. Returns what was."""
    global _cap
    previous, _cap = _cap, cap
    return previous
