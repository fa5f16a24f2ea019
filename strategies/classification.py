"""What kind of failure an error is: decided once, and the same for healing, breaker, fallback and retry.

The way of one error: its links are looked at from the outside in (the error, then its cause, or else its
context). What a link says comes, first that applies, from

1. a type that the application registered, met along the MRO before any type that is known by name,
2. what the instance carries: an SQLSTATE, an HTTP status, SQLite's result code, an errno,
3. the nearest type along the MRO that is known by name (driver_errors.py).

The first definite link decides. A wrapper (`httpx.ConnectError`, `sqlalchemy.exc.DBAPIError`) speaks only if
nothing behind it does, and an error of which nothing is known is UNKNOWN and not permanent.

No library is imported, and nothing that an error's attributes do can make `classify` fail: an error that
raises when it is looked at is UNKNOWN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from upright.strategies.codes import TRAITS, ErrorCode
from upright.strategies.driver_errors import KNOWN_TYPES, RPC_PACKAGES
from upright.strategies.errors import ConfigError
from upright.strategies.evidence import attribute, evidence_of, retry_after_of
from upright.strategies.foreign import Interruption, is_of, traceback_of
from upright.strategies.options import is_finite_number
from upright.strategies.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Classification", "classify", "is_passthrough", "register_error", "unregister_error"]

_MAX_LINKS = 24
_MAX_FRAMES = 300
_MAX_CACHED_TYPES = 1_024
_MAX_REGISTERED = 1_000


@dataclass(frozen=True, slots=True)
class Classification:
    """What kind of failure an error is, and what may be done about it.

    Attributes:
        code: The kind.
        permanent: The same call would fail again; nothing is healed, retried or counted.
        retry_after: Seconds that the other side asked to wait, never below 0; None if it asked nothing.
        reason: What gave it away, such as "SQLSTATE 40001" or "httpx.ReadTimeout"; never text of the error.
        healable: A healing may be tried. False also for what no repair could help, as a deadlock between
            two transactions on a database that is well.
    """

    code: ErrorCode
    permanent: bool
    retry_after: float | None = None
    reason: str = ""
    healable: bool = True

    @property
    def retryable(self) -> bool:
        """The call may be made again."""
        return not self.permanent and TRAITS[self.code].retryable

    @property
    def counted(self) -> bool:
        """The circuit breaker takes the failure as evidence against the operation."""
        return not self.permanent and TRAITS[self.code].counted


@dataclass(frozen=True, slots=True)
class _Rule:
    """What is known of a type: looked up once for each type, kept in the cache."""

    verdict: Verdict | None
    name: str
    registered: bool
    plain: Classification | None = None
    """The verdict on an instance that carries nothing and has nothing behind it; None if that cannot be said
    beforehand. Only of builtin types, whose classes have none of the attributes that are looked for."""


_PASSTHROUGH = Classification(ErrorCode.UNKNOWN, permanent=True, reason="passes through", healable=False)
_HOSTILE = Classification(ErrorCode.UNKNOWN, permanent=False, reason="the error cannot be looked at")

_registered: dict[type[BaseException], Verdict] = {}
# Rules by type. Bounded: emptied when full, since a type costs little to look up again. A registration puts a
# new dict in its place *after* it changed `_registered`, so a thread that is still filling the old one with
# what was true before does no harm, and nobody needs a lock.
_rules: dict[type[BaseException], _Rule] = {}


def is_passthrough(error: BaseException) -> bool:
    """Whether an error is none of ours: it passes untouched and uncounted.

    Everything outside `Exception`: KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError, and
    what other frameworks put there for the same reason (`trio.Cancelled`, groups that hold one of these).
    """
    return not is_of(error, Exception)


def classify(error: BaseException, wall: float | None = None) -> Classification:
    """What kind of failure `error` is.

    Args:
        error: The exception. One that passes through (`is_passthrough`) is answered as permanent.
        wall: The present as Unix time. Only needed to turn a Retry-After that is a date into seconds where
            the response carries no Date of its own; without it such a date is not used.

    Examples:
        >>> classify(ConnectionRefusedError(111, "refused")).code
        <ErrorCode.NETWORK: 'NETWORK'>
        >>> classify(ValueError("no such plan")).permanent
        True
    """
    if not is_of(error, Exception):
        return _PASSTHROUGH
    if wall is not None and not is_finite_number(wall):
        raise ConfigError("classify.wall", wall, "None or a finite number of seconds")
    try:
        known = _plain(error)
        return _classify(error, wall, depth=0) if known is None else known
    except (KeyboardInterrupt, Interruption):
        raise
    except BaseException:  # anything an error does when looked at; the application's own error must come out
        return _HOSTILE


def register_error(cls: type[BaseException], code: ErrorCode | str, *, permanent: bool | None = None) -> None:
    """Say what an exception type, and every subclass that says nothing else, is.

    The registration reaches the whole process at once. A second one of the same type replaces the first. It
    wins over everything upright knows by name about a base of `cls`, and over status codes and the like.

    Args:
        cls: A subclass of Exception.
        code: One of the error codes, also by name.
        permanent: None takes what the code stands for (AUTHENTICATION and VALIDATION are permanent).

    Raises:
        ConfigError: If `cls` is no Exception type, `code` no code, `permanent` no bool, or 1 000 types are
            registered already (registering types made at run time would never end).
    """
    if not isinstance(cls, type) or not issubclass(cls, Exception):
        raise ConfigError("register_error.cls", cls, "a subclass of Exception")
    if code not in ErrorCode.__members__:
        raise ConfigError("register_error.code", code, f"one of {', '.join(ErrorCode)}")
    if permanent is not None and not isinstance(permanent, bool):
        raise ConfigError("register_error.permanent", permanent, "True, False or None")
    if cls not in _registered and len(_registered) >= _MAX_REGISTERED:
        raise ConfigError("register_error.cls", cls, f"one of at most {_MAX_REGISTERED} registered types")
    code = ErrorCode(code)
    _registered[cls] = Verdict(code, TRAITS[code].permanent if permanent is None else permanent)
    _forget_rules()


def unregister_error(cls: type[BaseException]) -> None:
    """Take a registration back; nothing happens if there is none."""
    _registered.pop(cls, None)
    _forget_rules()


def _forget_rules() -> None:
    global _rules  # noqa: PLW0603 - replaced as a whole, see its comment
    _rules = {}


def _plain(error: Exception) -> Classification | None:
    """Return what is known of the type alone, where the instance cannot make a difference."""
    known = _rule_of(type(error)).plain
    if known is None or error.__cause__ is not None or error.__dict__:
        return None
    if error.__context__ is not None and not error.__suppress_context__:
        return None
    if isinstance(error, OSError) and error.errno is not None:
        return None
    return known


def _classify(error: Exception, wall: float | None, depth: int) -> Classification:
    fallback: Verdict | None = None
    fallback_reason = ""
    retry_after: float | None = None
    remote = False
    for link in _links(error):
        if not isinstance(link, Exception):
            continue
        if isinstance(link, BaseExceptionGroup) and depth < 3:
            return _classify_group(link, wall, depth)
        rule = _rule_of(type(link))
        remote = remote or rule.name.partition(".")[0] in RPC_PACKAGES
        if retry_after is None:
            retry_after = retry_after_of(link, wall)
        verdict, reason = rule.verdict, rule.name
        if not rule.registered:
            evidence = evidence_of(link, rule.name, rule.verdict)
            if evidence is not None:
                verdict, reason = evidence
        if verdict is None:
            continue
        bare_timeout = isinstance(link, TimeoutError) and verdict.code is ErrorCode.NETWORK
        if bare_timeout and not rule.registered and (remote or _is_inside_rpc(error)):
            verdict = Verdict(ErrorCode.API_TIMEOUT)
        if not verdict.weak:
            return _conclude(verdict, retry_after, reason)
        if fallback is None:
            fallback, fallback_reason = verdict, reason
    if fallback is None:
        return Classification(ErrorCode.UNKNOWN, permanent=False, retry_after=retry_after, reason=_name(type(error)))
    return _conclude(fallback, retry_after, fallback_reason)


def _conclude(verdict: Verdict, retry_after: float | None, reason: str) -> Classification:
    if verdict.permanent:
        return Classification(verdict.code, permanent=True, reason=reason, healable=False)
    healable = verdict.healable and TRAITS[verdict.code].healable
    return Classification(verdict.code, False, retry_after, reason, healable)


def _classify_group(group: BaseExceptionGroup[Any], wall: float | None, depth: int) -> Classification:
    """The first permanent member decides, since that one fails again in any case; else the first member."""
    members = [_classify(member, wall, depth + 1) for member in group.exceptions[:16] if isinstance(member, Exception)]
    for member in members:
        if member.permanent:
            return member
    return members[0] if members else _HOSTILE


def _links(error: BaseException) -> Iterator[BaseException]:
    """The error and what is behind it, outermost first: bounded, and each link once, even in a cycle."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen and len(seen) < _MAX_LINKS:
        seen.add(id(link))
        yield link
        link = _behind(link)


def _behind(error: BaseException) -> BaseException | None:
    # `orig` and `reason` are where SQLAlchemy and urllib keep the original, also when `from None` hid it.
    for name in ("__cause__", "orig", "reason"):
        found = attribute(error, name)
        if isinstance(found, BaseException):
            return found
    if attribute(error, "__suppress_context__"):
        return None
    found = attribute(error, "__context__")
    return found if isinstance(found, BaseException) else None


def _rule_of(cls: type[BaseException]) -> _Rule:
    rules = _rules
    rule = rules.get(cls)
    if rule is None:
        rule = _find_rule(cls)
        if len(rules) >= _MAX_CACHED_TYPES:
            rules.clear()
        rules[cls] = rule
    return rule


def _find_rule(cls: type[BaseException]) -> _Rule:
    for base in cls.__mro__:
        verdict = _registered.get(base)
        if verdict is not None:
            return _Rule(verdict, f"registered {_name(base)}", registered=True)
        name = _name(base)
        verdict = KNOWN_TYPES.get(name)
        if verdict is not None:
            return _Rule(verdict, name, registered=False, plain=_plain_verdict(cls, verdict, name))
    return _Rule(None, _name(cls), registered=False, plain=_plain_verdict(cls, None, _name(cls)))


def _plain_verdict(cls: type[BaseException], verdict: Verdict | None, name: str) -> Classification | None:
    if cls.__module__ != "builtins" or issubclass(cls, BaseExceptionGroup | TimeoutError):
        return None  # what a timeout means depends on where it came from
    if verdict is None:
        return Classification(ErrorCode.UNKNOWN, permanent=False, reason=name)
    return _conclude(verdict, None, name)


def _name(cls: type) -> str:
    module = cls.__module__
    return f"{module.partition('.')[0]}.{cls.__qualname__}" if isinstance(module, str) else cls.__qualname__


def _is_inside_rpc(error: BaseException) -> bool:
    """Whether any traceback of the chain passes through an HTTP or RPC client.

    That is the only trace of where a bare TimeoutError came from; `asyncio.timeout` round a request leaves it
    on the CancelledError that is its cause.
    """
    frames = 0
    for link in _links(error):
        traceback = traceback_of(link)
        while traceback is not None and frames < _MAX_FRAMES:
            module = traceback.tb_frame.f_globals.get("__name__")
            if isinstance(module, str) and module.partition(".")[0] in RPC_PACKAGES:
                return True
            traceback = traceback.tb_next
            frames += 1
    return False
