"""A supervisor and a model of it do the same things, in any order that Hypothesis can think of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from upright.actors import ActorStopped, Address, Shutdown, SupervisedActor
from upright.supervisors import (
    ChildAlreadyPresent,
    ChildAlreadyStarted,
    ChildNotFound,
    ChildRunning,
    ChildSpec,
    ChildState,
    Restart,
    RestartStrategy,
    Supervisor,
    count_children,
    delete_child,
    restart_child,
    start_child,
    terminate_child,
    which_children,
)

IDS = st.sampled_from("abcd")
ENDS = st.sampled_from(["crash", "shutdown"])


class Leaf(SupervisedActor):
    def on_receive(self, message: Any) -> Any:
        if message == "crash":
            raise ValueError(message)
        if message == "shutdown":
            raise Shutdown("done")
        return message


@dataclass
class Expected:
    """What the model knows of one child."""

    restart: Restart
    running: bool = True
    starts: int = 1


@dataclass
class Model:
    """OTP's rules for children whose starts succeed, in a dict that keeps start order."""

    strategy: RestartStrategy
    children: dict[str, Expected] = field(default_factory=dict)

    def end(self, child_id: str, how: str) -> None:
        """A running child ends by itself."""
        child = self.children[child_id]
        again = child.restart is Restart.PERMANENT or (child.restart is Restart.TRANSIENT and how == "crash")
        if not again:
            child.running = False
            if child.restart is Restart.TEMPORARY:
                del self.children[child_id]
            return
        order = list(self.children)
        group = {
            RestartStrategy.ONE_FOR_ONE: [child_id],
            RestartStrategy.ONE_FOR_ALL: order,
            RestartStrategy.REST_FOR_ONE: order[order.index(child_id) :],
        }[self.strategy]
        for other in group:
            # Temporary members of a group are stopped and dropped, all others start, those that were down too.
            if other != child_id and self.children[other].restart is Restart.TEMPORARY:
                del self.children[other]
            else:
                self.children[other].running = True
                self.children[other].starts += 1


class SupervisorMachine(RuleBasedStateMachine):
    """Every call and every end, on the real thing and on the model."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: dict[str, Address[Any]] = {}

    @initialize(strategy=st.sampled_from(list(RestartStrategy)))
    def start(self, strategy: RestartStrategy) -> None:
        self.model = Model(strategy)
        self.top = Supervisor.start(strategy=strategy, intensity=10**6)

    @rule(child_id=IDS, restart=st.sampled_from(list(Restart)))
    def start_child(self, child_id: str, restart: Restart) -> None:
        spec = ChildSpec(child_id, Leaf, restart=restart)
        present = self.model.children.get(child_id)
        if present is None:
            address = start_child(self.top, spec)
            assert address is not None
            self.addresses[child_id] = address
            self.model.children[child_id] = Expected(restart)
        else:
            with pytest.raises(ChildAlreadyStarted if present.running else ChildAlreadyPresent):
                start_child(self.top, spec)

    @rule(child_id=IDS)
    def terminate_child(self, child_id: str) -> None:
        present = self.model.children.get(child_id)
        if present is None:
            with pytest.raises(ChildNotFound):
                terminate_child(self.top, child_id)
            return
        terminate_child(self.top, child_id)
        present.running = False
        if present.restart is Restart.TEMPORARY:
            del self.model.children[child_id]

    @rule(child_id=IDS)
    def restart_child(self, child_id: str) -> None:
        present = self.model.children.get(child_id)
        if present is None or present.running:
            with pytest.raises(ChildNotFound if present is None else ChildRunning):
                restart_child(self.top, child_id)
            return
        assert restart_child(self.top, child_id) is self.addresses[child_id]
        present.running = True
        present.starts += 1

    @rule(child_id=IDS)
    def delete_child(self, child_id: str) -> None:
        present = self.model.children.get(child_id)
        if present is None or present.running:
            with pytest.raises(ChildNotFound if present is None else ChildRunning):
                delete_child(self.top, child_id)
            return
        delete_child(self.top, child_id)
        del self.model.children[child_id]

    @rule(child_id=IDS, how=ENDS)
    def end(self, child_id: str, how: str) -> None:
        present = self.model.children.get(child_id)
        if present is None or not present.running:
            if child_id in self.addresses:
                with pytest.raises(ActorStopped):
                    self.addresses[child_id].ask("x")
            return
        with pytest.raises((ValueError, Shutdown)):
            self.addresses[child_id].ask(how, timeout=10)
        self.model.end(child_id, how)

    @rule(child_id=IDS)
    @precondition(lambda self: any(child.running for child in self.model.children.values()))
    def ask(self, child_id: str) -> None:
        present = self.model.children.get(child_id)
        if present is not None and present.running:
            assert self.addresses[child_id].ask("hello", timeout=10) == "hello"

    @invariant()
    def the_table_is_that_of_the_model(self) -> None:
        table = {
            child.id: (child.spec.restart, child.state is ChildState.RUNNING, child.address.incarnations)
            for child in which_children(self.top)
        }
        expected = {name: (child.restart, child.running, child.starts) for name, child in self.model.children.items()}
        assert table == expected
        assert list(table) == list(expected)
        counts = count_children(self.top)
        assert counts.specs == counts.workers == len(expected)
        assert counts.active == sum(child.running for child in self.model.children.values())

    def teardown(self) -> None:
        if hasattr(self, "top"):
            self.top.stop(timeout=10)
            assert not any(address.is_alive() for address in self.addresses.values())


@pytest.mark.actor_crash
@pytest.mark.timeout(120)
def test_the_supervisor_does_what_its_model_does() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        SupervisorMachine,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
