"""What the calls of the last while amounted to, read from the operations' own outcome logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from upright.strategies.window import copied

if TYPE_CHECKING:
    from collections.abc import Iterable

    from upright.strategies.window import Log

__all__ = ["Traffic", "traffic_of"]


@dataclass(frozen=True, slots=True)
class Traffic:
    """The calls of one interval, all operations together.

    Attributes:
        requests: How many ended in it; estimated for operations so busy that their log holds less.
        error_rate: Share that failed, 0 to 1; None without calls, for 0 would be a measurement.
        response_ms: Mean duration in milliseconds of the calls that were made; None without any.
    """

    requests: int
    error_rate: float | None
    response_ms: float | None


def traffic_of(logs: Iterable[Log], *, since: float, now: float, rejected: int = 0) -> Traffic:
    """Sum up what ended after `since`, up to `now` (monotonic seconds).

    Calls that a circuit kept away are failed requests that took no time: an outage must not look like no traffic.

    A log is bounded. One that was filled anew within the interval covers only its end, and stands for the whole of
    it: the calls it holds are weighted with the time that they do not cover.

    Examples:
        >>> from collections import deque
        >>> log = deque([(1.0, 0.1, False), (2.0, 0.3, True)], maxlen=100)
        >>> traffic_of([log], since=0.0, now=10.0)
        Traffic(requests=2, error_rate=0.5, response_ms=200.0)
    """
    calls = failures = seconds = 0.0
    for log in logs:
        outcomes = copied(log)
        recent = [outcome for outcome in outcomes if since < outcome[0] <= now]
        if not recent:
            continue
        weight = 1.0
        if len(recent) == len(outcomes) == log.maxlen and len(recent) > 1:
            covered = now - min(ended for ended, _, _ in recent)
            weight = max(1.0, (now - since) / covered) if covered > 0 else 1.0
        calls += weight * len(recent)
        failures += weight * sum(failed for _, _, failed in recent)
        seconds += weight * sum(took for _, took, _ in recent)
    asked = calls + rejected
    if not asked:
        return Traffic(0, None, None)
    return Traffic(round(asked), (failures + rejected) / asked, 1000 * seconds / calls if calls else None)
