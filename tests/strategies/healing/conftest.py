"""Real servers for the healing tests: started once, broken by each test, and running again for the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from upright.testing.proxy import FaultProxy
from upright.testing.servers.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def _postgres() -> Iterator[PostgresServer]:
    with PostgresServer(max_connections=12) as server:
        yield server


@pytest.fixture
def postgres(_postgres: PostgresServer) -> PostgresServer:
    return _postgres.start()


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[FaultProxy]:
    with FaultProxy(postgres.address) as proxy:
        yield proxy
