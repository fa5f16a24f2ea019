"""Stand-ins for what the service talks to, on this machine: real servers, but for the two models and the speech."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from upright.testing import HttpServer, PostgresServer, RedisServer, WebSocketServer
from upright.testing.servers.http import Reply

from .settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from upright.testing.servers.http import Request

__all__ = ["StandIns"]

LESSONS = 20


class StandIns:
    """A PostgreSQL and a Redis of their own, and an HTTP and a WebSocket server that only say what they heard.

    Used as a context manager. The models are local stand-ins with the interface of an OpenAI-compatible endpoint; they
    know nothing. The speech service counts samples and understands nothing.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        enter = self._stack.enter_context
        try:
            self.postgres = enter(PostgresServer(max_connections=40))
            self.redis = enter(RedisServer())
            self.model = enter(HttpServer(lambda request: _complete(request, "large-1")))
            self.small_model = enter(HttpServer(lambda request: _complete(request, "small-1")))
            self.speech = enter(WebSocketServer(_transcribe))
            folder = Path(enter(tempfile.TemporaryDirectory(prefix="tutoring-")))
            _fill(self.postgres)
        except BaseException:
            self._stack.close()
            raise
        self.settings = Settings(
            database_url=self.postgres.url(),
            redis_url=self.redis.url,
            model_url=self.model.url,
            small_model_url=self.small_model.url,
            speech_url=self.speech.url,
            folder=folder,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()


def _fill(server: PostgresServer) -> None:
    import psycopg  # noqa: PLC0415 - only the stand-ins talk to the database without SQLAlchemy

    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE lessons (id int PRIMARY KEY, title text NOT NULL, text text NOT NULL)")
        connection.execute("CREATE TABLE progress (key text PRIMARY KEY, learner text NOT NULL, lesson int NOT NULL)")
        connection.execute(
            "INSERT INTO lessons SELECT n, 'Lesson ' || n, 'The moon pulls at the sea.' FROM generate_series(1, %s) n",
            [LESSONS],
        )


def _complete(request: Request, model: str) -> Reply:
    if request.path == "/models":
        return Reply(body=json.dumps({"data": [{"id": model}]}).encode())
    question = json.loads(request.body)["messages"][-1]["content"]
    content = {"choices": [{"message": {"role": "assistant", "content": f"{model} says: {question}"}}]}
    return Reply(body=json.dumps(content).encode(), headers={"Content-Type": "application/json"})


def _transcribe(message: str | bytes) -> Iterable[str]:
    heard = json.loads(message)
    yield json.dumps({"number": heard["number"], "text": f"{len(heard['audio'])} characters of sound"})
