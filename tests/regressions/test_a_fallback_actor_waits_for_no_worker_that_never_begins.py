"""Stopping the fallback actor waited two seconds for a catching up that no worker had begun, or ever would.

Its supervisor waited with it, so that a restart of the recovery branch took that long while the workers were down.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pykka.messages import ProxyCall

import upright
from upright.actors import fallback
from upright.actors.actor import SupervisedActor
from upright.actors.exits import Shutdown
from upright.strategies.fallback import FallbackChain, OfflineMode, OfflineQueue
from upright.supervisors import ChildSpec, Restart

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class SlowToStart(SupervisedActor):
    """Keeps its supervisor busy until it is let."""

    begun = threading.Event()
    let = threading.Event()

    def __init__(self) -> None:
        super().__init__()
        self.begun.set()
        self.let.wait(20.0)


def test_what_no_worker_has_begun_is_called_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fallback, "_PARTING", 3_600.0)
    done: list[int] = []
    queue = OfflineQueue(tmp_path / "outbox.db")
    with upright.boot({"control": {"enabled": False}}) as tree:
        recovery = tree._parts.directory["recovery"]
        steps = tree._parts.directory["steps"]
        slow = ChildSpec("slow", SlowToStart, restart=Restart.TEMPORARY)
        started = steps.ask(ProxyCall(attr_path=("start_child",), args=(slow,), kwargs={}), block=False)
        assert SlowToStart.begun.wait(10.0)
        queue.put(1)
        chain = FallbackChain("mail", [OfflineMode(queue, lambda _key, payload: done.append(payload))])
        tree.register(chain)
        tree["fallback"].ask(fallback.StepsTried(fallback.ChainView(chain)), timeout=10.0)  # it has given out the job
        try:
            recovery.ask(ProxyCall(attr_path=("terminate_child",), args=("fallback",), kwargs={}), timeout=10.0)
            assert isinstance(tree["fallback"].exit_reason, Shutdown)
        finally:
            SlowToStart.let.set()
        started.get(timeout=10.0)
    assert done == []
    assert len(queue) == 1
    queue.close()
