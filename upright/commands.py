"""What other processes can ask a tree over its control socket: the commands of `ControlServer`.

They run in that actor's thread and answer at once from what is published: no actor is asked, so a tree whose actors
are stuck can still be looked into. What changes something tells the actor concerned; whether it was done is seen by
looking again.
"""

from __future__ import annotations

import os
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from upright.actors.breaker import ForceCircuit, circuit_details
from upright.actors.exits import describe
from upright.actors.log import get_logger
from upright.config import explain
from upright.strategies.errors import ConfigError
from upright.strategies.options import require_count
from upright.strategies.redaction import redact_text
from upright.supervisors.status import status

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.actors.operation import Operation
    from upright.parts import Parts

__all__ = ["BREAKER_ACTIONS", "commands_for", "versions"]

BREAKER_ACTIONS: Final = ("open", "close", "auto")
"""What can be done to a circuit: force it open, force it closed, or let it decide again."""

_LIBRARIES: Final = ("upright", "pykka", "tenacity", "sentry-sdk", "structlog", "psutil")
_MAX_CIRCUITS: Final = 1_000


def commands_for(parts: Parts) -> dict[str, Callable[..., Any]]:
    """Return the commands for one tree, by name."""
    known = _Commands(parts)
    return {
        "about": known.about,
        "breakers": known.breakers,
        "config": known.config,
        "events": known.events,
        "flags": known.flags,
        "history": known.history,
        "metrics": known.metrics,
        "overview": known.overview,
        "reload_flags": known.reload_flags,
        "set_breaker": known.set_breaker,
        "set_flag": known.set_flag,
        "status": known.status,
    }


class _Commands:
    """The commands of one tree; each docstring says what comes back."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._booted_at = time.time()

    def about(self) -> dict[str, Any]:
        """The process: versions, when the tree was booted, and whether Sentry would get anything."""
        return {
            "name": self._parts.name,
            "pid": os.getpid(),
            "program": sys.argv[0] if sys.argv else "",
            "cwd": str(Path.cwd()),
            "booted_at": self._booted_at,
            "sentry": _sentry_is_on(),
            "versions": versions(),
        }

    def status(self) -> dict[str, Any]:
        """The NodeStatus of the root, as `tree.status().to_dict()`."""
        root = self._parts.directory.root
        assert root is not None  # noqa: S101 - the control actor is one of its children
        return status(root).to_dict()

    def history(self, limit: int = 50) -> list[Any]:
        """The newest recoveries, oldest first."""
        require_count("history.limit", limit, least=1)
        return list(self._parts.monitor.history(limit))

    def events(self, limit: int = 50) -> list[dict[str, Any]]:
        """The newest events for people, oldest first."""
        require_count("events.limit", limit, least=1)
        return [line._asdict() for line in self._parts.monitor.events(limit)]

    def metrics(self) -> Any:
        """The ResilienceMetrics."""
        return self._parts.monitor.metrics().to_dict()

    def flags(self) -> dict[str, Any]:
        """The flags, their file, and why the last reload of it failed if it did."""
        flags = self._parts.flags
        return {"flags": dict(flags), "file": flags.file and str(flags.file), "last_error": flags.last_error}

    def set_flag(self, name: str, value: bool) -> dict[str, Any]:  # noqa: FBT001 - comes by name from a request
        """Switch a flag; the flags afterwards."""
        self._parts.flags[name] = value
        self._log("flag_set", flag=name, value=value)
        return self.flags()

    def reload_flags(self, path: str | None = None) -> dict[str, Any]:
        """Read the flags file again; the flags afterwards."""
        self._parts.flags.reload(path)
        self._log("flags_reloaded", file=str(self._parts.flags.file))
        return self.flags()

    def breakers(self, operation: str | None = None, limit: int = 200) -> list[dict[str, Any]]:
        """The circuits, those that keep calls away first; or one of them."""
        now = time.monotonic()
        if operation is not None:
            return [_circuit(self._operation(operation), now)]
        require_count("breakers.limit", limit, least=1)
        known = sorted(self._parts.operations, key=lambda one: (one.breaker.snapshot.passes, one.name))
        return [_circuit(one, now) for one in known[: min(limit, _MAX_CIRCUITS)]]

    def set_breaker(self, operation: str, action: str) -> dict[str, Any]:
        """Tell the breaker to force a circuit, or to free it; the circuit as it was."""
        if action not in BREAKER_ACTIONS:
            raise ConfigError("action", action, f"one of {', '.join(BREAKER_ACTIONS)}")
        found = self._operation(operation)
        before = _circuit(found, time.monotonic())
        self._parts.directory["breaker"].tell(ForceCircuit(found, action))
        self._log("circuit_forced", operation=operation, action=action)
        return before

    def _log(self, event: str, **fields: Any) -> None:
        """Log what was changed from outside, so that it is not a riddle afterwards."""
        get_logger("control").info(event, tree=self._parts.name, **fields)

    def _operation(self, name: str) -> Operation:
        operations = self._parts.operations
        # By its own name, or by the redacted one that is shown of it.
        found = operations.find(name) or next((one for one in operations if redact_text(one.name) == name), None)
        if found is None:
            names = sorted(one.name for one in operations)
            known = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "") or "none so far"
            raise ConfigError("operation", name, f"one that has been protected ({known})")
        return found

    def config(self) -> list[dict[str, Any]]:
        """Every effective setting with its value and origin."""
        return [{"path": row.path, "value": row.value, "origin": row.origin} for row in explain(self._parts.config)]

    def overview(self, limit: int = 20) -> dict[str, Any]:
        """All that a live view shows, at one moment."""
        return {
            "at": time.time(),
            "about": {"name": self._parts.name, "pid": os.getpid(), "booted_at": self._booted_at},
            "status": self.status(),
            "flags": self.flags(),
            "metrics": self.metrics(),
            "breakers": self.breakers(),
            "events": self.events(limit),
            "history": list(self._parts.monitor.outline(limit)),
        }


def versions() -> dict[str, str | None]:
    """Return the versions of upright and of what it stands on; None for what is not installed."""
    found: dict[str, str | None] = {"python": sys.version.split()[0]}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def _circuit(operation: Operation, now: float) -> dict[str, Any]:
    cause = operation.breaker.snapshot.cause
    return {
        "operation": redact_text(operation.name),
        **circuit_details(operation, now),
        "resource": None if operation.resource is None else redact_text(operation.resource),
        "cause": None if cause is None else redact_text(describe(cause)),
    }


def _sentry_is_on() -> bool:
    sentry = sys.modules.get("sentry_sdk")  # whoever has initialised it has imported it
    return sentry is not None and bool(sentry.is_initialized())
