"""Booting a tree, and the process's default one."""

from __future__ import annotations

import contextlib
import weakref
from typing import TYPE_CHECKING, Any

from upright.parts import Parts
from upright.strategies.options import require_name
from upright.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["boot", "default_tree", "on_boot", "restore_default"]

_default: Tree | None = None
_waiting: weakref.WeakSet[Any] = weakref.WeakSet()  # what rebinds itself to each new default tree


def boot(config: Any = None, *, strategies: Iterable[Any] = (), name: str = "upright") -> Tree:
    """Start a supervision tree beside the application's own code, and make it the process's default.

    Returns when every actor has started. Starts threads, all of them daemons; configures neither logging nor
    structlog nor Sentry, and installs no signal handler. Ended by `tree.stop()`, by leaving a `with` block, or in
    order when the interpreter exits. A second call makes a second tree, which becomes the default.

    Args:
        config: None, a mapping nested as in upright.toml, a path of such a file, or a Config; see
            docs/configuration.md for what applies when several say something.
        strategies: Healing strategies and fallback chains, as for `tree.register`.
        name: The tree's name in status, logs and the control socket.

    Raises:
        ConfigError: A key or value of the configuration is wrong, or an option of a function that `upright.protect`
            has decorated, or `name` is no text of 1 to 1 000 characters; nothing was left running.
        StartFailed: An actor did not start; nothing was left running.
    """
    from upright.config import load_config
    from upright.flags import FlagSet

    name = require_name("boot.name", name)
    effective = load_config(config)
    parts = Parts(effective, FlagSet(effective.flags, file=effective.flags_file), name)
    parts.register(strategies)
    parts.start()
    tree = Tree(parts)
    before = _default
    try:
        _make_default(tree)
    except BaseException:
        tree.stop()
        _make_default(before)
        raise
    return tree


def _make_default(tree: Tree | None) -> None:
    global _default  # noqa: PLW0603 - there is one default tree per process, as promised
    _default = tree
    for binding in list(_waiting):
        binding.rebind(tree)


def default_tree() -> Tree | None:
    """Return the tree booted last in this process, stopped or not; None if there was none."""
    return _default


def on_boot(binding: Any) -> None:
    """Have `binding.rebind(tree)` called for each new default tree, None if there is none again; held weakly."""
    _waiting.add(binding)


@contextlib.contextmanager
def restore_default() -> Iterator[None]:
    """Make what is the default tree now (none, perhaps) the default again at the end of the block."""
    before = _default
    try:
        yield
    finally:
        _make_default(before)
