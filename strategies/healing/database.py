"""Bring a database connection back: forget what is dead, connect with a time limit, prove it with a query."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from upright.strategies.backoff import Backoff
from upright.strategies.codes import ErrorCode
from upright.strategies.errors import ConfigError
from upright.strategies.healing.base import HealingStrategy
from upright.strategies.healing.database_targets import target_of
from upright.strategies.healing.effort import Effort
from upright.strategies.healing.scope import Scope
from upright.strategies.options import require_seconds
from upright.strategies.procedure import home_loop, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.strategies.procedure import Procedure
    from upright.strategies.report import ErrorReport

__all__ = ["DatabaseReconnection"]

_SQLITE_LOCKED = (5, 6)  # SQLITE_BUSY and SQLITE_LOCKED, in the low byte of an extended code


class DatabaseReconnection(HealingStrategy):
    """Reconnects to a database, on whichever way the application has to it.

    Heals terminated backends, a server that was stopped, crashed or restarted, used up connections (SQLSTATE
    53300), connections that a network has cut or left half-open, an exhausted pool, and a locked SQLite file.
    What is wrong with a statement, the data or the credentials is permanent, and no case for it.

    What it does: drop the idle connections (`dispose` of an engine, `drain` of a psycopg pool; what is in use is
    closed when it comes back), then connect and run `check` until that works. A connection attempt is given up
    after `connect_timeout`, since one that was begun while packets were lost might wait for minutes.

    Args:
        target: A SQLAlchemy Engine or AsyncEngine, a psycopg ConnectionPool or AsyncConnectionPool, or a function
            without arguments that returns a new connection of any driver (or an awaitable of one), which is
            closed again. An engine made with `creator=`, and a function, must limit the time to connect
            themselves.
        resource: Name of the database as the protected operations give it. None takes every report of code
            DATABASE_CONNECTION: right for an application with one database.
        check: Statement that proves the connection.
        timeout: Seconds for the healing with its proof, at least 1.
        connect_timeout: Seconds for one attempt to connect, above 0. libpq counts whole seconds, at least 2.
        backoff: Waits between attempts; None grows them from 50 ms to 0.5 s.
        reset: Called before reconnecting, for what else the application keeps that belongs to old connections.

    Raises:
        ConfigError: If a value is not allowed.

    Examples:
        >>> import sqlite3
        >>> DatabaseReconnection(lambda: sqlite3.connect("orders.db"), resource="orders-db").name
        'database reconnection'
    """

    name = "database reconnection"

    def __init__(
        self,
        target: Any,
        *,
        resource: str | None = None,
        check: str = "SELECT 1",
        timeout: float = 30.0,
        connect_timeout: float = 2.0,
        backoff: Backoff | None = None,
        reset: Callable[[], Any] | None = None,
    ) -> None:
        require_seconds("DatabaseReconnection.timeout", timeout, least=1.0)
        require_seconds("DatabaseReconnection.connect_timeout", connect_timeout, above=True)
        if not isinstance(check, str) or not check:
            raise ConfigError("DatabaseReconnection.check", check, "an SQL statement")
        if reset is not None and not callable(reset):
            raise ConfigError("DatabaseReconnection.reset", reset, "None or callable without arguments")
        self.timeout = timeout
        self._target = target_of(target)
        self._scope = Scope(resource, frozenset({ErrorCode.DATABASE_CONNECTION}))
        self._check = check
        self._connect_timeout = connect_timeout
        self._reset = reset
        # A tenth is left for the proof, and for an attempt that began at the last moment.
        self._effort = Effort(seconds=0.9 * timeout, backoff=backoff or Backoff(0.05, 0.5))
        self._home = home_loop()

    def can_handle(self, report: ErrorReport) -> bool:
        """A failed connection to this database."""
        return self._scope.holds(report)

    def heal(self, report: ErrorReport) -> Any:
        """Forget the old connections, then connect until it works.

        Raises:
            HealingFailed: If time is up, or the database refuses for good.
        """
        return run(self._heal(lock=_is_locked_sqlite(report.error)), self._home)

    def verify(self, report: ErrorReport) -> Any:
        """Run the check through the application's own engine, pool or function."""
        lock = _is_locked_sqlite(report.error)
        return run(self._target.use(self._check, self._connect_timeout, lock=lock), self._home)

    def _heal(self, *, lock: bool) -> Procedure[None]:
        if self._reset is not None:
            yield self._reset()
        with contextlib.suppress(Exception):  # what is dead may fail to close, and is forgotten all the same
            yield from self._target.reset()
        yield from self._effort.until_used(
            lambda left: self._target.use(self._check, min(self._connect_timeout, left), lock=lock)
        )


def _is_locked_sqlite(error: BaseException) -> bool:
    link: BaseException | None = error
    for _ in range(8):
        if link is None:
            return False
        code = getattr(link, "sqlite_errorcode", None)
        if isinstance(code, int) and code & 0xFF in _SQLITE_LOCKED:
            return True
        original = getattr(link, "orig", None)
        link = original if isinstance(original, BaseException) else link.__cause__ or link.__context__
    return False
