"""The rows of the suite, each measured in a process of its own, so that none finds what another has left behind."""

from __future__ import annotations

import importlib
import json
import logging
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measuring import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["PEERS", "ROWS", "Row", "environment", "measure", "run_here"]

_PATIENCE = 900.0  # seconds that a row may take at most

PEERS = (
    "aioresilience",
    "circuitbreaker",
    "hyx",
    "interlock-cb",
    "mode-streaming",
    "nopanic",
    "purgatory",
    "pybreaker",
    "pykka",
    "pyresilience",
    "ray",
    "stamina",
    "tenacity",
)
"""Distributions that are measured beside upright where they are installed."""


@dataclass(frozen=True)
class Row:
    """One row of the suite.

    Attributes:
        name: For `--only`.
        where: Module and function.
        title: What people read.
        long: It takes minutes, and is run only with `--long` or by name.
    """

    name: str
    where: str
    title: str
    long: bool = False


ROWS = (
    Row("success", "calls:success", "Successful calls"),
    Row("success-async", "calls:success_async", "Successful calls, async"),
    Row("where", "calls:where", "Where a successful call spends its time"),
    Row("threads", "calls:threads", "Successful calls in 16 threads"),
    Row("outage", "calls:outage", "Steady outage"),
    Row("rejection", "calls:rejection", "Rejection"),
    Row("healed", "recovering:healed", "Ask to HEALED"),
    Row("failing", "recovering:failing", "Failing calls"),
    Row("joining", "recovering:joining", "Joining a healing"),
    Row("report", "recovering:reports", "Reports by tell"),
    Row("burst", "recovering:burst", "Burst of duplicates"),
    Row("messages", "kernel:messages", "Messages"),
    Row("lives", "kernel:lives", "Start and stop"),
    Row("restart", "kernel:restart", "Crash and restart"),
    Row("mode", "kernel:mode_restart", "Crash and restart, mode-streaming"),
    Row("ray", "kernel:ray_ask", "Messages, Ray"),
    Row("many", "crowds:beside_many", "Beside 10, 500 and 5 000 actors"),
    Row("footprint", "crowds:footprint", "Memory and threads of an actor"),
    Row("crashes", "crowds:growth", "10 000 crashes"),
    Row("idle", "crowds:idle", "Idle actors"),
    Row("boot", "trees:boot_and_stop", "Boot and stop"),
    Row("idle-tree", "trees:idle", "Idle tree"),
    Row("import", "trees:imports", "Import"),
    Row("keys", "growing:keys", "1 to 10 000 operations"),
    Row("limits", "growing:limits", "History and outbox at their limits"),
    Row("observe", "predicting:observe", "Predictor, one reading"),
    Row("tick", "predicting:tick", "Predictor, whole tick"),
    Row("calls", "growing:calls", "10 million calls", long=True),
)
"""All rows, in the order of docs/performance.md."""


def measure(
    rows: Iterable[Row], *, quick: bool, say: Callable[[str], None]
) -> Iterator[tuple[Row, list[Figure], float]]:
    """Measure rows one after another; one that fails is a figure that says so.

    Args:
        rows: Which.
        quick: Few rounds, small crowds: to see that everything runs.
        say: Gets a line for each row before it is begun.

    Yields:
        The row, its figures, and the seconds it took.
    """
    for row in rows:
        say(row.title)
        before = time.perf_counter()
        yield row, _in_child(row, quick=quick), time.perf_counter() - before


def _in_child(row: Row, *, quick: bool) -> list[Figure]:
    command = [sys.executable, "-m", "benchmarks", "--row", row.name, *(["--quick"] if quick else [])]
    root = Path(__file__).resolve().parents[1]
    try:
        ran = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return [_failure(row, f"not done within {_PATIENCE:g} s")]
    if ran.returncode != 0:
        last = ran.stderr.strip().rsplit("\n", 1)[-1]
        return [_failure(row, f"failed: {last[:300] or f'exit status {ran.returncode}'}")]
    return [Figure(**figure) for figure in json.loads(ran.stdout.strip().rsplit("\n", 1)[-1])]


def _failure(row: Row, why: str) -> Figure:
    return Figure(row.title, float("nan"), "", "to be measured", met=False, detail=why)


def run_here(name: str, *, quick: bool) -> str:
    """Measure one row in this process and return its figures as JSON."""
    for logger in ("pykka", "upright", "mode"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    module, function = next(row.where for row in ROWS if row.name == name).split(":")
    figures = getattr(importlib.import_module(f"benchmarks.{module}"), function)(quick=quick)
    return json.dumps([asdict(figure) for figure in figures])


def environment() -> dict[str, Any]:
    """Return what figures are taken on: interpreter, cores, load, stolen time so far, and the peers' versions."""
    found, missing = {}, []
    for name in PEERS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            missing.append(name)
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "stolen": _stolen(),
        "peers": found,
        "not_installed": missing,
    }


def _stolen() -> float | None:
    """The share of all processor time since the boot that the hypervisor gave to others; None if it is not told."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    ticks = [int(text) for text in stat.read_text().split("\n", 1)[0].split()[1:]]
    return round(ticks[7] / sum(ticks), 4)
