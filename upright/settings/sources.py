"""What the sources say: a mapping in code, upright.toml, feature-flags.json, and the environment.

Each is turned into the same thing, a list of `Setting`, that says for every value where it came from.
"""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from upright.settings.files import UnfitFile, read_file
from upright.settings.problems import MAX_LINES, Problem, nearest
from upright.settings.schema import ALIASES, GROUPS, OPERATION_KEYS, OPERATIONS, Group, group_of
from upright.settings.values import converted, takes_several
from upright.strategies.flags import FLAG_NAMES
from upright.strategies.foreign import is_mapping, is_of, kind_of, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "CONFIG_VARIABLE",
    "FLAGS_VARIABLE",
    "Reading",
    "Setting",
    "from_environ",
    "from_flags",
    "from_mapping",
    "from_toml",
]

PREFIX: Final = "UPRIGHT_"
CONFIG_VARIABLE: Final = "UPRIGHT_CONFIG"
"""Names the configuration file."""
FLAGS_VARIABLE: Final = "UPRIGHT_FEATURE_FLAGS"
"""Names the feature-flags.json."""

# Kubernetes tells every container about a service called "upright" in variables of these names.
_FOREIGN: Final = re.compile(r"UPRIGHT_(SERVICE_(HOST|PORT)|PORT)(_|$)")

_RETRY: Final = "retry_"
_TOP: Final = (*GROUPS, OPERATIONS, *ALIASES)


@dataclass(frozen=True, slots=True)
class Setting:
    """One value that a source gives.

    Attributes:
        path: The group, the keys within it; of an operation "operations", its name and the key.
        value: The value, its spelling converted.
        origin: Where it was given, in words.
    """

    path: tuple[str, ...]
    value: Any
    origin: str


class Reading:
    """What one source says, and what is wrong with its keys.

    Args:
        origin: Says where a path was given.
        textual: Whether the source knows text only.
    """

    def __init__(self, origin: Callable[[tuple[str, ...]], str], *, textual: bool = False) -> None:
        self.settings: list[Setting] = []
        self.problems: list[Problem] = []
        self._origin = origin
        self._textual = textual

    def refuse(self, path: tuple[str, ...], value: Any, allowed: str, suggestion: str | None = None) -> None:
        """Note a problem."""
        self.problems.append(Problem(".".join(path), self._origin(path), value, allowed, suggestion))

    def refuse_key(self, path: tuple[str, ...], key: Any, value: Any, allowed: Sequence[str]) -> None:
        """Note that there is no such key; `path` is the table in which it stands."""
        name = key if type(key) is str else shown(key)
        told = len(self.problems) < MAX_LINES  # what nobody will read is not worth the search
        suggestion = (None if path else next(_placed(name), None)) or (nearest(name, allowed) if told else None)
        at = (*path, name)
        self.problems.append(
            Problem(".".join(at), self._origin(at), value, ", ".join(allowed), suggestion, unknown=True)
        )

    def top(self, table: Mapping[Any, Any]) -> None:
        """Read a whole configuration."""
        for key, value in self._items((), table):
            if type(key) is not str:
                self.refuse_key((), key, value, _TOP)
            elif key in GROUPS:
                self.group((key,), group_of(GROUPS[key]), value)
            elif key == OPERATIONS:
                self.operations(value)
            elif key in ALIASES:
                group, field = ALIASES[key]
                self.leaf((group, field), group_of(GROUPS[group]).leaves[field], value, given_as=(key,))
            else:
                self.refuse_key((), key, value, _TOP)

    def group(self, path: tuple[str, ...], group: Group, given: Any) -> None:
        """Read the table of one group; in code it may also be the dataclass."""
        if is_of(given, group.options):
            given = {field.name: getattr(given, field.name) for field in dataclasses.fields(given)}
        if not is_mapping(given):
            self.refuse(path, given, f"a table with the keys {', '.join(group.keys)}")
            return
        for key, value in self._items(path, given):
            if type(key) is not str:
                self.refuse_key(path, key, value, group.keys)
            elif key in group.leaves:
                self.leaf((*path, key), group.leaves[key], value)
            elif key in group.groups:
                self.group((*path, key), group.groups[key], value)
            else:
                self.refuse_key(path, key, value, group.keys)

    def operations(self, given: Any) -> None:
        """Read the tables of the operations."""
        if not is_mapping(given):
            self.refuse((OPERATIONS,), given, "a table of tables, [operations.NAME]")
            return
        for name, table in self._items((OPERATIONS,), given):
            path = (OPERATIONS, name if type(name) is str else shown(name))
            if type(name) is not str or not name:
                self.refuse(path, name, "the name of an operation")
            elif not is_mapping(table):
                self.refuse(path, table, f"a table with the keys {', '.join(OPERATION_KEYS)}")
            else:
                self.operation(path, table)

    def operation(self, path: tuple[str, ...], table: Mapping[Any, Any]) -> None:
        """Read the table of one operation: flat keys, or those of a group in a table of the group's name."""
        for key, value in self._items(path, table):
            if type(key) is not str:
                self.refuse_key(path, key, value, list(OPERATION_KEYS))
            elif key in OPERATION_KEYS:
                self.leaf((*path, key), OPERATION_KEYS[key].type, value)
            elif key in ("breaker", "retry", "healing") and is_mapping(value):
                flat = {known.field: name for name, known in OPERATION_KEYS.items() if known.group == key}
                for inner, one in self._items((*path, key), value):
                    if type(inner) is str and inner in flat:
                        name = flat[inner]
                        self.leaf((*path, name), OPERATION_KEYS[name].type, one, given_as=(*path, key, inner))
                    else:
                        self.refuse_key((*path, key), inner, one, list(flat))
            else:
                self.refuse_key(path, key, value, list(OPERATION_KEYS))

    def leaf(self, path: tuple[str, ...], kind: Any, value: Any, *, given_as: tuple[str, ...] | None = None) -> None:
        """Read one value."""
        origin = self._origin(given_as or path)
        if is_mapping(value) or is_of(value, set) or (is_of(value, list) and not takes_several(kind)):
            self.problems.append(Problem(".".join(path), origin, value, "a single value"))
            return
        self.settings.append(Setting(path, converted(value, kind, textual=self._textual), origin))

    def _items(self, path: tuple[str, ...], table: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
        """Return what a table holds; a table of the application's own class may not be readable."""
        try:
            return [(key, value) for key, value in table.items()]
        except Exception as error:
            self.refuse(path or ("config",), table, f"a table that can be read (it raised {kind_of(error)})")
            return []


def from_mapping(table: Mapping[Any, Any]) -> Reading:
    """Read what the code gives to `boot()`."""
    reading = Reading(lambda _: "the code")
    reading.top(table)
    return reading


def from_toml(path: Path, *, named_by: str | None = None) -> Reading:
    """Read a configuration file; what is wrong with the file itself is a problem as well.

    Args:
        path: The file.
        named_by: What named it, for the message if it is not there; None: it may be missing.
    """
    reading = Reading(lambda at: f"{path}, key {'.'.join(at)}" if at != ("config",) else named_by or str(path))
    try:
        table = tomllib.loads(read_file(path).decode("utf-8-sig").replace("\r\n", "\n"))
    except FileNotFoundError:
        if named_by is not None:
            reading.refuse(("config",), str(path), "the path of a file that exists")
    except UnfitFile as unfit:
        reading.refuse(("config",), str(path), str(unfit))
    except UnicodeDecodeError as error:
        reading.refuse(("config",), str(path), f"a file in TOML, encoded in UTF-8 ({error})")
    except RecursionError:
        reading.refuse(("config",), str(path), "a file in TOML (it is nested too deeply)")
    except ValueError as error:  # a TOMLDecodeError, or a number of thousands of digits
        reading.refuse(("config",), str(path), f"a file in TOML ({shown(error, text=str)})")
    else:
        reading.top(table)
    return reading


def from_environ(environ: Mapping[str, str]) -> Reading:
    """Read `UPRIGHT_GROUP__KEY` variables; one that is set to nothing counts as not set."""
    reading = Reading(lambda at: f"environment variable {_variable(at)}", textual=True)
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in (CONFIG_VARIABLE, FLAGS_VARIABLE) or not environ[name]:
            continue
        path = tuple(name.removeprefix(PREFIX).lower().split("__"))
        if len(path) == 1 and path[0] not in ALIASES:
            if not _FOREIGN.match(name):
                _refuse_variable(reading, name, environ[name])
            continue
        table: Any = environ[name]
        for key in reversed(path):
            table = {key: table}
        reading.top(table)
    return reading


def _refuse_variable(reading: Reading, name: str, value: str) -> None:
    """Refuse a variable without the two underscores between group and key."""
    known = list(_variables())
    reading.problems.append(
        Problem(
            name.removeprefix(PREFIX).lower(),
            f"environment variable {name}",
            value,
            f"{PREFIX}GROUP__KEY with two underscores, {CONFIG_VARIABLE} or {FLAGS_VARIABLE}",
            nearest(name, known),
        )
    )


def _placed(name: str) -> Iterator[str]:
    """Yield the groups that have a key of this name, as dotted paths: it was put at the top by mistake."""
    for group, options in GROUPS.items():
        if name in group_of(options).leaves:
            yield f"{group}.{name}"


def _variables() -> Iterator[str]:
    yield from (CONFIG_VARIABLE, FLAGS_VARIABLE)
    for group, options in GROUPS.items():
        yield from (_variable((group, key)) for key in group_of(options).leaves)


def _variable(path: tuple[str, ...]) -> str:
    return PREFIX + "__".join(path).upper()


def from_flags(path: Path, *, named_by: str | None = None) -> Reading:
    """Read a feature-flags.json of the shape `{"resilience": {"selfHealing": {"enabled": true}, ...}}`.

    Sections beside "resilience" belong to others and are left alone, as are the keys beside "enabled".

    Args:
        path: The file.
        named_by: What named it; None: it may be missing, or be somebody else's file.
    """
    reading = Reading(lambda at: f"{path}, {'.'.join(at)}" if at != ("flags",) else named_by or str(path))
    try:
        document = json.loads(read_file(path), object_pairs_hook=_Object)
    except FileNotFoundError:
        if named_by is not None:
            reading.refuse(("flags",), str(path), "the path of a file that exists")
        return reading
    except UnfitFile as unfit:
        reading.refuse(("flags",), str(path), str(unfit))
        return reading
    except RecursionError:
        reading.refuse(("flags",), str(path), "a file in JSON (it is nested too deeply)")
        return reading
    except ValueError as error:
        reading.refuse(("flags",), str(path), f"a file in JSON ({shown(error, text=str)})")
        return reading
    section = document.get("resilience") if isinstance(document, dict) else None
    if isinstance(document, _Object) and "resilience" in document.twice:
        reading.refuse(("resilience",), section, "given once")
    elif isinstance(section, _Object):
        _read_section(reading, section)
    elif named_by is not None or section is not None:
        reading.refuse(("resilience",), section, 'an object, {"resilience": {"selfHealing": {"enabled": true}, ...}}')
    return reading


class _Object(dict[str, Any]):
    """An object of a JSON file, which may say a key twice; the last one is the one that is kept."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.twice = {key for key, times in Counter(key for key, _ in pairs).items() if times > 1}


def _read_section(reading: Reading, section: _Object) -> None:
    names = {_camel(name): name for name in (*FLAG_NAMES, "observe_only")}
    for key, entry in section.items():
        if key in section.twice or (isinstance(entry, _Object) and "enabled" in entry.twice):
            reading.refuse(("resilience", key), entry, "given once")
        elif key not in names:
            reading.refuse_key(("resilience",), key, entry, list(names))
        elif not isinstance(entry, dict) or not isinstance(entry.get("enabled"), bool):
            reading.refuse(("resilience", key), entry, 'an object with "enabled": true or false')
        else:
            at = ("resilience", key, "enabled")
            reading.leaf(("flags", names[key]), bool, entry["enabled"], given_as=at)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)
