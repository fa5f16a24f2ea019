"""Nesting, and numbers of thousands of digits, came out of boot() as RecursionError and ValueError, without a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from upright.config import load_config
from upright.flags import FlagSet
from upright.settings.problems import SettingsError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "content",
    [
        b"x = " + b"[" * 10_000,
        b".".join([b"a"] * 5_000) + b" = 1",
        b"[healing]\ntimeout = " + b"1" * 5_000,
        b"[healing]\ntimeout = 0x" + b"1" * 5_000,
    ],
    ids=["nested", "a key of many parts", "digits", "hex digits"],
)
def test_a_settings_file_is_refused_by_its_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "upright.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=r"upright\.toml"):
        load_config(environ={}, cwd=tmp_path)


def test_a_flags_file_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "flags.json").write_bytes(b"[" * 100_000)
    with pytest.raises(SettingsError, match=r"flags\.json"):
        FlagSet().reload(tmp_path / "flags.json")
