"""A wrong spec or flag is refused where it is given, with its field, its value, and what is allowed."""

from __future__ import annotations

from math import inf, nan
from typing import TYPE_CHECKING, Any

import pytest

from upright.actors import SupervisedActor
from upright.strategies.errors import ConfigError
from upright.supervisors import (
    AutoShutdown,
    ChildNotFound,
    ChildSpec,
    DynamicSupervisor,
    InvalidChildSpec,
    InvalidSupervisorFlags,
    Restart,
    Supervisor,
    check_childspecs,
    count_children,
    start_child,
    terminate_child,
    which_children,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class Worker(SupervisedActor):
    pass


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("id", None, "any hashable value but None"),
        ("id", [], "hashable"),
        ("actor", object, "a subclass of upright.actors.SupervisedActor"),
        ("actor", "Worker", "a subclass of upright.actors.SupervisedActor"),
        ("actor", None, "a subclass of upright.actors.SupervisedActor"),
        ("args", "ab", "a tuple of positional arguments"),
        ("args", 1, "a tuple of positional arguments"),
        ("kwargs", [("a", 1)], "a mapping of argument names to values"),
        ("kwargs", {1: 2}, "a mapping of argument names to values"),
        ("restart", "always", "one of Restart.PERMANENT, Restart.TRANSIENT, Restart.TEMPORARY"),
        ("restart", None, "one of Restart.PERMANENT"),
        ("restart", [], "one of Restart.PERMANENT"),
        ("shutdown", -1, "a finite number of seconds >= 0, BRUTAL_KILL or INFINITY"),
        ("shutdown", inf, "a finite number of seconds >= 0, BRUTAL_KILL or INFINITY"),
        ("shutdown", nan, "a finite number of seconds >= 0, BRUTAL_KILL or INFINITY"),
        ("shutdown", True, "a finite number of seconds >= 0, BRUTAL_KILL or INFINITY"),
        ("shutdown", "infinity", "a finite number of seconds >= 0, BRUTAL_KILL or INFINITY"),
        pytest.param("shutdown", 10**400, "a finite number of seconds >= 0", id="a shutdown larger than a float"),
        ("significant", 1, "True or False"),
        ("significant", True, "False for a permanent child"),
        ("hang_timeout", 0, "None or a finite number of seconds > 0"),
        ("hang_timeout", nan, "None or a finite number of seconds > 0"),
        ("hang_timeout", "5", "None or a finite number of seconds > 0"),
        pytest.param("hang_timeout", 10**400, "None or a finite number", id="a hang_timeout larger than a float"),
        ("backoff", 1.0, "None or a Backoff"),
        ("mailbox_limit", 0, "an int >= 1"),
        ("mailbox_limit", 1.5, "an int >= 1"),
        ("mailbox_limit", True, "an int >= 1"),
        ("max_zombies", -1, "an int >= 0"),
        ("max_zombies", None, "an int >= 0"),
    ],
)
def test_a_wrong_value_in_a_child_spec_is_named(field: str, value: Any, allowed: str) -> None:
    fields: dict[str, Any] = {"id": "w", "actor": Worker}
    fields[field] = value
    with pytest.raises(InvalidChildSpec) as caught:
        ChildSpec(**fields)
    assert caught.value.field == f"ChildSpec.{field}"
    assert caught.value.value is value
    assert allowed in caught.value.allowed
    assert f"ChildSpec.{field} must be " in str(caught.value)
    assert isinstance(caught.value, ConfigError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("kind", "flag", "value", "allowed"),
    [
        (Supervisor, "strategy", "one_for_two", "RestartStrategy.ONE_FOR_ONE"),
        (Supervisor, "strategy", None, "RestartStrategy.ONE_FOR_ONE"),
        (Supervisor, "intensity", -1, "an int >= 0"),
        (Supervisor, "intensity", 1.0, "an int >= 0"),
        (Supervisor, "intensity", True, "an int >= 0"),
        (Supervisor, "period", 0, "a finite number of seconds > 0"),
        (Supervisor, "period", inf, "a finite number of seconds > 0"),
        (Supervisor, "period", nan, "a finite number of seconds > 0"),
        (Supervisor, "period", "5", "a finite number of seconds > 0"),
        pytest.param(Supervisor, "period", 10**400, "a finite number", id="a period larger than a float"),
        (Supervisor, "auto_shutdown", "sometimes", "AutoShutdown.NEVER"),
        (Supervisor, "name", "", "None or a non-empty string"),
        (Supervisor, "name", 3, "None or a non-empty string"),
        (DynamicSupervisor, "max_children", -1, "None or an int >= 0"),
        (DynamicSupervisor, "max_children", "many", "None or an int >= 0"),
        (DynamicSupervisor, "extra_args", 1, "a tuple of arguments"),
        (DynamicSupervisor, "intensity", None, "an int >= 0"),
    ],
)
def test_a_wrong_flag_is_named_and_nothing_is_started(kind: Any, flag: str, value: Any, allowed: str) -> None:
    with pytest.raises(InvalidSupervisorFlags) as caught:
        kind.start(**{flag: value})
    assert caught.value.field.endswith(f".{flag}")
    assert caught.value.value is value
    assert allowed in caught.value.allowed


@pytest.mark.parametrize("children", [None, 3, "ab", ChildSpec("w", Worker), {"w": Worker}, [Worker], [("w", Worker)]])
def test_children_must_be_child_specs(children: Any) -> None:
    with pytest.raises(InvalidChildSpec) as caught:
        Supervisor.start(children)
    assert caught.value.field == "children"
    with pytest.raises(InvalidChildSpec):
        check_childspecs(children)


def test_an_id_may_be_given_only_once() -> None:
    with pytest.raises(InvalidChildSpec, match="given to one child only, got 'w'"):
        Supervisor.start([ChildSpec("w", Worker), ChildSpec("w", Worker)])


def test_a_significant_child_needs_a_supervisor_that_may_shut_down() -> None:
    spec = ChildSpec("w", Worker, restart=Restart.TRANSIENT, significant=True)
    with pytest.raises(InvalidChildSpec, match="auto_shutdown is NEVER"):
        Supervisor.start([spec])
    assert check_childspecs([spec]) == [spec]
    assert check_childspecs([spec], AutoShutdown.ANY_SIGNIFICANT) == [spec]
    with pytest.raises(InvalidChildSpec, match="auto_shutdown must be one of"):
        check_childspecs([spec], "never mind")  # type: ignore[arg-type]


def test_a_wrong_call_is_answered_and_the_supervisor_lives_on(keep: Callable[..., Any]) -> None:
    top = keep(Supervisor.start([ChildSpec("w", Worker)]))
    with pytest.raises(InvalidChildSpec):
        start_child(top, "w")  # type: ignore[arg-type]
    with pytest.raises(ChildNotFound, match="no child 'x'"):
        terminate_child(top, "x")
    with pytest.raises(ChildNotFound):
        terminate_child(top, [])
    assert count_children(top).active == 1


def test_a_wrong_call_of_a_dynamic_supervisor_is_answered_too(keep: Callable[..., Any]) -> None:
    top = keep(DynamicSupervisor.start())
    with pytest.raises(InvalidChildSpec):
        start_child(top, None)  # type: ignore[arg-type]
    with pytest.raises(ChildNotFound):
        terminate_child(top, "w")
    assert which_children(top) == []
