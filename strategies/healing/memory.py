"""Give memory back: collect garbage, clear the caches that the application registered, return pages, and measure."""

from __future__ import annotations

import ctypes
import functools
import gc
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

from upright.strategies.codes import ErrorCode
from upright.strategies.errors import ConfigError
from upright.strategies.evidence import attribute
from upright.strategies.failure_text import failure_text
from upright.strategies.healing.base import HealingFailed, HealingStrategy
from upright.strategies.healing.scope import Scope
from upright.strategies.options import require_count, require_seconds
from upright.strategies.procedure import home_loop, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from upright.strategies.procedure import Procedure
    from upright.strategies.report import ErrorReport

__all__ = ["Cleanup", "MemoryCleanup"]

_MAX_UNPROVEN = 16  # cleanups whose proof is still to come; a worker abandoned in between leaves one behind
_MIB = 1_048_576
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_LOWEST = 131_072  # bytes: glibc's initial threshold of both
# What glibc's own rule comes to in a process that has freed a block of 32 MiB (mallopt(3), M_MMAP_THRESHOLD).
_HIGHEST_MMAP, _HIGHEST_TRIM = 32 * _MIB, 64 * _MIB


@dataclass(frozen=True, slots=True)
class Cleanup:
    """What a cleanup has done.

    Attributes:
        before: Resident bytes of this process before it.
        after: And after.
        cleared: Names of the caches that were cleared, in order.
        failed: Names of those whose clearer raised, with what.
    """

    before: int
    after: int
    cleared: tuple[str, ...]
    failed: Mapping[str, str]

    @property
    def freed(self) -> int:
        """Bytes by which the process shrank; below 0 if it grew meanwhile."""
        return self.before - self.after


class MemoryCleanup(HealingStrategy):
    """Frees memory of this process, and proves that it did.

    Takes every report of code MEMORY_PRESSURE: a MemoryError, ENOMEM, and the predictor's, which is made before it
    is too late when `predictor.act` is on. By hand: `clean()`.

    What it does: collect garbage (all threads stand still for that, some 0.1 s per million objects), clear the
    caches in the order given, and hand free pages back to the system with `malloc_trim` where the C library has it
    (glibc; elsewhere the allocator decides). The proof is that the process holds `least_freed` bytes less, and can
    have as many.

    With glibc, the process' trim threshold is 128 KiB while a cleanup runs: it rises with the largest block that was
    ever freed, up to 64 MiB, and what a thread frees below it stays with the process, for `malloc_trim` trims no top of
    a thread's heap (mallopt(3), M_TRIM_THRESHOLD). Whoever sets it switches glibc's own rule off; so after the first
    cleanup it is 64 MiB, and the threshold above which a block is mapped anew each time is 32 MiB: what that rule comes
    to in a process that has freed a block of 32 MiB.

    Args:
        caches: Clearers by name, dearest last: a function without arguments, which may be a coroutine function; or
            what has a `cache_clear` (functools.lru_cache, cachetools' decorators) or a `clear` (a dict, a cache of
            cachetools).
        resource: Takes only reports that name it. None takes all, since a process has one memory.
        least_freed: Bytes that the process must have shrunk by, at least 1.
        enough: Bytes after which the caches further down the list are left alone, at least 1; None clears all.
        timeout: Seconds for the healing with its proof, above 0.

    Raises:
        ConfigError: If a value is not allowed.

    Examples:
        >>> answers = {"how?": "so"}
        >>> MemoryCleanup({"answers": answers}).clean().cleared, answers
        (('answers',), {})
    """

    name = "memory cleanup"

    def __init__(
        self,
        caches: Mapping[str, Any] | None = None,
        *,
        resource: str | None = None,
        least_freed: int = _MIB,
        enough: int | None = None,
        timeout: float = 30.0,
    ) -> None:
        require_count("MemoryCleanup.least_freed", least_freed, least=1)
        if enough is not None:
            require_count("MemoryCleanup.enough", enough, least=1)
        require_seconds("MemoryCleanup.timeout", timeout, above=True)
        self.timeout = timeout
        self._clearers = {name: _clearer_of(name, cache) for name, cache in dict(caches or {}).items()}
        self._scope = Scope(resource, frozenset({ErrorCode.MEMORY_PRESSURE}), frozenset())
        self._least_freed = least_freed
        self._enough = enough
        self._home = home_loop()
        # By the report's identity, with the report, which so keeps that identity. Taken out by its proof.
        self._unproven: OrderedDict[int, tuple[ErrorReport, Cleanup]] = OrderedDict()

    def can_handle(self, report: ErrorReport) -> bool:
        """Memory is short."""
        return self._scope.holds(report)

    def heal(self, report: ErrorReport) -> Any:
        """Free what can be freed."""
        return run(self._heal(report), self._home)

    def verify(self, report: ErrorReport) -> None:
        """See that the process holds less, and that there is memory to be had.

        Raises:
            HealingFailed: If the process did not shrink by `least_freed` bytes since `heal` began.
            MemoryError: If it did, and there is still none to be had.
        """
        _, cleanup = self._unproven.pop(id(report), (report, None))
        if cleanup is None:
            raise HealingFailed("there was no cleanup to prove")
        fell = cleanup.before - _resident()
        if fell < self._least_freed:
            failed = "".join(f"; {name} was not cleared: {why}" for name, why in cleanup.failed.items())
            raise HealingFailed(
                f"memory did not fall: {fell / _MIB:+.1f} MiB less, at least {self._least_freed / _MIB:.1f} asked"
                f"{failed}",
                attempts=1,
            )
        bytearray(self._least_freed)

    def clean(self) -> Any:
        """Free memory now; returns a Cleanup, or an awaitable of it if a clearer is asynchronous."""
        return run(self._clean(), self._home)

    def _heal(self, report: ErrorReport) -> Procedure[None]:
        cleanup = yield from self._clean()
        self._unproven[id(report)] = (report, cleanup)
        while len(self._unproven) > _MAX_UNPROVEN:
            self._unproven.popitem(last=False)

    def _clean(self) -> Procedure[Cleanup]:
        before = _resident()
        cleared: list[str] = []
        failed: dict[str, str] = {}
        _set_trim_threshold(_LOWEST)
        try:
            yield from self._clear(before, cleared, failed)
        finally:
            _set_trim_threshold(_HIGHEST_TRIM)
        return Cleanup(before, _resident(), tuple(cleared), failed)

    def _clear(self, before: int, cleared: list[str], failed: dict[str, str]) -> Procedure[None]:
        _give_back()
        for name, clear in self._clearers.items():
            if self._enough is not None and before - _resident() >= self._enough:
                break
            try:
                yield clear()
            except Exception as error:  # the other caches can still be cleared
                failed[name] = failure_text(error)
            else:
                cleared.append(name)
                _give_back()


def _clearer_of(name: str, cache: Any) -> Callable[[], Any]:
    for method in ("cache_clear", "clear"):
        found = attribute(cache, method)
        if callable(found):
            return found  # type: ignore[no-any-return]
    if callable(cache):
        return cache  # type: ignore[no-any-return]
    raise ConfigError(
        f"MemoryCleanup.caches[{name!r}]", cache, "a function without arguments, or what has a `cache_clear` or `clear`"
    )


def _give_back() -> None:
    gc.collect()
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _set_trim_threshold(size: int) -> None:
    library = _glibc()
    if library is not None:
        library.mallopt(_M_TRIM_THRESHOLD, size)


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(None)
        _ = library.malloc_trim
        library.mallopt(_M_MMAP_THRESHOLD, _HIGHEST_MMAP)
    except (AttributeError, OSError, TypeError):  # musl, macOS; Windows takes no None
        return None
    return library


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)
