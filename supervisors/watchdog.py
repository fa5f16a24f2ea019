"""Noticing a child that hangs: one message handled for longer than its `hang_timeout`.

An idle child cannot hang, and one that becomes busy after a sweep cannot have exceeded its limit before that limit
has passed again. So the next sweep is due at the earliest moment at which any child could exceed its limit: exact
to the deadline, and with everybody idle one look per `hang_timeout`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from upright.supervisors.child import Child

__all__ = ["sweep"]


def sweep(children: Iterable[Child], now: float) -> tuple[list[Child], float | None]:
    """Find the children that hang, and when to look again.

    Args:
        children: The children of one supervisor.
        now: Monotonic seconds.

    Returns:
        Those that exceeded their `hang_timeout`, and the time of the next sweep, `now` if there are such; None if
        nobody has a limit.
    """
    hung: list[Child] = []
    next_look: float | None = None
    for child in children:
        limit = child.spec.hang_timeout
        incarnation = child.incarnation
        if limit is None or incarnation is None:
            continue
        # The actor writes `busy_since` before `current`, so in this order the time read is that of the message seen
        # or of a later one: an actor that has just taken a message after a long wait is not taken for one that hangs.
        item = incarnation.current
        deadline = (now if item is None else incarnation.busy_since) + limit
        if item is not None and deadline <= now:
            hung.append(child)
            deadline = now  # until somebody has dealt with it, there is reason to look again at once
        next_look = deadline if next_look is None else min(next_look, deadline)
    return hung, next_look
