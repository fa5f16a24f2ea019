"""Imports run one way: upright -> supervisors -> actors -> strategies."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
ROOMS = ["upright", "supervisors", "actors", "strategies"]  # from the top
LINKS = {"actors", "strategies", "supervisors"}


def _modules(room: str) -> list[Path]:
    folder = ROOT / room
    found = [
        path for path in folder.rglob("*.py") if not (room == "upright" and path.relative_to(folder).parts[0] in LINKS)
    ]
    assert found
    return sorted(found)


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, at its top, in its functions, or for its types only."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: import by full name, not relatively"
            assert node.module is not None
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def _room_of(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] != "upright":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in LINKS else "upright"


def _where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_itself_and_from_rooms_below(room: str) -> None:
    allowed = set(ROOMS[ROOMS.index(room) :])
    upward = [
        f"{_where(path, line)} imports {module}"
        for path in _modules(room)
        for line, module in _imports(path)
        if _room_of(module) is not None and _room_of(module) not in allowed
    ]
    assert upward == []


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_is_imported_by_its_bare_name(room: str) -> None:
    bare = [
        f"{_where(path, line)} imports {module}"
        for path in _modules(room)
        for line, module in _imports(path)
        if module.split(".")[0] in LINKS
    ]
    assert bare == []


def test_strategies_know_no_actor_and_no_pykka() -> None:
    known = [
        f"{_where(path, line)} imports {module}"
        for path in _modules("strategies")
        for line, module in _imports(path)
        if module.split(".")[0] == "pykka"
    ]
    assert known == []


def test_what_decides_in_strategies_knows_no_thread() -> None:
    # healing/ and fallback/ hold what is carried out by workers: reaching a server takes what it takes.
    known = [
        f"{_where(path, line)} imports {module}"
        for path in _modules("strategies")
        if path.parent.name not in {"healing", "fallback"}
        for line, module in _imports(path)
        if module.split(".")[0] in {"threading", "_thread", "concurrent", "multiprocessing"}
    ]
    assert known == []


@pytest.mark.parametrize("room", ROOMS)
def test_modules_are_named_by_their_full_name_from_where_they_are_defined(room: str) -> None:
    """The face of a room is for users: inside, `from upright.actors import X` would hide where X is."""
    through_a_face = [
        f"{_where(path, line)} imports {module}"
        for path in _modules(room)
        if path.name != "__init__.py" and not {"testing", "demo", "cli"} & set(path.parts)
        for line, module in _imports(path)
        if module.startswith("upright.")
        and module.split(".")[1] in LINKS
        and len(module.split(".")) == 3
        and not (ROOT / module.split(".")[1] / f"{module.split('.')[2]}.py").exists()
        and not (ROOT / module.split(".")[1] / module.split(".")[2]).is_dir()
    ]
    assert through_a_face == []
