from __future__ import annotations

import json
import random
import string
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upright.strategies.errors import ConfigError
from upright.strategies.foreign import shown
from upright.strategies.redaction import (
    RedactionLimits,
    Redactor,
    redact,
    redact_error,
    redact_text,
    type_name,
)
from upright.strategies.secret_shapes import hide_secrets, is_card_number, is_secret_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

R = "[redacted]"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


# Texts


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://app:hunter2@db:5432/shop", f"postgresql://app:{R}@db:5432/shop"),
        ("postgresql://app:p@ss:w@db/shop", f"postgresql://app:{R}@db/shop"),
        ("mysql://app:pa/ss@db/shop", f"mysql://app:{R}@db/shop"),
        ("redis://:hunter2@cache:6379/0", f"redis://:{R}@cache:6379/0"),
        ("https://jane@x.org:hunter2@host/x", f"https://{R}@host/x"),
        ("https://abc123@github.com/a/b", f"https://{R}@github.com/a/b"),
        ("GET /v1?access_token=abc&limit=5", f"GET /v1?access_token={R}&limit=5"),
        ("url=https://h/x?sig=abc%3D&page=2", f"url=https://h/x?sig={R}&page=2"),
        ("host=db password=hunter2 user=app", f"host=db password={R} user=app"),
        ("host=db password='hunter 2' user=app", f"host=db password='{R}' user=app"),
        ("Server=db;Password=hunter2;Database=shop", f"Server=db;Password={R};Database=shop"),
        ('{"api_key": "abc", "page": 2}', f'{{"api_key": "{R}", "page": 2}}'),
        ("{'client_secret': 'abc', 'page': 2}", f"{{'client_secret': '{R}', 'page': 2}}"),
        ('{\\"password\\": \\"abc\\", \\"page\\": 2}', f'{{\\"password\\": \\"{R}\\", \\"page\\": 2}}'),
        ('{"password": "a\\"b", "page": 2}', f'{{"password": "{R}", "page": 2}}'),
        ("User(name='jane', password='abc')", f"User(name='jane', password='{R}')"),
        ("connect(password=abc)", f"connect(password={R})"),
        ("tried --password hunter2 --host db", f"tried --password {R} --host db"),
        ("<password>hunter2</password><host>db</host>", f"<password>{R}</password><host>db</host>"),
        ("password='never closed", f"password={R}"),
        ("Authorization: Basic dXNlcjpwdw==\nHost: h", f"Authorization: {R}\nHost: h"),
        ("Set-Cookie: sid=abc; Path=/", f"Set-Cookie: {R}"),
        ("sent Bearer abcdef123 to h", f"sent Bearer {R} to h"),
        ("password=sk-abcdefghijklmnop1234)", f"password={R})"),
        (f"password=x{R}", f"password={R}"),
        ("sent Basic dXNlcjpwdw== to h", f"sent Basic {R} to h"),
        ("authorization=Bearer abcdef123 x", f"authorization={R} x"),
        (f"token {JWT} expired", f"token {R} expired"),
        ("key AKIAIOSFODNN7EXAMPLE is wrong", f"key {R} is wrong"),
        ("with sk-proj-abcdefghijklmnop1234", f"with {R}"),
        ("with ghp_abcdefghijklmnopqrst", f"with {R}"),
        ("paid with 4111 1111 1111 1111 today", "paid with [card] today"),
        ("paid with 5500-0000-0000-0004 today", "paid with [card] today"),
        ("mail to jane.doe+x@mail.example.org failed", "mail to [email] failed"),
        (
            "key:\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nend",
            f"key:\n{R}\nend",
        ),
        ("-----BEGIN PRIVATE KEY-----\nMIIE and no end", R),
    ],
)
def test_a_secret_in_a_text_is_hidden_and_the_rest_stays(text: str, shown: str) -> None:
    assert redact_text(text) == shown
    assert redact_text(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        'FATAL:  password authentication failed for user "app"',
        "connection to server at 10.0.0.1, port 5432 failed: Connection refused",
        "author: Jane, max_tokens=1024, total_tokens: 31",
        "unexpected token in JSON at position 4",
        "password=None token: null secret=''",
        "commit 3f2504e04f8941d39a0c0305e82c3301 at 1735689600000",
        "order 1234567890123456 of 2024-05-01 12:00:00",
        "uuid 123e4567-e89b-12d3-a456-426614174000",
        "voice_session: ok, auth_service: OPEN, token_bucket=3, password_policy=strict",
        "Basic understanding of bearer of news",
        "invalid bearer authentication, bearer token missing",
        "http://h:8080/users/@jane",
        "GET http://[::1]:8080/x took 0.03 s",
        "a @property and an @ sign",
        "ratio 3:4, time 12:30:00, C:\\path\\file.py:12",
        "",
    ],
)
def test_what_is_no_secret_stays_readable(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("password", True),
        ("DB_PASSWORD", True),
        ("authToken", True),
        ("X-Api-Key", True),
        ("aws_secret_access_key", True),
        ("privateKey", True),
        ("HTTPAuthorization", True),
        ("session_id", True),
        ("auth", True),
        ("pin", True),
        ("author", False),
        ("auth_service", False),
        ("voice_session", False),
        ("token_type", False),
        ("max_token_count", False),
        ("password_policy", False),
        ("key", False),
        ("monkey", False),
        ("spin", False),
        ("", False),
        ("...", False),
    ],
)
def test_a_name_is_a_secrets_by_its_words(name: str, secret: bool) -> None:  # noqa: FBT001
    assert is_secret_name(name) is secret


@pytest.mark.parametrize("value", [None, True, False, ""])
def test_that_a_secret_is_missing_is_shown(value: object) -> None:
    assert redact({"password": value}) == {"password": value}


def test_a_number_of_tokens_is_no_secret_and_the_tokens_are() -> None:
    assert redact({"tokens": 30, "prompt_tokens": 1.5}) == {"tokens": 30, "prompt_tokens": 1.5}
    assert redact({"tokens": ["abc"], "pin": 1234}) == {"tokens": R, "pin": R}


def test_cards_are_known_by_length_first_digit_and_luhn_sum() -> None:
    assert is_card_number("4111111111111111")
    assert is_card_number("378282246310005")
    assert not is_card_number("4111111111111112")
    assert not is_card_number("1111111111111117")
    assert not is_card_number("411111111111")
    assert redact({"n": 4111111111111111, "id": 4111111111111112}) == {"n": "[card]", "id": 4111111111111112}


# Values


def test_nested_data_is_redacted_and_keeps_its_form() -> None:
    value = {
        "user": {"name": "jane", "password": "abc", "mail": "jane@x.org"},
        "urls": ("redis://:pw@h/0", b"\x00\x01"),
        "headers": [("Authorization", "Bearer abcdef"), ("Accept", "text/html")],
        "env": [{"name": "DB_PASSWORD", "value": "abc"}, {"name": "LANG", "value": "C"}],
        "tags": {"one"},
        "ok": True,
        "ratio": 0.5,
        "gone": None,
    }
    assert redact(value) == {
        "user": {"name": "jane", "password": R, "mail": "[email]"},
        "urls": [f"redis://:{R}@h/0", "<bytes of 2>"],
        "headers": [["Authorization", R], ["Accept", "text/html"]],
        "env": [{"name": "DB_PASSWORD", "value": R}, {"name": "LANG", "value": "C"}],
        "tags": ["one"],
        "ok": True,
        "ratio": 0.5,
        "gone": None,
    }


def test_what_is_under_a_secret_name_is_hidden_whole() -> None:
    assert redact({"credentials": {"user": "app", "pw": "x"}}) == {"credentials": R}


def test_an_application_names_its_own_secrets() -> None:
    redactor = Redactor(names=["Diagnosis"])
    assert redactor.data({"diagnosis": "flu", "DIAGNOSIS": None}) == {"diagnosis": R, "DIAGNOSIS": None}


def test_objects_are_shown_by_a_redacted_repr() -> None:
    @dataclass
    class Order:
        id: int
        token: str

    assert redact(Order(1, "abc")).endswith(f"Order(id=1, token='{R}')")


def test_errors_are_shown_by_type_and_redacted_text() -> None:
    error = ValueError("bad password=abc")
    assert redact({"e": error}) == {"e": {"type": "ValueError", "message": f"bad password={R}"}}
    assert redact_error(error) == f"bad password={R}"


def test_numbers_that_json_lacks_become_texts() -> None:
    assert redact([float("nan"), float("inf"), 10**400]) == ["nan", "inf", "<int of 1329 bits>"]


def test_keys_become_texts_and_stay_apart() -> None:
    assert redact({1: "a", None: "b", (1, 2): "c"}) == {"1": "a", "None": "b", "[1, 2]": "c"}
    shown = redact({"a@x.org": 1, "b@x.org": 2, "c@x.org": 3})
    assert shown == {"[email]": 1, "[email] (2)": 2, "[email] (3)": 3}


def test_subclasses_of_plain_types_become_plain() -> None:
    class Text(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "password=abc"

    class Number(int):
        def __repr__(self) -> str:
            return "password=abc"

    shown = redact([Text("plain"), Number(3), OrderedDict(a=1)])
    assert shown == ["plain", 3, {"a": 1}]
    assert [type(item) for item in shown] == [str, int, dict]


# Bounds and hostility


def test_cycles_are_cut() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    mapping: dict[str, Any] = {}
    mapping["self"] = mapping
    assert redact([cycle, mapping]) == [["<cycle>"], {"self": "<cycle>"}]


def test_the_same_value_twice_is_no_cycle() -> None:
    shared = {"a": 1}
    assert redact([shared, shared]) == [{"a": 1}, {"a": 1}]


def test_depth_width_and_number_are_bounded() -> None:
    redactor = Redactor(limits=RedactionLimits(depth=2, items=3, nodes=6, text=100))
    assert redactor.data([[[1]]]) == [["<list not shown>"]]
    assert redactor.data([1, 2, 3, 4]) == [1, 2, 3, "<more not shown>"]
    assert redactor.data(dict.fromkeys("abcd", 1)) == {"a": 1, "b": 1, "c": "<not shown>", "<more>": "<not shown>"}
    assert redactor.data([[1, 2], [3, 4], [5]]) == [[1, 2], [3, "<not shown>"], "<not shown>"]


def test_a_long_text_is_cut_to_its_limit() -> None:
    redactor = Redactor(limits=RedactionLimits(text=100))
    for text in ("word " * 25, "word " * 1_000, "x" * 1_000):
        shown = redactor.text(text)
        assert len(shown) <= 100
        assert shown.endswith("[cut]")
        assert redactor.text(shown) == shown


@pytest.mark.parametrize("secret", [JWT, "postgresql://app:hunter2@h/db", "4111 1111 1111 1111"])
def test_a_secret_that_the_limit_would_cut_in_two_is_not_shown_in_part(secret: str) -> None:
    redactor = Redactor(limits=RedactionLimits(text=200))
    for lead in range(300, 420):
        shown = redactor.text(
            "-----BEGIN PRIVATE KEY-----"
            + "x" * 250
            + "-----END PRIVATE KEY----- "
            + "y " * ((lead - 303) // 2)
            + secret
        )
        assert "hunter" not in shown
        assert JWT[:12] not in shown
        assert "4111 1" not in shown


class Hostile:
    """Raises or lies wherever it is looked at."""

    def __repr__(self) -> str:
        raise RuntimeError

    def __str__(self) -> str:
        raise RuntimeError

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __hash__(self) -> int:
        return 1

    def __len__(self) -> int:
        raise RuntimeError

    def __bool__(self) -> bool:
        raise RuntimeError


class HostileDict(dict[Any, Any]):
    def items(self) -> NoReturn:
        raise RuntimeError


class EndlessList(list[Any]):
    def __iter__(self) -> Iterator[int]:
        number = 0
        while True:
            yield number
            number += 1


class Recursive:
    def __repr__(self) -> str:
        return repr(self)


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def test_hostile_values_are_named_and_do_no_harm() -> None:
    shown = redact({"a": Hostile(), "b": HostileDict(), "c": Recursive(), "d": MuteError(), Hostile(): 1})
    assert "unreadable" in shown["a"]
    assert "unreadable" in shown["b"]
    assert "unreadable" in shown["c"]
    assert "without a readable text" in shown["d"]["message"]
    json.dumps(shown)


def test_endless_values_are_cut() -> None:
    assert len(redact(EndlessList())) == 101


@pytest.mark.parametrize("field", ["depth", "items", "nodes", "text"])
def test_limits_are_checked(field: str) -> None:
    with pytest.raises(ConfigError, match=rf"RedactionLimits\.{field} must be an int"):
        RedactionLimits(**{field: 0})


@pytest.mark.parametrize(
    "piece",
    ["a", "\\", "a.", "a-", "://", "://a:", "2 ", "'", 'password="', 'password=\\"', "a@", "a:", "eyJ", "--a ", "<a>",
     "-----BEGIN PRIVATE KEY-----", "bearer ", "basic aaaaaaa ", "=", "x=&", "sk-", "token=;", "@.", "4111 "],
)  # fmt: skip
def test_no_text_makes_redaction_slow(piece: str) -> None:
    text = (piece * 8_000)[:8_000]
    began = time.perf_counter()
    redact_text(text)
    assert time.perf_counter() - began < 1.0  # the slowest takes some 20 ms


# Properties


ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.binary(max_size=8)
    | st.sampled_from(["password=abc", "redis://:x@h", "a@b.org", "4111111111111111", JWT, R, "Bearer abcdefgh"])
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.text(max_size=10) | st.sampled_from(["password", "token", "name", "value"]), inner, max_size=5
        )
        | st.tuples(inner, inner)
    ),
    max_leaves=30,
)


@given(VALUES)
def test_what_comes_out_is_plain_json(value: Any) -> None:
    assert json.loads(json.dumps(redact(value), allow_nan=False)) == redact(value)


@given(VALUES)
def test_redaction_is_idempotent_on_data(value: Any) -> None:
    once = redact(value)
    assert redact(once) == once


PIECES = st.sampled_from(
    ["password", "token", "=", ": ", "'", '"', "\\", "&", ";", "://", "@", "host", " ", "\n", R, "abc", "4111",
     "<", ">", "--", "eyJ", ".", "Bearer ", "basic ", ",", "(", ")", "[", "]", "api_key", "x"]
)  # fmt: skip


@settings(max_examples=500)
@given(st.lists(PIECES, max_size=25).map("".join) | st.text(max_size=60))
def test_redaction_is_idempotent_on_texts(text: str) -> None:
    once = redact_text(text)
    assert redact_text(once) == once


def _planters(rng: random.Random) -> list[Callable[[str], Any]]:
    """Ways in which a secret gets into a message, a context, a tag or an error."""
    name = rng.choice(["password", "api_key", "X-Auth-Token", "clientSecret", "aws_secret_access_key", "DB_PASSWD"])
    filler = " ".join(rng.choices(["order", "failed", "at", "host", "db-1", "after", "3", "tries"], k=rng.randrange(6)))
    nest = rng.randrange(6)

    def nested(value: Any) -> Any:
        for level in range(nest):
            value = [value] if level % 2 else {"inner": value}
        return value

    return [
        lambda secret: nested({name: secret}),
        lambda secret: nested({name: [secret, {"x": secret}]}),
        lambda secret: nested([(name, secret)]),
        lambda secret: nested({"name": name, "value": secret}),
        lambda secret: nested(f"{filler} {name}={secret} {filler}"),
        lambda secret: nested(f"{filler} {name}: '{secret}', {filler}"),
        lambda secret: nested(json.dumps({"a": 1, name: secret})),
        lambda secret: nested(json.dumps(json.dumps({name: secret}))),
        lambda secret: nested(repr({name: secret})),
        lambda secret: nested(f"{filler} postgresql://app:{secret}@db-1:5432/shop {filler}"),
        lambda secret: nested(f"https://h/v1/x?page=2&{name}={secret}&n=3"),
        lambda secret: nested(f"{filler} Authorization: Bearer {secret}"),
        lambda secret: nested(ValueError(f"{filler} {name}={secret}")),
        lambda secret: nested({f"{name}": secret, "note": f"Bearer {secret}"}),
        lambda secret: nested(f"--{name} {secret} {filler}"),
    ]


@pytest.mark.timeout(120)
def test_none_of_10_000_planted_secrets_is_shown() -> None:
    rng = random.Random(20_240_501)
    alphabet = string.ascii_letters + string.digits + "-_.~+%!*"
    for _ in range(10_000):
        secret = rng.choice(string.ascii_letters) + "".join(rng.choices(alphabet, k=rng.randrange(11, 40))) + "q7"
        value = rng.choice(_planters(rng))(secret)
        shown = json.dumps(redact(value))
        assert secret not in shown, (value, shown)


def _shaped(rng: random.Random) -> str:
    def of(letters: str, count: int) -> str:
        return "".join(rng.choices(letters, k=count))

    word = string.ascii_letters + string.digits
    digits = rng.choice("45") + (of("12345", 14) if rng.random() < 0.5 else of(string.digits, 14))
    card = next(digits + check for check in string.digits if is_card_number(digits + check))
    return rng.choice(
        [
            f"eyJ{of(word, 20)}.eyJ{of(word, 30)}.{of(word + '-_', 40)}",
            f"AKIA{of(string.ascii_uppercase + string.digits, 16)}",
            f"ghp_{of(word, 36)}",
            f"sk-{of(word, 40)}",
            f"xoxb-{of(string.digits, 12)}-{of(word, 20)}",
            card,
            "-".join(card[place : place + 4] for place in range(0, 16, 4)),
            f"{of(string.ascii_lowercase, 8)}.x@{of(string.ascii_lowercase, 6)}.example.org",
        ]
    )  # fmt: skip


@pytest.mark.timeout(120)
def test_secrets_of_a_telling_shape_are_hidden_wherever_they_stand() -> None:
    rng = random.Random(7)
    for _ in range(5_000):
        secret = _shaped(rng)
        value = rng.choice(
            [secret, f"failed for {secret}, again", {"note": [secret]}, {secret: 1}, f"<{secret}>", f'"{secret}"',
             ValueError(secret)]
        )  # fmt: skip
        shown = json.dumps(redact(value))
        assert secret not in shown, (value, shown)


@given(st.from_regex(r"[A-Za-z_]\w{0,14}", fullmatch=True))
@settings(max_examples=1_000, deadline=None)
def test_a_short_identifier_is_no_secret(text: str) -> None:
    assert hide_secrets(text) == text
    assert hide_secrets(f" {text}") == f" {text}"  # which is no identifier, so that every shape is tried


def test_types_are_named_with_their_module() -> None:
    assert type_name(ValueError()) == "ValueError"
    assert type_name(OrderedDict()) == "collections.OrderedDict"


def test_a_text_of_lone_surrogates_is_no_longer_than_any_other() -> None:
    assert len(Redactor().text("a\ud800 " * 2_000)) <= RedactionLimits().text
    assert len(shown("\ud800" * 1_000, text=str)) <= 200
