"""The settings that the page on the predictor shows are taken."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from upright.config import load_config

PAGE = Path(__file__).parents[1] / "docs" / "predictor.md"


def test_the_settings_of_the_page_are_accepted(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert load_config(tomllib.loads(block), environ={}, cwd=tmp_path).predictor.limits.memory == 0.92
