"""How a process with a running tree ends: on Ctrl-C, at interpreter exit, in order and within a bounded time."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from textwrap import dedent

PRELUDE = """
    import sys, time, threading
    from upright.actors import SupervisedActor
    from upright.supervisors import ChildSpec, Supervisor, which_child

    class Worker(SupervisedActor):
        def __init__(self, name):
            super().__init__()
            self.name = name
        def on_receive(self, message):
            if message == "block":
                time.sleep(60)
            while message == "spin":
                pass
        def on_stop(self):
            print("stopped", self.name, flush=True)
"""


def _run(body: str) -> subprocess.Popen[str]:
    code = dedent(PRELUDE) + dedent(body)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _finish(process: subprocess.Popen[str], within: float) -> tuple[str, str, float]:
    started = time.monotonic()
    try:
        out, err = process.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return out, err, time.monotonic() - started


def test_a_tree_that_is_still_up_at_exit_is_stopped_newest_child_first() -> None:
    process = _run("""
        top = Supervisor.start([ChildSpec(n, Worker, args=(n,)) for n in "abc"])
        print("main ends", flush=True)
    """)
    out, err, _ = _finish(process, within=20)
    assert out.split("\n")[:4] == ["main ends", "stopped c", "stopped b", "stopped a"]
    assert (process.returncode, err) == (0, "")


def test_of_several_trees_the_newest_is_stopped_first() -> None:
    process = _run("""
        trees = [Supervisor.start([ChildSpec(n, Worker, args=(n,))]) for n in "abcdefgh"]
    """)
    out, _, _ = _finish(process, within=20)
    assert out.split() == [word for n in "hgfedcba" for word in ("stopped", n)]


def test_ctrl_c_ends_the_process_and_stops_the_tree() -> None:
    process = _run("""
        top = Supervisor.start([ChildSpec("a", Worker, args=("a",))])
        print("up", flush=True)
        threading.Event().wait(60)
    """)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGINT)
    out, err, took = _finish(process, within=20)
    assert took < 10
    assert out == "stopped a\n"
    assert "KeyboardInterrupt" in err


def test_ctrl_c_gets_through_to_one_who_waits_for_an_answer() -> None:
    process = _run("""
        top = Supervisor.start([ChildSpec("a", Worker, args=("a",), shutdown=0.1)])
        print("up", flush=True)
        which_child(top, "a").address.ask("block")
    """)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    time.sleep(0.2)  # it may not have begun to wait yet; then the signal only comes a little early
    process.send_signal(signal.SIGINT)
    _, err, took = _finish(process, within=20)
    assert took < 10
    assert "KeyboardInterrupt" in err


def test_an_exit_takes_a_bounded_time_even_if_a_child_cannot_be_stopped() -> None:
    process = _run("""
        top = Supervisor.start([ChildSpec("a", Worker, args=("a",), shutdown=30.0)])
        which_child(top, "a").address.tell("block")
        time.sleep(0.1)
    """)
    _, _, took = _finish(process, within=25)
    assert took < 15


def test_a_child_that_spins_is_killed_at_exit() -> None:
    process = _run("""
        top = Supervisor.start([ChildSpec("a", Worker, args=("a",), shutdown=0.1)])
        which_child(top, "a").address.tell("spin")
        time.sleep(0.1)
    """)
    _, err, took = _finish(process, within=25)
    assert took < 10
    assert "Traceback" not in err or "child_shutdown_error" in err


def test_an_actor_without_a_supervisor_does_not_keep_the_process_alive() -> None:
    process = _run("""
        Worker.start("a").tell("block")
        print("main ends", flush=True)
    """)
    out, _, took = _finish(process, within=20)
    assert out == "main ends\n"
    assert took < 10
