from __future__ import annotations

import subprocess
import sys
from typing import NoReturn

from upright.strategies.fingerprint import fingerprint


def fail(message: str, kind: type[Exception] = ValueError) -> NoReturn:
    raise kind(message)


def fail_elsewhere(message: str) -> NoReturn:
    raise ValueError(message)


def caught(call: object, *args: object) -> Exception:
    try:
        call(*args)  # type: ignore[operator]
    except Exception as error:
        return error
    raise AssertionError


def test_the_message_makes_no_difference() -> None:
    """immunix-core has str(exception) in its fingerprint, so that ids in messages make every error new."""
    errors = [caught(fail, f"order {number} failed") for number in range(100)]
    assert len({fingerprint(error) for error in errors}) == 1


def test_type_place_and_scope_make_a_difference() -> None:
    prints = [
        fingerprint(caught(fail, "x")),
        fingerprint(caught(fail, "x", TypeError)),
        fingerprint(caught(fail_elsewhere, "x")),
        fingerprint(caught(fail, "x"), "query"),
        fingerprint(caught(fail, "x"), "quer", "y"),
        fingerprint(ValueError("never raised")),
    ]
    assert len(set(prints)) == len(prints)


def test_the_place_is_where_it_came_from_and_not_who_called() -> None:
    def deep(levels: int) -> None:
        if levels:
            deep(levels - 1)
        fail("x")

    assert fingerprint(caught(deep, 5)) == fingerprint(caught(deep, 50))


def test_a_very_long_traceback_is_looked_at_to_a_bounded_length() -> None:
    error = caught(fail, "x")
    assert len(fingerprint(error)) == 16
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(6_000)
    try:

        def deep(levels: int) -> None:
            if levels:
                deep(levels - 1)
            fail("x")

        assert len(fingerprint(caught(deep, 3_000))) == 16
    finally:
        sys.setrecursionlimit(limit)


def test_it_is_the_same_in_every_process() -> None:
    script = (
        "from upright.strategies.fingerprint import fingerprint\n"
        "def f(n): raise ValueError(n)\n"
        "try: f(id(object()))\n"
        "except ValueError as e: print(fingerprint(e, 'query'))"
    )
    prints = {
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(prints) == 1
    assert len(prints.pop().strip()) == 16


def test_a_hostile_error_has_a_fingerprint() -> None:
    class HostileError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert len(fingerprint(HostileError())) == 16


def test_code_without_a_module_is_known_by_its_file() -> None:
    scope: dict[str, object] = {}
    exec(compile("def f(): raise ValueError", "C:\\app\\job.py", "exec"), scope)
    scope.pop("__name__", None)
    other: dict[str, object] = {}
    exec(compile("def f(): raise ValueError", "/srv/app/job.py", "exec"), other)
    other["__name__"] = "__main__"
    assert fingerprint(caught(scope["f"])) == fingerprint(caught(other["f"]))
