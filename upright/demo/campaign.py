"""One run of the demo: the service under load, faults injected on time, and what came of it."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from upright.demo.service import Counts, load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from upright.demo.faults import Injection

__all__ = ["CampaignResult", "FaultResult", "run_campaign"]

_RECOVERY_LIMIT = 10.0  # seconds after the part is whole again within which the service must be fresh


@dataclass(frozen=True, slots=True)
class FaultResult:
    """What became of one fault.

    Attributes:
        name: Which.
        part: What it was done to.
        at: Seconds after the start.
        outage: Seconds until the part was whole again.
        mttr: Seconds from then to the first answer out of the database; None if there was none in time.
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
        degraded: Answered with a stale value.
        failed: Ended with an exception.
        worst: Seconds of the slowest call.
        healings: Proven healings, as the tree counted them; 0 without a tree.
    """

    label: str
    faults: list[FaultResult] = field(default_factory=list)
    calls: int = 0
    served: int = 0
    degraded: int = 0
    failed: int = 0
    worst: float = 0.0
    healings: int = 0

    @property
    def healed(self) -> int:
        """Faults after which the service came back."""
        return sum(fault.healed for fault in self.faults)

    def mttr(self, quantile: float) -> float | None:
        """A quantile of the recovery times; None if nothing recovered."""
        times = sorted(fault.mttr for fault in self.faults if fault.mttr is not None)
        return times[max(0, math.ceil(quantile * len(times)) - 1)] if times else None

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
    call: Callable[[int], int],
    injections: Sequence[Injection],
    *,
    duration: float,
    users: int,
    on_fault: Callable[[str], None],
    on_tick: Callable[[Counts, float], None],
) -> CampaignResult:
    """Put the service under load, inject the faults, and measure.

    Args:
        label: For the table.
        call: The service, as its users call it.
        injections: What is broken when.
        duration: Seconds at least; a last recovery is waited for.
        users: Threads that call.
        on_fault: Told what is happening, in words.
        on_tick: Told the counts and the seconds so far, several times a second.
    """
    counts, stop = Counts(), threading.Event()
    result = CampaignResult(label)
    threads = load(call, counts, stop, users=users)
    began = time.monotonic()

    def until(moment: float) -> None:
        while (left := began + moment - time.monotonic()) > 0:
            on_tick(counts, time.monotonic() - began)
            stop.wait(min(0.1, left))

    try:
        for injection in injections:
            until(injection.at)
            on_fault(f"{injection.fault.part}: {injection.fault.name}")
            hit = time.monotonic()
            worker = threading.Thread(target=injection.fault.inject, daemon=True)
            worker.start()
            while worker.is_alive():
                on_tick(counts, time.monotonic() - began)
                worker.join(0.1)
            whole = time.monotonic()
            mttr = _wait_fresh(counts, whole, lambda: on_tick(counts, time.monotonic() - began))
            result.faults.append(
                FaultResult(injection.fault.name, injection.fault.part, hit - began, whole - hit, mttr)
            )
            on_fault(f"back after {mttr:.2f} s" if mttr is not None else f"NOT back within {_RECOVERY_LIMIT:g} s")
        until(duration)
    finally:
        stop.set()
        for thread in threads:
            thread.join(5.0)
    result.calls, result.served = counts.calls, counts.served.value
    result.degraded, result.failed, result.worst = counts.degraded.value, counts.failed.value, counts.worst
    return result


def _wait_fresh(counts: Counts, whole: float, tick: Callable[[], None]) -> float | None:
    """Wait for the first answer out of the database since the part was whole; returns how long that took."""
    deadline = whole + _RECOVERY_LIMIT
    while time.monotonic() < deadline:
        if counts.last_fresh > whole:
            return counts.last_fresh - whole
        tick()
        time.sleep(0.01)
    return None
