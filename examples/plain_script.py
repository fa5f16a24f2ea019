"""A plain script: a report on a SQLite file that another program keeps locked.

    python examples/plain_script.py

First the file is locked for a moment: the call waits for the healing, is made again, and the report does not notice.
Then it stays locked: after a second the report takes the answer from before, and is told that it is one.
"""

import sqlite3
import tempfile
import threading
from contextlib import closing, contextmanager
from pathlib import Path

import upright
from upright.strategies.fallback import CachedData, FallbackChain
from upright.strategies.healing import DatabaseReconnection

FILE = Path(tempfile.mkdtemp(prefix="ledger-")) / "ledger.db"


def connect():
    """Open the file. SQLite would wait five seconds for a lock; here upright waits, for all callers together."""
    return sqlite3.connect(FILE, timeout=0.05)


# What stands in when the database does not answer: what it said last, for ten minutes at most.
last_answer = CachedData(max_age=600)


# The names are yours. `resource` is what breaks and is repaired; calls that share one share its healing.
@upright.protect("turnover", resource="ledger")
@last_answer.remembering
def turnover():
    """Add up the bookings."""
    with closing(connect()) as connection:
        return connection.execute("SELECT sum(amount) FROM bookings").fetchone()[0]


@contextmanager
def locked_by_somebody_else():
    """Play the other program: hold the file so that nobody can even read it."""
    with closing(sqlite3.connect(FILE, check_same_thread=False)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield other


def main():
    """Ask three times: in peace, during a short lock, and during a long one."""
    with closing(connect()) as connection, connection:
        connection.execute("CREATE TABLE bookings (amount INTEGER)")
        connection.executemany("INSERT INTO bookings VALUES (?)", [(30,), (12,)])

    strategies = [DatabaseReconnection(connect, resource="ledger"), FallbackChain("turnover", [last_answer])]
    with upright.boot(strategies=strategies, name="report"):  # leaving the block stops the tree
        print("in peace:", turnover())

        with locked_by_somebody_else() as other:
            threading.Timer(0.3, other.rollback).start()
            print("locked for a moment:", turnover())
        print("  what happened:", upright.history(1)[0].steps[0].outcome, "by", upright.history(1)[0].steps[0].strategy)

        with locked_by_somebody_else():
            result = upright.call("turnover", turnover)  # like turnover(), with everything that happened
        print("locked for long:", result.value, f"({result.degradation})")


if __name__ == "__main__":
    main()
