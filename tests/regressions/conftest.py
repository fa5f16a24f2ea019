"""What the regression tests boot: a whole tree, with short times and without a control socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import upright

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from upright.tree import Tree


@pytest.fixture
def boot() -> Iterator[Callable[..., Tree]]:
    """Boot a tree: `boot(strategy, chain, healing={...})`; stopped after the test."""
    trees: list[Tree] = []

    def boot(*strategies: Any, **config: Any) -> Tree:
        short: dict[str, Any] = {"control": {"enabled": False}, "retry": {"initial": 0.001, "maximum": 0.002}}
        tree = upright.boot({**short, **config}, strategies=strategies)
        trees.append(tree)
        return tree

    yield boot
    for tree in reversed(trees):
        tree.stop(timeout=10.0)
