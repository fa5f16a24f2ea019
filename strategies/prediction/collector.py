"""Reads a host: what the predictor is fed with.

A value that cannot be read is None and never 0, and nothing here raises: a broken file must not cost the whole
reading. On Linux the files of the kernel are read directly, which is cheap at any number of connections
(psutil.net_connections takes 122 ms at 10 000); elsewhere psutil answers.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from upright.strategies.prediction.cgroup import Cgroup, read_pressure, read_text
from upright.strategies.prediction.metrics import SystemMetrics

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Collector"]


class Collector:
    """Takes one reading of this host, and of the container around this process, per call of `collect`.

    Keeps the CPU counters of the last call, since CPU use is a difference: the first reading has none.
    Belongs to one caller; two callers need two collectors.

    Args:
        root: Where the file system begins. Another one than "/" is read alone, without psutil.
        connections: The application's own count of connections, instead of the host's; may return None.
        response_ms: The application's mean response time since the last reading; None without traffic.
        error_rate: The application's fraction of failed requests since the last reading; None without traffic.
        requests: The application's number of requests since the last reading.

    Attributes:
        hooks: The names of the hooks that were given.
    """

    def __init__(
        self,
        *,
        root: str | Path = "/",
        connections: Callable[[], float | None] | None = None,
        response_ms: Callable[[], float | None] | None = None,
        error_rate: Callable[[], float | None] | None = None,
        requests: Callable[[], float | None] | None = None,
    ) -> None:
        self._root = Path(root)
        # A fake root is the whole truth: what it lacks is unknown, and not this machine's.
        self._psutil = psutil if self._root == Path("/") else None
        self._linux = (self._root / "proc/meminfo").exists()
        self._hooks = {
            "connections": connections,
            "response_ms": response_ms,
            "error_rate": error_rate,
            "requests": requests,
        }
        self.hooks = frozenset(name for name, hook in self._hooks.items() if hook is not None)
        self._host_cpu: tuple[float, float] | None = None
        self._group_cpu: tuple[float, list[tuple[float, float]]] | None = None

    def collect(
        self,
        at: float,
        *,
        response_ms: float | None = None,
        error_rate: float | None = None,
        requests: float | None = None,
        connections: float | None = None,
    ) -> SystemMetrics:
        """Return the reading at `at`, a monotonic time that the caller brings.

        Values given here come before those of the hooks; a hook that raises or returns nonsense counts as unknown.
        """
        given = {
            "connections": connections,
            "response_ms": response_ms,
            "error_rate": error_rate,
            "requests": requests,
        }
        own = {name: _sane(given[name]) if given[name] is not None else _ask(self._hooks[name]) for name in given}
        cgroup = Cgroup.find(self._root)
        return SystemMetrics(
            at=at,
            memory=_fraction(self._memory(cgroup)),
            response_ms=own["response_ms"],
            error_rate=_fraction(own["error_rate"]),
            connections=own["connections"] if own["connections"] is not None else self._connections(),
            cpu=_fraction(self._cpu(at, cgroup)),
            requests=own["requests"],
            pressure=_fraction(self._pressure(cgroup)),
        )

    def _memory(self, cgroup: Cgroup) -> float | None:
        total = used = None
        if self._linux:
            fields = {}
            for line in (read_text(self._root / "proc/meminfo") or "").splitlines():
                name, _, rest = line.partition(":")
                fields[name] = rest
            total, available = _kilobytes(fields.get("MemTotal")), _kilobytes(fields.get("MemAvailable"))
            if total and available is not None:
                used = 1 - available / total
        elif self._psutil is not None:
            try:
                memory = self._psutil.virtual_memory()
                total, used = float(memory.total), memory.percent / 100
            except (OSError, RuntimeError):
                pass
        # The container may be full on a host with room, and the host may be full around it.
        return _highest(used, cgroup.memory_used(total))

    def _cpu(self, at: float, cgroup: Cgroup) -> float | None:
        return _highest(self._cpu_of_host(), self._cpu_of_cgroup(at, cgroup))

    def _cpu_of_host(self) -> float | None:
        if self._linux:
            words = (read_text(self._root / "proc/stat") or "").partition("\n")[0].split()
            try:
                # user nice system idle iowait irq softirq steal; guest time is within user time.
                ticks = [float(word) for word in words[1:9]]
            except ValueError:
                return None
            if len(ticks) < 5:
                return None
            now = (sum(ticks), sum(ticks) - ticks[3] - ticks[4])
        elif self._psutil is not None:
            try:
                times = self._psutil.cpu_times()
            except (OSError, RuntimeError):
                return None
            now = (sum(times), sum(times) - times.idle)
        else:
            return None
        before, self._host_cpu = self._host_cpu, now
        if before is None or now[0] <= before[0]:
            return None
        return (now[1] - before[1]) / (now[0] - before[0])

    def _cpu_of_cgroup(self, at: float, cgroup: Cgroup) -> float | None:
        now = cgroup.cpu_limits()
        before, self._group_cpu = self._group_cpu, (at, now)
        if before is None or at <= before[0] or len(before[1]) != len(now):
            return None
        elapsed = at - before[0]
        return max(
            ((used - was) / (allowed * elapsed) for (allowed, used), (_, was) in zip(now, before[1], strict=True)),
            default=None,
        )

    def _pressure(self, cgroup: Cgroup) -> float | None:
        own = cgroup.pressure()
        return own if own is not None else read_pressure(self._root / "proc/pressure/memory")

    def _connections(self) -> float | None:
        if self._linux:
            counts = [
                _in_use(read_text(self._root / path), label)
                for path, label in (("proc/net/sockstat", "TCP:"), ("proc/net/sockstat6", "TCP6:"))
            ]
            known = [count for count in counts if count is not None]
            return float(sum(known)) if known else None
        if self._psutil is None:
            return None
        try:
            return float(len(self._psutil.net_connections("tcp")))
        except (psutil.Error, OSError, RuntimeError):
            pass
        try:
            # macOS shows only root the connections of others (psutil #1219); one's own always.
            return float(len(self._psutil.Process(os.getpid()).net_connections("tcp")))
        except (psutil.Error, OSError, RuntimeError):
            return None


def _ask(hook: Callable[[], float | None] | None) -> float | None:
    if hook is None:
        return None
    try:
        return _sane(hook())
    except Exception:  # a hook is the application's code, and its failure must not cost the reading
        return None


def _sane(value: Any) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
        return None
    return float(value)


def _fraction(value: float | None) -> float | None:
    return None if value is None else min(1.0, max(0.0, value))


def _highest(*values: float | None) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _kilobytes(text: str | None) -> float | None:
    try:
        return float((text or "").split()[0]) * 1024
    except (IndexError, ValueError):
        return None


def _in_use(text: str | None, label: str) -> int | None:
    for line in (text or "").splitlines():
        words = line.split()
        if words[:2] == [label, "inuse"] and len(words) > 2 and words[2].isdigit():
            return int(words[2])
    return None
