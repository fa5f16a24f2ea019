"""docs/otp.md and the `otp` marks of the tests say the same."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
TABLE = HERE.parents[1] / "docs" / "otp.md"
FACTS = (
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
    12,
    13,
    16,
    17,
    18,
    19,
    20,
    21,
    25,
    26,
    27,
    28,
    29,
    30,
    31,
    33,
    34,
    35,
    36,
)


def marked() -> set[tuple[str, str]]:
    """The pairs of row and test that the marks make."""
    pairs = set()
    for path in sorted((HERE / "cases").glob("test_*.py")):
        for test in ast.parse(path.read_text()).body:
            if not isinstance(test, ast.FunctionDef):
                continue
            for mark in test.decorator_list:
                match mark:
                    case ast.Call(func=ast.Name(id="otp"), args=[ast.Constant(value=row)]):
                        pairs.add(
                            (
                                str(row),
                                f"{path.stem.removeprefix('test_')}::{test.name.removeprefix('test_')}",
                            )
                        )
    return pairs


def written() -> set[tuple[str, str]]:
    """The pairs of row and test that the table lists."""
    pairs = set()
    for line in TABLE.read_text().splitlines():
        if row := re.match(r"\| (X?\d+) \|", line):
            pairs |= {(row[1], test) for test in re.findall(r"`(\w+::\w+)`", line)}
    return pairs


def test_the_table_lists_exactly_the_tests_that_are_marked() -> None:
    assert written() == marked()


def test_every_row_and_every_fact_is_held_by_a_test() -> None:
    rows = {row for row, _ in marked()}
    assert rows == {str(row) for row in range(1, 78)} | {f"X{fact}" for fact in FACTS}
