"""Log lines: where they go, and what is not in them."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Any

import pytest
import structlog

import upright
from upright.actors import SupervisedActor
from upright.actors.log import get_logger
from upright.strategies.error_redaction import redacted_error
from upright.supervisors import ChildSpec, Supervisor, which_child

if TYPE_CHECKING:
    from collections.abc import Callable

URL = "postgresql://app:hunter2@db/orders is gone"
SHOWN = "postgresql://app:[redacted]@db/orders is gone"


def raised(error: Any, cause: BaseException | None = None) -> Any:
    try:
        raise error from cause
    except Exception:
        return error


def printed(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


@pytest.fixture
def lines() -> Any:
    """What the application's structlog is given."""
    kept: list[dict[str, Any]] = []

    def keep(_logger: Any, _name: str, event: Any) -> Any:
        kept.append(dict(event))
        raise structlog.DropEvent

    structlog.configure(processors=[keep])
    yield kept
    structlog.reset_defaults()


def test_the_fields_of_a_line_are_redacted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "upright"):
        get_logger("test").info("seen", operation=URL, password="hunter2", deep={"a": [URL]}, plain=7)
    (record,) = caplog.records
    fields = vars(record)
    assert (record.name, record.msg, fields["component"], fields["plain"]) == ("upright", "seen", "test", 7)
    assert (fields["operation"], fields["password"], fields["deep"]) == (SHOWN, "[redacted]", {"a": [SHOWN]})
    assert "hunter2" not in repr(fields)


def test_an_application_with_structlog_gets_the_fields_redacted(lines: list[dict[str, Any]]) -> None:
    get_logger("test").warning("seen", operation=URL, exc_info=raised(OSError(URL)))
    (line,) = lines
    assert (line["event"], line["component"], line["operation"]) == ("seen", "test", SHOWN)
    assert str(line["exc_info"]) == SHOWN


def test_an_exception_without_secrets_is_passed_on_as_it_is(lines: list[dict[str, Any]]) -> None:
    error = raised(ValueError("no"))
    get_logger("test").warning("seen", exc_info=error)
    assert lines[0]["exc_info"] is error


@pytest.mark.actor_crash
def test_the_traceback_of_a_crash_has_no_secrets(keep: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    class Worker(SupervisedActor):
        def on_receive(self, message: Any) -> Any:
            raise OSError(URL)

    top = keep(Supervisor.start([ChildSpec("w", Worker)]))
    with pytest.raises(OSError, match="hunter2"):  # the asker's own error is the original
        which_child(top, "w").address.ask("go")
    which_child(top, "w")
    (record,) = [record for record in caplog.records if record.msg == "child_terminated"]
    text = logging.Formatter().format(record)
    assert "hunter2" not in text + repr(vars(record))
    assert f"OSError: {SHOWN}" in text
    assert "in on_receive" in text


def test_a_websocket_handler_that_raises_is_logged_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    from upright.strategies.healing.websocket_delivery import note_handler_error

    def handler() -> None:
        raise OSError(URL)

    try:
        handler()
    except OSError:
        note_handler_error(handler)
    assert "hunter2" not in caplog.text
    assert f"OSError: {SHOWN}" in caplog.text


def test_causes_contexts_notes_and_groups_print_as_before_without_secrets() -> None:
    inner = raised(ValueError(f"token={'s3cr3t'}"), raised(KeyError("plain")))
    inner.add_note("seen with password=hunter2")
    group = raised(ExceptionGroup("two", [inner, raised(OSError(URL))]), raised(upright.UprightError("first")))
    text = printed(redacted_error(group))
    assert text == (
        printed(group)
        .replace("s3cr3t", "[redacted]")
        .replace("password=hunter2", "password=[redacted]")
        .replace("hunter2", "[redacted]")
    )


def test_errors_that_are_linked_in_a_circle_are_copied_once() -> None:
    first, second = raised(OSError(URL)), raised(ValueError("two"))
    first.__context__, second.__context__ = second, first
    copy = redacted_error(first)
    assert copy.__context__ is not None
    assert copy.__context__.__context__ is copy
    assert "hunter2" not in printed(copy)


def test_a_chain_without_end_is_cut() -> None:
    error: BaseException = raised(OSError(URL))
    for at in range(5_000):
        error, error.__context__ = ValueError(at), error
    head = ValueError("head")
    head.__context__ = error
    assert len(printed(redacted_error(head))) < 10_000


def test_an_error_that_cannot_be_looked_at_is_named() -> None:
    class Foreign(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert "Foreign" in str(redacted_error(Foreign()))
