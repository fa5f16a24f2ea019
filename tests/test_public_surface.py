"""`public_surface.txt` lists every public name with its signature; a change of it is a change to be reviewed.

After a change that is meant: `python -m tests.test_public_surface > public_surface.txt`, and look at the difference.
"""

from __future__ import annotations

import builtins
import collections.abc
import contextlib
import enum
import importlib
import inspect
import pathlib
import re
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
LISTED = ROOT / "public_surface.txt"

FACES = {f"upright{room}" for room in ("", ".actors", ".supervisors", ".testing", ".config", ".flags", ".circuits")} | {
    f"upright.strategies.{room}" for room in ("healing", "fallback", "prediction")
}
OTHERS = {"CollectorRegistry", "MeterProvider", "Metric", "OptExcInfo", "TracerProvider"}
# In signatures of what applications never make themselves, or only hand on.
INTERNAL = {
    "Answer",
    "Child",
    "Lane",
    "Ledger",
    "Monitors",
    "Operation",
    "Parts",
    "Procedure",
    "ShutdownRule",
    "Timers",
}


def documented() -> list[tuple[str, list[str]]]:
    """Return the modules of the reference and their public names, as its pages give them."""
    found: dict[str, list[str]] = {}
    for page in sorted((ROOT / "docs" / "reference").glob("*.md")):
        for target in re.findall(r"^::: ([\w.]+)$", page.read_text(), re.MULTILINE):
            try:
                module = importlib.import_module(target)
            except ModuleNotFoundError:
                home, _, name = target.rpartition(".")
                found.setdefault(home, []).append(name)
            else:
                found[target] = list(module.__all__)
    return sorted(found.items())


def surface() -> Iterator[str]:
    for home, names in documented():
        module = importlib.import_module(home)
        yield f"# {home}"
        for name in sorted(names):
            yield from _described(name, getattr(module, name))
        yield ""


def _described(name: str, value: Any) -> Iterator[str]:
    if not inspect.isclass(value):
        yield f"{name}{_signature(value)}" if callable(value) else f"{name}: {type(value).__name__}"
        return
    bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
    if issubclass(value, enum.Enum):
        yield f"class {name}({bases}): {', '.join(value.__members__)}"
        return
    yield f"class {name}{_signature(value)}" + (f" < {bases}" if bases else "")
    for member in sorted(_members(value)):
        found = inspect.getattr_static(value, member, None)  # None: declared, and set by each object
        if isinstance(found, staticmethod | classmethod):
            found = getattr(value, member)
        if callable(found):
            prefix = "async " if inspect.iscoroutinefunction(found) else ""
            yield f"    {prefix}{member}{_signature(found)}"
        else:
            yield f"    {member}"


def _members(value: type) -> set[str]:
    ours = [base for base in value.__mro__ if base.__module__.startswith("upright")]
    return {
        member
        for base in ours
        for member in {**vars(base), **vars(base).get("__annotations__", {})}
        if not member.startswith("_")
    }


class _Bare(str):
    """A text that is shown without quotes."""

    __slots__ = ()

    __repr__ = str.__str__


def _signature(value: Any) -> str:
    try:
        found = inspect.signature(value)
    except (ValueError, TypeError):
        return "(...)"
    parameters = [
        parameter.replace(annotation=_annotation(parameter.annotation), default=_default(parameter.default))
        for parameter in found.parameters.values()
    ]
    return str(found.replace(parameters=parameters, return_annotation=_annotation(found.return_annotation)))


def _annotation(value: Any) -> Any:
    return _Bare(value) if isinstance(value, str) else value


def _default(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return _Bare(f"{type(value).__name__}.{value.name}")
    if isinstance(value, frozenset):
        return _Bare(f"frozenset({sorted(value)})")
    return _Bare(getattr(value, "__name__", "...")) if " at 0x" in repr(value) else value


def test_the_public_surface_is_what_was_reviewed() -> None:
    listed, found = LISTED.read_text().splitlines(), list(surface())
    gone, new = [line for line in listed if line not in found], [line for line in found if line not in listed]
    assert (gone, new) == ([], []), f"see {Path(__file__).name} for what to do"
    assert listed == found


def test_the_reference_has_every_face() -> None:
    assert {home for home, _ in documented()} >= FACES


def test_every_type_that_the_surface_speaks_of_is_in_it_or_python_s_own() -> None:
    lines = [line for line in surface() if not re.match(r"class \w+\(\w*Enum\)", line)]
    named = {name for _, names in documented() for name in names}
    spoken = {word for line in lines for word in re.findall(r"(?:->|: |\| |\[)\s*([A-Z][a-z]\w+)\b", line)}
    assert {name for name in spoken - named if not _is_others(name)} == INTERNAL | OTHERS


def _is_others(name: str) -> bool:
    homes = (builtins, collections.abc, contextlib, pathlib, types, typing)
    return any(hasattr(home, name) for home in homes)


if __name__ == "__main__":
    print("\n".join(surface()))  # noqa: T201
