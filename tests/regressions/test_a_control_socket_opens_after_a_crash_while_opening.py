"""A crash's exception kept the listening socket open, and the next incarnations took it for another process's."""

from __future__ import annotations

import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

import upright
from upright.actors import control
from upright.actors.control_link import Link
from upright.actors.runtime_dir import is_listening

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

pytestmark = pytest.mark.actor_crash


def test_the_socket_answers_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "control.sock"
    with upright.boot({"control": {"path": str(path)}}) as tree:
        start, left, opened = Link.start, [True], threading.Event()

        def crashing(link: Any) -> None:
            if left:
                left.pop()
                raise MemoryError("no thread")
            start(link)
            opened.set()

        monkeypatch.setattr(Link, "start", crashing)
        tree["control"].stop(block=False)
        assert opened.wait(10.0)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b'{"v": 1, "id": 1, "command": "hello"}\n')
            assert b'"ok":true' in client.recv(65_536)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of a socket that is not bound yet
@pytest.mark.skipif(sys.gettrace() is not None, reason="interrupts line by line, as a debugger does")
def test_wherever_opening_it_is_interrupted_nobody_listens(tmp_path: Path) -> None:
    """In a thread of its own: what else runs here, at exit or in another test, is not to be interrupted by mistake."""
    listens_at = []
    code = control._listen.__code__
    lines = sorted({line for *_, line in code.co_lines() if line is not None} - {code.co_firstlineno})
    for at in lines:

        def interrupt(frame: FrameType, _event: str, _: Any, at: int = at) -> Any:
            if frame.f_code is not code:
                return None
            if frame.f_lineno == at:
                raise KeyboardInterrupt
            return interrupt

        path = tmp_path / f"{at}.sock"
        kept: list[BaseException] = []  # as the reason of an exit is

        def listen(path: Path = path, kept: list[BaseException] = kept, trace: Any = interrupt) -> None:
            sys.settrace(trace)
            try:
                control._listen(path).close()
            except KeyboardInterrupt as error:
                kept.append(error)
            finally:
                sys.settrace(None)

        thread = threading.Thread(target=listen)
        thread.start()
        thread.join()
        if is_listening(path):
            listens_at.append(at)
        kept.clear()
    assert listens_at == []
    assert len(lines) > 10
