"""An operation's name with a lone surrogate broke every answer to Prometheus and every line of `upright status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import prometheus_client

from upright.cli.words import clean
from upright.integrations.prometheus import UprightCollector

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.tree import Tree


def test_a_scrape_is_answered(boot: Callable[..., Tree]) -> None:
    tree = boot()
    tree.call("\ud800", int)
    registry = prometheus_client.CollectorRegistry()
    registry.register(UprightCollector(tree))
    assert rb"\\ud800" in prometheus_client.generate_latest(registry)


def test_a_line_of_the_command_line_can_be_written() -> None:
    assert clean("\ud800").encode() == rb"\ud800"
