"""The tutoring service behind a real HTTP server, in a thread, so that the demo can look into its tree."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from upright.testing.servers.process import ServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upright.demo.tutoring_service.app import Service
    from upright.demo.tutoring_service.settings import Settings

__all__ = ["Running", "running"]

_START = 15.0  # seconds that the service may take to start, and to stop


class Running:
    """The service while it runs.

    Attributes:
        url: Where it is.
        service: Its parts.
    """

    def __init__(self, url: str, service: Service) -> None:
        self.url = url
        self.service = service


@contextmanager
def running(settings: Settings, *, supervised: bool) -> Iterator[Running]:
    """Serve until the block ends.

    Raises:
        ServerError: It did not start.
    """
    import uvicorn

    from upright.demo.tutoring_service.app import create_app

    app = create_app(settings, supervised=supervised)
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="critical", ws="websockets-sansio", timeout_graceful_shutdown=2)
    )
    thread = threading.Thread(target=server.run, name="tutoring-service", daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + _START
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise ServerError("the tutoring service did not start")
            time.sleep(0.02)  # uvicorn has no event for it
        host, port = server.servers[0].sockets[0].getsockname()
        yield Running(f"http://{host}:{port}", app.state.service)
    finally:
        server.should_exit = True
        thread.join(_START)
