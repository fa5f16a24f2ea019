"""The service: its parts behind HTTP, under one supervision tree, with a page that tells people how things stand."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

import upright

from .lessons import Lessons
from .pages import Pages
from .tutor import Tutor
from .visits import Visits
from .voice import Voice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .settings import Settings

__all__ = ["Service", "create_app"]

# A service in front of people waits for a healing only for a moment; it goes on in the background.
CONFIG = {"healing": {"heal_wait": 0.5}, "retry": {"attempts": 2, "initial": 0.05, "maximum": 0.2}}
PAGE = Path(__file__).with_name("page.html")


class Service:
    """Everything that answers requests.

    Args:
        settings: Where it finds what it needs.
    """

    def __init__(self, settings: Settings) -> None:
        self.lessons = Lessons(settings)
        self.tutor = Tutor(settings)
        self.visits = Visits(settings)
        self.pages = Pages()
        self.voice = Voice(settings)

    @property
    def strategies(self) -> list[Any]:
        """How each part is healed, and what stands in for it meanwhile."""
        parts = (self.lessons, self.tutor, self.visits, self.pages, self.voice)
        return [strategy for part in parts for strategy in part.strategies]

    def close(self) -> None:
        """Let all connections go."""
        for part in (self.lessons, self.tutor, self.visits):
            part.close()


def create_app(settings: Settings, *, supervised: bool = True) -> FastAPI:
    """Make the service.

    Args:
        settings: Where it finds what it needs.
        supervised: Boot a tree beside it. Without one every protected call is a bare call, which is what
            `upright demo` compares with.
    """
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        tree = upright.boot(CONFIG, strategies=service.strategies, name="tutoring") if supervised else None
        try:
            await service.voice.start()
        except Exception as error:  # not there yet: no reason to keep everything else from working
            upright.report(error, operation="voice_session", resource="speech")
        try:
            yield
        finally:
            await service.voice.stop()
            if tree is not None:
                await run_in_threadpool(tree.stop)
            service.close()

    app = FastAPI(title="Tutoring", lifespan=lifespan)
    app.state.service = service

    @app.get("/", response_class=HTMLResponse)
    def page() -> str:
        return PAGE.read_text(encoding="utf-8")

    @app.get("/lessons/{number}")
    def lesson(number: int) -> JSONResponse:
        return answer(service.lessons.lesson(number))

    @app.put("/progress/{learner}/{number}")
    def progress(learner: str, number: int, key: str) -> JSONResponse:
        return answer(service.lessons.record(key, learner, number))

    @app.get("/explain")
    def explain(question: str) -> JSONResponse:
        return answer(service.tutor.explain(question))

    @app.post("/visits/{learner}")
    def visit(learner: str) -> JSONResponse:
        return answer(service.visits.count(learner))

    @app.get("/pages/{title}")
    def printable(title: str) -> JSONResponse:
        return answer(service.pages.page(title))

    @app.websocket("/voice/{session}")
    async def voice(socket: WebSocket, session: str) -> None:
        await socket.accept()
        with suppress(WebSocketDisconnect):
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                result = await service.voice.listen(message.get("bytes") or message.get("text") or "", session)
                await socket.send_json(content_of(result))

    @app.get("/notices")
    async def notices(request: Request) -> StreamingResponse:
        return StreamingResponse(events(request), media_type="text/event-stream")

    @app.get("/health")
    def health() -> JSONResponse:
        return JSONResponse(upright.status().to_dict())

    return app


def content_of(result: upright.RecoveryResult) -> dict[str, Any]:
    """Say what came of a call, and honestly in what way it is less than it should be."""
    value = result.value
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    elif isinstance(value, bytes):
        value = value.decode()
    return {
        "ok": result.status is not upright.RecoveryStatus.FAILED and not _rejected(result),
        "value": json.loads(json.dumps(value, default=str)),
        "degraded": (result.degradation or "degraded") if result.degraded else None,
    }


def answer(result: upright.RecoveryResult) -> JSONResponse:
    """Answer a request: 200 also for a degraded value, 503 and Retry-After where there is none."""
    content = content_of(result)
    if content["ok"]:
        return JSONResponse(content)
    wait = max(1, round(result.wait_time or 1))
    return JSONResponse(content, status_code=503, headers={"Retry-After": str(wait)})


def _rejected(result: upright.RecoveryResult) -> bool:
    return result.status is upright.RecoveryStatus.CIRCUIT_OPEN and not result.degraded


async def events(request: Request) -> AsyncIterator[str]:
    """Pass the tree's notices on to a page, as server-sent events."""
    with upright.notices(backlog=5) as stream:
        async for notice in stream:
            if await request.is_disconnected():
                return
            content = {"kind": notice.kind, "severity": notice.severity, "sentence": notice.sentence}
            yield f"event: notice\ndata: {json.dumps(content)}\n\n"
