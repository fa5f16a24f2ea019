"""The control socket: who gets in, what is answered, and what survives."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.actors import control, control_link
from upright.actors.control import ControlServer
from upright.actors.control_wire import MAX_ANSWER, MAX_REQUEST, Refused, answer, parse, plain
from upright.actors.runtime_dir import (
    RuntimeDirError,
    make_private,
    remove_stale,
    runtime_dirs,
    socket_files,
    socket_name,
)
from upright.control_client import (
    Ambiguous,
    CommandRefused,
    ControlClient,
    ControlError,
    NotFound,
    NotReachable,
    find,
    find_all,
)
from upright.strategies.errors import ConfigError
from upright.supervisors import ChildSpec, Supervisor, status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from upright.actors.address import Address
    from upright.supervisors.status import NodeStatus


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime directory of the test's own, with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="upr") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        # Trees of the same user that happen to run are in /tmp, and not to be found.
        monkeypatch.setattr("upright.control_client.runtime_dirs", lambda *_: [Path(folder) / "upright"])
        yield Path(folder) / "upright"


def refuse() -> None:
    raise ConfigError("flags", "x", "one of a, b")


def fail() -> None:
    raise OSError("postgresql://app:s3cret-pass@db/orders is gone")


def crash() -> None:
    raise SystemExit(3)


class Tree:
    """A supervisor with a control server, and what else a test needs."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.commands: dict[str, Callable[..., Any]] = {
            "add": lambda a, b=1: a + b,
            "refuse": refuse,
            "fail": fail,
            "crash": crash,
            "hang": self.go_on.wait,
            "big": lambda size: "x" * size,
        }
        self.supervisors: list[Address[Any]] = []

    def start(self, name: str = "upright", **options: Any) -> Address[Any]:
        hang_timeout = options.pop("hang_timeout", None)
        spec = ChildSpec(
            "control", ControlServer, (self.commands,), {"name": name, **options}, hang_timeout=hang_timeout
        )
        supervisor = Supervisor.start([spec], intensity=5)
        self.supervisors.append(supervisor)
        return supervisor

    def stop(self) -> None:
        self.go_on.set()
        for supervisor in self.supervisors:
            supervisor.stop()


@pytest.fixture
def tree() -> Iterator[Tree]:
    made = Tree()
    yield made
    made.stop()


def connect(**options: Any) -> ControlClient:
    return ControlClient(find(os.getpid()), **options)


def node(supervisor: Address[Any]) -> NodeStatus:
    return status(supervisor).children[0]


def eventually(condition: Callable[[], Any], seconds: float = 5.0) -> bool:
    deadline, tick = monotonic() + seconds, threading.Event()
    while not condition():
        if monotonic() > deadline:
            return False
        tick.wait(0.005)
    return True


def talk(path: Path, *lines: bytes) -> list[Any]:
    """Send raw lines and return the answers until the connection is closed or none comes."""
    with closing(socket.socket(socket.AF_UNIX)) as raw:
        raw.settimeout(5)
        raw.connect(str(path))
        try:
            raw.sendall(b"".join(lines))
            raw.shutdown(socket.SHUT_WR)
        except BrokenPipeError:
            pass
        data = b""
        while chunk := raw.recv(65536):
            data += chunk
            if data.count(b"\n") == len(lines):
                break
    return [json.loads(line) for line in data.splitlines()]


# Asking


def test_a_command_is_answered_with_its_result(tree: Tree) -> None:
    tree.start()
    with connect() as client:
        assert client.call("add", a=2, b=3) == 5
        assert client.call("add", a=2) == 3


def test_hello_says_who_answers_and_what_can_be_asked(tree: Tree) -> None:
    tree.start("orders")
    with connect() as client:
        hello = client.call("hello")
    assert (hello["pid"], hello["name"], hello["protocol"]) == (os.getpid(), "orders", 1)
    assert set(hello["commands"]) == {*tree.commands, "hello"}


@pytest.mark.parametrize(
    ("command", "args", "kind", "text"),
    [
        ("nothing", {}, "unknown_command", "there are add, big"),
        ("add", {}, "bad_request", "missing a required argument: 'a'"),
        ("add", {"a": 1, "c": 2}, "bad_request", "unexpected keyword argument 'c'"),
        ("refuse", {}, "refused", "flags must be one of a, b"),
        ("add", {"a": 1, "b": "x"}, "refused", "unsupported operand"),
        ("fail", {}, "failed", "OSError"),
        ("big", {"size": MAX_ANSWER}, "too_large", "ask for less"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_reason(
    tree: Tree, command: str, args: Any, kind: str, text: str
) -> None:
    supervisor = tree.start()
    with connect() as client:
        with pytest.raises(CommandRefused, match=text) as caught:
            client.call(command, **args)
        assert caught.value.kind == kind
        assert client.call("add", a=1) == 2
    assert node(supervisor).restarts == 0


def test_secrets_in_the_text_of_an_error_do_not_leave(tree: Tree) -> None:
    tree.start()
    with connect() as client, pytest.raises(CommandRefused) as caught:
        client.call("fail")
    assert "s3cret-pass" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"\n", "bad_request"),
        (b"not json\n", "bad_request"),
        (b"[1]\n", "bad_request"),
        (b"\xff\xfe\n", "bad_request"),
        (b'{"v": 1}\n', "bad_request"),
        (b'{"v": 1, "command": "add", "args": 3}\n', "bad_request"),
        (b'{"v": 2, "command": "add"}\n', "version"),
        (b'{"command": "add"}\n', "version"),
        (b"[" * 60_000 + b"\n", "bad_request"),
        (b"x" * (MAX_REQUEST + 1) + b"\n", "too_large"),
        (b"x" * MAX_REQUEST, "too_large"),
    ],
)
def test_a_line_that_is_no_request_is_refused(tree: Tree, line: bytes, kind: str) -> None:
    supervisor = tree.start()
    (refusal,) = talk(find(os.getpid()).path, line)
    assert refusal["error"]["kind"] == kind
    with connect() as client:
        assert client.call("add", a=1) == 2
    assert node(supervisor).restarts == 0


def test_requests_sent_together_are_answered_in_order_with_their_ids(tree: Tree) -> None:
    tree.start()
    lines = [
        json.dumps({"v": 1, "id": number, "command": "add", "args": {"a": number}}).encode() + b"\n"
        for number in range(300)
    ]
    answers = talk(find(os.getpid()).path, *lines)
    assert [(one["id"], one["result"]) for one in answers] == [(number, number + 1) for number in range(300)]


def test_a_long_answer_arrives_whole(tree: Tree) -> None:
    tree.start()
    with connect() as client:
        assert client.call("big", size=5_000_000) == "x" * 5_000_000


# Who gets in


def test_the_socket_and_its_folder_are_closed_to_others(tree: Tree, runtime: Path) -> None:
    old = os.umask(0)
    try:
        tree.start()
    finally:
        os.umask(old)
    assert stat.S_IMODE(runtime.stat().st_mode) == 0o700
    assert stat.S_IMODE(find(os.getpid()).path.stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_is_refused_even_if_the_modes_let_him_in(tree: Tree, runtime: Path) -> None:
    tree.start()
    path = find(os.getpid()).path
    for folder in (runtime.parent, runtime):
        folder.chmod(0o755)
    path.chmod(0o666)
    script = (
        "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        "print(s.recv(9999).decode())"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["error"]["kind"] == "forbidden"


def test_the_user_at_the_other_end_is_known() -> None:
    here, there = socket.socketpair()
    with here, there:
        assert control_link.peer_uid(here) == os.geteuid()


@pytest.mark.parametrize("prepare", ["open", "link", "file"])
def test_a_folder_that_is_not_safe_is_not_used(tmp_path: Path, prepare: str) -> None:
    folder = tmp_path / "upright"
    if prepare == "open":
        folder.mkdir(mode=0o755)
    elif prepare == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.touch()
    with pytest.raises(RuntimeDirError, match=r"chmod 700|not a folder|cannot make"):
        make_private(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of somebody else")
def test_a_folder_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "upright"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    with pytest.raises(RuntimeDirError, match="belongs to user 65534"):
        make_private(folder)
    assert list(socket_files(folder)) == []


def test_where_xdg_names_a_folder_of_somebody_else_the_fallback_is_used() -> None:
    fallback = Path(f"/tmp/upright-{os.geteuid()}")
    assert runtime_dirs({"XDG_RUNTIME_DIR": "/nonexistent"}) == [fallback]
    assert runtime_dirs({"XDG_RUNTIME_DIR": "relative"}) == [fallback]
    assert runtime_dirs({}) == [fallback]


# Bounds


def test_connections_beyond_the_limit_are_told_so(tree: Tree) -> None:
    tree.start()
    clients = [connect() for _ in range(control.MAX_CONNECTIONS)]
    try:
        for client in clients:
            assert client.call("add", a=1) == 2
        with connect() as one_more, pytest.raises(NotReachable, match="16 connections are open"):
            one_more.call("add", a=1)
    finally:
        for client in clients:
            client.close()
    assert eventually(lambda: _works("add", a=1))


def _works(command: str, **args: Any) -> bool:
    try:
        with connect() as client:
            client.call(command, **args)
    except ControlError:
        return False
    return True


def test_who_comes_while_many_wait_to_be_accepted_waits_as_well(runtime: Path) -> None:
    def accept_first() -> None:
        slow.accept()[0].close()

    with closing(socket.socket(socket.AF_UNIX)) as slow:
        slow.bind(str(path := runtime.parent / "slow.sock"))
        slow.listen(0)
        with closing(socket.socket(socket.AF_UNIX)) as first:
            first.connect(str(path))  # fills the queue
            with pytest.raises(NotReachable, match="does not answer"):
                ControlClient(find(path=path), timeout=0.05)
            later = threading.Timer(0.05, accept_first)
            later.start()
            ControlClient(find(path=path), timeout=5.0).close()
            later.join()


def test_a_silent_connection_is_closed(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_IDLE", 0.05)
    monkeypatch.setattr(control_link, "_TICK", 0.05)
    tree.start()
    with closing(socket.socket(socket.AF_UNIX)) as raw:
        raw.settimeout(5)
        raw.connect(str(find(os.getpid()).path))
        assert raw.recv(1) == b""


def test_a_client_that_does_not_read_its_answer_holds_nobody_up(tree: Tree) -> None:
    tree.start()
    with closing(socket.socket(socket.AF_UNIX)) as deaf:
        deaf.connect(str(find(os.getpid()).path))
        deaf.sendall(b'{"v": 1, "command": "big", "args": {"size": 10000000}}\n')
        assert _works("add", a=1)


# Living and dying


def test_stopping_removes_the_socket_within_a_second_also_with_open_connections(tree: Tree) -> None:
    supervisor = tree.start()
    path = find(os.getpid()).path
    with connect() as client:
        client.call("add", a=1)
        began = monotonic()
        supervisor.stop()
        assert monotonic() - began < 1.0
        assert not path.exists()
        with pytest.raises(NotReachable):
            client.call("add", a=1)
    assert not [one for one in threading.enumerate() if one.name == "upright-control-link"]


@pytest.mark.actor_crash
def test_after_a_crash_the_same_path_answers_again(tree: Tree) -> None:
    supervisor = tree.start()
    path = find(os.getpid()).path
    with connect() as client, pytest.raises(NotReachable, match="closed the connection"):
        client.call("crash")
    assert eventually(lambda: _works("add", a=1))
    assert find(os.getpid()).path == path
    assert node(supervisor).restarts == 1
    assert path.exists()


@pytest.mark.actor_crash
def test_a_command_that_hangs_costs_its_asker_alone(tree: Tree) -> None:
    supervisor = tree.start(hang_timeout=0.3)
    with connect(timeout=10) as client, pytest.raises(NotReachable, match="closed the connection"):
        client.call("hang")
    assert eventually(lambda: _works("add", a=1))
    assert node(supervisor).restarts == 1
    tree.go_on.set()
    assert eventually(lambda: _links() == 1)


def _links() -> int:
    return sum(one.name == "upright-control-link" for one in threading.enumerate())


@pytest.mark.actor_crash
def test_an_error_in_the_thread_behind_the_socket_restarts_both(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    accept = control_link.Link._accept
    broken = [True]

    def fail_once(link: control_link.Link) -> None:
        if broken:
            broken.clear()
            raise RuntimeError("broken")
        accept(link)

    supervisor = tree.start()
    monkeypatch.setattr(control_link.Link, "_accept", fail_once)
    _works("add", a=1)
    assert eventually(lambda: node(supervisor).restarts == 1)
    assert eventually(lambda: _works("add", a=1))
    assert "LinkFailed" in str(node(supervisor).last_exit)


def test_trees_of_one_name_in_one_process_have_sockets_of_their_own(tree: Tree) -> None:
    first, second = tree.start(), tree.start()
    assert [one.name for one in find_all()] == ["upright", "upright-2"]
    with pytest.raises(Ambiguous, match="--name upright-2"):
        find(os.getpid())
    first.stop()
    assert find(os.getpid()).name == "upright-2"
    second.stop()
    with pytest.raises(NotFound, match="no upright tree"):
        find(os.getpid())


def test_sockets_of_processes_that_are_gone_are_removed(tree: Tree, runtime: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    make_private(runtime)
    stale = runtime / socket_name("upright", int(gone.stdout))
    with closing(socket.socket(socket.AF_UNIX)) as raw:
        raw.bind(str(stale))
    tree.start()
    assert not stale.exists()


def test_a_socket_that_answers_is_not_stale_whatever_its_process_id(runtime: Path) -> None:
    make_private(runtime)
    path = runtime / socket_name("upright", 2**22 + 1)  # no process has such an id, as in another pid namespace
    with closing(socket.socket(socket.AF_UNIX)) as raw:
        raw.bind(str(path))
        raw.listen()
        assert remove_stale(runtime) == []
    assert remove_stale(runtime) == [path]


def test_a_socket_that_was_removed_is_made_anew(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_CHECK_EVERY", 0.02)
    tree.start()
    path = find(os.getpid()).path
    path.unlink()
    assert eventually(path.exists)
    assert eventually(lambda: _works("add", a=1))


def test_without_a_safe_folder_the_tree_runs_and_says_what_is_wrong(
    tree: Tree, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_CHECK_EVERY", 0.02)
    runtime.mkdir(mode=0o755)
    monkeypatch.setattr(control, "runtime_dirs", lambda _: [runtime])
    supervisor = tree.start()
    assert "chmod 700" in node(supervisor).details["unavailable"]
    runtime.chmod(0o700)
    assert eventually(lambda: _works("add", a=1))
    assert node(supervisor).details["socket"].startswith(str(runtime))


def test_without_unix_sockets_the_tree_runs_and_says_so(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "HAS_UNIX_SOCKETS", False)
    supervisor = tree.start()
    assert "no Unix domain sockets" in node(supervisor).details["unavailable"]
    monkeypatch.setattr("upright.control_client.HAS_UNIX_SOCKETS", False)
    with pytest.raises(NotReachable, match=r"tree\.status\(\)"):
        find()


def test_a_socket_may_be_put_elsewhere(tree: Tree, runtime: Path) -> None:
    path = runtime.parent / "own.sock"
    tree.start(path=str(path))
    with ControlClient(find(path=path)) as client:
        assert client.call("add", a=1) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("what", ["file", "socket", "folder", "missing"])
def test_what_is_in_the_way_of_a_chosen_path_is_not_touched(tree: Tree, runtime: Path, what: str) -> None:
    path = runtime.parent / "own.sock"
    with closing(socket.socket(socket.AF_UNIX)) as raw:
        if what == "file":
            path.write_text("precious")
        elif what == "socket":
            raw.bind(str(path))
            raw.listen()
        elif what == "folder":
            runtime.mkdir()
            runtime.chmod(0o777)
            path = runtime / "own.sock"
        else:
            path = runtime / "missing" / "own.sock"
        supervisor = tree.start(path=str(path))
        why = {"file": "no socket", "socket": "another process", "folder": "go-w", "missing": "cannot use"}[what]
        assert why in node(supervisor).details["unavailable"]
    if what == "file":
        assert path.read_text() == "precious"


def test_a_forked_child_serves_nobody_and_removes_nothing(tree: Tree) -> None:
    tree.start()
    path = find(os.getpid()).path
    pid = os.fork()
    if pid == 0:
        os._exit(0 if not list(control_link._open) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert path.exists()
    assert _works("add", a=1)


# Finding


def test_what_to_do_is_said_where_nothing_is_found() -> None:
    with pytest.raises(NotFound, match="there is no process"):
        find(2**22 - 7)
    with pytest.raises(NotFound, match=r"no upright tree .*`upright doctor`"):
        find(os.getpid())


def test_a_tree_is_found_by_its_name(tree: Tree) -> None:
    tree.start("orders")
    tree.start("mail room")
    assert find(name="orders").name == "orders"
    assert find(name="mail_room").pid == os.getpid()
    with pytest.raises(NotFound, match="no tree is called 'x'; running: mail_room"):
        find(name="x")


def test_a_tree_that_does_not_answer_is_given_up_in_time(runtime: Path) -> None:
    make_private(runtime)
    with closing(socket.socket(socket.AF_UNIX)) as raw:
        raw.bind(str(runtime / socket_name("upright", os.getpid())))
        raw.listen()
        with connect(timeout=0.05) as client, pytest.raises(NotReachable, match=r"within 0\.05 s"):
            client.call("hello")


# The wire


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.integers() | st.text() | st.none(), inner)
            | st.frozensets(st.integers())
            | st.tuples(inner, inner)
        ),
        max_leaves=20,
    )
)
def test_whatever_a_command_returns_becomes_one_line_of_json(value: Any) -> None:
    line = answer(1, value)
    assert line.count(b"\n") == 1
    assert json.loads(line)["result"] == json.loads(json.dumps(plain(value)))


@given(st.binary(max_size=200))
def test_whatever_is_sent_is_parsed_or_refused(line: bytes) -> None:
    try:
        _, command, args = parse(line)
    except Refused:
        return
    assert isinstance(command, str)
    assert isinstance(args, dict)


def test_what_contains_itself_is_cut_off() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert answer(1, loop)
