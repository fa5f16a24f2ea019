"""The actors' log: the application's structlog if it configured one, else the standard library's logging.

A library never configures logging. Unconfigured structlog would print to stdout, so unless the application has
configured it, events go to the standard logger "upright": silent at INFO, warnings on stderr.
"""

from __future__ import annotations

import logging
from typing import Any

import structlog

__all__ = ["get_logger", "is_wanted"]


def get_logger(component: str) -> Any:
    """Return a structlog logger for `component`, following what the application has configured by now.

    Call it when there is something to log, not at import time: a logger kept from before the application's
    `structlog.configure()` would keep the defaults of that moment.
    """
    if structlog.is_configured():
        return structlog.get_logger("upright", component=component)
    return structlog.wrap_logger(
        logging.getLogger("upright"),
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs],
        wrapper_class=structlog.stdlib.BoundLogger,
        component=component,
    )


def is_wanted(level: int) -> bool:
    """Whether an event of this level can reach anybody: asked before the work of making one is done."""
    return structlog.is_configured() or logging.getLogger("upright").isEnabledFor(level)
