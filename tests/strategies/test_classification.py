"""The rules of classification, on the standard library and on hand-made and hostile errors."""
# ruff: noqa: FBT001, PT018 - parametrized flags, errors named as applications name them

from __future__ import annotations

import asyncio
import errno
import json
import smtplib
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.strategies import classification
from upright.strategies.classification import (
    Classification,
    _registered,
    classify,
    is_passthrough,
    register_error,
    unregister_error,
)
from upright.strategies.codes import TRAITS, ErrorCode
from upright.strategies.errors import ConfigError
from upright.strategies.http_status import parse_retry_after, verdict_of_status
from upright.strategies.sqlstate import verdict_of_sqlstate, verdict_of_startup_message

if TYPE_CHECKING:
    from collections.abc import Iterator


def raised(error: Exception, cause: BaseException | None = None, context: BaseException | None = None) -> Exception:
    if cause is not None:  # also setting None would suppress the context
        error.__cause__ = cause
    error.__context__ = context
    return error


# Codes


def test_there_are_the_twelve_codes_and_each_has_traits() -> None:
    assert [str(code) for code in ErrorCode] == [
        "DATABASE_CONNECTION",
        "API_TIMEOUT",
        "API_UNAVAILABLE",
        "RATE_LIMITED",
        "NETWORK",
        "MEMORY_PRESSURE",
        "WEBSOCKET_DISCONNECTED",
        "CACHE_UNAVAILABLE",
        "AUTHENTICATION",
        "VALIDATION",
        "INTERNAL",
        "UNKNOWN",
    ]
    assert set(TRAITS) == set(ErrorCode)


def test_a_permanent_code_is_never_healed_retried_or_counted() -> None:
    for traits in TRAITS.values():
        if traits.permanent:
            assert not (traits.healable or traits.retryable or traits.counted)
    assert [code for code in ErrorCode if TRAITS[code].permanent] == ["AUTHENTICATION", "VALIDATION"]


# Standard library


@pytest.mark.parametrize(
    ("error", "code", "permanent"),
    [
        (ValueError("no"), "VALIDATION", True),
        (TypeError("no"), "VALIDATION", True),
        (json.JSONDecodeError("no", "", 0), "VALIDATION", True),
        (UnicodeDecodeError("utf-8", b"", 0, 1, "no"), "VALIDATION", True),
        (AssertionError("no"), "INTERNAL", True),
        (NotImplementedError("no"), "INTERNAL", True),
        (NameError("no"), "INTERNAL", True),
        (SystemError("no"), "INTERNAL", False),
        (MemoryError(), "MEMORY_PRESSURE", False),
        (OSError(errno.ENOMEM, "no"), "MEMORY_PRESSURE", False),
        (ConnectionRefusedError(errno.ECONNREFUSED, "no"), "NETWORK", False),
        (ConnectionResetError(), "NETWORK", False),
        (BrokenPipeError(errno.EPIPE, "no"), "NETWORK", False),
        (OSError(errno.EHOSTUNREACH, "no"), "NETWORK", False),
        (OSError(errno.ENETUNREACH, "no"), "NETWORK", False),
        (TimeoutError("no"), "NETWORK", False),
        (TimeoutError(errno.ETIMEDOUT, "no"), "NETWORK", False),
        (socket.gaierror(socket.EAI_NONAME, "no"), "NETWORK", False),
        (ssl.SSLError(1, "no"), "NETWORK", False),
        (ssl.SSLCertVerificationError(1, "no"), "AUTHENTICATION", True),
        (asyncio.IncompleteReadError(b"", 4), "NETWORK", False),
        (Exception("no"), "UNKNOWN", False),
        (RuntimeError("no"), "UNKNOWN", False),
        (KeyError("no"), "UNKNOWN", False),
        (ZeroDivisionError(), "UNKNOWN", False),
        (FileNotFoundError(errno.ENOENT, "no"), "UNKNOWN", False),
        (OSError("no errno"), "UNKNOWN", False),
    ],
    ids=repr,
)
def test_standard_library_errors(error: Exception, code: str, permanent: bool) -> None:
    found = classify(error)
    assert (found.code, found.permanent) == (code, permanent)
    assert found.retryable is found.counted is found.healable is not permanent


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        SystemExit(1),
        GeneratorExit(),
        asyncio.CancelledError(),
        BaseExceptionGroup("mixed", [KeyboardInterrupt()]),
    ],
)
def test_what_is_no_exception_passes_through(error: BaseException) -> None:
    assert is_passthrough(error)
    found = classify(error)
    assert not (found.healable or found.retryable or found.counted)


@pytest.mark.parametrize("error", [Exception(), TimeoutError(), ExceptionGroup("g", [ValueError()])])
def test_exceptions_do_not_pass_through(error: BaseException) -> None:
    assert not is_passthrough(error)


def test_an_asyncio_timeout_outside_of_any_client_is_the_networks() -> None:
    async def wait() -> None:
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError) as caught:
        asyncio.run(wait())
    assert classify(caught.value).code is ErrorCode.NETWORK


# The chain


class Wrapped(Exception):
    """An application's own error, of which nothing is known."""


def test_the_cause_decides_where_the_error_says_nothing() -> None:
    assert classify(raised(Wrapped(), cause=ConnectionResetError())).code is ErrorCode.NETWORK


def test_the_context_decides_where_there_is_no_cause() -> None:
    assert classify(raised(Wrapped(), context=MemoryError())).code is ErrorCode.MEMORY_PRESSURE


def test_a_suppressed_context_is_not_looked_at() -> None:
    error = raised(Wrapped(), context=MemoryError())
    error.__suppress_context__ = True
    assert classify(error).code is ErrorCode.UNKNOWN


def test_the_outermost_definite_link_decides() -> None:
    assert classify(raised(ValueError(), cause=ConnectionResetError())).code is ErrorCode.VALIDATION


def test_a_cancelled_link_is_passed_over() -> None:
    error = raised(Wrapped(), cause=asyncio.CancelledError())
    assert error.__cause__ is not None
    error.__cause__.__context__ = MemoryError()
    assert classify(error).code is ErrorCode.MEMORY_PRESSURE


def test_a_cyclic_chain_ends() -> None:
    first, second = Wrapped(), Wrapped()
    first.__cause__, second.__cause__ = second, first
    assert classify(first).code is ErrorCode.UNKNOWN


def test_an_endless_chain_is_looked_at_to_a_bounded_depth() -> None:
    links = 0

    class Endless(Exception):
        @property
        def __cause__(self) -> BaseException:  # type: ignore[override]
            nonlocal links
            links += 1
            return Endless()

    assert classify(Endless()).code is ErrorCode.UNKNOWN
    assert links < 100


class Hostile(Exception):
    """Raises at everything that is looked at."""

    def __getattribute__(self, name: str) -> NoReturn:
        raise RuntimeError(name)

    def __str__(self) -> str:
        raise RuntimeError("no text")


class HostileMeta(type):
    @property
    def __mro__(cls) -> NoReturn:
        raise RuntimeError("no mro")


class HostileType(Exception, metaclass=HostileMeta):
    pass


class Recursive(Exception):
    @property
    def response(self) -> Any:
        return self.response


@pytest.mark.parametrize("kind", [Hostile, HostileType, Recursive], ids=["value", "type", "depth"])
def test_a_hostile_error_is_unknown_and_does_no_harm(kind: type[Exception]) -> None:
    found = classify(kind())
    assert (found.code, found.permanent) == (ErrorCode.UNKNOWN, False)


def test_a_hostile_cause_leaves_the_error_itself() -> None:
    class Bad(ConnectionError):
        @property
        def __cause__(self) -> NoReturn:  # type: ignore[override]
            raise RuntimeError

    assert classify(Bad()).code is ErrorCode.NETWORK


# Groups


def test_a_group_is_what_its_permanent_member_is() -> None:
    group = ExceptionGroup("g", [ConnectionResetError(), ValueError()])
    assert classify(group).code is ErrorCode.VALIDATION


def test_a_group_without_permanent_members_is_what_its_first_is() -> None:
    assert classify(ExceptionGroup("g", [MemoryError(), ConnectionResetError()])).code == "MEMORY_PRESSURE"


def test_groups_in_groups_are_looked_at_to_a_bounded_depth() -> None:
    group: ExceptionGroup[Any] = ExceptionGroup("g", [ValueError()])
    for _ in range(50):
        group = ExceptionGroup("g", [group])
    assert classify(group).code is ErrorCode.UNKNOWN
    assert classify(ExceptionGroup("g", [ExceptionGroup("h", [ValueError()])])).code is ErrorCode.VALIDATION


# Evidence


class WithState(Exception):
    def __init__(self, **state: Any) -> None:
        super().__init__("x")
        self.__dict__.update(state)


@pytest.mark.parametrize(
    ("state", "code", "permanent", "healable"),
    [
        ("53300", "DATABASE_CONNECTION", False, True),
        ("57P01", "DATABASE_CONNECTION", False, True),
        ("57P03", "DATABASE_CONNECTION", False, True),
        ("08006", "DATABASE_CONNECTION", False, True),
        ("25006", "DATABASE_CONNECTION", False, True),
        ("40001", "DATABASE_CONNECTION", False, False),
        ("40P01", "DATABASE_CONNECTION", False, False),
        ("55P03", "DATABASE_CONNECTION", False, False),
        ("57014", "DATABASE_CONNECTION", False, False),
        ("28P01", "AUTHENTICATION", True, False),
        ("28000", "AUTHENTICATION", True, False),
        ("42501", "AUTHENTICATION", True, False),
        ("23505", "VALIDATION", True, False),
        ("42601", "VALIDATION", True, False),
        ("42p01", "VALIDATION", True, False),
        ("22P02", "VALIDATION", True, False),
        ("40002", "VALIDATION", True, False),
        ("P0001", "VALIDATION", True, False),
        ("XX000", "INTERNAL", False, True),
        ("ZZ999", "UNKNOWN", False, True),
    ],
)
@pytest.mark.parametrize("field", ["sqlstate", "pgcode"])
def test_an_sqlstate_decides(field: str, state: str, code: str, permanent: bool, healable: bool) -> None:
    found = classify(WithState(**{field: state}))
    assert (found.code, found.permanent, found.healable) == (code, permanent, healable)


def test_every_condition_that_is_known_beats_its_class() -> None:
    assert verdict_of_sqlstate("26000") != verdict_of_sqlstate("23505")
    assert verdict_of_sqlstate("QQ000") is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('FATAL:  password authentication failed for user "app"', "AUTHENTICATION"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "app"', "AUTHENTICATION"),
        ("fe_sendauth: no password supplied", "AUTHENTICATION"),
        ('FATAL:  role "app" does not exist', "AUTHENTICATION"),
        ('FATAL:  database "shop" does not exist', "VALIDATION"),
        ("something else does not exist", None),
        ("connection refused", None),
        ("- host h1: Connection refused\n- host h2: password authentication failed", None),
        ("server closed the connection unexpectedly", None),
    ],
)
def test_the_text_of_a_refused_startup(text: str, code: str | None) -> None:
    verdict = verdict_of_startup_message(text)
    assert (None if verdict is None else verdict.code) == code
    assert verdict is None or verdict.permanent


@pytest.mark.parametrize("status", range(400, 600))
def test_4xx_is_permanent_except_408_425_and_429(status: int) -> None:
    found = classify(WithState(status_code=status))
    assert found.permanent is ((status < 500 and status not in (408, 425, 429)) or status == 511)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "VALIDATION"),
        (401, "AUTHENTICATION"),
        (403, "AUTHENTICATION"),
        (404, "VALIDATION"),
        (408, "API_TIMEOUT"),
        (425, "API_UNAVAILABLE"),
        (429, "RATE_LIMITED"),
        (500, "API_UNAVAILABLE"),
        (503, "API_UNAVAILABLE"),
        (504, "API_TIMEOUT"),
    ],
)
def test_an_http_status_decides(status: int, code: str) -> None:
    response = WithState(status_code=status)
    assert classify(WithState(response=response)).code == code
    assert classify(WithState(response=response)).reason == f"HTTP {status}"


@pytest.mark.parametrize("status", [200, 302, 399, 600, 0, -1, True, "503", None])
def test_what_is_no_error_status_says_nothing(status: Any) -> None:
    assert classify(WithState(status_code=status)).code is ErrorCode.UNKNOWN


def test_statuses_below_400_have_no_verdict() -> None:
    assert verdict_of_status(304) is None


def test_errnos_of_name_resolution_are_not_taken_for_others() -> None:
    assert classify(socket.gaierror(errno.ENOMEM, "x")).code is ErrorCode.NETWORK


# SMTP


@pytest.mark.parametrize(
    ("error", "code", "permanent"),
    [
        (smtplib.SMTPServerDisconnected("no"), "NETWORK", False),
        (smtplib.SMTPConnectError(554, b"no"), "API_UNAVAILABLE", False),
        (smtplib.SMTPHeloError(501, b"no"), "API_UNAVAILABLE", False),
        (smtplib.SMTPDataError(451, b"greylisted"), "API_UNAVAILABLE", False),
        (smtplib.SMTPDataError(554, b"no"), "VALIDATION", True),
        (smtplib.SMTPSenderRefused(421, b"no", "ada"), "API_UNAVAILABLE", False),
        (smtplib.SMTPSenderRefused(530, b"log in first", "ada"), "AUTHENTICATION", True),
        (smtplib.SMTPRecipientsRefused({"ada": (550, b"no")}), "VALIDATION", True),
        (smtplib.SMTPRecipientsRefused({"ada": (550, b"no"), "bob": (452, b"full")}), "API_UNAVAILABLE", False),
        (smtplib.SMTPRecipientsRefused({}), "API_UNAVAILABLE", False),
        (smtplib.SMTPAuthenticationError(535, b"no"), "AUTHENTICATION", True),
        (smtplib.SMTPAuthenticationError(500, b"no"), "AUTHENTICATION", True),
        (smtplib.SMTPAuthenticationError(454, b"not now"), "API_UNAVAILABLE", False),
        (smtplib.SMTPNotSupportedError("no"), "VALIDATION", True),
        (smtplib.SMTPException("no"), "API_UNAVAILABLE", False),
    ],
    ids=repr,
)
def test_a_mail_servers_reply_decides_whether_to_send_again(
    error: smtplib.SMTPException, code: str, permanent: bool
) -> None:
    found = classify(error)
    assert (found.code, found.permanent) == (code, permanent), found


# Retry-After


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 37.0),  # RFC 9110's three forms of one date
        ("Sunday, 06-Nov-94 08:49:37 GMT", 37.0),
        ("Sun Nov  6 08:49:37 1994", 37.0),
        ("Sun, 06 Nov 1994 09:49:37 +0100", 37.0),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0.0),
        ("-5", None),
        ("1e9", None),
        ("nan", None),
        ("inf", None),
        ("٣", None),
        ("9" * 40, None),
        ("tomorrow", None),
        ("", None),
        ("Sun, 99 Foo 1994 99:99:99 GMT", None),
        ("Sun, 06 Nov 99999 08:49:37 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert parse_retry_after(value, wall=784111740.0) == seconds


def test_a_date_needs_the_present() -> None:
    assert parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT") is None


@given(st.text(max_size=120))
def test_any_retry_after_is_read_as_seconds_from_zero_or_not_at_all(value: str) -> None:
    seconds = parse_retry_after(value, wall=0.0)
    assert seconds is None or seconds >= 0


def limited(headers: Any) -> Classification:
    return classify(WithState(response=WithState(status_code=429, headers=headers)), wall=784111740.0)


def test_429_and_503_carry_what_the_response_asked_for() -> None:
    assert limited({"Retry-After": "3"}).retry_after == 3.0
    assert limited({"retry-after": "3"}).retry_after == 3.0
    assert limited({"retry-after": 3}).retry_after == 3.0
    assert limited({"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}).retry_after == 37.0
    assert limited({}).retry_after is None
    assert limited("no mapping").retry_after is None
    assert limited({"Retry-After": b"3"}).retry_after is None
    found = classify(WithState(status_code=503, headers={"Retry-After": "4"}))
    assert (found.code, found.retry_after) == (ErrorCode.API_UNAVAILABLE, 4.0)


def test_the_servers_own_date_is_the_present_where_it_says_one() -> None:
    headers = {"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT", "Date": "Sun, 06 Nov 1994 08:49:30 GMT"}
    assert limited(headers).retry_after == 7.0


@pytest.mark.parametrize("stated", [2, 2.0])
def test_an_error_may_state_its_own_retry_after(stated: float) -> None:
    assert classify(WithState(retry_after=stated)).retry_after == 2.0


@pytest.mark.parametrize("stated", [-1, float("nan"), float("inf"), True, "2"])
def test_a_senseless_retry_after_is_not_taken(stated: Any) -> None:
    assert classify(WithState(retry_after=stated)).retry_after is None


def test_a_permanent_error_asks_for_no_retry() -> None:
    assert classify(WithState(status_code=404, headers={"Retry-After": "4"})).retry_after is None


def test_the_retry_after_of_a_cause_counts() -> None:
    cause = WithState(response=WithState(status_code=503, headers={"Retry-After": "9"}))
    assert classify(raised(Wrapped(), cause=cause)).retry_after == 9.0


def test_the_outermost_retry_after_counts() -> None:
    cause = WithState(status_code=503, retry_after=9.0)
    error = WithState(retry_after=2.0)
    assert classify(raised(error, cause=cause)).retry_after == 2.0


# sqlite3


def test_a_locked_sqlite_database_is_a_database_connection(tmp_path: Any) -> None:
    path = tmp_path / "locked.db"
    with sqlite3.connect(path) as first:
        first.execute("create table t (x unique)")
        first.execute("insert into t values (1)")
        second = sqlite3.connect(path, timeout=0)
        with pytest.raises(sqlite3.OperationalError) as caught:
            second.execute("insert into t values (2)")
        second.close()
    first.close()
    found = classify(caught.value)
    assert (found.code, found.permanent, found.reason) == ("DATABASE_CONNECTION", False, "SQLite SQLITE_BUSY")


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.execute("create table t (x integer primary key, y not null)")
    yield connection
    connection.close()


@pytest.mark.parametrize(
    "statement", ["selec 1", "select * from missing", "insert into t values (1, null)", "insert into t values (1)"]
)
def test_a_wrong_sqlite_statement_is_permanent(database: sqlite3.Connection, statement: str) -> None:
    with pytest.raises(sqlite3.Error) as caught:
        database.execute(statement)
    assert (classify(caught.value).code, classify(caught.value).permanent) == (ErrorCode.VALIDATION, True)


def test_a_wrong_sqlite_parameter_is_permanent(database: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.Error) as caught:
        database.execute("select ?", (object(),))
    assert classify(caught.value).permanent


def test_a_closed_sqlite_connection_is_a_database_connection() -> None:
    connection = sqlite3.connect(":memory:")
    connection.close()
    with pytest.raises(sqlite3.ProgrammingError) as caught:
        connection.execute("select 1")
    assert classify(caught.value).code is ErrorCode.DATABASE_CONNECTION


def test_a_file_that_is_no_database_is_not_worth_another_try(tmp_path: Any) -> None:
    path = tmp_path / "text.db"
    path.write_text("this is certainly not a database" * 10)
    connection = sqlite3.connect(path)
    with pytest.raises(sqlite3.DatabaseError) as caught:
        connection.execute("select * from t")
    connection.close()
    assert (classify(caught.value).code, classify(caught.value).permanent) == (ErrorCode.INTERNAL, True)


@pytest.mark.parametrize(
    ("text", "permanent"),
    [("database is locked", False), ('near "selec": syntax error', True), ("no such table: t", True)],
)
def test_a_sqlite_error_without_a_result_code_is_read(text: str, permanent: bool) -> None:
    assert classify(sqlite3.OperationalError(text)).permanent is permanent


def test_an_unknown_sqlite_result_code_leaves_the_type() -> None:
    error = sqlite3.OperationalError("new in a later version")
    error.sqlite_errorcode = 99
    assert classify(error).code is ErrorCode.DATABASE_CONNECTION


def test_a_sqlite_error_without_readable_text_leaves_the_type() -> None:
    class Mute(sqlite3.OperationalError):
        def __str__(self) -> str:
            raise RuntimeError

    assert classify(Mute()).code is ErrorCode.DATABASE_CONNECTION


# Registration


class PaymentDown(Exception):
    pass


class PaymentDownAtNight(PaymentDown):
    pass


@pytest.fixture
def registered() -> Iterator[None]:
    yield
    unregister_error(PaymentDown)


@pytest.mark.usefixtures("registered")
def test_a_registered_type_and_its_subclasses_are_what_the_application_says() -> None:
    assert classify(PaymentDownAtNight()).code is ErrorCode.UNKNOWN
    register_error(PaymentDown, ErrorCode.API_UNAVAILABLE)
    for error in (PaymentDown(), PaymentDownAtNight(), raised(Wrapped(), cause=PaymentDown())):
        found = classify(error)
        assert (found.code, found.permanent) == (ErrorCode.API_UNAVAILABLE, False)
    assert classify(PaymentDown()).reason.startswith("registered ")
    unregister_error(PaymentDown)
    assert classify(PaymentDownAtNight()).code is ErrorCode.UNKNOWN


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("code", "permanent", "expected"),
    [("VALIDATION", None, True), ("VALIDATION", False, False), ("NETWORK", None, False), ("NETWORK", True, True)],
)
def test_a_registration_takes_the_codes_permanence_unless_told(
    code: str, permanent: bool | None, expected: bool
) -> None:
    register_error(PaymentDown, code, permanent=permanent)
    assert classify(PaymentDown()).permanent is expected


@pytest.mark.usefixtures("registered")
def test_a_registration_wins_over_what_the_instance_carries() -> None:
    class Answered(PaymentDown):
        status_code = 404

    register_error(PaymentDown, "NETWORK")
    assert classify(Answered()).code is ErrorCode.NETWORK


def test_a_registration_says_nothing_about_a_known_subclass() -> None:
    register_error(OSError, "INTERNAL")
    try:
        assert classify(ConnectionResetError()).code is ErrorCode.NETWORK
        assert classify(FileNotFoundError()).code is ErrorCode.INTERNAL
    finally:
        unregister_error(OSError)


def test_a_registered_timeout_stays_what_it_was_registered_as() -> None:
    class Slow(TimeoutError):
        pass

    register_error(Slow, "NETWORK")
    try:
        assert classify(Slow()).code is ErrorCode.NETWORK
    finally:
        unregister_error(Slow)


@pytest.mark.parametrize(
    ("cls", "code", "permanent", "field"),
    [
        (int, "NETWORK", None, "register_error.cls"),
        ("PaymentDown", "NETWORK", None, "register_error.cls"),
        (KeyboardInterrupt, "NETWORK", None, "register_error.cls"),
        (PaymentDown, "NETWROK", None, "register_error.code"),
        (PaymentDown, None, None, "register_error.code"),
        (PaymentDown, "NETWORK", 1, "register_error.permanent"),
    ],
)
def test_a_wrong_registration_is_refused(cls: Any, code: Any, permanent: Any, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        register_error(cls, code, permanent=permanent)
    assert caught.value.field == field


def test_registered_types_are_bounded() -> None:
    free = 1_000 - len(_registered)  # error fixtures of other tests stay registered
    types = [type(f"Made{n}", (Exception,), {}) for n in range(free + 1)]
    try:
        for cls in types[:free]:
            register_error(cls, "NETWORK")
        with pytest.raises(ConfigError, match="at most 1000"):
            register_error(types[free], "NETWORK")
        register_error(types[0], "INTERNAL")
    finally:
        for cls in types:
            unregister_error(cls)


def test_the_cache_of_types_is_bounded() -> None:
    for n in range(3_000):
        classify(type(f"Passing{n}", (Exception,), {})())
        assert len(classification._rules) <= 1_024


def test_threads_that_classify_while_types_are_registered_end_up_with_the_registration() -> None:
    class Busy(Exception):
        pass

    begin, stop = threading.Barrier(5), threading.Event()

    def classify_on() -> None:
        begin.wait()
        while not stop.is_set():
            classify(Busy())

    threads = [threading.Thread(target=classify_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        begin.wait()
        for code in [ErrorCode.NETWORK, ErrorCode.INTERNAL] * 50:
            register_error(Busy, code)
            assert classify(Busy()).code is code
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        unregister_error(Busy)


def test_no_library_is_imported_to_classify() -> None:
    script = (
        "import sys; before = set(sys.modules);"
        "import upright.strategies.classification as c; c.classify(OSError());"
        "print(sorted({n.partition('.')[0] for n in set(sys.modules) - before} & {'psycopg', 'psycopg2',"
        "'sqlalchemy', 'sqlite3', 'redis', 'httpx', 'requests', 'urllib3', 'aiohttp', 'websockets', 'ssl'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
