"""One actor of telemetry or prediction that failed on every message took the whole tree down within a minute."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.testing.clock import FakeClock
    from upright.tree import Tree

pytestmark = pytest.mark.actor_crash


@pytest.mark.parametrize("name", ["predictor", "monitor"])
def test_it_is_restarted_again_and_again_and_the_tree_goes_on(
    boot: Callable[..., Tree], clock: FakeClock, name: str
) -> None:
    tree = boot()
    for _ in range(30):
        with pytest.raises(AttributeError):
            _ask(tree[name], clock)
    assert tree.is_running
    assert [child.restarts for child in tree.status().children] == [0, 0, 0]


def _ask(address: Any, clock: FakeClock) -> Any:
    from pykka.messages import ProxyCall

    reply = address.ask(ProxyCall(attr_path=("there_is_none",), args=(), kwargs={}), block=False)
    while not reply.done:
        clock.advance(0.25)
        looked = threading.Event()
        reply.add_waiter(looked.set)
        looked.wait(0.002)
    return reply.get()
