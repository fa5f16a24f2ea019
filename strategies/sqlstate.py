"""What an SQLSTATE says: the five characters with which PostgreSQL names an error.

The classes and conditions are those of PostgreSQL's appendix A ("PostgreSQL Error Codes"); the drivers carry
the state as `sqlstate` (psycopg 3, asyncpg) or `pgcode` (psycopg2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from upright.strategies.codes import ErrorCode
from upright.strategies.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["verdict_of_sqlstate", "verdict_of_startup_message"]

_LOST = Verdict(ErrorCode.DATABASE_CONNECTION)
# The database is well and has settled a conflict between two transactions: the call wants a retry, and
# resetting every connection of the pool would only add to the contention.
_CONFLICT = Verdict(ErrorCode.DATABASE_CONNECTION, healable=False)
_INVALID = Verdict(ErrorCode.VALIDATION, permanent=True)
_DENIED = Verdict(ErrorCode.AUTHENTICATION, permanent=True)
_BROKEN = Verdict(ErrorCode.INTERNAL)

_CONDITIONS: Mapping[str, Verdict] = {
    "0A000": _INVALID,  # feature not supported
    "25006": _LOST,  # read-only transaction: after a failover the pool still holds the old primary
    "25P02": _LOST,  # the transaction has failed before
    "25P03": _LOST,  # idle in transaction: the session was ended
    "25P04": _LOST,  # transaction timeout: the session was ended
    "26000": _LOST,  # a prepared statement is gone: the session behind a pooler is another one
    "40002": _INVALID,  # transaction integrity constraint violation
    "42501": _DENIED,  # insufficient privilege
    "55P03": _CONFLICT,  # lock not available
    "55006": _CONFLICT,  # object in use
    "57014": _CONFLICT,  # query cancelled, by statement_timeout as a rule
    "57P04": _INVALID,  # the database was dropped
    "P0001": _INVALID,  # RAISE EXCEPTION in a procedure: the application's own rule
    "72000": _CONFLICT,  # snapshot too old
}

_CLASSES: Mapping[str, Verdict] = {
    "08": _LOST,  # connection exception
    "20": _INVALID,  # case not found
    "21": _INVALID,  # cardinality violation
    "22": _INVALID,  # data exception
    "23": _INVALID,  # integrity constraint violation
    "25": _INVALID,  # invalid transaction state
    "28": _DENIED,  # invalid authorization
    "2B": _INVALID,  # dependent privileges still exist
    "34": _INVALID,  # invalid cursor name
    "3B": _INVALID,  # savepoint exception
    "3D": _INVALID,  # the database does not exist
    "3F": _INVALID,  # the schema does not exist
    "40": _CONFLICT,  # transaction rollback: serialization failure, deadlock
    "42": _INVALID,  # syntax error or access rule violation
    "44": _INVALID,  # WITH CHECK OPTION violation
    "53": _LOST,  # insufficient resources: too many connections, disk full, out of memory
    "54": _INVALID,  # program limit exceeded
    "55": _LOST,  # object not in the prerequisite state
    "57": _LOST,  # operator intervention: shutdown, starting up
    "58": _LOST,  # system error outside PostgreSQL
    "HV": _LOST,  # foreign data wrapper
    "P0": _BROKEN,  # error in a procedure
    "XX": _BROKEN,  # internal error, corruption
}


def verdict_of_sqlstate(state: str) -> Verdict | None:
    """The verdict on an SQLSTATE, by condition or else by class; None where neither is known."""
    return _CONDITIONS.get(state) or _CLASSES.get(state[:2])


# A connection that is refused during its startup has no SQLSTATE in psycopg (libpq hands over the text
# only), so the server's own words have to do. They are English unless lc_messages says otherwise; in
# another language the failure counts as a lost connection, which is merely tried again.
_STARTUP_DENIED = (
    "password authentication failed",
    "authentication failed for user",
    "no pg_hba.conf entry",
    "no password supplied",
    "pg_hba.conf rejects",
    "is not permitted to log in",
)


def verdict_of_startup_message(text: str) -> Verdict | None:
    """The verdict on what libpq says of a failed connection attempt; None: nothing but that it failed.

    A host list makes libpq report every attempt in one text. Refused credentials on one of several
    servers say nothing about the others, so any other trouble in the text makes the failure transient.
    """
    lowered = text.lower()
    if any(words in lowered for words in ("could not connect", "connection refused", "timeout expired")):
        return None
    if any(words in lowered for words in _STARTUP_DENIED):
        return _DENIED
    if "does not exist" in lowered:
        if 'role "' in lowered:
            return _DENIED
        if 'database "' in lowered:
            return _INVALID
    return None
