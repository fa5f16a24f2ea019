"""One run of the demo: the service under load, faults injected on time, and what came of it."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from upright.demo.load import Counts, start_users

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from upright.demo.faults import Fault, Injection
    from upright.demo.load import PartCounts

__all__ = ["RECOVERY_LIMIT", "CampaignResult", "FaultResult", "run_campaign"]

RECOVERY_LIMIT = 5.0
"""Seconds after the part is whole again within which the service must be fresh, or somebody repairs it by hand."""

_PARTING = 5.0  # seconds that the users get to finish what they have begun


@dataclass(frozen=True, slots=True)
class FaultResult:
    """What became of one fault.

    Attributes:
        name: Which.
        part: What it was done to.
        at: Seconds after the start.
        outage: Seconds until the part was whole again.
        mttr: Seconds from then to the first fresh answer that needs the part; None if there was none in time.
    """

    name: str
    part: str
    at: float
    outage: float
    mttr: float | None

    @property
    def healed(self) -> bool:
        """Whether the service came back."""
        return self.mttr is not None


@dataclass(slots=True)
class CampaignResult:
    """What became of a campaign.

    Attributes:
        label: With or without upright.
        faults: In the order of their injection.
        calls: Made by the users.
        served: Answered, stale answers included.
        degraded: Answered with a substitute.
        failed: Ended with an exception.
        parts: (served, degraded, failed) by part.
        worst: Seconds of the slowest call.
        healings: Proven healings, as the tree counted them; 0 without a tree.
    """

    label: str
    faults: list[FaultResult] = field(default_factory=list)
    calls: int = 0
    served: int = 0
    degraded: int = 0
    failed: int = 0
    parts: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    worst: float = 0.0
    healings: int = 0

    @property
    def healed(self) -> int:
        """Faults after which the service came back."""
        return sum(fault.healed for fault in self.faults)

    def mttr(self, quantile: float) -> float | None:
        """A quantile of the recovery times, never included; None if that is never, or there were no faults."""
        times = sorted(math.inf if fault.mttr is None else fault.mttr for fault in self.faults)
        found = times[max(0, math.ceil(quantile * len(times)) - 1)] if times else math.inf
        return found if math.isfinite(found) else None

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-safe data."""
        return {
            **asdict(self),
            "healed": self.healed,
            "mttr_p50": self.mttr(0.5),
            "mttr_p99": self.mttr(0.99),
            "served_share": self.served / self.calls if self.calls else None,
        }


def run_campaign(
    label: str,
    url: str,
    injections: Sequence[Injection],
    *,
    duration: float,
    users: int,
    on_fault: Callable[[Fault], None],
    on_result: Callable[[FaultResult], None],
    on_tick: Callable[[Counts, float], None],
) -> CampaignResult:
    """Put the service under load, inject the faults, and measure.

    Args:
        label: For the table.
        url: Where the service is.
        injections: What is broken when.
        duration: Seconds at least; a last recovery is waited for.
        users: Threads that call.
        on_fault: Told what is being done to the service.
        on_result: Told what came of it.
        on_tick: Told the counts and the seconds so far, several times a second.

    Raises:
        ServerError: If a part could not be broken, or not be made whole again.
    """
    counts, stop = Counts(), threading.Event()
    result = CampaignResult(label)
    threads = start_users(url, counts, stop, users=users)
    # Left by the way of an exception, too, only when the fault under way is over: its servers are closed next.
    injector = ThreadPoolExecutor(1, thread_name_prefix="fault")
    began = time.monotonic()

    def until(moment: float) -> None:
        while (left := began + moment - time.monotonic()) > 0:
            on_tick(counts, time.monotonic() - began)
            stop.wait(min(0.1, left))

    try:
        for injection in injections:
            until(injection.at)
            on_fault(injection.fault)
            hit = time.monotonic()
            work = injector.submit(injection.fault.inject)
            while not work.done():
                on_tick(counts, time.monotonic() - began)
                wait([work], timeout=0.1)
            work.result()
            whole = time.monotonic()
            part = counts.parts[injection.fault.part]
            mttr = _wait_fresh(part, whole, lambda: on_tick(counts, time.monotonic() - began))
            found = FaultResult(injection.fault.name, injection.fault.part, hit - began, whole - hit, mttr)
            result.faults.append(found)
            on_result(found)
            if mttr is None:
                injection.fault.repair()
        until(duration)
    finally:
        stop.set()
        injector.shutdown()
        deadline = time.monotonic() + _PARTING
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
    result.served, result.degraded, result.failed = counts.served, counts.degraded, counts.failed
    result.calls, result.worst = counts.served + counts.failed, counts.worst
    result.parts = {
        name: (part.served.value, part.degraded.value, part.failed.value) for name, part in counts.parts.items()
    }
    return result


def _wait_fresh(part: PartCounts, whole: float, tick: Callable[[], None]) -> float | None:
    """Wait for the first fresh answer to a call made since the part was whole; returns how long that took."""
    deadline = whole + RECOVERY_LIMIT
    while time.monotonic() < deadline:
        began, ended = part.last_fresh
        if began > whole:
            return ended - whole
        tick()
        time.sleep(0.01)
    return None
