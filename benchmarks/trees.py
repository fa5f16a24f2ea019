"""The whole tree: boot, stop, idleness, imports, and the memory of each."""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import sys
import time
from typing import Any

import upright
from benchmarks.measuring import Figure, at_most, interleave, timed

__all__ = ["boot_and_stop", "idle", "imports"]

_ALONE: dict[str, Any] = {"control": {"enabled": False}}


def boot_and_stop(*, quick: bool) -> list[Figure]:
    """Boot and stop the standard tree, with and without its socket for the command line."""
    rounds = 5 if quick else 25
    trees: list[upright.Tree] = []

    def boot(config: dict[str, Any] | None) -> float:
        return timed(lambda: trees.append(upright.boot(config)))

    def stop() -> float:
        return timed(trees.pop().stop)

    sides = interleave(
        {
            "boot, no socket": lambda: boot(_ALONE),
            "stop, no socket": stop,
            "boot": lambda: boot(None),
            "stop": stop,
        },
        rounds,
    ).rounds
    figures = []
    for name in ("boot", "stop"):
        p50 = statistics.median(sides[name]) * 1e3
        alone = statistics.median(sides[f"{name}, no socket"]) * 1e3
        detail = f"p50; best {min(sides[name]) * 1e3:.1f} ms; without the socket {alone:.1f} ms"
        figures.append(at_most(f"{name} of the standard tree", p50, "ms", 50, detail))
    first = [_child(_FIRST)["boot"] * 1e3 for _ in range(3 if quick else 7)]
    detail = "with what only boot() imports; p50 of new processes"
    figures.append(Figure("boot, the first in a process", statistics.median(first), "ms", detail=detail))
    return figures


_FIRST = """
import json, time, upright
before = time.perf_counter()
tree = upright.boot({"control": {"enabled": False}})
took = time.perf_counter() - before
tree.stop()
print(json.dumps({"boot": took}))
"""

_MEMORY = """
import json, psutil
rss = psutil.Process().memory_info
import pykka, structlog, tenacity, asyncio, ctypes, uuid, logging, random
before = rss().rss
import upright
after = rss().rss
tree = upright.boot({"control": {"enabled": False}})
booted = rss().rss
tree.stop()
print(json.dumps({"import": (after - before) / 2**20, "boot": (booted - after) / 2**20}))
"""

_IMPORT = """
import json, sys, time
import psutil
if DEPENDENCIES:
    import pykka, structlog, tenacity, asyncio, ctypes, uuid, logging, random
before, memory = time.perf_counter(), psutil.Process().memory_info().rss
import MODULE
took = time.perf_counter() - before
print(json.dumps({"seconds": took, "mib": (psutil.Process().memory_info().rss - memory) / 2**20}))
"""


def _child(code: str) -> dict[str, float]:
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    return {name: float(value) for name, value in json.loads(ran.stdout).items()}


def imports(*, quick: bool) -> list[Figure]:
    """Time and memory of `import upright`, with its dependencies and on top of them, and of boot()."""
    rounds = 3 if quick else 9
    peers = [name for name in ("pykka", "tenacity", "circuitbreaker", "nopanic") if importlib.util.find_spec(name)]
    taken: dict[str, list[dict[str, float]]] = {}
    for _ in range(rounds):
        for module, dependencies in (("upright", True), ("upright", False), *((peer, False) for peer in peers)):
            code = _IMPORT.replace("MODULE", module).replace("DEPENDENCIES", str(dependencies))
            taken.setdefault(module + (", on top" if dependencies else ""), []).append(_child(code))
    seconds = {name: min(one["seconds"] for one in runs) for name, runs in taken.items()}
    memory = {name: min(one["mib"] for one in runs) for name, runs in taken.items()}
    others = ", ".join(f"{name} {seconds[name] * 1e3:.0f} ms and {memory[name]:.1f} MiB" for name in peers)
    booted = [_child(_MEMORY) for _ in range(3)]
    top = seconds["upright, on top"] * 1e3
    return [
        Figure("import upright, on top of its dependencies", top, "ms", "< 60 ms", top < 60, "best of new processes"),
        Figure("import upright, alone", seconds["upright"] * 1e3, "ms", detail=others),
        Figure("memory of import upright, alone", memory["upright"], "MiB", detail="psutil was there before"),
        Figure("memory of import upright, on top", min(one["import"] for one in booted), "MiB"),
        Figure(
            "memory of boot()", min(one["boot"] for one in booted), "MiB", detail="what only boot() imports included"
        ),
    ]


def idle(*, quick: bool) -> list[Figure]:
    """What the standard tree costs while nothing fails: its watchdog, and a reading of the host every 30 s."""
    seconds = 2.0 if quick else 35.0
    with upright.boot(_ALONE):
        time.sleep(0.5)
        before = time.process_time()
        time.sleep(seconds)
        share = (time.process_time() - before) / seconds * 100
    goal, met = "< 0.2 %", share < 0.2
    return [Figure("idle standard tree", share, "% of a core", goal, met, f"over {seconds:g} s")]
