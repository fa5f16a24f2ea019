"""Memory cleanup, measured on this process, and on one that really runs out."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import cachetools
import pytest

from upright.actors.predictor import PredictedPressure
from upright.strategies.errors import ConfigError
from upright.strategies.healing.base import HealingFailed
from upright.strategies.healing.memory import Cleanup, MemoryCleanup
from upright.strategies.report import ErrorReport

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1_048_576


def report(error: BaseException | None = None) -> ErrorReport:
    return ErrorReport(error or MemoryError("no more"), "render")


def heal(strategy: MemoryCleanup, about: ErrorReport) -> None:
    assert strategy.can_handle(about)
    strategy.heal(about)
    strategy.verify(about)


def block(number: int) -> bytes:
    return bytes([number % 256]) * 20_000


def a_dict() -> Any:
    return {number: block(number) for number in range(1_000)}


def a_cache_of_cachetools() -> Any:
    cache: cachetools.LRUCache[int, bytes] = cachetools.LRUCache(maxsize=2_000)
    for number in range(1_000):
        cache[number] = block(number)
    return cache


def an_lru_cache() -> Any:
    cached = functools.lru_cache(maxsize=None)(block)
    for number in range(1_000):
        cached(number)
    return cached


def a_cached_function_of_cachetools() -> Any:
    cached = cachetools.cached(cachetools.LRUCache(maxsize=2_000))(block)
    for number in range(1_000):
        cached(number)
    return cached


def a_function() -> Any:
    return a_dict().clear


@pytest.mark.parametrize(
    "make", [a_dict, a_cache_of_cachetools, an_lru_cache, a_cached_function_of_cachetools, a_function]
)
def test_a_cache_of_any_kind_is_cleared_and_memory_falls(make: Callable[[], Any]) -> None:
    cache = make()
    strategy = MemoryCleanup({"answers": cache}, least_freed=10 * MIB)
    heal(strategy, report())


def test_garbage_alone_will_do() -> None:
    def tie() -> None:
        knot: list[Any] = [block(number) for number in range(1_000)]
        knot.append(knot)

    import gc

    gc.disable()  # or it might be collected before
    try:
        tie()
        heal(MemoryCleanup(least_freed=10 * MIB), report())
    finally:
        gc.enable()


def test_memory_that_does_not_fall_is_an_honest_failure() -> None:
    MemoryCleanup().clean()  # what there is to free is freed
    strategy = MemoryCleanup({"empty": {}}, least_freed=50 * MIB)
    about = report()
    strategy.heal(about)
    with pytest.raises(HealingFailed, match="did not fall"):
        strategy.verify(about)
    with pytest.raises(HealingFailed, match="no cleanup"):
        strategy.verify(about)


def test_a_clearer_that_raises_does_not_stop_the_others_and_is_named() -> None:
    def broken() -> None:
        raise ZeroDivisionError("oops")

    cache = a_dict()
    heal(MemoryCleanup({"broken": broken, "answers": cache}, least_freed=10 * MIB), report())
    assert cache == {}
    strategy = MemoryCleanup({"broken": broken}, least_freed=500 * MIB)
    about = report()
    strategy.heal(about)
    with pytest.raises(HealingFailed, match="broken was not cleared: ZeroDivisionError: oops"):
        strategy.verify(about)


def test_dear_caches_are_left_alone_when_enough_is_freed() -> None:
    cheap, dear = a_dict(), {"a": 1}
    cleanup = MemoryCleanup({"cheap": cheap, "dear": dear}, enough=5 * MIB).clean()
    assert isinstance(cleanup, Cleanup)
    assert cleanup.cleared == ("cheap",)
    assert cleanup.freed >= 5 * MIB
    assert dear == {"a": 1}


def test_a_clearer_may_be_a_coroutine_function() -> None:
    async def scenario() -> None:
        cache = a_dict()

        async def clear() -> None:
            await asyncio.sleep(0)
            cache.clear()

        strategy = MemoryCleanup({"answers": clear}, least_freed=10 * MIB)
        about = report()
        await strategy.heal(about)
        strategy.verify(about)
        assert (await strategy.clean()).cleared == ("answers",)

    asyncio.run(scenario())


def test_many_unproven_cleanups_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    # 40 collections of all that a whole run of tests keeps alive would take half a minute on a busy machine.
    monkeypatch.setattr("upright.strategies.healing.memory._give_back", lambda: None)
    strategy = MemoryCleanup()
    for _ in range(40):
        strategy.heal(report())
    assert len(strategy._unproven) == 16


def test_only_pressure_on_memory_is_handled() -> None:
    strategy = MemoryCleanup()
    assert strategy.can_handle(report())
    assert strategy.can_handle(report(OSError(12, "Cannot allocate memory")))
    assert strategy.can_handle(report(PredictedPressure("memory in about 90 s")))
    assert not strategy.can_handle(report(ConnectionResetError()))
    assert not strategy.can_handle(report(ValueError()))
    named = MemoryCleanup(resource="heap")
    assert not named.can_handle(report())
    assert named.can_handle(ErrorReport(MemoryError(), "render", resource="heap"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the address space as Linux does")
def test_a_process_that_really_runs_out_is_healed() -> None:
    script = textwrap.dedent(
        """
        import resource
        import psutil
        import upright
        from upright.strategies.healing import MemoryCleanup

        cache = {}
        with upright.boot(strategies=[MemoryCleanup({"pages": cache})]) as tree:

            @tree.protect("render", heal_wait=20)
            def render(number):
                cache[number] = bytearray(1_048_576)
                return number

            render(0)
            tree.recover(ConnectionResetError(), operation="warm up")  # so that every thread is there
            limit = psutil.Process().memory_info().vms + 400 * 1_048_576
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            for number in range(1_000):
                assert render(number) == number
            metrics = tree.metrics()
            print(metrics.healing_attempts, metrics.healing_successes)
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    attempts, successes = map(int, done.stdout.split())
    assert attempts == successes >= 2


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"caches": {"answers": 7}}, "MemoryCleanup.caches['answers']"),
        ({"least_freed": 0}, "MemoryCleanup.least_freed"),
        ({"enough": 0}, "MemoryCleanup.enough"),
        ({"timeout": 0}, "MemoryCleanup.timeout"),
        ({"resource": ""}, "resource"),
    ],
)
def test_bad_options_are_refused_by_name(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as refused:
        MemoryCleanup(**options)
    assert refused.value.field == field
