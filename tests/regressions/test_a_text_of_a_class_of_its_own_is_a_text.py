"""A StrEnum was refused as a path, and a fallback step that said what it lacks by one had failed."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

import upright
from upright.strategies.control_options import ControlOptions
from upright.strategies.errors import ConfigError
from upright.strategies.fallback.chain import Substitute

if TYPE_CHECKING:
    from pathlib import Path


class Said(StrEnum):
    OLD = "an hour old"
    SOCKET = "/tmp/upright.sock"


def test_what_a_substitute_says_and_where_the_socket_is() -> None:
    for given in (Substitute(5, Said.OLD).detail, ControlOptions(path=Said.SOCKET).path):
        assert type(given) is str
    assert (Substitute(5, Said.OLD).detail, ControlOptions(path=Said.SOCKET).path) == ("an hour old", Said.SOCKET)


def test_where_the_settings_are(tmp_path: Path) -> None:
    file = tmp_path / "upright.toml"
    file.write_text("[control]\nenabled = false\n[retry]\nattempts = 7\n")
    place = StrEnum("Place", {"FILE": str(file)}).FILE  # type: ignore[attr-defined]
    with upright.boot(place) as tree:
        assert tree.config.retry.attempts == 7


class Undecided(dict[str, Any]):
    """Raises when it is asked whether it is empty."""

    def __len__(self) -> NoReturn:
        raise RuntimeError("how should I know")

    __bool__ = __len__


def test_a_context_that_does_not_know_whether_it_is_empty_is_refused_by_name_or_taken() -> None:
    def ask(use: Any) -> None:
        try:
            use()
        except ConfigError as error:
            assert "context" in error.field  # noqa: PT017 - it need not be refused

    error = ConnectionError("down")
    ask(lambda: upright.report(error, operation="query", context=Undecided()))
    with upright.boot({"control": {"enabled": False}}) as tree:
        ask(lambda: tree.report(error, operation="query", context=Undecided()))
        ask(lambda: tree.recover(error, operation="query", context=Undecided()))
        with pytest.raises(ConnectionError), tree.boundary("query", context=Undecided()):
            raise error
