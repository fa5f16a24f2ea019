"""The last hooks of an actor, and log lines that cannot hurt it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from upright.actors.exits import Crashed, Shutdown
from upright.actors.interrupt import Interrupted
from upright.strategies.foreign import is_of, traceback_of

if TYPE_CHECKING:
    from upright.actors.actor import SupervisedActor
    from upright.actors.exits import ExitReason

__all__ = ["log_quietly", "run_last_hook"]

# pykka's logger: what pykka's documentation says about its log lines stays true for actors without a supervisor.
_logger = logging.getLogger("pykka")


def log_quietly(level: int, text: str, *args: object, error: BaseException | None = None) -> None:
    """Log on pykka's logger; a handler or filter that raises must not end an actor, nor hide why it ended."""
    try:
        _logger.log(level, text, *args, exc_info=error)
    except Interrupted:
        raise
    except BaseException:
        return


def run_last_hook(actor: SupervisedActor, reason: ExitReason, *, alone: bool) -> ExitReason:
    """Run `tear_down`, then `on_failure` after a crash and else `on_stop`.

    Args:
        actor: The actor, in whose thread this runs.
        reason: Why it ends.
        alone: It has no supervisor that would report the crash.

    Returns:
        `reason`, unless `on_stop` raised: then that is the reason (as in OTP's `terminate`).
    """
    error = reason.error if isinstance(reason, Crashed) else None
    try:
        actor.tear_down()
        if error is None:
            actor.on_stop()
        else:
            if alone:
                _log_failure(actor, error)
            actor.on_failure(type(error), error, traceback_of(error))
    except Interrupted:
        raise
    except BaseException as broken:
        if error is None and is_of(broken, Shutdown):
            return broken
        if error is not None or alone:
            _log_failure(actor, broken)
        return Crashed(broken) if error is None else reason
    return reason


def _log_failure(actor: SupervisedActor, error: BaseException) -> None:
    log_quietly(logging.ERROR, "Unhandled exception in %s:", actor, error=error)
