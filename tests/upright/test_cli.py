"""The command line, against a real tree in another process."""

# ruff: noqa: ARG001 - a service or folder is there for the command to find

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from upright.cli.app import Target, app
from upright.cli.findings import Level, findings, together
from upright.cli.words import clean, clock, duration
from upright.control_client import ControlClient, find, find_all

if TYPE_CHECKING:
    from collections.abc import Iterator

MAIN = "from upright.cli import main; main()"

SERVICE = """
import sys, time, upright
tree = upright.boot({"breaker": {"minimum_number_of_calls": 3, "window_size": 3, "wait_duration_in_open": 60},
                     "retry": {"attempts": 1}, "healing": {"heal_wait": 0}}, name="orders")

@tree.protect("checkout", resource="shop")
def checkout(fails):
    if fails:
        raise ConnectionError("postgresql://app:hunter2@db/orders \\x1b[31mrefused")

tree.call("mail", int, 3)
checkout(False)
print("ready", flush=True)
for _ in sys.stdin:
    for _ in range(2):  # with the success above as many as the breaker needs; a third might be rejected, or not
        try:
            checkout(True)
        except Exception:
            pass
    while tree.breakers["checkout"].state != "OPEN" or len(tree.history()) < 2:
        time.sleep(0.002)
    print("done", flush=True)
tree.stop()
"""


class Service:
    """A service in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVICE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
        )
        self._heard("ready")

    def fail(self) -> None:
        """Trip the circuit."""
        assert self.process.stdin is not None
        self.process.stdin.write("fail\n")
        self.process.stdin.flush()
        self._heard("done")

    def _heard(self, word: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == word

    def end(self) -> None:
        self.process.communicate(timeout=20)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder and runtime directory, of the test's own."""
    with tempfile.TemporaryDirectory(prefix="upr") as made:
        runtime = Path(made) / "run"
        runtime.mkdir()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
        # Trees of the same user that happen to run are in /tmp, and not to be found.
        monkeypatch.setattr("upright.control_client.runtime_dirs", lambda *_: [runtime / "upright"])
        monkeypatch.chdir(made)
        yield Path(made)


@pytest.fixture
def service(folder: Path) -> Iterator[Service]:
    started = Service(folder)
    yield started
    started.end()


def run(*args: str, code: int = 0, **options: Any) -> Result:
    result = CliRunner().invoke(app, args, prog_name="upright", **options)
    assert result.exit_code == code, result.output
    return result


# Every command


@pytest.mark.parametrize(
    "command",
    ["status", "top", "history", "flags", "breaker", "config", "doctor", "replay", "record", "demo"],
)
def test_every_command_explains_itself_with_examples(command: str) -> None:
    text = run(command, "--help").output
    assert "Examples:" in text
    assert f"upright {command}" in text
    if command != "demo":  # which looks at no running tree
        assert "--pid" in text
    if command not in {"top", "record"}:  # a screen, and a CSV
        assert "--json" in text


def test_the_help_lists_the_commands_and_exit_codes() -> None:
    text = run("--help").output
    assert "Exit codes:" in text
    assert "Shell completion:" in text
    assert run("--version").output.startswith("upright 0.")


def test_a_mistyped_command_is_told_the_right_one() -> None:
    assert "Did you mean 'status'?" in run("stauts", code=2).output


def test_help_does_not_load_what_it_does_not_need() -> None:
    script = (
        "import sys; from upright.cli.app import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(', '.join({'textual', 'rich', 'sentry_sdk', 'msgspec'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [("status",), ("history",), ("flags",), ("breaker",), ("config", "--name", "x")])
def test_without_a_tree_the_commands_say_what_to_do(folder: Path, command: tuple[str, ...]) -> None:
    result = run(*command, code=3)
    assert "upright: no running tree" in result.stderr
    assert "Traceback" not in result.output


def test_a_process_that_is_not_there_is_named(folder: Path) -> None:
    assert "there is no process 4194301" in run("status", "--pid", "4194301", code=3).stderr


def test_a_tree_that_does_not_answer_has_an_exit_code_of_its_own(folder: Path) -> None:
    assert "does not answer" in run("status", "--socket", "/nonexistent/x.sock", code=4).stderr


def test_several_trees_are_listed(service: Service, folder: Path) -> None:
    other = Service(folder)
    try:
        result = run("status", code=3)
        assert f"--pid {service.process.pid} --name orders" in result.stderr
        assert "orders  pid" in run("status", "--pid", str(other.process.pid)).output
    finally:
        other.end()


def test_a_socket_that_the_configuration_put_elsewhere_is_found(folder: Path) -> None:
    (folder / "upright.toml").write_text(f'[control]\npath = "{folder}/own.sock"\n')
    service = Service(folder)
    try:
        assert find_all() == []
        assert "orders  pid" in run("status").output
    finally:
        service.end()


# status


def test_status_says_that_all_is_well_and_draws_the_tree(service: Service) -> None:
    lines = run("status").output.splitlines()
    assert lines[0].endswith("all is well")
    assert any(line.startswith("├── telemetry") and "running" in line for line in lines)
    assert any("└── orchestrator" in line for line in lines)


def test_status_says_what_is_broken_since_when_and_what_comes_next(service: Service) -> None:
    service.fail()
    text = run("status").output
    assert "✖ circuit checkout is OPEN for" in text
    assert "probes in" in text
    assert "NETWORK:shop was not recovered, 2 times" in text
    assert "healing skipped (no healing strategy is registered)" in text


def test_nothing_that_a_service_says_steers_the_terminal_or_tells_a_secret(service: Service) -> None:
    service.fail()
    for command in ("status", "history", "breaker"):
        text = run(command).output
        assert "\x1b" not in text
        assert "\\x1b[31mrefused" in text
        assert "hunter2" not in text


def test_check_exits_with_1_if_something_is_broken(service: Service) -> None:
    run("status", "--check")
    service.fail()
    run("status", "--check", code=1)


def test_json_is_the_status_as_the_tree_gives_it(service: Service) -> None:
    status = json.loads(run("status", "--json").output)
    assert (status["name"], status["state"]) == ("orders", "running")
    assert {child["name"] for child in status["children"]} >= {"telemetry", "recovery"}


def test_output_that_is_no_terminal_has_no_colours_and_no_spaces_at_line_ends(service: Service) -> None:
    service.fail()
    done = cli("status", "--pid", str(service.process.pid))
    assert "\x1b" not in done.stdout
    assert all(line == line.rstrip() for line in done.stdout.splitlines())


def cli(*args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", MAIN, *args],
        capture_output=True,
        text=True,
        env={**os.environ, **environ},
        check=False,
    )


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_gets_colours_unless_no_color_is_set(service: Service, *, no_color: bool) -> None:
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    environ.pop("NO_COLOR", None)
    chosen = str(service.process.pid)
    if no_color:
        environ["NO_COLOR"] = "1"
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-c", MAIN, "status", "--pid", chosen], environ)
    text = b""
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:
            break
        text += chunk
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert b"all is well" in text
    assert (b"\x1b[32m" in text) is not no_color


def test_watch_goes_on_when_the_tree_is_gone_and_ends_on_ctrl_c(service: Service) -> None:
    pid = str(service.process.pid)
    watching = subprocess.Popen(
        [sys.executable, "-c", MAIN, "status", "--watch", "--json", "--interval", "0.1", "--pid", pid],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline())["name"] == "orders"
    service.end()
    while "trouble" not in (seen := json.loads(watching.stdout.readline())):
        pass
    assert pid in seen["trouble"]
    watching.send_signal(signal.SIGINT)
    watching.communicate(timeout=10)
    assert watching.returncode == 0


# Steering


def test_a_flag_is_switched_and_shown(service: Service) -> None:
    assert "self_healing           on" in run("flags").output
    assert run("flags", "self_healing", "off").output.split() == ["flag", "is", "self_healing", "off"]
    assert json.loads(run("flags", "self_healing", "--json").output) == {"self_healing": False}
    assert "self_healing is switched off" in run("status").output


def test_a_wrong_flag_is_refused_with_the_right_names(service: Service) -> None:
    assert "did you mean 'self_healing'?" in run("flags", "selfhealing", "on", code=5).stderr
    assert "there are self_healing" in run("flags", "nothing", code=2).output
    assert "not one of 'on', 'off'" in run("flags", "self_healing", "yes", code=2).output


def test_the_flags_file_is_read_again(service: Service, folder: Path) -> None:
    assert "no feature-flags.json was found" in run("flags", "--reload", code=5).stderr
    (folder / "feature-flags.json").write_text('{"resilience": {"selfHealing": {"enabled": false}}}')
    with ControlClient(find()) as client:
        client.call("reload_flags", path=str(folder / "feature-flags.json"))
    (folder / "feature-flags.json").write_text('{"resilience": {"selfHealing": {"enabled": "no"}}}')
    assert "true or false" in run("flags", "--reload", code=5).stderr
    assert "not taken over" in run("flags").output
    assert "the flags file was not taken over" in run("status").output


def test_a_circuit_is_forced_open_and_freed(service: Service) -> None:
    assert "FORCED_OPEN" in run("breaker", "checkout", "open").output
    assert "until: upright breaker checkout auto" in run("status").output
    (circuit,) = json.loads(run("breaker", "checkout", "close", "--json").output)
    assert circuit["state"] == "DISABLED"
    assert "CLOSED" in run("breaker", "checkout", "auto").output


def test_a_circuit_that_there_is_not_is_refused_with_those_there_are(service: Service) -> None:
    assert "(checkout, mail)" in run("breaker", "nothing", "open", code=5).stderr


def test_history_shows_what_was_tried(service: Service) -> None:
    assert "Nothing has had to be recovered yet" in run("history").output
    service.fail()
    text = run("history", "--limit", "3").output
    assert "checkout on shop  FAILED" in text
    assert "no healing strategy is registered" in text
    assert len(run("history", "--no-steps", "--each", "-n", "2").output.splitlines()) == 3
    assert json.loads(run("history", "--json", "-n", "1").output)[0]["operation"] == "checkout"


def test_history_shows_those_that_went_alike_once_and_how_often(monkeypatch: pytest.MonkeyPatch) -> None:
    step = {"stage": "FALLBACK", "strategy": "cached_menu", "outcome": "SUCCEEDED", "duration": 3e-5, "detail": ""}
    entry: dict[str, Any] = {
        "operation": "menu",
        "resource": "cms",
        "status": "CIRCUIT_OPEN",
        "method": "FALLBACK",
        "code": None,
    }
    entry |= {"error": None, "steps": [step], "duration": 1e-4, "started_at": 0.0}
    entries = [{**entry, "status": "RECOVERED", "started_at": 5.0}, *({**entry, "started_at": at} for at in (6.0, 7.0))]
    monkeypatch.setattr(Target, "connect", lambda _: nullcontext(SimpleNamespace(call=lambda *_, **__: entries)))
    lines = run("history").output.splitlines()
    assert [line for line in lines if "menu on cms" in line] == [
        f"{clock(5.0)}  menu on cms  RECOVERED by fallback in 100 µs",
        f"{clock(7.0)}  menu on cms  CIRCUIT_OPEN by fallback in 100 µs, 2 times since {clock(6.0)}",
    ]
    assert len([line for line in run("history", "--each").output.splitlines() if "menu on cms" in line]) == 3
    assert run("history", "--no-steps", "-n", "1").output.splitlines()[1].split()[2:4] == ["2", "CIRCUIT_OPEN"]


# Configuration and doctor


def test_config_shows_what_differs_and_explains_all(folder: Path) -> None:
    assert "All settings have their defaults" in run("config").output
    (folder / "upright.toml").write_text("[healing]\ntimeout = 7\n")
    assert "upright.toml, key healing.timeout" in run("config").output
    rows = json.loads(run("config", "--explain", "--json").output)
    assert {row["origin"] for row in rows} == {"default", "upright.toml, key healing.timeout"}


def test_config_says_that_a_running_service_has_its_own(service: Service) -> None:
    assert f"upright config --pid {service.process.pid}    orders" in run("config").output


def test_config_of_a_running_service_is_its_own(service: Service) -> None:
    rows = json.loads(run("config", "--json", "--name", "orders").output)
    assert {"path": "retry.attempts", "value": 1, "origin": "the code"} in rows


def test_a_wrong_file_is_told_completely_and_without_a_traceback(folder: Path) -> None:
    (folder / "bad.toml").write_text("[healing]\ntimeout = -1\nheal_wiat = 1\n")
    result = run("config", "--file", "bad.toml", code=1)
    assert "2 settings are wrong" in result.stderr
    assert "did you mean 'heal_wait'?" in result.stderr
    assert "Traceback" not in result.stderr


def test_doctor_finds_all_well(service: Service) -> None:
    text = run("doctor", "--name", "orders").output
    assert "closed to other users" in text
    assert "has not initialised it" in text
    assert "the same upright" in text


def test_doctor_names_what_is_wrong_and_what_to_do(folder: Path) -> None:
    (folder / "run" / "upright").mkdir(mode=0o755)
    (folder / "upright.toml").write_text("nonsense = 1\n")
    checks = {one["name"]: one for one in json.loads(run("doctor", "--json", code=1).output) if one["verdict"] == "bad"}
    assert "chmod 700" in checks["sockets"]["text"]
    assert "there is no such key" in checks["configuration"]["text"]


# Recordings


def test_a_recording_is_taken_and_replayed(folder: Path) -> None:
    run("record", "now.csv", "--interval", "0.1", "--duration", "0.25")
    lines = Path("now.csv").read_text().splitlines()
    assert lines[0].startswith("at,memory")
    assert len(lines) >= 3
    assert "readings over" in run("replay", "now.csv").output


def test_a_replay_shows_what_would_have_been_alerted_on(folder: Path) -> None:
    rows = "".join(f"{at * 30},{min(0.99, 0.5 + at * 0.004)}\n" for at in range(200))
    Path("leak.csv").write_text("at,memory\n" + rows)
    events = json.loads(run("replay", "leak.csv", "--json").output)
    assert [event["alert"]["factor"] for event in events if event["alert"]][:1] == ["memory"]
    text = run("replay", "leak.csv", "--chart", "--csv", "events.csv").output
    assert "alert" in text
    assert Path("events.csv").read_text().startswith("at,event,kind,factor")


def test_a_replay_is_drawn_to_a_png(folder: Path) -> None:
    rows = "".join(f"{at * 30},{min(0.99, 0.5 + at * 0.004)},0.2\n" for at in range(200))
    Path("leak.csv").write_text("at,memory,cpu\n" + rows)
    run("replay", "leak.csv", "--plot", "leak.png")
    assert Path("leak.png").read_bytes().startswith(b"\x89PNG\r\n")
    Path("empty.csv").write_text("at,memory\n")
    run("replay", "empty.csv", "--plot", "empty.png")


def test_without_matplotlib_the_chart_is_in_the_terminal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(f"{at * 30},{min(0.99, 0.5 + at * 0.004)}\n" for at in range(200))
    Path("leak.csv").write_text("at,memory\n" + rows)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delitem(sys.modules, "upright.plot", raising=False)
    result = run("replay", "leak.csv", "--plot", "leak.png", code=1)
    assert "upright[plot]" in result.stderr
    assert "memory, 0 % to 99 %" in result.stdout
    assert not Path("leak.png").exists()


def test_a_running_service_is_recorded_once_per_reading_with_its_requests(service: Service) -> None:
    run("record", "service.csv", "--pid", str(service.process.pid), "--interval", "0.2", "--duration", "3")
    header, *rows = Path("service.csv").read_text().splitlines()
    assert header == "at,memory,response_ms,error_rate,connections,cpu,requests,pressure"
    assert len(rows) == 1  # the service reads every 30 s, the first time after one
    fields = dict(zip(header.split(","), rows[0].split(","), strict=True))
    assert float(fields["requests"]) >= 2
    assert float(fields["error_rate"]) == 0


def test_a_broken_recording_is_refused_with_its_row(folder: Path) -> None:
    Path("bad.csv").write_text("at,memory\n0,x\n")
    assert "recording.row[2].memory must be a number" in run("replay", "bad.csv", code=1).stderr
    run("replay", "missing.csv", code=2)


# top


def test_top_without_a_terminal_names_the_alternative(folder: Path) -> None:
    assert "upright status --watch" in run("top", code=2).output


def test_top_shows_the_tree_and_forces_a_circuit_after_asking(service: Service) -> None:
    from textual.widgets import DataTable, Static

    from upright.cli.top_app import TopApp

    async def use() -> None:
        service.fail()
        top = TopApp(Target(service.process.pid, None, None, 5.0), 0.05)
        async with top.run_test(size=(120, 40)) as pilot:
            while top.view is None:
                await pilot.pause(0.02)
            await pilot.pause()
            assert "circuit checkout is OPEN" in str(top.query_one("#problems", Static).render())
            assert top.query_one("#circuits", DataTable).row_count == 2

            await pilot.press("o", "n")
            await pilot.press("o", "y")
            while _state("checkout") != "FORCED_OPEN":
                await pilot.pause(0.02)

            await pilot.press("p")
            await pilot.pause()
            assert "PAUSED" in str(top.query_one("#head", Static).render())
            await pilot.press("p", "down", "enter")
            await pilot.pause(0.1)
            assert "mailbox_depth" in str(top.screen.query_one("#text", Static).render())
            await pilot.press("escape")

            service.end()
            while not top.query_one("#trouble", Static).display:
                await pilot.pause(0.02)

    asyncio.run(use())


def _state(operation: str) -> str:
    with ControlClient(find()) as client:
        state: str = client.call("breakers", operation=operation)[0]["state"]
        return state


# What is said


NODE: dict[str, Any] = {
    "name": "orders",
    "kind": "supervisor",
    "state": "running",
    "restarts": 0,
    "uptime": 1000.0,
    "mailbox_depth": 0,
    "busy_for": None,
    "last_exit": None,
    "zombies": 0,
    "details": {},
    "children": [],
}


@pytest.mark.parametrize(
    ("change", "level", "words"),
    [
        ({"state": "gave_up", "last_exit": "shutdown: restart intensity reached"}, Level.BAD, "gave up"),
        ({"state": "restarting", "restarts": 3, "last_exit": "crashed"}, Level.BAD, "is restarting"),
        ({"state": "stopped"}, Level.WARNING, "is stopped"),
        ({"restarts": 2, "uptime": 12.0}, Level.INFO, "was restarted 12 s ago, 2 times in all"),
        ({"busy_for": 7.0}, Level.WARNING, "busy with one message for 7.0 s"),
        ({"mailbox_depth": 5000}, Level.WARNING, "5000 messages wait"),
        ({"zombies": 1}, Level.WARNING, "1 hung thread left behind"),
        ({"details": {"unavailable": "chmod 700 it"}}, Level.WARNING, "is not available"),
    ],
)
def test_what_is_not_as_usual_with_an_actor_is_a_finding(change: Any, level: Level, words: str) -> None:
    status = {**NODE, "children": [{**NODE, "name": "one", **change}]}
    (finding,) = findings({"status": status})
    assert finding.level is level
    assert words in finding.what
    assert "orders/one" in finding.what


def test_hundreds_of_stuck_workers_are_one_finding_and_one_line() -> None:
    worker = {**NODE, "kind": "worker", "name": "worker"}
    stuck = [{**worker, "busy_for": float(number)} for number in range(300)]
    status = {**NODE, "children": [{**NODE, "name": "healers", "children": [worker, *stuck]}]}
    (finding,) = findings({"status": status})
    assert finding.what == "295 workers of orders/healers are stuck in a call for 4 min 59 s"
    (one,) = together(status["children"][0]["children"])
    assert one["name"] == "301 workers, 300 busy"
    assert one["busy_for"] == 299.0


def test_a_single_worker_is_shown_as_it_is() -> None:
    worker = {**NODE, "name": "worker"}
    assert together([NODE, worker]) == [NODE, worker]


def _escalated(circuit: dict[str, Any]) -> dict[str, Any]:
    story = {"for": 65.0, "attempts": 3, "last": "reconnect: OSError: refused"}
    details = {"escalated": {"NETWORK:db": 55.0}, "gave_up": {"NETWORK:db": story}}
    circuit = {"operation": "query", "resource": "db", "calls": 10, "since": 3.0, "wait_time": 4.0, **circuit}
    return {"status": {**NODE, "children": [{**NODE, "name": "healing", "details": details}]}, "breakers": [circuit]}


def test_an_escalation_says_since_when_and_why_and_what_comes_next() -> None:
    found = findings(_escalated({"state": "OPEN", "failure_rate": 1.0}))
    (finding,) = [one for one in found if "escalated" in one.what]
    assert finding.level is Level.BAD
    assert finding.what == "NETWORK:db is escalated: healing gave up 1 min 5 s ago"
    assert finding.why == "reconnect: OSError: refused"
    assert finding.did == "tried to heal it 3 times, and raised an event"
    assert finding.next == "heals again, if it fails again, in 55 s"


def test_an_escalation_of_what_works_again_is_no_problem_any_more() -> None:
    (finding,) = findings(_escalated({"state": "CLOSED", "failure_rate": 0.0}))
    assert finding.level is Level.WARNING
    assert "but query works again" in finding.what


def test_an_open_circuit_says_who_answers_instead() -> None:
    circuit = {"operation": "menu", "state": "OPEN", "since": 9.0, "wait_time": 4.0, "rejected": 7, "cause": "x"}
    step = {"stage": "FALLBACK", "strategy": "cached_menu", "outcome": "SUCCEEDED"}
    kept_away = {"operation": "menu", "recovery_id": None, "status": "CIRCUIT_OPEN", "degraded": True, "steps": [step]}
    view = {"status": NODE, "at": 1.0, "breakers": [circuit], "history": [{**kept_away, "started_at": 0.0}]}
    (finding,) = findings(view)
    assert finding.did == "turned 7 calls away; fallback cached_menu answers"
    assert finding.next == "probes in 4.0 s, and closes if that works"


def test_a_tree_without_trouble_has_no_findings() -> None:
    assert findings({"status": NODE}) == []


def test_a_failure_that_has_been_healed_since_is_told_but_is_no_trouble() -> None:
    failed = {"recovery_id": "NETWORK:x", "operation": "x", "status": "FAILED", "started_at": 95.0, "error": None}
    view: dict[str, Any] = {"status": NODE, "at": 100.0, "history": [failed]}
    assert len(findings(view)) == 1
    step = {"stage": "HEALING", "strategy": "reconnect", "outcome": "SUCCEEDED"}
    healed = {**failed, "status": "HEALED", "started_at": 98.0, "steps": [step]}
    (finding,) = findings({**view, "history": [failed, healed, healed]})
    assert (finding.level, finding.did) == (Level.INFO, "healing reconnect succeeded")
    assert finding.what == "NETWORK:x failed and was healed, 2 times, last 2.0 s ago"
    assert findings({**view, "at": 1000.0}) == []


def test_an_alert_says_when_the_limit_is_reached() -> None:
    details = {
        "alerting": ["memory"],
        "forecasts": [{"factor": "memory", "eta_seconds": 600, "reason": "rises"}],
        "level": "HIGH",
        "risk": 0.75,
        "factors": ["memory", "cpu", "error_rate"],
    }
    found = findings({"status": {**NODE, "children": [{**NODE, "name": "predictor", "details": details}]}})
    assert [one.level for one in found] == [Level.BAD, Level.WARNING]
    assert "its limit is reached in about 10 min" in found[1].what


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0004, "400 µs"),
        (0.25, "250 ms"),
        (4.2, "4.2 s"),
        (59.9, "59 s"),
        (75, "1 min 15 s"),
        (7500, "2 h 5 min"),
        (200000, "2 d 7 h"),
        (None, "-"),
    ],
)
def test_durations_are_said_in_their_two_largest_units(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize("evil", ["\x1b[2J", "\x07", "\r", "\x9b31m", "\u202e", "\x00", "\n"])
def test_control_characters_are_shown_and_not_obeyed(evil: str) -> None:
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 or ord(char) == 0x202E for char in clean(f"a{evil}b"))
