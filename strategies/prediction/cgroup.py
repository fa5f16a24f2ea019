"""What a container may use, and uses: memory, CPU and pressure of the cgroup, of both versions.

Inside a container psutil shows the whole host (psutil #2100), so an out-of-memory kill at 2 GiB of a 64 GiB
host would come at "3 %". The files of the cgroup tell the truth; the tightest limit of all ancestors counts.
Every function returns None, or nothing, where a file is missing or unreadable: a limit that cannot be read is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Cgroup", "read_number", "read_pressure", "read_text"]

UNLIMITED = 1 << 60
"""Version 1 writes "no limit" as the largest multiple of the page size, about 2**63."""


@dataclass(frozen=True, slots=True)
class Cgroup:
    """The folders of this process's cgroup and its ancestors, innermost first.

    Attributes:
        memory: Folders of the memory controller.
        cpu: Folders of the CPU controller's limits.
        usage: Folders of CPU accounting, in step with `cpu`.
        unified: Whether the memory folders are version 2.
        unified_cpu: Whether the CPU folders are.
    """

    memory: tuple[Path, ...] = ()
    cpu: tuple[Path, ...] = ()
    usage: tuple[Path, ...] = ()
    unified: bool = True
    unified_cpu: bool = True

    @staticmethod
    def find(root: Path) -> Cgroup:
        """Look up the cgroup of this process below the file system `root`."""
        paths = {}
        for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
            number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            for controller in controllers.split(",") if number != "0" else [""]:
                paths[controller] = path
        mount = root / "sys/fs/cgroup"
        unified = mount / "unified" if (mount / "unified").is_dir() else mount
        v1_memory, v1_cpu = "memory" in paths, "cpu" in paths
        return Cgroup(
            memory=_ancestry(mount / "memory", paths["memory"]) if v1_memory else _ancestry(unified, paths.get("")),
            cpu=_ancestry(mount / "cpu", paths["cpu"]) if v1_cpu else _ancestry(unified, paths.get("")),
            usage=_ancestry(mount / "cpuacct", paths.get("cpuacct")) if v1_cpu else _ancestry(unified, paths.get("")),
            unified=not v1_memory,
            unified_cpu=not v1_cpu,
        )

    def memory_used(self, total: float | None) -> float | None:
        """Return the highest used fraction of all limits below `total` bytes; None without such a limit.

        Used means what reclaim cannot take back cheaply: usage less the inactive file cache (as the kubelet counts).
        """
        limit_name, usage_name, cache = (
            ("memory.max", "memory.current", "inactive_file")
            if self.unified
            else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        )
        used = []
        for folder in self.memory:
            limit, usage = read_number(folder / limit_name), read_number(folder / usage_name)
            if limit is None or usage is None or not 0 < limit < (total or UNLIMITED):
                continue
            used.append(max(0.0, usage - (_stat(folder / "memory.stat", cache) or 0.0)) / limit)
        return max(used, default=None)

    def cpu_limits(self) -> list[tuple[float, float]]:
        """Return (CPUs allowed, CPU seconds used so far) of each level that has a quota."""
        found = []
        for folder, usage in zip(self.cpu, self.usage, strict=False):
            if self.unified_cpu:
                quota, _, period = (read_text(folder / "cpu.max") or "max").partition(" ")
                used = _stat(usage / "cpu.stat", "usage_usec")
                scale = 1e-6
            else:
                quota = read_text(folder / "cpu.cfs_quota_us") or "-1"
                period = read_text(folder / "cpu.cfs_period_us") or ""
                used = read_number(usage / "cpuacct.usage")
                scale = 1e-9
            allowed, every = _number(quota), _number(period)
            if allowed and every and allowed > 0 and every > 0 and used is not None:
                found.append((allowed / every, used * scale))
        return found

    def pressure(self) -> float | None:
        """Return the memory pressure of the innermost cgroup that has one, as a fraction; version 2 only."""
        if not self.unified:
            return None
        return next((p for folder in self.memory if (p := read_pressure(folder / "memory.pressure")) is not None), None)


def read_text(path: Path) -> str | None:
    """Return the stripped text of a file, None if it cannot be read."""
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return None


def read_number(path: Path) -> float | None:
    """Return the number in a file; None if there is none, or it says "max"."""
    return _number(read_text(path) or "")


def read_pressure(path: Path) -> float | None:
    """Return "some avg10" of a pressure file as a fraction.

    Source: the kernel's Documentation/accounting/psi.rst; `some avg10=0.12 avg60=0.05 ...` is in percent.
    """
    for line in (read_text(path) or "").splitlines():
        words = line.split()
        if words[:1] == ["some"] and len(words) > 1 and words[1].startswith("avg10="):
            percent = _number(words[1].removeprefix("avg10="))
            return None if percent is None else percent / 100
    return None


def _ancestry(mount: Path, path: str | None) -> tuple[Path, ...]:
    if path is None:
        return ()
    parts = [part for part in path.split("/") if part and part != ".."]
    folders = [mount.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]
    # A container without a cgroup namespace names a path of the host that it cannot see: its own is the mount.
    return tuple(folder for folder in folders if folder.is_dir())


def _stat(path: Path, key: str) -> float | None:
    for line in (read_text(path) or "").splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return _number(value)
    return None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
