"""Whatever comes over the control socket, the tree goes on, and the next one who asks is answered."""

from __future__ import annotations

import inspect
import json
import random
import resource
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from hostile_things import PATIENCE, booted, crash_counts, is_well
from hypothesis import given, settings
from hypothesis import strategies as st

from upright.actors import control
from upright.actors.control_wire import MAX_REQUEST, Refused, parse
from upright.cli.app import app
from upright.commands import commands_for
from upright.control_client import CommandRefused, ControlClient, Found, NotReachable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upright.tree import Tree

_HELLO = b'{"v": 1, "command": "hello"}\n'


class Served:
    """A tree with a control socket of its own."""

    def __init__(self, tree: Tree, path: Path) -> None:
        self.tree = tree
        self.path = path

    def raw(self) -> socket.socket:
        """Connect, without speaking the language."""
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(PATIENCE)
        until = monotonic() + PATIENCE
        while True:
            try:
                made.connect(str(self.path))
            except BlockingIOError:  # many wait to be accepted
                assert monotonic() < until
            else:
                return made

    def client(self) -> ControlClient:
        return ControlClient(Found(None, None, self.path), timeout=PATIENCE)

    def answers(self) -> bool:
        """Whether a well-behaved client gets what it asks for, as soon as there is room for it."""
        until = monotonic() + PATIENCE
        while True:
            try:
                with self.client() as client:
                    return bool(client.call("status")["state"] == "running")
            except NotReachable:
                assert monotonic() < until

    def is_well(self) -> bool:
        """Whether it answers, nobody was restarted, and one thread serves the socket."""
        links = [thread for thread in threading.enumerate() if thread.name == "upright-control-link"]
        return self.answers() and crash_counts(self.tree) == {} and is_well(self.tree) and len(links) == 1


@contextmanager
def _serving() -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="upr") as folder:
        path = Path(folder, "c.sock")
        with booted(control={"path": str(path)}) as tree:
            yield Served(tree, path)


@pytest.fixture
def commands() -> dict[str, list[str]]:
    """The commands and their arguments."""
    with booted() as tree:
        return {name: list(inspect.signature(run).parameters) for name, run in commands_for(tree.parts).items()}


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0


def _eventually(condition: Any) -> bool:
    until, tick = monotonic() + PATIENCE, threading.Event()
    while not condition():
        if monotonic() > until:
            return False
        tick.wait(0.002)
    return True


# What a request may say.

_DEEP = "[" * 900 + "]" * 900

_JSON: dict[str, str] = {
    "null": "null",
    "true": "true",
    "minus one": "-1",
    "a fraction": "0.5",
    "a huge number": "1e308",
    "an infinity": "1e999",
    "NaN": "NaN",
    "a long number": "9" * 4_000,
    "too long a number": "9" * 5_000,
    "an empty text": '""',
    "surrogates": '"\\ud800\\u0000\\n\\u001b[2J"',
    "a path": '"/dev/zero"',
    "a long text": json.dumps("x" * 60_000),
    "a list": "[1]",
    "an object": '{"a": {"b": 1}}',
    "nested": _DEEP,
    "deeply nested": "[" * 30_000 + "]" * 30_000,
}


def test_any_value_in_any_field_of_any_request_is_answered(commands: dict[str, list[str]]) -> None:
    with _serving() as served:
        lines = []
        for value in _JSON.values():
            lines += [f'{{"v": {value}, "command": "hello"}}', f'{{"v": 1, "command": {value}}}']
            lines += [f'{{"v": 1, "command": "hello", "args": {value}}}', f'{{"v": 1, "id": {value}, "command": "x"}}']
            lines += [f'{{"v": 1, "id": {value}, "command": "hello"}}', value]
            for name, arguments in commands.items():
                lines += [f'{{"v": 1, "command": "{name}", "args": {{"{one}": {value}}}}}' for one in arguments]
                every = ", ".join(f'"{one}": {value}' for one in arguments)
                lines.append(f'{{"v": 1, "command": "{name}", "args": {{{every}}}}}')
        for line in lines:
            assert len(line) < MAX_REQUEST * 3
            with closing(served.raw()) as raw:
                with suppress(BrokenPipeError):
                    raw.sendall(line.encode() + b"\n")
                answer = _line(raw)
                assert answer is not None, line[:200]
                document = json.loads(answer, parse_constant=_no_constant)
                assert document["v"] == 1
                assert document["ok"] in (True, False)
                assert document["ok"] or document["error"]["message"]
                assert document["ok"] or len(answer) < 3 * MAX_REQUEST
        assert served.is_well()


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def _line(raw: socket.socket) -> bytes | None:
    data = b""
    while not data.endswith(b"\n"):
        try:
            chunk = raw.recv(262_144)
        except ConnectionError:
            return data or None
        if not chunk:
            return data or None
        data += chunk
    return data


@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries(
        {"v": st.sampled_from([1, 1, 1, True, 2, None])},
        optional={
            "command": st.sampled_from(["hello", "x", 5, None, ["hello"]]),
            "id": st.recursive(st.none() | st.floats() | st.text(), st.lists, max_leaves=5),
            "args": st.dictionaries(st.text(), st.none(), max_size=2) | st.text() | st.lists(st.integers()),
        },
    ).map(lambda request: json.dumps(request).encode())
)
def test_any_object_is_a_request_or_refused(line: bytes) -> None:
    try:
        _, command, args = parse(line)
    except Refused:
        return
    assert isinstance(command, str)
    assert isinstance(args, dict)


# How it may be sent.


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00" * 1_000,
        random.Random(1).randbytes(5_000),
        b"\n" * 300,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        _HELLO[:-5],
        b"{" * 5_000,
    ],
    ids=["zeros", "random bytes", "empty lines", "HTTP", "half a request", "braces"],
)
@pytest.mark.parametrize("end", ["closed", "half closed", "reset"])
def test_garbage_is_refused_however_it_ends(garbage: bytes, end: str) -> None:
    with _serving() as served:
        before = _descriptors()
        for _ in range(20):
            with closing(served.raw()) as raw, suppress(BrokenPipeError, ConnectionResetError):
                raw.sendall(garbage)
                if end == "half closed":
                    raw.shutdown(socket.SHUT_WR)
                    while raw.recv(65_536):
                        pass
                elif end == "reset":
                    raw.recv(1) if b"\n" in garbage else None
        assert served.is_well()
        assert _eventually(lambda: _descriptors() <= before)


def test_a_request_may_come_byte_by_byte_while_others_are_answered() -> None:
    with _serving() as served, closing(served.raw()) as slow:
        for number in range(len(_HELLO)):
            slow.sendall(_HELLO[number : number + 1])
            if number % 10 == 0:
                assert served.answers()
        assert json.loads(_line(slow) or b"null")["ok"]
        assert served.is_well()


def test_who_sends_without_end_is_told_so_and_kept_nowhere() -> None:
    with _serving() as served:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with closing(served.raw()) as raw:
            sent = 0
            with suppress(BrokenPipeError, ConnectionResetError):
                while sent < 200_000_000:
                    sent += raw.send(b"x" * 262_144)
            assert sent < 10_000_000
            assert b"too_large" in (_line(raw) or b"too_large")  # a reset may have overtaken it
        assert served.is_well()
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 30_000  # KiB


def test_who_asks_without_end_and_reads_nothing_is_held_up_alone() -> None:
    with _serving() as served:
        with closing(served.raw()) as deaf:
            deaf.setblocking(False)
            sent = 0
            with suppress(BlockingIOError):
                while sent < 50_000_000:
                    sent += deaf.send(b'{"v": 1, "command": "overview"}\n' * 1_000)
            assert sent < 50_000_000
            for _ in range(20):
                assert served.answers()
        assert served.is_well()


def test_who_leaves_in_the_middle_of_an_answer_leaves_nothing_behind() -> None:
    with _serving() as served:
        before = _descriptors()
        for number in range(100):
            with closing(served.raw()) as raw:
                raw.sendall(b'{"v": 1, "command": "overview"}\n')
                if number % 2:
                    raw.recv(10)
        assert served.is_well()
        assert _eventually(lambda: _descriptors() <= before)


def test_two_thousand_connections_leave_room_for_the_next() -> None:
    with _serving() as served:
        before = _descriptors()
        held: list[socket.socket] = []
        for number in range(2_000):
            raw = served.raw()
            if number % 4 == 0:
                raw.close()
                continue
            held.append(raw)
            if len(held) > 100:
                held.pop(0).close()
        assert len([one for one in held if _is_served(one)]) <= control.MAX_CONNECTIONS
        for raw in held:
            raw.close()
        assert served.is_well()
        assert _eventually(lambda: _descriptors() <= before)


def _is_served(raw: socket.socket) -> bool:
    try:
        raw.sendall(_HELLO)
        return b'"ok":true' in (_line(raw) or b"")
    except (BrokenPipeError, ConnectionResetError):
        return False


def test_many_who_ask_at_once_are_all_answered_or_told_to_come_again() -> None:
    with _serving() as served:
        answered: list[str] = []

        def ask() -> None:
            for _ in range(20):
                try:
                    with served.client() as client:
                        client.call("overview")
                        answered.append("answered")
                except NotReachable as busy:
                    answered.append("busy" if "connections are open" in str(busy) else str(busy))

        threads = [threading.Thread(target=ask) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert len(answered) == 600
        assert set(answered) <= {"answered", "busy"}, set(answered)
        assert served.is_well()


_STARVED = """
import os, resource, sys, time, upright
from upright.control_client import ControlClient, Found
from pathlib import Path
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
tree = upright.boot({"control": {"path": sys.argv[1]}})
held = []
print("ready", flush=True)
for line in sys.stdin:
    if line == "starve\\n":
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
    else:
        for one in held:
            os.close(one)
        held.clear()
    print(tree.call("x", lambda: 5).value, tree.status().state, flush=True)
restarts = {one.name: one.restarts for one in tree.parts.directory.walk() if one.restarts}
tree.stop()
print(restarts, flush=True)
"""


def test_a_process_without_a_descriptor_left_answers_when_it_has_one_again() -> None:
    with tempfile.TemporaryDirectory(prefix="upr") as folder:
        path = Path(folder, "c.sock")
        with subprocess.Popen(
            [sys.executable, "-c", _STARVED, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            with ControlClient(Found(None, None, path), timeout=PATIENCE) as early:
                early.call("hello")  # so that it was accepted, and not only connected
                process.stdin.write("starve\n")
                process.stdin.flush()
                assert process.stdout.readline() == "5 running\n"
                waiting = [ControlClient(Found(None, None, path), timeout=0.01) for _ in range(5)]
                assert early.call("status")["state"] == "running"
                for client in waiting:
                    with pytest.raises(NotReachable, match="did not answer"):
                        client.call("hello")
                    client.close()
                process.stdin.write("recover\n")
                process.stdin.flush()
                assert process.stdout.readline() == "5 running\n"
                with ControlClient(Found(None, None, path), timeout=PATIENCE) as late:
                    assert late.call("status")["state"] == "running"
            rest, _ = process.communicate(timeout=PATIENCE)
            assert rest == "{}\n"


# What may answer.

ODD_RESULTS: list[Any] = [None, 5, "text", [], [5], {}, {"tree": 5}, {"tree": {"name": []}, "circuits": "x"}]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\n",
        b"\xff\xfe\n",
        b"[1]\n",
        b"null\n",
        b'{"ok": true}\n',
        b'{"ok": false}\n',
        b'{"ok": false, "error": 5}\n',
        b'{"ok": false, "error": {"kind": [], "message": {}}}\n',
        b"[" * 100_000 + b"\n",
        b'{"ok": true, "result": ' + b"[" * 100_000 + b"\n",
        b'{"ok": true, "result": ' + b"9" * 5_000 + b"}\n",
        b"x" * 20_000_000,
    ],
    ids=lambda given: f"{given[:30]!r} {len(given)}",
)
def test_a_client_says_that_an_answer_is_none(answer: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="upr") as folder, closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(path := f"{folder}/c.sock")
        listening.listen()

        def serve() -> None:
            accepted, _ = listening.accept()
            with closing(accepted), suppress(OSError):
                accepted.recv(65_536)
                accepted.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        try:
            with ControlClient(Found(None, None, Path(path)), timeout=PATIENCE) as client:
                with pytest.raises((NotReachable, CommandRefused)) as caught:
                    client.call("status")
                assert len(str(caught.value)) < 1_000
        finally:
            server.join()


@pytest.mark.parametrize("command", ["status", "history", "flags", "breaker", "doctor", "config"])
@pytest.mark.parametrize("result", ODD_RESULTS, ids=repr)
def test_an_answer_of_another_version_is_said_to_be_one(command: str, result: Any) -> None:
    with tempfile.TemporaryDirectory(prefix="upr") as folder, closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(path := f"{folder}/c.sock")
        listening.listen()
        stopped = threading.Event()

        def serve() -> None:
            while not stopped.is_set():
                accepted, _ = listening.accept()
                with closing(accepted), suppress(OSError):
                    while accepted.recv(65_536):
                        accepted.sendall(json.dumps({"v": 1, "id": 1, "ok": True, "result": result}).encode() + b"\n")

        server = threading.Thread(target=serve)
        server.start()
        try:
            done = CliRunner().invoke(app, [command, "--socket", path])
        finally:
            stopped.set()
            with closing(socket.socket(socket.AF_UNIX)) as last:
                last.connect(path)
            server.join()
        assert isinstance(done.exception, SystemExit | None), done.exception
        assert done.exit_code in {0, 1, 2, 4}
