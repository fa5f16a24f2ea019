"""Fallback: a local copy in an SQLite file, for when nothing else is left."""

from __future__ import annotations

import os  # noqa: TC003 - in the signature

from upright.strategies.fallback.local_store import LocalStore
from upright.strategies.fallback.recalled import RecalledStep

__all__ = ["LocalStorage"]


class LocalStorage(RecalledStep):
    """The last of the database chain: any copy, however old, that has outlived restarts of this service.

    Degradation: stale without limit; the result says how old. Nothing to offer for what was never stored.
    Fill it by decorating reads with `remembering`, or ahead of time with `store.put(store.key(...), value)`.

    Args:
        store: A LocalStore, or the path of one.
        max_age: Seconds after which a copy is too old, above 0; None for never.
        name: What results and the ranking call it.
        timeout: Seconds; the disk may be slow, too.
        weight: See FallbackStep; half by default, since a copy without an age limit is the poorest answer.

    Raises:
        ConfigError: If a value is not allowed.
    """

    origin = "stored locally"

    def __init__(
        self,
        store: LocalStore | str | os.PathLike[str],
        *,
        max_age: float | None = None,
        name: str = "local storage",
        timeout: float | None = None,
        weight: float = 0.5,
    ) -> None:
        own = store if isinstance(store, LocalStore) else LocalStore(store)
        super().__init__(own, max_age=max_age, name=name, timeout=timeout, weight=weight)
