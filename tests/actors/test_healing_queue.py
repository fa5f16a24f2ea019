from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from upright.actors.healing_queue import WaitingLine


def line_of(*since: float) -> WaitingLine[float]:
    line: WaitingLine[float] = WaitingLine()
    for at in since:
        line.put(at, at)
    return line


def test_who_has_waited_longest_asks_first() -> None:
    line = line_of(3.0, 1.0, 2.0)
    assert [line.take(), line.take(), line.take(), line.take()] == [1.0, 2.0, 3.0, None]


def test_who_asked_in_vain_stands_in_front_again_and_is_the_only_one_to_ask_next() -> None:
    line = line_of(1.0, 2.0, 3.0, 4.0)
    line.take_turn()
    assert line.take_turn() == [2.0, 3.0]
    line.put(2.0, 2.0)
    assert line.take_turn() == [2.0]


@given(st.lists(st.floats(0, 1e6), max_size=300))
def test_while_nobody_comes_back_twice_as_many_ask_each_time(since: list[float]) -> None:
    line = line_of(*since)
    turns = []
    while turn := line.take_turn():
        turns.append(turn)
    assert [one for turn in turns for one in turn] == sorted(since)
    assert all(len(turn) == 2**at for at, turn in enumerate(turns[:-1]))
    assert len(line) == 0
