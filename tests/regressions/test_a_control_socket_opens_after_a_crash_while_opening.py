"""A crash's exception kept the listening socket open, and the next incarnations took it for another process's."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

import upright
from upright.actors.control_link import Link

if TYPE_CHECKING:
    from pathlib import Path

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
