"""The door: what an application imports.

    import upright

    tree = upright.boot(strategies=[DatabaseReconnection(engine, resource="orders-db")])

    @upright.protect("database_query", resource="orders-db")
    def orders(customer): ...

Nothing is loaded before it is used, so that `import upright` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upright.booting import boot, default_tree
    from upright.config import Config
    from upright.face import (
        NotBooted,
        boundary,
        call,
        call_async,
        history,
        metrics,
        notices,
        protect,
        recover,
        recover_async,
        report,
        status,
    )
    from upright.strategies.breaker import BreakerState
    from upright.strategies.classification import Classification, classify, register_error
    from upright.strategies.codes import ErrorCode
    from upright.strategies.errors import CircuitOpenError, ConfigError, UprightError
    from upright.strategies.fallback.chain import FallbackChain, FallbackStep
    from upright.strategies.healing.base import HealingFailed, HealingStrategy
    from upright.strategies.history import HistoryEntry
    from upright.strategies.metrics import ResilienceMetrics
    from upright.strategies.notices import NoticeKind, RecoveryNotice, Severity
    from upright.strategies.report import (
        ErrorReport,
        RecoveryMethod,
        RecoveryResult,
        RecoveryStatus,
        RecoveryStep,
        Stage,
        StepOutcome,
    )
    from upright.supervisors.status import NodeState, NodeStatus
    from upright.tree import Tree

__version__ = "0.1.0"

_HOMES = {
    "BreakerState": "upright.strategies.breaker",
    "CircuitOpenError": "upright.strategies.errors",
    "Classification": "upright.strategies.classification",
    "Config": "upright.config",
    "ConfigError": "upright.strategies.errors",
    "ErrorCode": "upright.strategies.codes",
    "ErrorReport": "upright.strategies.report",
    "FallbackChain": "upright.strategies.fallback.chain",
    "FallbackStep": "upright.strategies.fallback.chain",
    "HealingFailed": "upright.strategies.healing.base",
    "HealingStrategy": "upright.strategies.healing.base",
    "HistoryEntry": "upright.strategies.history",
    "NodeState": "upright.supervisors.status",
    "NodeStatus": "upright.supervisors.status",
    "NotBooted": "upright.face",
    "NoticeKind": "upright.strategies.notices",
    "RecoveryMethod": "upright.strategies.report",
    "RecoveryNotice": "upright.strategies.notices",
    "RecoveryResult": "upright.strategies.report",
    "RecoveryStatus": "upright.strategies.report",
    "RecoveryStep": "upright.strategies.report",
    "ResilienceMetrics": "upright.strategies.metrics",
    "Severity": "upright.strategies.notices",
    "Stage": "upright.strategies.report",
    "StepOutcome": "upright.strategies.report",
    "Tree": "upright.tree",
    "UprightError": "upright.strategies.errors",
    "boot": "upright.booting",
    "boundary": "upright.face",
    "call": "upright.face",
    "call_async": "upright.face",
    "classify": "upright.strategies.classification",
    "default_tree": "upright.booting",
    "history": "upright.face",
    "metrics": "upright.face",
    "notices": "upright.face",
    "protect": "upright.face",
    "recover": "upright.face",
    "recover_async": "upright.face",
    "register_error": "upright.strategies.classification",
    "report": "upright.face",
    "status": "upright.face",
}
"""Where each name of the face is defined."""

__all__ = [
    "BreakerState",
    "CircuitOpenError",
    "Classification",
    "Config",
    "ConfigError",
    "ErrorCode",
    "ErrorReport",
    "FallbackChain",
    "FallbackStep",
    "HealingFailed",
    "HealingStrategy",
    "HistoryEntry",
    "NodeState",
    "NodeStatus",
    "NotBooted",
    "NoticeKind",
    "RecoveryMethod",
    "RecoveryNotice",
    "RecoveryResult",
    "RecoveryStatus",
    "RecoveryStep",
    "ResilienceMetrics",
    "Severity",
    "Stage",
    "StepOutcome",
    "Tree",
    "UprightError",
    "boot",
    "boundary",
    "call",
    "call_async",
    "classify",
    "default_tree",
    "history",
    "metrics",
    "notices",
    "protect",
    "recover",
    "recover_async",
    "register_error",
    "report",
    "status",
]


def __getattr__(name: str) -> Any:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'upright' has no attribute {name!r}") from None
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
