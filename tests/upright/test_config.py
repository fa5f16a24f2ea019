"""The configuration: which source wins, and what a wrong one is told."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.config import Config, explain, load_config
from upright.settings.problems import SettingsError
from upright.strategies.breaker_options import BreakerOptions
from upright.strategies.errors import ConfigError
from upright.strategies.healing_options import HealingOptions
from upright.strategies.window import WindowType

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def load(
    tmp_path: Path, source: Any = None, *, toml: str | None = None, env: Mapping[str, str] | None = None
) -> Config:
    if toml is not None:
        (tmp_path / "upright.toml").write_text(toml)
    return load_config(source, environ=env or {}, cwd=tmp_path)


def refused(tmp_path: Path, source: Any = None, **sources: Any) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, source, **sources)
    return caught.value


def test_without_any_source_the_defaults_hold(tmp_path: Path) -> None:
    assert load(tmp_path) == Config()
    assert {row.origin for row in explain(load(tmp_path))} == {"default"}


def test_code_wins_over_the_environment_over_the_file_over_the_default(tmp_path: Path) -> None:
    toml = "[healing]\ntimeout = 1\ncooldown = 1\nheal_wait = 1\n"
    env = {"UPRIGHT_HEALING__COOLDOWN": "2", "UPRIGHT_HEALING__HEAL_WAIT": "2"}
    config = load(tmp_path, {"healing": {"heal_wait": 3}}, toml=toml, env=env)
    assert config.healing == HealingOptions(timeout=1, cooldown=2, heal_wait=3)


def test_each_effective_value_says_where_it_came_from(tmp_path: Path) -> None:
    toml = "[healing]\ntimeout = 1\n[operations.checkout]\nheal_wait = 0\n"
    env = {"UPRIGHT_RETRY__ATTEMPTS": "5"}
    rows = {row.path: row for row in explain(load(tmp_path, {"limits": {"history": 9}}, toml=toml, env=env))}
    assert rows["healing.timeout"].origin == f"{tmp_path / 'upright.toml'}, key healing.timeout"
    assert rows["retry.attempts"].origin == "environment variable UPRIGHT_RETRY__ATTEMPTS"
    assert rows["limits.history"].origin == "the code"
    assert rows["limits.operations"].origin == "default"
    assert rows["operations.checkout.heal_wait"].value == 0


def test_a_config_made_in_code_holds_alone(tmp_path: Path) -> None:
    made = Config(healing=HealingOptions(timeout=5.0))
    assert load(tmp_path, made, env={"UPRIGHT_HEALING__TIMEOUT": "9"}) is made
    assert next(row for row in explain(made) if row.path == "healing.timeout").origin == "the code"


def test_a_path_is_read_instead_of_the_file_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("[retry]\nattempts = 7\n")
    assert load(tmp_path, "other.toml", toml="[retry]\nattempts = 2\n").retry.attempts == 7
    assert load(tmp_path, tmp_path / "other.toml").retry.attempts == 7


def test_the_variable_names_a_file_and_the_path_given_wins_over_it(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[retry]\nattempts = 7\n")
    (tmp_path / "b.toml").write_text("[retry]\nattempts = 8\n")
    assert load(tmp_path, env={"UPRIGHT_CONFIG": "a.toml"}).retry.attempts == 7
    assert load(tmp_path, "b.toml", env={"UPRIGHT_CONFIG": "a.toml"}).retry.attempts == 8


def test_a_group_may_be_given_as_its_dataclass(tmp_path: Path) -> None:
    options = BreakerOptions(window_type=WindowType.TIME, window_size=30.0)
    assert load(tmp_path, {"breaker": options}).breaker == options


def test_all_that_is_wrong_is_told_at_once_with_its_origin(tmp_path: Path) -> None:
    error = refused(
        tmp_path,
        {"retry": {"attempts": True}},
        toml="brekaer = 1\n[healing]\ntimeout = -1\nheal_wiat = 2\n",
        env={"UPRIGHT_LIMITS__HISTORY": "many"},
    )
    assert {problem.path for problem in error.problems} == {
        "brekaer",
        "healing.timeout",
        "healing.heal_wiat",
        "retry.attempts",
        "limits.history",
    }
    text = str(error)
    assert text.startswith("5 settings are wrong:")
    assert "healing.timeout must be a finite number > 0, got -1" in text
    assert "upright.toml, key healing.timeout" in text
    assert "environment variable UPRIGHT_LIMITS__HISTORY" in text
    assert "(from the code)" in text


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ({"brekaer": {}}, "breaker"),
        ({"healing": {"heal_wiat": 1}}, "heal_wait"),
        ({"breaker": {"failureRateThreshold": 1}}, "failure_rate_threshold"),
        ({"predictor": {"limits": {"memmory": 1}}}, "memory"),
        ({"operations": {"x": {"retry_atempts": 1}}}, "retry_attempts"),
        ({"operations": {"x": {"breaker": {"window_sice": 1}}}}, "window_size"),
        ({"heal_wait": 1}, "healing.heal_wait"),
    ],
)
def test_a_mistyped_key_is_told_the_nearest_right_one(tmp_path: Path, wrong: Any, right: str) -> None:
    (problem,) = refused(tmp_path, wrong).problems
    assert problem.suggestion == right
    assert f"did you mean {right!r}?" in str(problem)
    assert right.rpartition(".")[2] in problem.allowed or "." in right


def test_a_variable_with_one_underscore_is_told_the_right_name(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path, env={"UPRIGHT_HEALING_TIMEOUT": "3"}).problems
    assert problem.suggestion == "UPRIGHT_HEALING__TIMEOUT"


def test_the_variables_that_kubernetes_makes_for_a_service_are_left_alone(tmp_path: Path) -> None:
    env = dict.fromkeys(
        (
            "UPRIGHT_SERVICE_HOST",
            "UPRIGHT_SERVICE_PORT_HTTP",
            "UPRIGHT_PORT",
            "UPRIGHT_PORT_80_TCP_ADDR",
        ),
        "tcp://10.0.0.1:80",
    )
    assert load(tmp_path, env=env) == Config()


def test_a_variable_that_is_set_to_nothing_counts_as_not_set(tmp_path: Path) -> None:
    assert load(tmp_path, env={"UPRIGHT_HEALING__TIMEOUT": ""}) == Config()


def test_one_refusal_does_not_hide_the_next_in_the_same_group(tmp_path: Path) -> None:
    error = refused(tmp_path, {"healing": {"timeout": 0, "cooldown": -1, "max_healing_attempts": 0.5}})
    assert [problem.path for problem in error.problems] == [
        "healing.max_healing_attempts",
        "healing.cooldown",
        "healing.timeout",
    ]


def test_a_rule_between_two_values_names_the_one_that_was_set_nowhere(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path, {"breaker": {"wait_duration_in_open": 120}}).problems
    assert problem.path == "breaker.max_wait_duration_in_open"
    assert problem.origin == "default"
    assert "wait_duration_in_open (120)" in problem.allowed


def test_a_refused_value_is_not_blamed_on_its_neighbour(tmp_path: Path) -> None:
    given = {"breaker": {"wait_duration_in_open": -1, "max_wait_duration_in_open": 3}}
    (problem,) = refused(tmp_path, given).problems
    assert problem.path == "breaker.wait_duration_in_open"


@pytest.mark.parametrize(
    ("name", "text", "path", "value"),
    [
        ("UPRIGHT_SUPERVISION__HANG_TIMEOUT", "off", "supervision.hang_timeout", None),
        ("UPRIGHT_SUPERVISION__HANG_TIMEOUT", "2.5", "supervision.hang_timeout", 2.5),
        ("UPRIGHT_FLAGS__SELF_HEALING", "off", "flags.self_healing", False),
        ("UPRIGHT_OBSERVE_ONLY", "Yes", "flags.observe_only", True),
        ("UPRIGHT_BREAKER__WINDOW_SIZE", "50", "breaker.window_size", 50),
        ("UPRIGHT_BREAKER__WINDOW_TYPE", "TIME", "breaker.window_type", WindowType.TIME),
        ("UPRIGHT_PREDICTOR__LIMITS__MEMORY", "0.5", "predictor.limits.memory", 0.5),
        ("UPRIGHT_OPERATIONS__CHECKOUT__HEAL_WAIT", "0", "operations.checkout.heal_wait", 0),
        ("UPRIGHT_OPERATIONS__CHECKOUT__IDEMPOTENT", "no", "operations.checkout.idempotent", False),
        ("UPRIGHT_SENTRY__REDACT", "iban, birthday", "sentry.redact", ("iban", "birthday")),
        ("UPRIGHT_CONTROL__PATH", "/run/app/upright.sock", "control.path", "/run/app/upright.sock"),
    ],
)
def test_text_of_the_environment_is_read_as_the_type_of_the_option(
    tmp_path: Path, name: str, text: str, path: str, value: Any
) -> None:
    rows = {row.path: row for row in explain(load(tmp_path, env={name: text}))}
    assert rows[path].value == value
    assert type(rows[path].value) is type(value)
    assert name in rows[path].origin


def test_text_in_code_is_not_taken_for_a_number(tmp_path: Path) -> None:
    assert refused(tmp_path, {"healing": {"timeout": "30"}}).problems[0].value == "30"


def test_an_option_with_several_values_is_a_list_in_a_file(tmp_path: Path) -> None:
    assert load(tmp_path, toml='[sentry]\nredact = ["iban", "birthday"]\n').sentry.redact == ("iban", "birthday")
    assert "sentry.redact" in str(refused(tmp_path, {"sentry": {"redact": [1]}}))


def test_a_file_may_say_off_where_there_is_no_null(tmp_path: Path) -> None:
    toml = '[supervision]\nhang_timeout = "off"\n[retry]\nbudget = "none"\n'
    config = load(tmp_path, toml=toml)
    assert (config.supervision.hang_timeout, config.retry.budget) == (None, None)


@pytest.mark.parametrize(
    "table",
    [
        "[operations.checkout]\nfailure_rate_threshold = 0.2\nretry_attempts = 5\nheal_wait = 0\n",
        (
            "[operations.checkout.breaker]\nfailure_rate_threshold = 0.2\n"
            "[operations.checkout.retry]\nattempts = 5\n[operations.checkout.healing]\nheal_wait = 0\n"
        ),
    ],
)
def test_an_operation_may_be_overridden_flat_or_by_groups(tmp_path: Path, table: str) -> None:
    overrides = load(tmp_path, toml=table).operations["checkout"]
    assert overrides == {"failure_rate_threshold": 0.2, "retry_attempts": 5, "heal_wait": 0}


@pytest.mark.parametrize(
    ("table", "path"),
    [
        ({"window_size": 0.5}, "window_size"),
        ({"retry_attempts": 0}, "retry_attempts"),
        ({"heal_wait": -1}, "heal_wait"),
        ({"deadline": "soon"}, "deadline"),
        ({"idempotent": 1}, "idempotent"),
        ({"retry": {"jitter": 2}}, "retry_jitter"),
    ],
)
def test_a_wrong_override_of_an_operation_is_refused(tmp_path: Path, table: Any, path: str) -> None:
    assert refused(tmp_path, {"operations": {"x": table}}).problems[0].path == f"operations.x.{path}"
    with pytest.raises(ConfigError, match=path):
        Config(operations={"x": table})


def test_overrides_are_judged_on_top_of_the_groups_own_values(tmp_path: Path) -> None:
    given: Any = {"breaker": {"max_wait_duration_in_open": 600}, "operations": {"x": {"wait_duration_in_open": 300}}}
    assert load(tmp_path, given).operations["x"]["wait_duration_in_open"] == 300
    del given["breaker"]
    assert refused(tmp_path, given).problems[0].path == "operations.x.max_wait_duration_in_open"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[healing\n", "line 1"),
        (b"\xff\xfe", "TOML"),
        (b"healing = 3\n", "a table"),
        (b"[healing]\ntimeout = [1]\n", "single value"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_with_the_reason(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "upright.toml").write_bytes(content)
    assert expected in str(refused(tmp_path))


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    assert "the path given to boot()" in str(refused(tmp_path, "none.toml"))
    assert "UPRIGHT_CONFIG" in str(refused(tmp_path, env={"UPRIGHT_CONFIG": "none.toml"}))
    (tmp_path / "folder").mkdir()
    assert "can be read" in str(refused(tmp_path, "folder"))


def test_what_is_no_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a mapping, a path or a Config"):
        load(tmp_path, 3)
    with pytest.raises(ConfigError, match=r"Config\.healing must be HealingOptions"):
        Config(healing={"timeout": 3})  # type: ignore[arg-type]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["healing", "timeout", "breaker", "window_type", "operations", "limits", "flags", "x"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_whatever_is_given_is_taken_or_refused_by_a_config_error(source: Any) -> None:
    if isinstance(source, str):
        return
    with contextlib.suppress(ConfigError):
        assert isinstance(load_config(source, environ={}, cwd="/nonexistent"), Config)


def test_boot_without_settings_imports_no_settings_library() -> None:
    script = (
        "import sys; from upright.config import load_config; load_config(environ={}, cwd='/nonexistent');"
        "sys.exit(bool({'msgspec', 'pydantic', 'tomllib', 'rich', 'click'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
