"""The pytest plugin, in the pytest of somebody else: there by entry point, and harmless when it is not used."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

APPLICATION = """
import upright

@upright.protect("price", resource="shop")
def price():
    return 42
"""

TESTS = """
import pytest, sentry_sdk, upright
from shop import price

def test_bare():
    assert upright.default_tree() is None
    assert price() == 42

def test_two_failures_are_outlived(upright_tree, inject):
    with inject("price", "API_UNAVAILABLE", times=2) as fault:
        assert price() == 42
    assert fault.faults == 2 and upright.default_tree() is upright_tree

def test_an_injection_left_open(upright_tree, inject):
    inject("price", ConnectionError("left open"))
    with pytest.raises(ConnectionError):
        price()

def test_and_all_of_it_is_gone_again():
    assert upright.default_tree() is None
    assert price() == 42

def test_sentry(upright_tree, sentry_recorder):
    sentry_sdk.capture_message("hello")
    assert sentry_recorder.wait_for(1)[0]["message"] == "hello"

class TestOwnConfiguration:
    @pytest.fixture
    def upright_config(self):
        return {"control": {"enabled": False}, "flags": {"self_healing": False, "error_predictor": False}}

    def test_it(self, upright_tree):
        assert upright_tree.flags["self_healing"] is False
"""


def _pytest(folder: Path, *options: str, code: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"{code}\nimport sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"]
    return subprocess.run(
        [*command, "-q", "-p", "no:cacheprovider", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_plugin_is_registered_by_entry_point() -> None:
    assert [found.value for found in entry_points(group="pytest11", name="upright")] == ["upright.testing.plugin"]


def test_an_application_has_the_fixtures_without_any_setting(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APPLICATION)
    (tmp_path / "test_shop.py").write_text(TESTS)
    done = _pytest(tmp_path, "-W", "error")
    assert "6 passed" in done.stdout, done.stdout + done.stderr


def test_it_loads_nothing_where_no_fixture_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n"
        "def test_other():\n"
        "    heavy = {'pykka', 'structlog', 'sentry_sdk', 'psutil', 'tenacity', 'upright.tree', 'upright.actors'}\n"
        "    assert not heavy & set(sys.modules)\n"
        "    assert 'upright.testing.plugin' in sys.modules\n"
    )
    done = _pytest(tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text("def test_it(upright_tree): ...")
    done = _pytest(tmp_path, "-p", "no:upright")
    assert "fixture 'upright_tree' not found" in done.stdout


def test_its_fixtures_are_listed_with_what_they_are_for(tmp_path: Path) -> None:
    done = _pytest(tmp_path, "--fixtures")
    for name in ("inject", "sentry_recorder", "upright_config", "upright_tree"):
        assert f"{name} -- " in done.stdout, done.stdout
