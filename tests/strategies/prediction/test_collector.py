"""The collector, on file systems made for it and on this machine."""

from __future__ import annotations

import math
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.strategies.prediction.cgroup import Cgroup
from upright.strategies.prediction.collector import Collector

if TYPE_CHECKING:
    from pathlib import Path

GIB = 1 << 30
MEMINFO = "MemTotal: 16777216 kB\nMemFree: 1 kB\nMemAvailable: 12582912 kB"  # a quarter of 16 GiB is used
PSI = "some avg10=12.50 avg60=3.00 avg300=1.00 total=9\nfull avg10=1.00 avg60=0 avg300=0 total=1"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, {"proc/meminfo": MEMINFO})
    return tmp_path


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def v2(*levels: str) -> dict[str, str]:
    path = "/".join(levels)
    return {"proc/self/cgroup": f"0::/{path}"}


def test_without_a_container_memory_is_the_hosts(root: Path) -> None:
    assert Collector(root=root).collect(0.0).memory == 0.25


def test_what_is_not_there_is_unknown_and_never_zero(tmp_path: Path) -> None:
    reading = Collector(root=tmp_path).collect(0.0)
    assert all(
        value is None
        for value in (
            reading.memory,
            reading.cpu,
            reading.connections,
            reading.error_rate,
            reading.response_ms,
            reading.requests,
            reading.pressure,
        )
    )


def test_a_limit_of_version_2_counts_instead_of_the_host(root: Path) -> None:
    folder = "sys/fs/cgroup/app"
    write(root, {**v2("app"), f"{folder}/memory.max": f"{2 * GIB}", f"{folder}/memory.current": f"{GIB}"})
    assert Collector(root=root).collect(0.0).memory == 0.5


def test_the_tightest_limit_of_the_ancestry_counts(root: Path) -> None:
    write(
        root,
        {
            **v2("pod", "app"),
            "sys/fs/cgroup/pod/memory.max": f"{4 * GIB}",
            "sys/fs/cgroup/pod/memory.current": f"{3.6 * GIB:.0f}",
            "sys/fs/cgroup/pod/app/memory.max": "max",
            "sys/fs/cgroup/pod/app/memory.current": f"{GIB}",
        },
    )
    assert Collector(root=root).collect(0.0).memory == pytest.approx(0.9)


def test_file_cache_that_can_be_taken_back_is_not_used_memory(root: Path) -> None:
    folder = "sys/fs/cgroup/app"
    write(
        root,
        {
            **v2("app"),
            f"{folder}/memory.max": f"{2 * GIB}",
            f"{folder}/memory.current": f"{2 * GIB}",
            f"{folder}/memory.stat": f"anon 5\ninactive_file {GIB}",
        },
    )
    assert Collector(root=root).collect(0.0).memory == 0.5


def test_a_limit_of_version_1_counts_and_its_unlimited_does_not(root: Path) -> None:
    folder = "sys/fs/cgroup/memory/docker"
    write(
        root,
        {
            "proc/self/cgroup": "4:memory:/docker/x\n2:cpu,cpuacct:/docker/x\n0::/",
            f"{folder}/memory.limit_in_bytes": f"{GIB}",
            f"{folder}/memory.usage_in_bytes": f"{GIB // 2}",
            f"{folder}/memory.stat": f"cache 1\ntotal_inactive_file {GIB // 4}",
            f"{folder}/x/memory.limit_in_bytes": "9223372036854771712",
            f"{folder}/x/memory.usage_in_bytes": f"{GIB // 2}",
        },
    )
    assert Collector(root=root).collect(0.0).memory == 0.25


def test_a_limit_above_the_hosts_memory_is_none(root: Path) -> None:
    folder = "sys/fs/cgroup/app"
    write(root, {**v2("app"), f"{folder}/memory.max": f"{64 * GIB}", f"{folder}/memory.current": f"{GIB}"})
    assert Collector(root=root).collect(0.0).memory == 0.25


def test_a_full_host_counts_even_around_an_empty_container(root: Path) -> None:
    folder = "sys/fs/cgroup/app"
    write(root, {**v2("app"), f"{folder}/memory.max": f"{2 * GIB}", f"{folder}/memory.current": "1"})
    assert Collector(root=root).collect(0.0).memory == 0.25


def test_a_path_of_the_host_that_the_container_cannot_see_falls_back_to_the_mount(root: Path) -> None:
    write(
        root,
        {
            **v2("kubepods", "pod1", "abc"),
            "sys/fs/cgroup/memory.max": f"{GIB}",
            "sys/fs/cgroup/memory.current": f"{GIB // 2}",
        },
    )
    assert Collector(root=root).collect(0.0).memory == 0.5


def test_cpu_is_a_difference_so_the_first_reading_has_none(root: Path) -> None:
    write(root, {"proc/stat": "cpu 100 0 100 800 0 0 0 0 0 0\ncpu0 1 1 1 1"})
    collector = Collector(root=root)
    assert collector.collect(0.0).cpu is None
    write(root, {"proc/stat": "cpu 160 0 120 820 0 0 0 0 0 0"})
    assert collector.collect(30.0).cpu == 0.8
    assert collector.collect(60.0).cpu is None  # no tick since: nothing is known


@pytest.mark.parametrize("version", [1, 2])
def test_a_quota_on_the_cpu_counts(root: Path, version: int) -> None:
    def used(seconds: float) -> dict[str, str]:
        if version == 2:
            return {
                **v2("app"),
                "sys/fs/cgroup/app/cpu.max": "50000 100000",
                "sys/fs/cgroup/app/cpu.stat": f"usage_usec {seconds * 1e6:.0f}\nuser_usec 1",
            }
        return {
            "proc/self/cgroup": "2:cpu:/app\n3:cpuacct:/app",
            "sys/fs/cgroup/cpu/app/cpu.cfs_quota_us": "50000",
            "sys/fs/cgroup/cpu/app/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/cpuacct/app/cpuacct.usage": f"{seconds * 1e9:.0f}",
        }

    write(root, used(10.0))
    collector = Collector(root=root)
    assert collector.collect(0.0).cpu is None
    write(root, used(22.0))
    assert collector.collect(30.0).cpu == pytest.approx(0.8)  # 12 s of the 15 that half a CPU gives


def test_pressure_is_the_containers_own_or_else_the_hosts(root: Path) -> None:
    write(root, {"proc/pressure/memory": PSI})
    assert Collector(root=root).collect(0.0).pressure == 0.125
    write(root, {**v2("app"), "sys/fs/cgroup/app/memory.pressure": PSI.replace("12.50", "40.00")})
    assert Collector(root=root).collect(0.0).pressure == 0.4


def test_connections_are_those_of_both_families(root: Path) -> None:
    write(
        root,
        {
            "proc/net/sockstat": "sockets: used 9\nTCP: inuse 40 orphan 0 tw 7 alloc 50 mem 1\nUDP: inuse 2 mem 0",
            "proc/net/sockstat6": "TCP6: inuse 5\nUDP6: inuse 1",
        },
    )
    assert Collector(root=root).collect(0.0).connections == 45


def test_hooks_answer_and_what_is_given_comes_before_them(root: Path) -> None:
    collector = Collector(root=root, connections=lambda: 7, response_ms=lambda: 12.5, requests=lambda: 3)
    assert collector.hooks == {"connections", "response_ms", "requests"}
    reading = collector.collect(0.0)
    assert (reading.connections, reading.response_ms, reading.requests) == (7, 12.5, 3)
    assert collector.collect(30.0, connections=9).connections == 9


@pytest.mark.parametrize("answer", [None, math.nan, math.inf, -1, "7", True, ZeroDivisionError])
def test_a_hook_that_fails_or_returns_nonsense_is_unknown(root: Path, answer: object) -> None:
    def hook() -> float:
        if answer is ZeroDivisionError:
            raise ZeroDivisionError
        return answer  # type: ignore[return-value]

    reading = Collector(root=root, error_rate=hook).collect(0.0)
    assert reading.error_rate is None
    assert reading.memory == 0.25


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=80))
def test_files_full_of_nonsense_never_raise(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    root = tmp_path_factory.mktemp("nonsense")
    names = ("proc/meminfo", "proc/stat", "proc/self/cgroup", "proc/net/sockstat", "proc/pressure/memory")
    write(root, dict.fromkeys(names, text))
    collector = Collector(root=root)
    collector.collect(0.0)
    collector.collect(30.0)


def test_this_machine_is_read() -> None:
    collector = Collector()
    collector.collect(0.0)
    reading = collector.collect(1.0)
    assert reading.memory is not None
    assert 0 < reading.memory <= 1
    assert reading.connections is not None


def test_connections_of_this_machine_are_counted() -> None:
    collector = Collector()
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=256))
        held = [stack.enter_context(socket.create_connection(listener.getsockname())) for _ in range(150)]
        counted = collector.collect(0.0).connections
    assert counted is not None
    assert counted >= len(held)


def test_without_proc_psutil_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    collector = Collector()
    monkeypatch.setattr(collector, "_linux", False)
    collector.collect(0.0)
    reading = collector.collect(1.0)
    assert reading.memory is not None
    assert reading.connections is not None

    def refused(*_: object) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", refused)  # as on macOS without root
    assert collector.collect(2.0).connections is not None
    monkeypatch.setattr(psutil.Process, "net_connections", refused)
    assert collector.collect(3.0).connections is None


def test_a_process_without_cgroups_has_none(tmp_path: Path) -> None:
    cgroup = Cgroup.find(tmp_path)
    assert (cgroup.memory_used(None), cgroup.cpu_limits(), cgroup.pressure()) == (None, [], None)
