"""Who keeps it alive: child specs, restart strategies, intensity, the standard tree."""

from upright.strategies.backoff import Backoff
from upright.supervisors.api import (
    count_children,
    delete_child,
    get_childspec,
    restart_child,
    start_child,
    terminate_child,
    which_child,
    which_children,
)
from upright.supervisors.child import ChildInfo, ChildState
from upright.supervisors.counts import ChildCounts
from upright.supervisors.dynamic import DynamicSupervisor
from upright.supervisors.errors import (
    ChildAlreadyPresent,
    ChildAlreadyStarted,
    ChildError,
    ChildNotFound,
    ChildRestarting,
    ChildRunning,
    InvalidChildSpec,
    InvalidSupervisorFlags,
    MaxChildren,
    StartFailed,
)
from upright.supervisors.spec import (
    BRUTAL_KILL,
    INFINITY,
    AutoShutdown,
    ChildKind,
    ChildSpec,
    Restart,
    RestartStrategy,
    check_childspecs,
)
from upright.supervisors.status import NodeState, NodeStatus, status
from upright.supervisors.supervisor import Supervisor

__all__ = [
    "BRUTAL_KILL",
    "INFINITY",
    "AutoShutdown",
    "Backoff",
    "ChildAlreadyPresent",
    "ChildAlreadyStarted",
    "ChildCounts",
    "ChildError",
    "ChildInfo",
    "ChildKind",
    "ChildNotFound",
    "ChildRestarting",
    "ChildRunning",
    "ChildSpec",
    "ChildState",
    "DynamicSupervisor",
    "InvalidChildSpec",
    "InvalidSupervisorFlags",
    "MaxChildren",
    "NodeState",
    "NodeStatus",
    "Restart",
    "RestartStrategy",
    "StartFailed",
    "Supervisor",
    "check_childspecs",
    "count_children",
    "delete_child",
    "get_childspec",
    "restart_child",
    "start_child",
    "status",
    "terminate_child",
    "which_child",
    "which_children",
]
