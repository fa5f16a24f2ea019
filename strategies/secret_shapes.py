"""What a secret looks like: names that announce one, and texts that are one.

Leaking is worse than over-redacting, and unreadable reports are worse than none. A name is a secret's when
one of its *words* is (`authToken`, `X-Api-Key`; not `author`, not `max_token_count`), and a text is one when
its shape leaves little else (`eyJ...` with dots, 16 digits that pass Luhn's check; not a commit hash, not a
timestamp).
Every pattern is bounded or anchored, so that no text makes one of them slow.
"""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from itertools import pairwise

__all__ = ["CARD", "EMAIL", "SECRET", "hide_secrets", "is_card_number", "is_secret_name"]

SECRET = "[redacted]"  # noqa: S105 - the marker, not a secret
CARD = "[card]"
EMAIL = "[email]"

_WORDS_OF_SECRETS = """
    apikey authorization bearer cookie cookies credential credentials csrf cvc cvv jwt mfa passcode passphrase
    passwd password passwords privatekey pwd secret secrets secretkey sessionid sig signature ssn token tokens
    xsrf
"""
_SECRET_WORDS = frozenset(_WORDS_OF_SECRETS.split())
# Secret as a whole name only: `auth`, but not `auth_service`.
_SECRET_NAMES = frozenset({"auth", "otp", "pass", "pin", "pw", "sid"})
_SECRET_PAIRS = frozenset(
    {
        ("access", "key"),
        ("account", "key"),
        ("api", "key"),
        ("card", "number"),
        ("connection", "string"),
        ("credit", "card"),
        ("encryption", "key"),
        ("master", "key"),
        ("private", "key"),
        ("secret", "key"),
        ("session", "id"),
        ("session", "key"),
        ("shared", "key"),
        ("signing", "key"),
        ("ssh", "key"),
    }
)
# With one of these beside it the name speaks about a secret: token_type, password_policy, auth_url.
_WORDS_ABOUT_SECRETS = """
    algorithm backend bucket budget class count duration enabled endpoint error expiration expires expiry
    failed failure failures field invalid length level limit max method min missing mode policy provider
    required scheme seconds size state status strategy strength timeout total ttl type url usage valid
"""
_ABOUT_WORDS = frozenset(_WORDS_ABOUT_SECRETS.split())

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", re.ASCII)


def is_secret_name(name: str, value: object = "?") -> bool:
    """Whether what a key, parameter, header or column of this name holds is a secret.

    Args:
        name: The name; its first 200 characters count.
        value: What it holds. That a secret is missing (None, a bool, an empty text) is worth knowing and
            gives nothing away, and a number of `tokens` is a count.
    """
    if value is None or value is True or value is False or (isinstance(value, str) and value == ""):
        return False
    if isinstance(value, int | float) and name[-6:].lower() == "tokens":
        return False
    return _names_secret(name[:200])


@lru_cache(maxsize=4_096)
def _names_secret(name: str) -> bool:
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words or any(word in _ABOUT_WORDS for word in words):
        return False
    if any(word in _SECRET_WORDS for word in words):
        return True
    if len(words) == 1:
        return words[0] in _SECRET_NAMES
    return any(pair in _SECRET_PAIRS for pair in pairwise(words))


_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r".*?(?:-----END [A-Z0-9 ]{0,40}KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
# Everything up to the last @ before the path, since passwords hold @ more often than hosts do.
_URL_USER = re.compile(r"""://([^\s/?#"<>]{0,256})@""")
# A password with an unescaped / in it, which would end the authority; a port is none.
_URL_SLASH = re.compile(r"""://([^\s:/?#@\["'<>]{0,256}):(?![0-9]{1,5}[/?#])[^\s@"'<>]{0,256}@""")
_TOKENS = re.compile(
    r"""(?<![A-Za-z0-9_-])(?:
          eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)?      # JSON Web Token
        | (?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA)[A-Z0-9]{16}(?![A-Za-z0-9])      # AWS key id
        | gh[pousr]_[A-Za-z0-9]{16,} | github_pat_[A-Za-z0-9_]{16,} | glpat-[A-Za-z0-9_-]{16,}
        | (?:sk|pk|rk)[_-](?:live|test|proj|ant|or)?[_-]?[A-Za-z0-9_-]{16,} # OpenAI, Anthropic, Stripe
        | xox[abeoprs]-[A-Za-z0-9-]{10,} | xapp-[A-Za-z0-9-]{10,}           # Slack
        | AIza[A-Za-z0-9_-]{30,} | ya29\.[A-Za-z0-9_.-]{16,}                # Google
        | SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}                        # SendGrid
        | (?:npm|hf|dop_v1|shpat)_[A-Za-z0-9]{16,} | pypi-[A-Za-z0-9_-]{16,}
        )""",
    re.VERBOSE,
)
# A token has a digit or is long; "bearer authentication" has neither.
_BEARER = re.compile(
    r"""\b(bearer)(\s{1,4})(?!\[redacted\])(?=[^\s"'<>,;]{0,80}[0-9]|[^\s"'<>,;]{20})[^\s"'<>,;]{6,}""", re.IGNORECASE
)
_BASIC = re.compile(r"\b(basic)(\s{1,4})([A-Za-z0-9+/]{6,}={0,2})", re.IGNORECASE)
# A name and what follows it in `name=value`, `"name": "value"`, `--name value` and `<name>value`, also inside
# an escaped string. Whether it is a secret's is decided by its words.
_NAME = re.compile(
    r"""(?<![A-Za-z0-9_])
        (?: (\\{0,8}["'])? ([A-Za-z][A-Za-z0-9_.-]{1,60}) (?(1)\1) [ \t]{0,4} (?: => | [:=] ) [ \t]{0,4}
          | (?<=--) ([A-Za-z][A-Za-z0-9_-]{1,60}) [ \t]{1,4}
          | (?<=<) ([A-Za-z][A-Za-z0-9_.-]{1,60}) > )""",
    re.VERBOSE,
)
_VALUE = re.compile(
    r"""\[redacted\]
      | (?P<opening> \\{1,8}["'] ) .*? (?: (?P=opening) | \Z )
      | b? (?: (?P<quote> ["'] ) (?: (?! (?P=quote) | \\ ) . | \\. )* (?P=quote) )
      | b? ["'] [^\n]*
      | (?P<bare> (?:(?:basic|bearer|digest|negotiate|token)[ ]+)?
                  (?: [^\s&;<] | [&;](?![A-Za-z][\w .%\[\]-]{0,60}=) | <(?!/) )+ )""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
# Worth knowing, and no secret: the password is missing.
_SAYS_NOTHING = frozenset({"", "none", "null", "nil", "true", "false", "undefined", "missing"})
_CLOSERS = ",.;)]}>'\"\\"
_HEADER = re.compile(r"(?im)^([ \t>]*(?:set-)?(?:cookie|authorization|proxy-authorization)[ \t]*:[ \t]*)([^\r\n]+)")
_DIGITS = re.compile(r"(?<![\w.-])[2-6](?:[ -]?[0-9]){12,18}(?![\w-])", re.ASCII)
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9_%+-][A-Za-z0-9._%+-]{0,255}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9])"
)


# No shape fits an identifier that is shorter: every token has a prefix and 16 characters or a dash, the rest signs that
# an identifier has not. See test_a_short_identifier_is_no_secret.
_TOO_SHORT = 16


def hide_secrets(text: str) -> str:
    """The text with everything secret-shaped replaced by a marker; the rest is untouched.

    Doing it twice changes nothing more. Cost: 5 to 40 µs for a message of 200 characters.
    """
    if len(text) < _TOO_SHORT and text.isidentifier():
        return text
    if "PRIVATE KEY" in text:
        text = _PRIVATE_KEY.sub(SECRET, text)
    if "://" in text:
        text = _URL_USER.sub(_hide_user, text)
        text = _URL_SLASH.sub(rf"://\1:{SECRET}@", text)
    if ":" in text:
        text = _HEADER.sub(rf"\1{SECRET}", text)
    # Before the tokens, whose markers would stand in the middle of the values.
    if _NAME.search(text):
        text = _hide_values(text)
    text = _TOKENS.sub(SECRET, text)
    text = _BEARER.sub(rf"\1\2{SECRET}", text)
    text = _BASIC.sub(_hide_basic, text)
    text = _DIGITS.sub(_hide_card, text)
    if "@" in text:
        text = _EMAIL.sub(EMAIL, text)
    return text


def is_card_number(digits: str) -> bool:
    """Whether digits, without separators, have a card number's length, first digit and Luhn sum."""
    if not 13 <= len(digits) <= 19 or digits[0] not in "23456":
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _hide_user(match: re.Match[str]) -> str:
    user, colon, _ = match[1].partition(":")
    return f"://{user}:{SECRET}@" if colon and "@" not in user else f"://{SECRET}@"


def _hide_basic(match: re.Match[str]) -> str:
    """`Basic` before an ordinary word is English; before base64 of `user:password` it is a secret."""
    try:
        secret = b":" in base64.b64decode(match[3] + "=" * (-len(match[3]) % 4))
    except ValueError:
        secret = False
    return f"{match[1]}{match[2]}{SECRET}" if secret else match[0]


def _hide_values(text: str) -> str:
    """Hide the values of secret names; a value of another name is searched for names in its turn."""
    parts: list[str] = []
    done = at = 0
    while name := _NAME.search(text, at):
        at = name.end()
        word = name[2] or name[3] or name[4]
        if not is_secret_name(word):
            continue
        value = _VALUE.match(text, at)
        if value is None:
            continue
        shown = value[0]
        if value["bare"] and not shown.endswith(SECRET):
            shown = shown.rstrip(_CLOSERS)
        plain = shown.strip("\"'\\").lower()
        if plain in _SAYS_NOTHING or (plain.isdecimal() and not is_secret_name(word, 0)):
            continue
        quote = value["opening"] or value["quote"] or ""
        parts += (text[done:at], quote, SECRET, quote)
        done = at = at + len(shown)
    parts.append(text[done:])
    return "".join(parts)


def _hide_card(match: re.Match[str]) -> str:
    digits = match[0].replace(" ", "").replace("-", "")
    return CARD if is_card_number(digits) else match[0]
