"""A supervisor that failed just after it had started a child forgot the child, whose thread then waited for ever.

Three of 80 000 faults of a storm left a worker of a tree that had long been stopped.
"""
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from upright.actors import SupervisedActor
from upright.actors.exits import Killed
from upright.actors.incarnation import Incarnation
from upright.supervisors import ChildSpec, DynamicSupervisor, Supervisor, which_child
from upright.supervisors.base import BaseSupervisor
from upright.supervisors.child import Child

if TYPE_CHECKING:
    from types import CodeType, FrameType

pytestmark = [
    pytest.mark.actor_crash,
    pytest.mark.skipif(sys.gettrace() is not None, reason="fails line by line, as a debugger looks at them"),
]

FUNCTIONS = [
    Incarnation.launch,
    Child.start,
    BaseSupervisor.start_one,
]


class Waiting(SupervisedActor):
    """Waits for messages that never come."""


class Striking:
    """Raises at one line of one function, once it is armed, in every thread that was started under it."""

    def __init__(self) -> None:
        self.at: tuple[CodeType, int] | None = None

    def __call__(self, frame: FrameType, _event: str, _: Any) -> Any:
        if self.at is None or frame.f_code is not self.at[0]:
            return self
        if frame.f_lineno == self.at[1]:
            self.at = None
            raise MemoryError
        return self


def lines_of(function: Any) -> list[int]:
    code = function.__code__
    return sorted({line for *_, line in code.co_lines() if line is not None} - {code.co_firstlineno})


def running() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("Waiting-")}


@pytest.mark.parametrize("kind", [DynamicSupervisor, Supervisor])
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__qualname__)
def test_whichever_line_fails(kind: Any, function: Any) -> None:
    struck = 0
    spec = ChildSpec(id="waiting", actor=Waiting, hang_timeout=60.0, shutdown=5.0)
    for line in lines_of(function):
        strike = Striking()
        threading.settrace(strike)
        try:
            supervisor = kind.start() if kind is DynamicSupervisor else kind.start([])
        finally:
            threading.settrace(None)
        strike.at = (function.__code__, line)
        try:
            supervisor.call("start_child", spec)
        except Exception:
            assert strike.at is None
        struck += strike.at is None
        children = running()
        if supervisor.is_alive():
            assert len(children) == supervisor.call("count_children").active, line
            supervisor.stop()
        for thread in running():
            thread.join(5.0)
        assert not running(), line
    assert struck > 5


def test_who_was_detached_without_its_children_is_found_by_the_end_of_its_own_supervisor() -> None:
    root = Supervisor.start([ChildSpec("inner", DynamicSupervisor)])
    inner = which_child(root, "inner").address
    assert inner is not None
    inner.call("start_child", ChildSpec(id="waiting", actor=Waiting))
    assert inner.incarnation is not None
    inner.incarnation.detach(Killed())
    assert len(running()) == 1
    root.stop()
    for thread in running():
        thread.join(5.0)
    assert not running()
