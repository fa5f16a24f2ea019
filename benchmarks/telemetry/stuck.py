"""How long a status takes while every worker, and every actor that it shows, is stuck."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import upright
from benchmarks.telemetry.figure import Figure
from upright.control_client import ControlClient, find
from upright.strategies.report import ErrorReport
from upright.testing import inject

__all__ = ["measure"]

_GOAL = 50.0  # ms
_HEALERS, _STEPS = 64, 256  # as many as the standard tree has
_ACTORS = ("orchestrator", "healing", "fallback", "breaker", "predictor", "monitor", "tracker")


class _Hanging(upright.HealingStrategy):
    """A repair that does not return before it is let go."""

    name = "hanging"
    timeout = 600.0

    def __init__(self, let_go: threading.Event) -> None:
        self._let_go = let_go

    def can_handle(self, report: ErrorReport) -> bool:
        return report.operation.startswith("heal-")

    def heal(self, report: ErrorReport) -> None:
        self._let_go.wait()

    def verify(self, report: ErrorReport) -> None:
        pass


def measure(times: int) -> list[Figure]:
    """Look at a stuck tree so often, in this process and through its control socket."""
    let_go = threading.Event()
    config: dict[str, Any] = {"healing": {"timeout": 600, "heal_wait": 0}, "retry": {"attempts": 2}}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="upr"))
        config["control"] = {"path": str(Path(folder) / "sock")}
        tree = stack.enter_context(upright.boot(config, strategies=[_Hanging(let_go)], name="stuck"))
        stack.callback(let_go.set)
        _stick(tree, let_go)
        stack.callback(inject.stop)
        for name in _ACTORS:
            inject.hang(name, tree=tree)
            tree[name].tell("something that it hangs in")
        _wait_for(lambda: sum(tree.status_of(name).busy_for is not None for name in _ACTORS) == len(_ACTORS))
        note = f"{_busy(tree, 'healers')} healers, {_busy(tree, 'steps')} step workers and {len(_ACTORS)} actors stuck"
        own = _p99(times, lambda: json.dumps(tree.status().to_dict()))
        # By another process, as the command line is one; in this one the two sides would wait for each other's turn.
        done = subprocess.run(
            [sys.executable, "-m", __name__, config["control"]["path"], str(times)],
            stdout=subprocess.PIPE,
            check=True,
            timeout=300,
        )
        asked, view = json.loads(done.stdout)
    return [
        Figure("tree.status() as JSON, p99", own, "ms", _GOAL, note),
        Figure("status over the control socket, p99", asked, "ms", _GOAL),
        Figure("overview (all of upright top) over the control socket, p99", view, "ms", _GOAL),
    ]


def _stick(tree: upright.Tree, let_go: threading.Event) -> None:
    for number in range(_HEALERS):
        tree.report(ConnectionError("down"), operation=f"heal-{number}", resource=f"resource-{number}")
    for number in range(_STEPS):
        # A report that asks for its call to be made again has that done by a worker.
        report = ErrorReport(ConnectionError("down"), f"call-{number}", call=let_go.wait)
        tree.orchestrator.ask(report, block=False)
    _wait_for(lambda: _busy(tree, "healers") == _HEALERS and _busy(tree, "steps") >= _STEPS - 1)


def _busy(tree: upright.Tree, pool: str) -> int:
    return sum(node.busy_for is not None for node in tree.status_of(pool).children)


def _wait_for(condition: Any) -> None:
    until = time.monotonic() + 60
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError("the tree did not get stuck within a minute")
        time.sleep(0.01)


def _p99(times: int, look: Any) -> float:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        look()
        took.append(time.perf_counter() - began)
        os.sched_yield()
    return sorted(took)[max(0, int(len(took) * 0.99) - 1)] * 1e3


def _ask(path: str, times: int) -> None:
    """Print the p99 of `status` and of `overview`, asked over a socket."""
    with ControlClient(find(path=path), timeout=10.0) as client:
        print(json.dumps([_p99(times, lambda: client.call("status")), _p99(times, lambda: client.call("overview"))]))


if __name__ == "__main__":
    _ask(sys.argv[1], int(sys.argv[2]))
