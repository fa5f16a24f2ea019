"""Many children, in smaller numbers than OTP's, since a child is a thread here: rows 76 and 77."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from upright.actors import SupervisedActor
from upright.supervisors import ChildSpec, Restart, start_child, terminate_child, which_children

if TYPE_CHECKING:
    from otp_lab import Lab

otp = pytest.mark.otp


class Idle(SupervisedActor):
    """Does nothing."""


def best_of(times: int, measure: object, *args: object) -> float:
    """Return the shortest of several measurements: the one that was disturbed least."""
    assert callable(measure)
    return min(float(measure(*args)) for _ in range(times))


def terminate_dynamic(lab: Lab, count: int) -> float:
    top = lab.supervise_dynamic()
    addresses = [start_child(top, ChildSpec("idle", Idle, restart=Restart.TEMPORARY)) for _ in range(count)]
    began = time.perf_counter()
    for address in addresses:
        assert address is not None
        terminate_child(top, address)
    took = time.perf_counter() - began
    assert which_children(top) == []
    top.stop()
    return took


@otp(76)
def test_terminating_ten_times_as_many_dynamic_children_takes_about_ten_times_as_long(lab: Lab) -> None:
    few, many = best_of(3, terminate_dynamic, lab, 50), best_of(2, terminate_dynamic, lab, 500)
    assert many / few <= 50


def start_and_stop_static(lab: Lab, count: int) -> float:
    specs = [ChildSpec(number, Idle) for number in range(count)]
    began = time.perf_counter()
    top = lab.supervise(*specs)
    top.stop()
    return time.perf_counter() - began


@otp(77)
def test_starting_and_stopping_ten_times_as_many_children_is_nearly_linear(lab: Lab) -> None:
    few, many = best_of(3, start_and_stop_static, lab, 50), best_of(2, start_and_stop_static, lab, 500)
    assert many / few <= 100
