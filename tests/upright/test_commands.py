"""What the control socket can be asked, called directly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import upright
from upright.actors.control_wire import answer
from upright.commands import commands_for

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "GET https://app:hunter2@example.org/menu"
SHOWN = "GET https://app:[redacted]@example.org/menu"


@pytest.fixture
def tree() -> Iterator[upright.Tree]:
    config = {"control": {"enabled": False}, "flags": {"error_predictor": False}, "retry": {"attempts": 1}}
    with upright.boot(config, name="orders") as booted:

        @booted.protect(NAME, resource="https://app:hunter2@example.org")
        def menu() -> None:
            raise ConnectionError(f"no answer to {NAME}")

        with pytest.raises(ConnectionError):
            menu()
        yield booted


def test_no_answer_has_the_secrets_of_names(tree: upright.Tree) -> None:
    commands = commands_for(tree.parts)
    for name in ("overview", "status", "breakers", "history", "events", "metrics", "flags"):
        assert b"hunter2" not in answer(1, commands[name]()), name
    # A default tree also has what any module, another test's for one, has protected at its top.
    (circuit,) = (one for one in commands["breakers"]() if one["operation"] == SHOWN)
    assert circuit["resource"] == "https://app:[redacted]@example.org"
    assert {"state", "rejected", "wait_time", "failure_rate", "since", "cause"} <= set(circuit)
    assert json.loads(json.dumps(circuit)) == circuit


@pytest.mark.parametrize("name", [NAME, SHOWN])
def test_a_circuit_is_forced_by_its_name_or_by_what_is_shown_of_it(tree: upright.Tree, name: str) -> None:
    commands = commands_for(tree.parts)
    before = commands["set_breaker"](name, "open")
    assert before["state"] == "CLOSED"
    tree["breaker"].ask("anything that it answers after it has done that")
    assert tree.breakers[NAME].state == "FORCED_OPEN"


def test_a_circuit_that_there_is_not_is_refused_with_those_there_are(tree: upright.Tree) -> None:
    with pytest.raises(upright.ConfigError, match="one that has been protected"):
        commands_for(tree.parts)["breakers"]("nothing")
