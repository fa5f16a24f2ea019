"""A refusal repeated the request's id; one that JSON cannot write, such as NaN, crashed the control actor."""

from __future__ import annotations

import json

import pytest

from upright.actors.control_wire import ErrorKind, Refused, answer, refusal

IDS = {"NaN": float("nan"), "an infinity": float("inf"), "nested": json.loads("[" * 900 + "]" * 900)}


@pytest.mark.parametrize("kind", IDS)
def test_it_is_refused_in_json(kind: str) -> None:
    for line in (refusal(IDS[kind], Refused(ErrorKind.UNKNOWN_COMMAND, "none")), answer(IDS[kind], 5)):
        assert json.loads(line)["v"] == 1
