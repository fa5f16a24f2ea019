"""The one-file examples, each run as its first lines say, in a process of its own, against real parts."""

from __future__ import annotations

import os
import re
import signal
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from upright.testing import HttpServer, PostgresServer
from upright.testing.servers.http import Reply
from upright.testing.servers.process import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py") if path.name != "__init__.py")
PATIENCE = 40.0
pytestmark = pytest.mark.timeout(100)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the example runs, and opens its control socket; the path of a socket must be short."""
    with tempfile.TemporaryDirectory(prefix="upr") as made:
        yield Path(made)


def environ(folder: Path, settings: dict[str, str]) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder), "XDG_RUNTIME_DIR": str(folder), **settings}


def output_of(name: str, folder: Path, *args: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *args],
        cwd=folder,
        env=environ(folder, {}),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@contextmanager
def running(name: str, folder: Path, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """An example that runs until it is told to end; it has to end well."""
    with (
        (folder / "stderr").open("w") as errors,
        subprocess.Popen(
            [sys.executable, str(ROOT / "examples" / name)],
            cwd=folder,
            env=environ(folder, settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            yield process
        except BaseException:
            process.kill()
            sys.stderr.write((folder / "stderr").read_text())
            raise


@contextmanager
def serving(name: str, folder: Path, ready: str, **settings: str) -> Iterator[httpx.Client]:
    """A service, until Ctrl-C; yields a client of it."""
    port = free_port()
    with (
        running(name, folder, PORT=str(port), **settings) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client,
    ):
        until(lambda: process.poll() is not None or answer(client, ready).status_code == 200)
        yield client
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) in (0, -signal.SIGINT, 130)


def answer(client: httpx.Client, path: str) -> httpx.Response:
    try:
        return client.get(path)
    except httpx.TransportError:
        return httpx.Response(599)


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_each_example_is_short_says_how_to_run_it_and_is_named_in_the_guide() -> None:
    guide = (ROOT / "README.md").read_text() + "".join(page.read_text() for page in (ROOT / "docs").rglob("*.md"))
    tested = Path(__file__).read_text()
    for name in EXAMPLES:
        text = (ROOT / "examples" / name).read_text()
        assert 30 <= text.count("\n") <= 90, name
        assert f"python examples/{name}" in text
        assert f"examples/{name}" in guide
        assert f'"{name}"' in tested


def test_a_script_waits_out_a_short_lock_and_takes_the_last_answer_during_a_long_one(folder: Path) -> None:
    peace, moment, what, long = output_of("plain_script.py", folder)
    assert (peace, moment) == ("in peace: 42", "locked for a moment: 42")
    assert what == "  what happened: SUCCEEDED by database reconnection"
    assert re.fullmatch(r"locked for long: 42 \(cached \d+\.\d s ago\)", long)


def test_a_flask_service_answers_while_its_postgresql_is_dead_and_is_fresh_when_it_is_back(folder: Path) -> None:
    with (
        PostgresServer() as postgres,
        serving("flask_service.py", folder, "/price/pro", DATABASE_URL=postgres.dsn) as client,
    ):
        assert client.get("/price/gold").status_code == 404
        postgres.kill()
        assert client.get("/price/pro").json() == {"cents": 2000}
        refused = client.get("/price/basic")
        assert (refused.status_code, int(refused.headers["Retry-After"]) >= 1) == (503, True)
        postgres.start()
        until(lambda: answer(client, "/price/basic").json() == {"cents": 500})


def test_a_fastapi_service_converts_by_the_last_rates_and_says_so_until_there_are_fresh_ones(folder: Path) -> None:
    with (
        HttpServer(lambda _request: Reply(body=b'{"USD": 1.25}')) as rates,
        serving("fastapi_service.py", folder, "/health", RATES_URL=f"{rates.url}/rates.json") as client,
    ):
        rates.kill()
        refused = client.get("/convert/100")
        assert (refused.status_code, int(refused.headers["Retry-After"]) >= 1) == (503, True)
        rates.start()
        until(lambda: answer(client, "/convert/100").json() == {"dollars": 125.0, "rates": "fresh"})
        rates.kill()
        stale = client.get("/convert/100").json()
        assert stale["dollars"] == 125.0
        assert "cached" in stale["rates"]
        assert client.get("/health").json() == {"upright": "running"}
        rates.start()
        until(lambda: answer(client, "/convert/100").json()["rates"] == "fresh")


class MailServer(socketserver.ThreadingTCPServer):
    """Takes mail, as RFC 5321 has it at the least; refuses what is for nobody."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _MailSession)
        self.texts: list[str] = []

    @contextmanager
    def open(self) -> Iterator[None]:
        thread = threading.Thread(target=self.serve_forever, args=(0.02,), name="mail server")
        thread.start()
        try:
            yield
        finally:
            self.shutdown()
            thread.join()
            self.server_close()


class _MailSession(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self._say("220 here")
        for line in self.rfile:
            verb = line.split()[0].upper()
            if verb == b"RCPT" and b"nobody@" in line:
                self._say("550 no such user")
            elif verb == b"DATA":
                self._say("354 go on")
                lines = [text.decode().strip() for text in iter(self.rfile.readline, b".\r\n")]
                self.server.texts.append(lines[-1])
                self._say("250 taken")
            elif verb == b"QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 ok")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


def test_a_worker_keeps_its_mail_while_the_server_is_away_and_sends_it_in_order(folder: Path) -> None:
    port = free_port()
    with running("worker.py", folder, SMTP_PORT=str(port)) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        for job in ("ada@example.org one", "bob@example.org two"):
            worker.stdin.write(f"{job}\n")
            worker.stdin.flush()
            assert worker.stdout.readline() == f"kept: {job}\n"
        with (server := MailServer(port)).open():
            assert [worker.stdout.readline() for _ in range(2)] == [
                "sent later: ada@example.org one\n",
                "sent later: bob@example.org two\n",
            ]
            worker.stdin.write("ada@example.org three\n")
            worker.stdin.flush()
            assert worker.stdout.readline() == "sent: ada@example.org three\n"
            worker.stdin.close()
            assert worker.stdout.readline() == "0 wait for the next start, 0 were set aside\n"
            assert worker.wait(PATIENCE) == 0
    assert server.texts == ["one", "two", "three"]


def test_a_worker_sends_what_its_predecessor_left_and_goes_on_after_a_mail_for_nobody(folder: Path) -> None:
    port = free_port()
    with running("worker.py", folder, SMTP_PORT=str(port)) as first:
        told, _ = first.communicate("ada@example.org one\nnobody@example.org two\nbob@example.org three\n", PATIENCE)
        assert told.splitlines()[-1] == "3 wait for the next start, 0 were set aside"
    with (server := MailServer(port)).open(), running("worker.py", folder, SMTP_PORT=str(port)) as second:
        assert second.stdout is not None
        assert second.stdout.readline() == "sent later: ada@example.org one\n"
        assert second.stdout.readline() == "sent later: bob@example.org three\n"
        told, _ = second.communicate("nobody@example.org four\n", PATIENCE)
        assert told.splitlines() == [
            "refused for good: nobody@example.org four",
            "0 wait for the next start, 1 were set aside",
        ]
        assert second.returncode == 0
    assert server.texts == ["one", "three"]


def test_own_actors_crash_and_the_shop_goes_on(folder: Path) -> None:
    assert output_of("own_actors.py", folder) == [
        "ada buys 3, left: 97",
        "bob's order was nonsense: unsupported operand type(s) for -=: 'int' and 'str'",
        "ada buys 3, left: 97",
        "restarts of the stock: 1",
        "customers left: 1",
    ]


def test_the_predictor_warns_of_a_leak_before_the_limit_in_a_made_up_recording_and_in_a_file(folder: Path) -> None:
    alert, action, above, risk = output_of("predictor_replay.py", folder)
    assert "alert (forecast): memory is at" in alert
    assert "do: run the memory cleanup" in action
    assert float(above.split()[0]) - float(alert.split()[0]) > 5
    assert risk == "risk at the end: LOW, 30 points, because of memory"
    (folder / "calm.csv").write_text("at,memory,cpu\n" + "".join(f"{30 * n},0.5,0.1\n" for n in range(200)))
    assert output_of("predictor_replay.py", folder, "calm.csv") == [
        "risk at the end: LOW, 0 points, because of nothing"
    ]
