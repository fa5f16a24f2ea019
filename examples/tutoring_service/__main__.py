"""Start the service on this machine, with stand-ins for what it talks to: `python -m examples.tutoring_service`."""

from __future__ import annotations

import argparse

import uvicorn

from .app import create_app
from .stand_ins import StandIns


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m examples.tutoring_service", description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="default: 8000")
    options = parser.parse_args()
    with StandIns() as parts:
        print(f"PostgreSQL is process {parts.postgres.pid}, Redis is process {parts.redis.pid}: kill one and look.")
        uvicorn.run(create_app(parts.settings), port=options.port, log_level="warning", ws="websockets-sansio")


if __name__ == "__main__":
    main()
