"""The documentation of the configuration says what is so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from upright.actors.control_wire import plain
from upright.cli.app import app
from upright.commands import commands_for
from upright.config import Config, explain, load_config

DOCS = Path(__file__).parents[2] / "docs"


def test_every_setting_is_listed_with_its_default() -> None:
    text = (DOCS / "configuration.md").read_text()
    listed = dict(re.findall(r"^\| `([\w.]+)` \| (\S+) \|", text, re.MULTILINE))
    assert list(listed) == [row.path for row in explain(Config())]
    for row in explain(Config()):
        assert listed[row.path] == _as_listed(row.value), row.path


def _as_listed(value: Any) -> str:
    value = plain(value)
    if value is None:
        return "off"
    if value == []:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) or '""'


@pytest.mark.parametrize("name", ["configuration.md", "flags.md"])
def test_the_examples_in_toml_are_accepted(name: str, tmp_path: Path) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (DOCS / name).read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        load_config(tomllib.loads(block), environ={}, cwd=tmp_path)


def test_the_example_of_a_flags_file_is_accepted(tmp_path: Path) -> None:
    (block,) = re.findall(r"```json\n(.*?)```", (DOCS / "flags.md").read_text(), re.DOTALL)
    (tmp_path / "feature-flags.json").write_text(block)
    assert load_config(environ={}, cwd=tmp_path).flags.self_healing is False


def test_the_commands_of_terminal_and_socket_are_listed() -> None:
    text = (DOCS / "operating.md").read_text()
    terminal = {found.split()[0] for found in re.findall(r"^\| `upright ([\w ]+)", text, re.MULTILINE)}
    assert terminal == set(app.list_commands(None))  # type: ignore[arg-type]
    table = text[text.index("| Command | Arguments") :]
    socket = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))))
    assert socket == {*commands_for(None), "hello"}  # type: ignore[arg-type]
