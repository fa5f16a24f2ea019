"""What gets installed: everything under `upright`, and nothing beside it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("actors", "strategies", "supervisors")
LINKS = {**{f"upright/{room}": room for room in ROOMS}, "upright/demo/tutoring_service": "examples/tutoring_service"}
NOT_SHIPPED = shutil.ignore_patterns(
    ".*", "__pycache__", "*.egg-info", "build", "dist", "node_modules", "site", "*.pyc"
)

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="session")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the sdist, and with the wheel that was built from that sdist."""
    source = tmp_path_factory.mktemp("source") / "upright"
    shutil.copytree(ROOT, source, symlinks=True, ignore=NOT_SHIPPED)
    out = tmp_path_factory.mktemp("dist")
    isolation = [] if int(version("setuptools").split(".")[0]) < 77 else ["--no-isolation"]
    done = subprocess.run(
        [sys.executable, "-m", "build", *isolation, "--outdir", str(out), str(source)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return out


@pytest.fixture(scope="session")
def wheel(built: Path) -> list[str]:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        return archive.namelist()


@pytest.fixture(scope="session")
def sdist(built: Path) -> list[str]:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        return [name.split("/", 1)[1] for name in archive.getnames() if "/" in name]


def _folders() -> set[str]:
    """Every folder of ours that holds a module, as the package that it is to be."""
    found = set()
    for room in ("upright", *ROOMS):
        for path in (ROOT / room).rglob("*.py"):
            parts = path.relative_to(ROOT).parts[:-1]
            if any("/".join(parts).startswith(link) for link in LINKS):
                continue  # reached through the link, and found in its own place
            if "__pycache__" not in parts:
                found.add(".".join(parts if parts[0] == "upright" else ("upright", *parts)))
    return found | {"upright.demo.tutoring_service"}


def test_the_package_list_equals_the_folders(project: dict[str, Any]) -> None:
    assert set(project["tool"]["setuptools"]["packages"]) == _folders()


def test_the_package_list_is_sorted(project: dict[str, Any]) -> None:
    listed = project["tool"]["setuptools"]["packages"]
    assert listed == sorted(listed)


def test_nothing_but_upright_is_installed_at_the_top(wheel: list[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    assert tops == {"upright", next(top for top in tops if top.endswith(".dist-info"))}


def test_every_module_is_in_the_wheel(wheel: list[str]) -> None:
    expected = set()
    for room in ("upright", *ROOMS):
        for path in (ROOT / room).rglob("*.py"):
            relative = path.relative_to(ROOT)
            if any(str(relative).startswith(f"{link}/") for link in LINKS):
                continue
            expected.add(str(relative) if room == "upright" else f"upright/{relative}")
    example = "upright/demo/tutoring_service"
    expected |= {f"{example}/{path.name}" for path in (ROOT / LINKS[example]).iterdir() if path.is_file()}
    assert expected <= set(wheel)


def test_the_wheel_is_typed_and_licensed(wheel: list[str]) -> None:
    assert "upright/py.typed" in wheel
    assert any(name.endswith("LICENSE") for name in wheel)


def test_the_tests_are_in_the_sdist_and_not_in_the_wheel(wheel: list[str], sdist: list[str]) -> None:
    assert "tests/conftest.py" in sdist
    assert "pyproject.toml" in sdist
    assert not [name for name in wheel if "tests/" in name or "benchmarks/" in name]


def test_every_module_of_the_wheel_can_be_imported_elsewhere(built: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        archive.extractall(site)
    code = (
        "import importlib, pathlib, sys\n"
        "site = pathlib.Path(sys.argv[1])\n"
        # The checkout is installed editable by a finder; without it only the wheel can answer.
        "sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in getattr(f, '__module__', '') + repr(f)]\n"
        "sys.path.insert(0, str(site))\n"
        "names = []\n"
        "for path in sorted(site.rglob('*.py')):\n"
        "    parts = path.relative_to(site).with_suffix('').parts\n"
        "    names.append('.'.join(parts[:-1] if parts[-1] == '__init__' else parts))\n"
        "for name in names:\n"
        "    if name.endswith('__main__'):\n"
        "        continue\n"
        "    module = importlib.import_module(name)\n"
        "    assert str(site) in (module.__file__ or ''), (name, module.__file__)\n"
        "print(len(names))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(site)], capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[-1]) > 40


def test_the_links_point_to_the_rooms() -> None:
    # They serve type checkers, editors and a clone that was not installed.
    for place, target in LINKS.items():
        link = ROOT / place
        assert not link.is_symlink() or link.resolve() == ROOT / target


def test_the_version_is_said_once(project: dict[str, Any]) -> None:
    import upright

    assert upright.__version__ == project["project"]["version"]
