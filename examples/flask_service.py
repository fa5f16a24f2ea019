"""A Flask service on PostgreSQL that goes on answering while its database is away.

    DATABASE_URL=postgresql://user:secret@localhost/shop python examples/flask_service.py
    curl localhost:8000/price/pro

Stop PostgreSQL and ask again: the price comes from memory. Ask for another plan: 503, and when to come back. Start
PostgreSQL: no restart needed. Meanwhile `upright status`, in another terminal, says how things stand.
"""

import os

import flask
import psycopg
import psycopg_pool

import upright
from upright.strategies.fallback import CachedData, FallbackChain
from upright.strategies.healing import DatabaseReconnection

# Without limits of its own a pool waits for half a minute, and no library around it can make that shorter.
pool = psycopg_pool.ConnectionPool(
    os.environ["DATABASE_URL"], max_size=8, timeout=1, kwargs={"connect_timeout": 2}, open=False
)
last_answer = CachedData(max_age=600)
STRATEGIES = [DatabaseReconnection(pool, resource="shop-db"), FallbackChain("price", [last_answer])]

app = flask.Flask(__name__)


# Works before there is a tree: until then, and after it was stopped, calls are bare calls. A request waits at most
# half a second for a healing, which goes on for everybody, and for no retry: somebody is waiting for the page.
@upright.protect("price", resource="shop-db", heal_wait=0.5, retry_attempts=1)
@last_answer.remembering
def price(plan):
    """Look a price up; None if there is no such plan."""
    with pool.connection() as connection:
        row = connection.execute("SELECT cents FROM prices WHERE plan = %s", [plan]).fetchone()
    return None if row is None else row[0]


@app.get("/price/<plan>")
def get_price(plan):
    """Answer as if nothing could go wrong: what can is dealt with above and below."""
    cents = price(plan)
    return ({"detail": "no such plan"}, 404) if cents is None else {"cents": cents}


@app.errorhandler(upright.CircuitOpenError)
def unavailable(error):
    """Nothing helped, and the circuit says for how long not to try again."""
    return {"detail": "try again later"}, 503, {"Retry-After": str(max(1, round(error.wait_time)))}


@app.errorhandler(psycopg.OperationalError)  # the pool's timeouts, too
def failed(_error):
    """Nothing helped. The error is the driver's own, as it would be without upright."""
    return {"detail": "try again later"}, 503, {"Retry-After": "1"}


def main():
    """Serve with Flask's own server. Under gunicorn boot in `post_fork`: a tree does not survive a fork."""
    with pool, upright.boot(strategies=STRATEGIES, name="shop"):
        with pool.connection() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS prices (plan text PRIMARY KEY, cents int NOT NULL)")
            connection.execute("INSERT INTO prices VALUES ('pro', 2000), ('basic', 500) ON CONFLICT DO NOTHING")
        app.run(port=int(os.environ.get("PORT", "8000")))


if __name__ == "__main__":
    main()
