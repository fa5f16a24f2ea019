"""Printable pages, kept in memory within a budget: what runs out, and the healing that makes room again."""

from __future__ import annotations

import psutil

import upright
from upright.strategies.healing import MemoryCleanup

__all__ = ["Pages"]

MIB = 1 << 20


class Pages:
    """Renders pages and keeps them, because rendering is dear.

    The service may use so much memory and no more, as in a container. Beyond that rendering fails with MemoryError,
    which has the cache cleared, proves that memory fell, and renders the page after all.

    Args:
        budget: Bytes that the process may grow by from now on.
    """

    def __init__(self, budget: int = 128 * MIB) -> None:
        self.cache: dict[str, bytes] = {}
        self._process = psutil.Process()
        self._limit = self._process.memory_info().rss + budget
        self.strategies = [MemoryCleanup({"pages": self.cache.clear})]
        # Nothing can be served instead, and a cleanup is no outage: it is waited for.
        self._get = upright.protect("pages", resource="memory", heal_wait=10.0)(self._render)

    def page(self, title: str) -> upright.RecoveryResult:
        """Return a page as it is printed."""
        return upright.call("pages", self._get, title)

    def _render(self, title: str) -> bytes:
        if title not in self.cache:
            if self._process.memory_info().rss > self._limit:
                raise MemoryError(f"no room to render {title!r}")
            self.cache[title] = title.encode().ljust(4096)
        return self.cache[title]
