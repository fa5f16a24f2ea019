"""The pytest plugin: fixtures to test an application's resilience with. Loads nothing before a fixture is asked for.

Registered by entry point, so an installed upright is all it needs; `-p no:upright` switches it off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upright.testing.injection import Injector
    from upright.testing.sentry import SentryRecorder
    from upright.tree import Tree

__all__ = ["inject", "sentry_recorder", "upright_config", "upright_tree"]


@pytest.fixture
def upright_config() -> Any:
    """What `upright_tree` is booted with, as `upright.boot(config)` takes it; override it to change that.

    By default nothing reaches out of the test: no control socket, no predictor that samples the host.
    """
    return {"control": {"enabled": False}, "flags": {"error_predictor": False}}


@pytest.fixture
def upright_tree(upright_config: Any) -> Iterator[Tree]:
    """A running tree, the process's default for the test; stopped afterwards, and the one before is the default again.

    Add the application's own strategies and chains with `upright_tree.register(...)`. Retries do not wait, see
    `upright.testing.instant`.
    """
    from upright.booting import boot, restore_default
    from upright.testing.pacing import instant

    with instant(), restore_default(), boot(upright_config, name="upright-test") as tree:
        yield tree


@pytest.fixture
def sentry_recorder() -> Iterator[SentryRecorder]:
    """Sentry, initialised with a real client and a transport that records what would have been sent."""
    from upright.testing.sentry import SentryRecorder

    with SentryRecorder() as recorder:
        yield recorder


@pytest.fixture
def inject() -> Iterator[Injector]:
    """Fault injection as `upright.testing.inject`, whose faults end with the test."""
    from upright.testing.injection import Injector

    injector = Injector()
    try:
        yield injector
    finally:
        injector.stop()
