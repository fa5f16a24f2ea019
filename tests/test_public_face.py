"""What the faces promise is there, and looking at them costs nothing."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import upright

FACES = ["upright.actors", "upright.strategies.healing", "upright.supervisors", "upright.testing"]


@pytest.mark.parametrize("face", FACES)
def test_a_room_exports_what_its_all_says_each_name_once(face: str) -> None:
    module = importlib.import_module(face)
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None


@pytest.mark.parametrize("name", sorted(upright.__all__))
def test_the_face_exports_what_its_all_says(name: str) -> None:
    assert getattr(upright, name) is not None


def test_the_names_of_the_face_are_sorted_and_all_have_a_home() -> None:
    assert upright.__all__ == sorted(upright.__all__)
    assert set(upright.__all__) == set(upright._HOMES)
    assert dir(upright) == upright.__all__


@pytest.mark.parametrize("face", [*FACES, "upright"])
def test_no_name_that_is_loaded_lazily_is_that_of_a_module_beside_it(face: str) -> None:
    # Importing that module would put it in the place of the name.
    folder = Path(str(importlib.import_module(face).__file__)).parent
    lazy = getattr(importlib.import_module(face), "_HOMES", {})
    assert not [name for name in lazy if (folder / f"{name}.py").exists() or (folder / name).is_dir()]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'upright' has no attribute 'supervize'"):
        _ = upright.supervize


@pytest.mark.parametrize("face", [*FACES, "upright"])
def test_everything_exported_is_documented(face: str) -> None:
    module = importlib.import_module(face)
    bare = [
        name
        for name in module.__all__
        if (inspect.isclass(getattr(module, name)) or inspect.isfunction(getattr(module, name)))
        and not (getattr(module, name).__doc__ or "").strip()
    ]
    assert bare == []


def _in_a_new_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def test_import_upright_loads_no_dependency_and_starts_no_thread() -> None:
    code = (
        "import sys, threading, logging; import upright;"
        "heavy = {'pykka', 'structlog', 'sentry_sdk', 'psutil', 'tenacity', 'asyncio', 'click', 'rich', 'textual'};"
        "print(sorted(heavy & set(sys.modules)), threading.active_count(), logging.getLogger().handlers)"
    )
    assert _in_a_new_process(code) == "[] 1 []"


@pytest.mark.parametrize("module", ["upright.actors", "upright.supervisors", "upright.booting", "upright.tree"])
def test_no_import_starts_a_thread_or_configures_a_log(module: str) -> None:
    code = (
        f"import {module}, threading, logging, structlog;"
        "print(threading.active_count(), logging.getLogger().handlers, structlog.is_configured())"
    )
    assert _in_a_new_process(code) == "1 [] False"


def test_the_type_checker_sees_every_name_that_is_loaded_lazily() -> None:
    import ast

    assert upright.__file__ is not None
    tree = ast.parse(Path(upright.__file__).read_text())
    seen = {
        alias.name: node.module
        for branch in tree.body
        if isinstance(branch, ast.If)
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == upright._HOMES
