from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import pytest

from upright.strategies.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def busy_switching() -> Iterator[None]:
    """Makes the interpreter change threads as often as it can, where a lost update would show."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_a_new_tally_is_zero() -> None:
    assert Tally().value == 0


def test_reading_changes_nothing() -> None:
    tally = Tally()
    tally.add()
    assert [tally.value for _ in range(5)] == [1] * 5
    assert repr(tally) == "Tally(1)"


@pytest.mark.usefixtures("busy_switching")
def test_no_count_is_lost_and_no_reading_goes_back_while_eight_threads_count_and_two_read() -> None:
    tally, each = Tally(), 10_000
    begin, done = threading.Barrier(10), threading.Event()
    readings: list[list[int]] = [[], []]

    def count() -> None:
        begin.wait()
        for _ in range(each):
            tally.add()

    def read(into: list[int]) -> None:
        begin.wait()
        while not done.is_set():
            into.append(tally.value)

    writers = [threading.Thread(target=count) for _ in range(8)]
    readers = [threading.Thread(target=read, args=(into,)) for into in readings]
    for thread in [*writers, *readers]:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()
    assert tally.value == 8 * each
    for into in readings:
        assert into == sorted(into)
        assert all(value <= 8 * each for value in into)
