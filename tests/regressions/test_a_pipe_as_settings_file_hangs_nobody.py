"""A boot that was given a pipe or a device as its settings file waited for it, or read it, for ever."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from upright.config import load_config
from upright.settings.problems import SettingsError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_pipe_is_refused_unread(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "upright.toml")
    with pytest.raises(SettingsError, match="no regular file"):
        load_config(environ={}, cwd=tmp_path)


def test_a_device_is_refused_unread() -> None:
    with pytest.raises(SettingsError, match="no regular file"):
        load_config("/dev/zero", environ={})


def test_what_was_refused_is_not_left_open(tmp_path: Path) -> None:
    if not os.path.isdir("/proc/self/fd"):  # noqa: PTH112 - a path of the system's
        pytest.skip("needs /proc")
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    for _ in range(3):
        with pytest.raises(SettingsError):
            load_config(tmp_path, environ={})
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208
