"""The small service of the demo: it answers requests out of a database."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from upright.strategies.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from upright.testing.servers.postgres import PostgresServer

__all__ = ["Counts", "OrderService", "Stale", "load"]

_CUSTOMERS = 50


class Stale(int):
    """A number of orders that was true a while ago."""


@dataclass(slots=True)
class Counts:
    """What became of the service's calls. Raised by many threads."""

    served: Tally = field(default_factory=Tally)
    degraded: Tally = field(default_factory=Tally)
    failed: Tally = field(default_factory=Tally)
    last_fresh: float = 0.0  # monotonic seconds of the newest answer out of the database
    worst: float = 0.0  # seconds of the slowest call

    @property
    def calls(self) -> int:
        """All of them."""
        return self.served.value + self.failed.value


class OrderService:
    """Answers how many orders a customer has.

    Args:
        engine: Its way to the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.known: dict[int, int] = {}

    def orders_of(self, customer: int) -> int:
        """Ask the database."""
        from sqlalchemy import text

        with self._engine.connect() as connection:
            query = text("SELECT count(*) FROM orders WHERE customer = :customer")
            count = int(connection.execute(query, {"customer": customer}).scalar_one())
        self.known[customer] = count
        return count

    def last_known(self, context: Any) -> int:
        """The fallback: what the database said last."""
        customer = context["args"][0]
        return Stale(self.known[customer])


def make_engine(server: PostgresServer) -> Engine:
    """Return an engine as any service has it."""
    from sqlalchemy import create_engine

    return create_engine(server.url(), pool_size=8, max_overflow=4, pool_timeout=2, connect_args={"connect_timeout": 2})


def fill(server: PostgresServer) -> None:
    """Make the table that the service reads."""
    import psycopg

    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS orders")
        connection.execute("CREATE TABLE orders (id serial PRIMARY KEY, customer int NOT NULL)")
        connection.execute(
            "INSERT INTO orders (customer) SELECT i %% %s FROM generate_series(1, 5000) AS i", [_CUSTOMERS]
        )


def load(call: Callable[[int], int], counts: Counts, stop: threading.Event, *, users: int) -> list[threading.Thread]:
    """Start users that call the service about fifty times a second each, until `stop` is set."""

    def user(number: int) -> None:
        chance = random.Random(number)
        while not stop.wait(chance.uniform(0.01, 0.03)):
            began = time.monotonic()
            try:
                value = call(chance.randrange(_CUSTOMERS))
            except Exception:
                counts.failed.add()
            else:
                counts.served.add()
                if isinstance(value, Stale):
                    counts.degraded.add()
                else:
                    counts.last_fresh = time.monotonic()
            counts.worst = max(counts.worst, time.monotonic() - began)

    threads = [threading.Thread(target=user, args=(n,), name=f"user-{n}", daemon=True) for n in range(users)]
    for thread in threads:
        thread.start()
    return threads
