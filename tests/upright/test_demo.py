"""`upright demo`: real parts, really broken, and an honest account of it."""

from __future__ import annotations

import io
import itertools
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from upright.cli.demo import demo_command
from upright.demo.campaign import CampaignResult, FaultResult, run_campaign
from upright.demo.faults import GAP, Fault, faults_of, plan, seconds_for
from upright.demo.load import PARTS, Counts
from upright.demo.main import DemoOptions, run_demo
from upright.demo.server import running
from upright.demo.tutoring_service.stand_ins import StandIns
from upright.demo.view import View

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(200)


@pytest.fixture(scope="module")
def parts() -> Iterator[StandIns]:
    with StandIns() as parts:
        yield parts


def test_a_plan_has_every_fault_and_is_the_same_for_the_same_seed() -> None:
    faults = [Fault(f"fault {number}", "postgres", lambda: None) for number in range(5)]
    first, again, other = (plan(faults, duration=40.0, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert {injection.fault for injection in first} == set(faults)
    assert all(b.at - a.at >= GAP - 0.3 for a, b in itertools.pairwise(first))


@pytest.mark.parametrize("duration", [7.0, 17.0, 20.0, 33.9, 34.0, 60.0])
def test_a_plan_ends_three_seconds_early_and_takes_every_part_before_any_twice(duration: float) -> None:
    faults = [Fault(f"fault {number}", part, lambda: None) for part in PARTS for number in range(2)]
    planned = plan(faults, duration=duration, seed=3)
    kinds = [injection.fault for injection in planned]
    assert len(planned) == int((duration - 4.0) / GAP)
    assert planned[-1].at <= duration - 3.0 - GAP + 0.3
    assert len({fault.part for fault in kinds}) == min(len(kinds), len(PARTS))
    assert len(set(kinds)) == min(len(kinds), len(faults))


def test_every_part_of_the_service_has_its_faults_and_the_help_says_how_many(parts: StandIns) -> None:
    with running(parts.settings, supervised=False) as service:
        faults = faults_of(parts, service)
    assert {fault.part for fault in faults} == set(PARTS)
    option: Any = next(parameter for parameter in demo_command.params if parameter.name == "duration")
    assert len(faults) == 12
    assert option.default >= seconds_for(12) == 34
    assert "All twelve kinds need 34" in option.help
    assert len(plan(faults, duration=option.type.min, seed=1)) == 1
    assert seconds_for(len(PARTS)) <= 17  # what an example of the help says


def _campaign(parts: StandIns, *, supervised: bool, names: set[str]) -> tuple[CampaignResult, list[str]]:
    said: list[str] = []
    results: list[FaultResult] = []
    with running(parts.settings, supervised=supervised) as service:
        faults = [fault for fault in faults_of(parts, service) if f"{fault.part}: {fault.name}" in names]
        assert len(faults) == len(names)
        result = run_campaign(
            "test",
            service.url,
            plan(faults, duration=seconds_for(len(faults)), seed=1),
            duration=0.0,
            users=4,
            on_fault=lambda fault: said.append(f"{fault.part}: {fault.name}"),
            on_result=results.append,
            on_tick=lambda _counts, _seconds: None,
        )
    assert results == result.faults
    return result, said


def test_with_upright_every_part_comes_back_and_nobody_is_sent_away(parts: StandIns) -> None:
    names = {"postgres: terminate all backends", "speech: cut all connections", "memory: fill the memory"}
    result, said = _campaign(parts, supervised=True, names=names)
    assert (result.healed, len(result.faults)) == (3, 3), said
    assert result.failed == 0
    assert result.served == result.calls > 100
    assert sorted(said) == sorted(names)


def test_without_upright_a_lost_connection_stays_lost_until_somebody_repairs_it(parts: StandIns) -> None:
    result, said = _campaign(parts, supervised=False, names={"speech: cut all connections"})
    assert (result.healed, len(result.faults)) == (0, 1), said
    assert result.parts["speech"][2] > 0
    assert result.mttr(0.5) is None


def _result(label: str, mttr: float | None) -> CampaignResult:
    fault = FaultResult("kill it", "redis", 1.0, 1.0, mttr)
    return CampaignResult(label, [fault], calls=10, served=9, degraded=2, failed=1, parts={"redis": (9, 2, 1)})


def test_the_table_says_what_came_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    View(quiet=False).table([_result("without upright", None), _result("with upright", 0.25)])
    told = capsys.readouterr().out
    for text in ("0 of 1", "1 of 1", "never", "0.25 s", "9 (90.0%)", "90.0% (2 degraded)"):
        assert text in told
    View(quiet=True).table([_result("without upright", None), _result("with upright", 0.25)])
    assert capsys.readouterr().out == ""


def test_a_report_to_no_terminal_is_one_line_per_fault_and_a_verdict(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as some build servers set it, whose logs are no terminals all the same
    view, counts = View(quiet=False), Counts()
    with view.campaign("with upright", None) as stage:
        for result in (
            FaultResult("kill it", "redis", 1.0, 1.0, 0.25),
            FaultResult("cut it", "speech", 3.5, 1.0, None),
        ):
            stage.fault(Fault(result.name, result.part, lambda: None))
            stage.tick(counts, result.at)
            stage.result(result)
    view.table(
        [
            _result("without upright", 0.25),
            CampaignResult("with upright", [result], calls=3, served=2, failed=1, parts={"redis": (2, 0, 1)}),
        ]
    )
    told = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert "\x1b" not in told
    assert told.splitlines()[:4] == [
        "",
        "With upright:",
        "   1.0 s  redis    kill it                             back after 0.25 s",
        "   3.5 s  speech   cut it                              NOT back",
    ]
    assert "With upright the service did not come back after: speech: cut it" in told
    assert "1 of 3 calls failed all the same." in told


def test_a_recovery_that_never_came_counts_as_never() -> None:
    healed, lost = FaultResult("kill it", "redis", 1.0, 1.0, 0.25), FaultResult("cut it", "speech", 1.0, 1.0, None)
    assert CampaignResult("test", [healed, lost, healed]).mttr(0.5) == 0.25
    assert CampaignResult("test", [healed, lost, healed]).mttr(0.99) is None
    assert CampaignResult("test", []).mttr(0.5) is None


def test_the_json_report_is_complete_and_the_exit_status_tells_whether_all_was_healed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outcomes = iter([None, 0.25, None, None])
    monkeypatch.setattr("upright.demo.main._half", lambda *_args, supervised: _result(str(supervised), next(outcomes)))
    for status in (0, 1):
        out = io.StringIO()
        monkeypatch.setattr(sys, "stdout", out)
        assert run_demo(DemoOptions(as_json=True, seed=7)) == status
        report: dict[str, Any] = json.loads(out.getvalue())
        assert report["seed"] == 7
        assert report["all_healed"] is (status == 0)
        assert report["with_upright"]["parts"] == {"redis": [9, 2, 1]}


@pytest.mark.slow
def test_the_whole_demo() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "upright", "demo", "--json"],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["all_healed"]
    assert report["with_upright"]["served_share"] >= 0.99
    assert report["without_upright"]["served_share"] < 0.95
