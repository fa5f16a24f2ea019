"""The flags: from files and variables at boot, switched while the tree runs."""

from __future__ import annotations

import json
import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest

from upright.config import load_config
from upright.flags import FLAG_NAMES, FlagSet, UnknownFlag
from upright.settings.problems import SettingsError
from upright.strategies.errors import ConfigError
from upright.strategies.flags import Flags

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, **enabled: Any) -> Path:
    section = {name: {"enabled": value, "description": "..."} for name, value in enabled.items()}
    path.write_text(json.dumps({"resilience": section, "checkout": {"newButton": True}}))
    return path


def test_a_flag_is_read_and_set_by_name() -> None:
    flags = FlagSet()
    flags["self_healing"] = False
    assert flags["self_healing"] is False
    assert flags.now == Flags(self_healing=False)
    assert dict(flags) == {name: name != "self_healing" for name in FLAG_NAMES} | {"observe_only": False}


def test_what_was_read_before_a_change_stays_as_it_was() -> None:
    flags = FlagSet()
    before = flags.now
    flags["observe_only"] = True
    assert (before.observe_only, flags.now.observe_only) == (False, True)


@pytest.mark.parametrize("kind", [KeyError, ConfigError])
def test_another_name_is_refused_with_the_nearest_right_one(kind: type[Exception]) -> None:
    flags = FlagSet()
    with pytest.raises(kind, match="did you mean 'self_healing'"):
        flags["selfHealing"]
    with pytest.raises(kind, match="one of self_healing, error_predictor"):
        flags["x"] = True
    assert "self_healing" in str(pickle.loads(pickle.dumps(UnknownFlag("x"))))


@pytest.mark.parametrize("value", [1, "on", None])
def test_what_is_no_bool_is_refused_and_changes_nothing(value: Any) -> None:
    flags = FlagSet()
    with pytest.raises(ConfigError, match=r"flags\.self_healing must be True or False"):
        flags.set({"error_predictor": False, "self_healing": value})
    assert flags.now == Flags()


def test_threads_that_set_different_flags_do_not_undo_each_other() -> None:
    flags = FlagSet()
    barrier = threading.Barrier(len(FLAG_NAMES))

    def toggle(name: str) -> None:
        barrier.wait()
        for turn in range(500):
            flags[name] = turn % 2 == 0
        flags[name] = False

    threads = [threading.Thread(target=toggle, args=(name,)) for name in FLAG_NAMES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert flags.now == Flags(**dict.fromkeys(FLAG_NAMES, False))


def test_the_flags_file_in_the_folder_is_read_at_boot(tmp_path: Path) -> None:
    file = write(tmp_path / "feature-flags.json", selfHealing=False, observeOnly=True)
    config = load_config(environ={}, cwd=tmp_path)
    assert config.flags == Flags(self_healing=False, observe_only=True)
    assert config.flags_file == file


def test_a_variable_wins_over_the_flags_file_and_that_over_the_config_file(tmp_path: Path) -> None:
    (tmp_path / "upright.toml").write_text("[flags]\nself_healing = true\nerror_predictor = true\n")
    write(tmp_path / "feature-flags.json", selfHealing=False, errorPredictor=False)
    config = load_config(environ={"UPRIGHT_FLAGS__SELF_HEALING": "on"}, cwd=tmp_path)
    assert config.flags == Flags(self_healing=True, error_predictor=False)


def test_a_file_of_that_name_that_is_not_about_resilience_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "feature-flags.json").write_text('{"newButton": true}')
    assert load_config(environ={}, cwd=tmp_path).flags == Flags()


def test_a_flags_file_that_was_named_must_exist_and_be_about_resilience(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="UPRIGHT_FEATURE_FLAGS"):
        load_config(environ={"UPRIGHT_FEATURE_FLAGS": "none.json"}, cwd=tmp_path)
    (tmp_path / "other.json").write_text('{"newButton": true}')
    with pytest.raises(SettingsError, match="resilience"):
        load_config(environ={"UPRIGHT_FEATURE_FLAGS": "other.json"}, cwd=tmp_path)


def test_reload_sets_what_the_file_names_and_leaves_the_rest(tmp_path: Path) -> None:
    flags = FlagSet(Flags(error_predictor=False), file=write(tmp_path / "flags.json", selfHealing=False))
    assert flags.reload() == flags.now == Flags(self_healing=False, error_predictor=False)
    write(tmp_path / "flags.json", selfHealing=True)
    assert flags.reload().self_healing is True


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"resilience": {"selfHeeling": {"enabled": true}}}', "did you mean 'selfHealing'"),
        ('{"resilience": {"errorPredictor": {"enabled": false}, "selfHealing": {"enabled": "no"}}}', "true or false"),
        ('{"resilience": {"selfHealing": true}}', '"enabled"'),
        ('{"resilience": []}', "an object"),
        ("[1, 2]", "an object"),
        ('{"resilience": ', "JSON"),
        ("", "JSON"),
    ],
)
def test_a_bad_reload_keeps_the_old_state_and_says_why(tmp_path: Path, content: str, why: str) -> None:
    file = write(tmp_path / "flags.json", selfHealing=False)
    flags = FlagSet(file=file)
    before = flags.reload()
    file.write_text(content)
    with pytest.raises(SettingsError, match=why):
        flags.reload()
    assert flags.now is before
    assert flags.last_error is not None
    assert why in flags.last_error
    write(file, selfHealing=True)
    flags.reload()
    assert flags.last_error is None


def test_reload_without_a_file_says_that_there_is_none() -> None:
    with pytest.raises(ConfigError, match=r"no feature-flags\.json was found"):
        FlagSet().reload()
