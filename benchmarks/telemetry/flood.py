"""What a flood of errors does to the tracker: its memory, and its counts."""

from __future__ import annotations

import gc
import threading
import time
from typing import TYPE_CHECKING, Any

import psutil
import sentry_sdk

import upright
from benchmarks.telemetry.figure import Figure
from upright.actors.events import RecoveryFinished, RecoveryStarted
from upright.strategies.report import ErrorReport, RecoveryResult, RecoveryStatus
from upright.testing import SentryRecorder

if TYPE_CHECKING:
    from upright.tree import Tree

__all__ = ["MEMORY_LIMIT", "measure"]

MEMORY_LIMIT = 64.0  # MiB: 10 000 waiting events, 1 000 incidents with their stories, 100 tracebacks, 30 events to send
_THREADS = 4
_STATUSES = (RecoveryStatus.FAILED, RecoveryStatus.RECOVERED)
_NAMES = 5_000  # operations that fail: more than incidents may be open


def measure(errors: int) -> list[Figure]:
    """Have so many errors told to the tracker by several threads, as fast as they can."""
    config = {"control": {"enabled": False}, "flags": {"error_predictor": False}, "sentry": {"settle": 0.05}}
    with SentryRecorder(), upright.boot(config, name="flood") as tree:
        sentry_sdk.capture_message("the first event has Sentry list every installed package, which takes a while")
        sink = _Sink(sentry_sdk.get_client())
        board, state = tree.parts.board, tree.parts.tracker
        board.subscribers = (tree["tracker"],)
        gc.collect()
        watch = _Watch()
        threads = [threading.Thread(target=_flood, args=(board, n, errors // _THREADS)) for n in range(_THREADS)]
        for thread in (watch, *threads):
            thread.start()
        for thread in threads:
            thread.join()
        told = errors // _THREADS * _THREADS
        _wait_until_idle(tree)
        watch.done.set()
        watch.join()
        # As an operator sees it: what reached the tracker, and what its full mailbox refused, by status.
        shown = tree.status_of("tracker").details["answers"]
        counted = sum(shown.get(str(status), 0) for status in _STATUSES)
        wrong = sum(abs(told // len(_STATUSES) - shown.get(str(status), 0)) for status in _STATUSES)
        lost = board.refused("tracker", "RecoveryFinished").total()
        opened = state.incidents.opened_ever
        tree.stop()
        # Each incident that was opened is worth one event: sent, or counted as held back.
        accounted = sum(state.sent.values()) + state.limit.held_ever
        sent = sink.events
    note = f"{counted} counted of {told}, by status; {lost} of them met a full mailbox and are part of no incident"
    events = f"{opened} incidents, {sent} sent, {state.limit.held_ever} counted as held back"
    return [
        Figure("memory of a flooded tracker, peak growth", watch.growth, "MiB", MEMORY_LIMIT, f"{told} errors"),
        Figure("answers that no count has", wrong, "", 0, note),
        Figure("events that no count has", abs(opened - accounted), "", 0, events),
    ]


def _wait_until_idle(tree: Tree) -> None:
    until, looks = time.monotonic() + 120, 0
    while looks < 2:  # twice: it has the first message out of its mailbox while it lets more of them gather
        busy = tree["tracker"].depth or tree.status_of("tracker").busy_for is not None
        looks = 0 if busy else looks + 1
        if time.monotonic() > until:
            raise TimeoutError("the tracker did not get through with it within two minutes")
        time.sleep(0.05)


def _flood(board: object, number: int, errors: int) -> None:
    for at in range(errors):
        try:
            raise ConnectionError(f"refused, {at} of {number}")
        except ConnectionError as error:
            report = ErrorReport(error, f"operation-{(number * errors + at) % _NAMES}")
        result = RecoveryResult(
            recovery_id=report.recovery_id,
            status=_STATUSES[at % len(_STATUSES)],
            error=report.error,
            operation=report.operation,
            code=report.code,
        )
        if at % 10 == 0:
            board.publish(RecoveryStarted(report.recovery_id, report))  # type: ignore[attr-defined]
        board.publish(RecoveryFinished(result, report))  # type: ignore[attr-defined]


class _Sink:
    """Counts the events that leave and keeps nothing: what a recorder keeps of them is no memory of the tracker's."""

    def __init__(self, client: Any) -> None:
        self.events = 0
        client.transport.capture_envelope = self._take

    def _take(self, envelope: Any) -> None:
        self.events += sum(item.type == "event" for item in envelope.items)


class _Watch(threading.Thread):
    """Looks at the memory of the process every 5 ms."""

    def __init__(self) -> None:
        super().__init__()
        self.done = threading.Event()
        self._process = psutil.Process()
        self._before = self._peak = self._process.memory_info().rss

    def run(self) -> None:
        while not self.done.wait(0.005):
            self._peak = max(self._peak, self._process.memory_info().rss)

    @property
    def growth(self) -> float:
        return (self._peak - self._before) / 2**20
