"""Every exception of the test kit is what its library raises, and has the code that it is asked for by."""

from __future__ import annotations

import subprocess
import sys

import pytest

from upright.strategies.classification import classify
from upright.strategies.codes import ErrorCode
from upright.strategies.errors import ConfigError
from upright.testing import error_for, errors_for

EVERY = [(code, way) for code in ErrorCode for way in errors_for(code)]


@pytest.mark.parametrize(("code", "way"), EVERY)
def test_an_error_is_classified_as_the_code_it_was_made_for(code: ErrorCode, way: str) -> None:
    assert classify(error_for(code, way)).code is code


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_code_has_an_error_by_its_name_alone(code: ErrorCode) -> None:
    assert classify(error_for(code.value)).code is code


def test_each_error_is_a_new_object() -> None:
    assert error_for("NETWORK") is not error_for("NETWORK")


@pytest.mark.parametrize("library", ["httpx", "requests", "aiohttp", "psycopg", "psycopg2", "sqlalchemy", "redis"])
def test_the_installed_libraries_are_all_represented(library: str) -> None:
    assert any(way.split(".")[0] == library for _, way in EVERY)


def test_a_library_is_found_by_its_name_alone() -> None:
    assert type(error_for("API_TIMEOUT", "httpx")).__module__.startswith("httpx")


@pytest.mark.parametrize(
    ("code", "library", "said"),
    [("NETWROK", None, "error_for.code must be one of DATABASE_CONNECTION"), ("MEMORY_PRESSURE", "redis", "error_for")],
)
def test_what_is_not_there_is_refused_with_what_there_is(code: str, library: str | None, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        error_for(code, library)


def test_without_any_of_the_libraries_every_code_has_an_error_still() -> None:
    code = (
        "import sys\n"
        "for name in ('httpx', 'requests', 'aiohttp', 'psycopg', 'psycopg2', 'sqlalchemy', 'redis', 'websockets',\n"
        "             'psycopg_pool'):\n"
        "    sys.modules[name] = None\n"
        "from upright.testing import error_for\n"
        "from upright import ErrorCode, classify\n"
        "print(all(classify(error_for(code)).code is code for code in ErrorCode))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "True"
