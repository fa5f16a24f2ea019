"""The actors' log: the application's structlog if it configured one, else the standard library's logging.

A library never configures logging. Unconfigured structlog would print to stdout, so unless the application has
configured it, events go to the standard logger "upright": silent at INFO, warnings on stderr.

Every value of every line is redacted here, whoever writes it, and so are the texts of an exception that goes with it.
"""

from __future__ import annotations

import logging
from typing import Any

import structlog

from upright.strategies.error_redaction import redacted_error
from upright.strategies.redaction import redact

__all__ = ["Logger", "get_logger", "is_wanted"]


class Logger:
    """Writes events with fields, redacted. Made by `get_logger`, used at once and thrown away."""

    __slots__ = ("_logger",)

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def log(self, level: int, event: str, **fields: Any) -> None:
        """Write one event.

        Args:
            level: Of the standard library.
            event: Its stable name; docs/telemetry.md lists them.
            fields: What belongs to it; `exc_info`, an exception, is passed on without its secrets.
        """
        exc_info = fields.pop("exc_info", None)
        shown = redact(fields)
        if type(shown) is not dict:  # they could not be read
            shown = {"fields": shown}
        if exc_info is not None:
            shown["exc_info"] = redacted_error(exc_info)
        self._logger.log(level, event, **shown)

    def info(self, event: str, **fields: Any) -> None:
        """Write an event of level INFO."""
        self.log(logging.INFO, event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Write an event of level WARNING."""
        self.log(logging.WARNING, event, **fields)


def get_logger(component: str) -> Logger:
    """Return a logger for `component`, following what the application has configured by now.

    Call it when there is something to log, not at import time: a logger kept from before the application's
    `structlog.configure()` would keep the defaults of that moment.
    """
    if structlog.is_configured():
        return Logger(structlog.get_logger("upright", component=component))
    return Logger(
        structlog.wrap_logger(
            logging.getLogger("upright"),
            processors=[structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs],
            wrapper_class=structlog.stdlib.BoundLogger,
            component=component,
        )
    )


def is_wanted(level: int) -> bool:
    """Whether an event of this level can reach anybody: asked before the work of making one is done."""
    return structlog.is_configured() or logging.getLogger("upright").isEnabledFor(level)
