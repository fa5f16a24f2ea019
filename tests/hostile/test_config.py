"""Whatever stands in a settings file, a variable or a mapping is taken, or refused by name: nothing is half booted."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import tracemalloc
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hostile_things import objects
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import upright
from upright.cli.app import app
from upright.config import Config, explain, load_config
from upright.flags import FlagSet
from upright.settings.problems import SettingsError
from upright.settings.schema import GROUPS, OPERATION_KEYS, Group, group_of
from upright.strategies.errors import ConfigError

_MAX_TEXT = 40_000  # characters: fifty problems, each with its key, its value, what is allowed and its place


def _keys(path: tuple[str, ...], group: Group) -> Iterator[tuple[str, ...]]:
    for name in group.leaves:
        yield (*path, name)
    for name, inner in group.groups.items():
        yield (*path, name)
        yield from _keys((*path, name), inner)


KEYS = [key for name, options in GROUPS.items() for key in ((name,), *_keys((name,), group_of(options)))]
KEYS += [("operations", "checkout", name) for name in OPERATION_KEYS] + [("operations",), ("operations", "checkout")]

NUMBERS: dict[str, Any] = {
    "minus one": -1,
    "a tiny negative": -5e-324,
    "infinity": float("inf"),
    "minus infinity": float("-inf"),
    "an int of 5 000 digits": 10**5_000,
    "an int too large for a float": 10**400,
    "an int too large to count": 2**70,
    "a date": date(1979, 5, 27),
    "a complex number": 1j,
    "an empty text": "",
    "an empty list": [],
    "an empty table": {},
    "nested tables": {"a": {"a": {"a": 1}}},
}


def _table(path: tuple[str, ...], value: Any) -> Any:
    for key in reversed(path):
        value = {key: value}
    return value


def _refusal(tmp_path: Path, content: bytes, name: str = "upright.toml") -> str:
    """Return what is said about a file by boot(), with nothing left of the boot, and by the command line."""
    (tmp_path / name).write_bytes(content)
    threads = set(threading.enumerate())
    default = upright.default_tree()
    with contextlib.chdir(tmp_path), pytest.raises(ConfigError) as caught:
        upright.boot()
    assert upright.default_tree() is default
    assert set(threading.enumerate()) == threads
    told = str(caught.value)
    assert len(told) < _MAX_TEXT
    assert str(name) in told
    with contextlib.chdir(tmp_path):
        shown = CliRunner().invoke(app, ["config"])
    assert shown.exit_code == 1
    assert shown.stderr.startswith("upright: ")
    assert "Traceback" not in shown.output
    return told


@cache
def _values() -> dict[str, Any]:
    return {**objects(), **NUMBERS}


def _given(source: Any, environ: Mapping[str, str] | None = None) -> Config | ConfigError:
    try:
        return load_config(source, environ=environ or {}, cwd="/nonexistent")
    except ConfigError as error:
        return error


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0


# Files


FILES: dict[str, tuple[bytes, str]] = {
    "garbage": (bytes(range(256)) * 10, "UTF-8"),
    "UTF-16": ("[healing]\ntimeout = 3\n".encode("utf-16"), "UTF-8"),
    "Latin-1": ("[operations.café]\n".encode("latin-1"), "UTF-8"),
    "a NUL": (b"[healing]\ntimeout = 3\n\0", "line 3"),
    "a key twice": (b"[healing]\ntimeout = 1\ntimeout = 2\n", "overwrite"),
    "a table twice": (b"[healing]\ntimeout = 1\n[healing]\n", "twice"),
    "a deep array": (b"x = " + b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    "deep inline tables": (b"x = " + b"{a=" * 5_000 + b"1" + b"}" * 5_000, "nested too deeply"),
    "a deep key": (b".".join([b"a"] * 5_000) + b" = 1", "no such key"),
    "a deep table of an operation": (b"[operations." + b".".join([b"a"] * 5_000) + b"]\nx = 1", "operations.a.a"),
    "5 000 digits": (b"[healing]\ntimeout = " + b"9" * 5_000, "digits"),
    "300 000 hex digits": (b"[healing]\ntimeout = 0x" + b"f" * 300_000, "<int of 1200000 bits>"),
    "300 000 hex digits for a count": (
        b"[limits]\nhistory = 0x" + b"f" * 300_000,
        "an int from 1 to 9223372036854775807",
    ),
    "nan": (b"[healing]\ntimeout = nan\n", "healing.timeout must be a finite number > 0, got nan"),
    "a date": (b"[healing]\ntimeout = 1979-05-27\n", "got datetime.date(1979, 5, 27)"),
    "a long value": (b"[sentry]\nservice = '" + b"x" * 1_000_000 + b"'", "at most 200 characters"),
    "a long key": (b"[healing]\n" + b"k" * 1_000_000 + b" = 1", "no such key"),
    "many keys": (b"[healing]\n" + b"".join(b"k%d = 1\n" % number for number in range(20_000)), "... and 19950 more"),
    "a long list": (b"[healing]\ntimeout = [" + b"1," * 20_000 + b"]", "a single value"),
    "a long file": (b"#" + b"x" * 1_048_576, "at most 1048576 bytes"),
    "a key with escapes": (b'[healing]\n"\\u001b[2Jtimeout" = 1', "\\x1b[2Jtimeout"),
    "a near miss": (b"[heal]\n", "did you mean 'healing'?"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_file_that_says_nonsense_is_refused_in_bounded_words(tmp_path: Path, what: str) -> None:
    content, said = FILES[what]
    told = _refusal(tmp_path, content)
    assert said in told
    assert "\x1b" not in told


FLAG_FILES: dict[str, tuple[bytes, str]] = {
    "UTF-16": (b"\xff\xfe\x00", "JSON"),
    "a deep array": (b"[" * 100_000, "nested too deeply"),
    "deep objects": (b'{"resilience": ' * 5_000, "nested too deeply"),
    "5 000 digits": (b'{"resilience": ' + b"9" * 5_000 + b"}", "digits"),
    "a list for an object": (b'{"resilience": [1]}', "an object"),
    "a number for a switch": (
        b'{"resilience": {"selfHealing": {"enabled": 1}}}',
        'selfHealing must be an object with "enabled"',
    ),
    "NaN for a switch": (
        b'{"resilience": {"selfHealing": {"enabled": NaN}}}',
        'selfHealing must be an object with "enabled"',
    ),
    "a near miss": (b'{"resilience": {"selfHaeling": {"enabled": true}}}', "did you mean 'selfHealing'?"),
    "a flag twice": (
        b'{"resilience": {"selfHealing": {"enabled": true}, "selfHealing": {"enabled": false}}}',
        "given once",
    ),
    "a switch twice": (b'{"resilience": {"selfHealing": {"enabled": true, "enabled": false}}}', "given once"),
    "a section twice": (b'{"resilience": {}, "resilience": {}}', "given once"),
    "a long key": (b'{"resilience": {"' + b"k" * 1_000_000 + b'": 1}}', "no such key"),
    "a long file": (b" " * 1_048_577, "at most 1048576 bytes"),
}


@pytest.mark.parametrize("what", FLAG_FILES)
def test_a_flags_file_that_says_nonsense_is_refused_in_bounded_words(tmp_path: Path, what: str) -> None:
    content, said = FLAG_FILES[what]
    assert said in _refusal(tmp_path, content, "feature-flags.json")
    flags = FlagSet(file=tmp_path / "feature-flags.json")
    before = flags.now
    with pytest.raises(SettingsError):
        flags.reload()
    assert flags.now is before
    assert said in str(flags.last_error)


@pytest.mark.parametrize("name", ["upright.toml", "feature-flags.json"])
@pytest.mark.parametrize("what", ["folder", "fifo", "device", "loop", "no permission", "too long", "nul"])
def test_what_is_no_file_is_refused_unread(
    tmp_path: Path, name: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / name)
    if what == "folder":
        Path(path).mkdir()
    elif what == "fifo":
        os.mkfifo(path)
    elif what == "device":
        Path(path).symlink_to("/dev/zero")
    elif what == "loop":
        Path(path).symlink_to(path)
    elif what == "no permission":
        (tmp_path / name).touch()
        real = os.open

        def forbidden(opened: Any, *args: Any) -> int:
            if str(opened) == path:
                raise PermissionError(13, "Permission denied", path)
            return real(opened, *args)

        monkeypatch.setattr(os, "open", forbidden)  # root, as which this may run, may read everything
    elif what == "too long":
        path += "x" * 5_000
    else:
        path += "\0"
    variable = "UPRIGHT_CONFIG" if name == "upright.toml" else "UPRIGHT_FEATURE_FLAGS"
    descriptors = _descriptors()
    for environ in {variable: path}, {}:
        if environ or what not in ("too long", "nul", "loop"):  # a loop that nobody named is no file
            with pytest.raises(SettingsError, match="can be read"):
                load_config(environ=environ, cwd=tmp_path)
    assert _descriptors() == descriptors


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf[healing]\r\ntimeout = 3\r\n"])
def test_a_file_may_be_empty_and_begin_and_end_as_other_systems_write_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "upright.toml").write_bytes(content)
    assert load_config(environ={}, cwd=tmp_path).healing.timeout == (3 if content.strip() else 30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(
    st.binary(max_size=200)
    | st.text(alphabet="[]{}=.,'\"#\n _-0123456789abcdefhilngtmour\ud800\x00\u202e", max_size=80).map(
        lambda text: b"[healing]\n" + text.encode(errors="surrogatepass")
    )
)
def test_any_bytes_are_a_configuration_or_a_settings_error(tmp_path: Path, content: bytes) -> None:
    for name in ("upright.toml", "feature-flags.json"):
        (tmp_path / name).write_bytes(content)
        with contextlib.suppress(SettingsError):
            assert isinstance(load_config(environ={}, cwd=tmp_path), Config)
        (tmp_path / name).unlink()


def test_what_is_refused_is_not_kept_in_memory(tmp_path: Path) -> None:
    (tmp_path / "upright.toml").write_bytes(b"[healing]\n" + b"k" * 500_000 + b" = 1")
    with contextlib.suppress(SettingsError):
        load_config(environ={}, cwd=tmp_path)
    tracemalloc.start()
    try:
        for _ in range(3):
            with contextlib.suppress(SettingsError):
                load_config(environ={}, cwd=tmp_path)
        left, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < 100_000
    assert peak < 30_000_000


# Values


@pytest.mark.parametrize("path", KEYS, ids=".".join)
def test_any_value_of_any_key_is_taken_or_refused_by_its_name(path: tuple[str, ...]) -> None:
    for what, value in _values().items():
        given = _given(_table(path, value))
        if isinstance(given, Config):
            json.dumps([str(row) for row in explain(given)])
            assert what in _taken(path), f"{what} is no value for {'.'.join(path)}"
        elif "must be at least" in str(given):  # such a rule is between two, and names both
            assert path[-1].removeprefix("retry_") in str(given), what
        else:
            assert ".".join(path) in given.field, what
            assert "(from the code)" in str(given), what
            assert len(str(given)) < 2_000, what


def _taken(path: tuple[str, ...]) -> set[str]:
    """Return which of the values are no mistake."""
    tables = len(path) == 1 or path in (("predictor", "limits"), ("operations", "checkout"))
    if tables:
        return {"an empty table"}
    if path[0] == "operations":
        optional = OPERATION_KEYS[path[-1]].type
    else:
        group = group_of(GROUPS[path[0]])
        for key in path[1:-1]:
            group = group.groups[key]
        optional = group.leaves[path[-1]]
    taken = {"None"} if type(None) in getattr(optional, "__args__", ()) else set()
    if path == ("operations", "checkout", "heal_wait"):
        taken |= {"None"}  # as if it were not given
    if optional is bool or (hasattr(optional, "__args__") and bool in optional.__args__):
        taken |= {"True"}
    if optional is float or float in getattr(optional, "__args__", ()):
        taken |= {"an int too large to count"}  # though not of a share of something, and not of a window of calls
    if path == ("sentry", "service"):
        taken |= {"an empty text", "surrogates"}
    if path == ("sentry", "redact"):
        taken |= {"an empty list"}
    return taken


class _Unkeyed(Mapping[Any, Any]):
    def __getitem__(self, key: Any) -> Any:
        raise RuntimeError("no item")

    def __iter__(self) -> Iterator[Any]:
        raise RuntimeError("no iteration")

    def __len__(self) -> int:
        raise RuntimeError("no length")


@pytest.mark.parametrize("table", [_Unkeyed(), {"healing": _Unkeyed()}, {"operations": {"x": _Unkeyed()}}], ids=str)
def test_a_mapping_that_cannot_be_read_is_refused(table: Any) -> None:
    with pytest.raises(SettingsError, match="a table that can be read"):
        load_config(table, environ={}, cwd="/nonexistent")


@pytest.mark.parametrize("at", [(), ("healing",), ("operations", "x"), ("operations", "x", "retry")], ids=str)
def test_keys_that_are_no_texts_are_refused(at: tuple[str, ...]) -> None:
    class Key(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return hash("timeout")

        def __str__(self) -> str:
            raise RuntimeError("no text")

        __repr__ = __str__

    for key in (None, 5, 10**5_000, b"timeout", ("a",), float("nan"), Key("timeout"), objects()["no text"]):
        with pytest.raises(SettingsError, match="no such key"):
            load_config(_table(at, {key: 1}), environ={}, cwd="/nonexistent")


def test_what_is_no_source_is_refused() -> None:
    class Path:
        def __fspath__(self) -> str:
            raise RuntimeError("no path")

    for source in [*objects().values(), *NUMBERS.values(), Path(), b"upright.toml"]:
        if source is not None and type(source) is not str and type(source) is not dict:
            with pytest.raises(ConfigError, match="a mapping, a path or a Config"):
                load_config(source, environ={}, cwd="/nonexistent")


def test_a_path_that_cannot_be_one_is_refused() -> None:
    for path in ("x" * 1_000_000, "\0", "\ud800", "", "\x1b[2J"):
        with pytest.raises(SettingsError) as caught:
            load_config(path, environ={}, cwd="/nonexistent")
        assert len(str(caught.value)) < 2_000
        assert str(caught.value).isprintable()


# Variables


@pytest.mark.parametrize("path", [key for key in KEYS if len(key) > 1], ids=".".join)
def test_rubbish_in_the_variable_of_any_option_is_refused_by_its_name(path: tuple[str, ...]) -> None:
    name = f"UPRIGHT_{'__'.join(path).upper()}"
    texts = ("9" * 5_000, "1e999", "-1e999", "nan", "0x10", "1_000", "[1]", "{}", "\udcff\udcfe", "x" * 100_000, "\0")
    for text in texts:
        given = _given(None, {name: text})
        if isinstance(given, Config):
            assert path in {("sentry", "service"), ("sentry", "redact")} or text == "1_000", text
        else:
            assert name in str(given)
            assert len(str(given)) < 2_000


@given(st.dictionaries(st.text(max_size=30).map(lambda name: f"UPRIGHT_{name}"), st.text(max_size=20), max_size=3))
def test_any_variables_are_a_configuration_or_a_settings_error(environ: dict[str, str]) -> None:
    with contextlib.suppress(SettingsError):
        load_config(environ=environ, cwd="/nonexistent")


def test_a_variable_of_a_thousand_levels_is_refused() -> None:
    for name in ("UPRIGHT_" + "A__" * 1_000, "UPRIGHT_" + "X" * 100_000, "UPRIGHT_HEALING__" + "X" * 100_000):
        with pytest.raises(SettingsError) as caught:
            load_config(environ={name: "1"}, cwd="/nonexistent")
        assert len(str(caught.value)) < 2_000
