"""The same function under each peer that is installed: what a user of that library would write.

Each builder gives a wrapped function, or raises ImportError where the library is missing. The options are those of
a service that wants as much as that library offers for the row; breakers have thresholds that a row does not reach.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["async_peers", "failing_peers", "rejecting_peers", "sync_peers"]

# Imports inside functions: a peer that is not installed is left out, not an error.


def _circuitbreaker(function: Any) -> Any:
    import circuitbreaker

    return circuitbreaker.CircuitBreaker(name=None)(function)


def _pybreaker(function: Any) -> Any:
    import pybreaker

    return pybreaker.CircuitBreaker()(function)


def _purgatory(function: Any) -> Any:
    import purgatory

    return purgatory.SyncCircuitBreakerFactory()("bench")(function)


def _purgatory_async(function: Any) -> Any:
    import purgatory

    return purgatory.AsyncCircuitBreakerFactory()("bench")(function)


def _nopanic_breaker(function: Any) -> Any:
    import nopanic

    return nopanic.circuit_breaker()(function)


def _nopanic_three(function: Any) -> Any:
    import nopanic

    return nopanic.compose(nopanic.fallback(lambda _: None), nopanic.retry(3), nopanic.circuit_breaker())(function)


def _interlock(function: Any) -> Any:
    import interlock

    return interlock.CircuitBreaker(name="bench")(function)


def _pyresilience(function: Any) -> Any:
    import pyresilience

    return pyresilience.resilient(
        retry=pyresilience.RetryConfig(), circuit_breaker=pyresilience.CircuitBreakerConfig()
    )(function)


def _stamina(function: Any) -> Any:
    import stamina

    return stamina.retry(on=ConnectionError, attempts=3)(function)


def _tenacity(function: Any) -> Any:
    import tenacity

    return tenacity.retry(stop=tenacity.stop_after_attempt(3))(function)


def _hyx(function: Any) -> Any:
    import hyx.circuitbreaker

    return hyx.circuitbreaker.consecutive_breaker()(function)


def _aioresilience(function: Any) -> Any:
    import aioresilience

    return aioresilience.circuit_breaker("bench")(function)


def _built(builders: Mapping[str, Callable[[Any], Any]], function: Any) -> dict[str, Any]:
    logging.getLogger("aioresilience").setLevel(logging.CRITICAL)
    found = {}
    for name, build in builders.items():
        try:
            found[name] = build(function)
        except ImportError:
            continue
    return found


def sync_peers(function: Any) -> dict[str, Any]:
    """Wrap a function that succeeds."""
    return _built(
        {
            "circuitbreaker": _circuitbreaker,
            "purgatory": _purgatory,
            "nopanic breaker": _nopanic_breaker,
            "pybreaker": _pybreaker,
            "nopanic fallback+retry+breaker": _nopanic_three,
            "pyresilience retry+breaker": _pyresilience,
            "interlock": _interlock,
            "stamina retry": _stamina,
            "tenacity retry": _tenacity,
        },
        function,
    )


def async_peers(function: Any) -> dict[str, Any]:
    """Wrap a coroutine function that succeeds."""
    return _built(
        {
            "circuitbreaker": _circuitbreaker,
            "hyx breaker": _hyx,
            "nopanic breaker": _nopanic_breaker,
            "purgatory": _purgatory_async,
            "nopanic fallback+retry+breaker": _nopanic_three,
            "pyresilience retry+breaker": _pyresilience,
            "aioresilience breaker": _aioresilience,
            "interlock": _interlock,
            "stamina retry": _stamina,
            "tenacity retry": _tenacity,
        },
        function,
    )


def failing_peers(function: Any, answer: Callable[..., Any]) -> dict[str, Any]:
    """Wrap a function that fails, with the fallback `answer()`."""

    def nopanic_fallback(function: Any) -> Any:
        import nopanic

        return nopanic.fallback(lambda _: answer())(function)

    def pyresilience_fallback(function: Any) -> Any:
        import pyresilience

        return pyresilience.resilient(fallback=pyresilience.FallbackConfig(handler=lambda _: answer()))(function)

    return _built({"nopanic fallback": nopanic_fallback, "pyresilience fallback": pyresilience_fallback}, function)


def rejecting_peers(function: Any) -> dict[str, Any]:
    """Wrap a function that fails in a breaker that the next call finds open."""

    def circuitbreaker_open(function: Any) -> Any:
        import circuitbreaker

        return circuitbreaker.CircuitBreaker(failure_threshold=1, recovery_timeout=86_400)(function)

    def pybreaker_open(function: Any) -> Any:
        import pybreaker

        return pybreaker.CircuitBreaker(fail_max=1, reset_timeout=86_400)(function)

    def purgatory_open(function: Any) -> Any:
        import purgatory

        return purgatory.SyncCircuitBreakerFactory(default_threshold=1, default_ttl=86_400)("open")(function)

    def nopanic_open(function: Any) -> Any:
        import nopanic

        return nopanic.circuit_breaker(min_calls=1, reset_timeout=86_400)(function)

    return _built(
        {
            "circuitbreaker": circuitbreaker_open,
            "purgatory": purgatory_open,
            "nopanic breaker": nopanic_open,
            "pybreaker": pybreaker_open,
        },
        function,
    )
