"""What a supervisor logs: one event per thing that happened, always with the same four keys.

Keys: `supervisor`, `child_id`, `incarnation`, `reason`. Events: `child_started` (DEBUG), `child_terminated` (ERROR
for a crash, else INFO), `child_start_failed` (ERROR), `child_shutdown_error` (ERROR), `child_hung` (ERROR),
`supervisor_gave_up` (ERROR).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from upright.actors.exits import Crashed, Shutdown, describe, is_clean
from upright.actors.incarnation import Interrupted
from upright.actors.log import get_logger, is_wanted

if TYPE_CHECKING:
    from upright.actors.address import Address
    from upright.actors.exits import ExitReason
    from upright.supervisors.child import Child

__all__ = ["report"]


def report(
    level: int,
    event: str,
    supervisor: Address[Any],
    child: Child | None,
    reason: ExitReason | BaseException | str,
    **extra: Any,
) -> None:
    """Log one event; a logging set-up that raises must not take a supervisor down with it."""
    if not is_wanted(level):
        return
    error: BaseException | None = None
    if isinstance(reason, Crashed):
        error = reason.error
    elif isinstance(reason, BaseException) and not isinstance(reason, Shutdown):
        error = reason
    try:
        get_logger("supervisor").log(
            level,
            event,
            supervisor=supervisor.name,
            child_id=None if child is None else child.spec.id,
            incarnation=None if child is None else child.address.starts,
            reason=describe(reason) if reason is error else str(reason),
            exc_info=error if level >= logging.ERROR else None,
            **extra,
        )
    except Interrupted:
        raise
    except BaseException:
        return  # a log that raises has said so in a place of its own choosing


def level_of(reason: ExitReason) -> int:
    """INFO for a clean exit, ERROR for every other."""
    return logging.INFO if is_clean(reason) else logging.ERROR
