"""The benchmark suite as a command: rows are measured, shown, written into a page, and compared."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def suite(*arguments: str | Path, status: int = 0) -> str:
    command = [sys.executable, "-m", "benchmarks", *map(str, arguments)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == status, ran.stderr
    return ran.stdout


def run_with(value: float, *, met: bool = True) -> dict[str, Any]:
    figure = {"name": "tell", "value": value, "unit": "x", "goal": "<= 1x", "met": met, "noise": 1.05}
    sides = {"ours": "upright", "floor": "queue", "sides": {"queue": 1e-6, "upright": 2e-6}}
    row = {"name": "messages", "title": "Messages", "seconds": 1.0, "figures": [figure | sides]}
    where: dict[str, Any] = {"python": "3.11.0", "machine": "Linux", "cores": 2, "stolen": None, "peers": {}}
    where |= {"not_installed": ["ray"], "load_average": [0.1], "load_after": [0.2]}
    return {"environment": where, "quick": False, "seconds": 1.0, "rows": [row]}


def kept(path: Path, run: dict[str, Any]) -> Path:
    path.write_text(json.dumps(run))
    return path


@pytest.mark.timeout(60)
def test_row_is_measured_in_a_process_of_its_own_and_kept(tmp_path: Path) -> None:
    kept_as = tmp_path / "run.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "observe", "--json", str(kept_as)]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False).stdout
    assert "observe with 24 h of history, p99" in shown
    assert "Skipped, not installed:" in shown
    run = json.loads(kept_as.read_text())
    assert [row["name"] for row in run["rows"]] == ["observe"]
    assert {"python", "cores", "load_average", "stolen", "peers"} <= set(run["environment"])


def test_every_row_is_listed() -> None:
    listed = suite("--list")
    assert {"success", "outage", "healed", "burst", "many", "keys", "calls"} <= set(listed.split())


def test_ratio_that_got_worse_beyond_the_noise_is_said_to_be(tmp_path: Path) -> None:
    before, after = kept(tmp_path / "a.json", run_with(0.5)), kept(tmp_path / "b.json", run_with(0.7))
    assert "WORSE" in suite("--compare", before, after, status=1)
    assert "WORSE" not in suite("--compare", after, before)


def test_missed_goal_is_the_exit_status(tmp_path: Path) -> None:
    assert "MISSED" in suite("--show", kept(tmp_path / "a.json", run_with(1.5, met=False)), status=1)
    assert "1 of 1 goals met" in suite("--show", kept(tmp_path / "b.json", run_with(0.5)))


def test_tables_replace_those_in_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# P\n<!-- figures -->\nold\n<!-- end of the figures -->\nafter\n")
    for _ in range(2):
        suite("--show", kept(tmp_path / "a.json", run_with(0.5)), "--into", page)
    text = page.read_text()
    assert text.count("| tell | 0.5x | <= 1x | met |") == 1
    assert "queue 1.0 us; **upright** 2.0 us (2.0x)" in text or "**upright 2.0 us** (2.0x)" in text
    assert text.startswith("# P")
    assert text.endswith("after\n")
    assert "old" not in text
