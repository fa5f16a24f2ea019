"""Bring a remote API back: wait as it asks, forget dead connections and stale answers, prove it with a request."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from upright.strategies.backoff import Backoff
from upright.strategies.classification import classify
from upright.strategies.codes import ErrorCode
from upright.strategies.errors import ConfigError
from upright.strategies.evidence import attribute
from upright.strategies.healing.base import HealingFailed, HealingStrategy
from upright.strategies.healing.effort import Effort
from upright.strategies.healing.http_clients import asker_of, clearer_of, judge
from upright.strategies.healing.scope import Scope
from upright.strategies.idempotency import IDEMPOTENT
from upright.strategies.options import require_seconds
from upright.strategies.procedure import Pause, Within, home_loop, run

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from upright.strategies.procedure import Procedure
    from upright.strategies.report import ErrorReport

__all__ = ["ApiRetry"]

_CODES = frozenset({ErrorCode.API_TIMEOUT, ErrorCode.API_UNAVAILABLE, ErrorCode.RATE_LIMITED})


class ApiRetry(HealingStrategy):
    """Waits until a remote API answers again, through the application's own HTTP client.

    Heals a refused connection, one that was reset within an answer, timeouts, a name that does not resolve for a
    while, and the statuses 5xx, 408, 425 and 429. Other 4xx, wrong credentials and certificates are permanent, and
    no case for it; met while healing, they end it at once.

    What it does: empty the request cache, close the client's idle connections (a network that was cut leaves them
    half-open), wait as long as `Retry-After` asks, then ask until an answer below 400 comes. An answer that came
    out of a cache within the client is no proof.

    It asks with `verify`. Without, it makes the failed request again, and only if its method is among `methods`:
    any other failure is left to the next strategy. With `verify` a failure of any method is healed, since what
    failed is not made again here; whether it is afterwards is the operation's `idempotent`.

    Args:
        client: An httpx.Client, httpx.AsyncClient or requests.Session.
        resource: Name of the API as the protected operations give it. None takes every report about an HTTP
            API: right for an application that uses one.
        verify: URL to get (a health check; relative with a client of httpx that has a base URL), or a function
            that uses the API and raises if it does not work. It may return an awaitable. False is a failure, and
            so is a response with a status of 400 and above. None makes the failed request again.
        clear_cache: Empties the request cache: a function, something with a `clear` or `cache_clear`, or a SQLite
            storage of hishel. None finds the cache of hishel's own clients.
        methods: HTTP methods of which a failed request may be made again; the idempotent ones unless given.
        timeout: Seconds for the healing with its proof, at least 1. A `Retry-After` beyond that fails at once.
        request_timeout: Seconds for one request, above 0.
        backoff: Waits between attempts; None grows them from 50 ms to 0.5 s.

    Raises:
        ConfigError: If a value is not allowed.

    Examples:
        >>> import httpx
        >>> ApiRetry(httpx.Client(), resource="billing", verify="https://billing.example/health").name
        'api retry'
    """

    name = "api retry"

    def __init__(
        self,
        client: Any,
        *,
        resource: str | None = None,
        verify: str | Callable[[], Any] | None = None,
        clear_cache: Any = None,
        methods: Collection[str] = IDEMPOTENT,
        timeout: float = 30.0,
        request_timeout: float = 2.0,
        backoff: Backoff | None = None,
    ) -> None:
        require_seconds("ApiRetry.timeout", timeout, least=1.0)
        require_seconds("ApiRetry.request_timeout", request_timeout, above=True)
        if verify is not None and not callable(verify) and not (isinstance(verify, str) and verify):
            raise ConfigError("ApiRetry.verify", verify, "None, a URL, or a function without arguments")
        if isinstance(methods, str) or not all(isinstance(method, str) and method for method in methods):
            raise ConfigError("ApiRetry.methods", methods, "a collection of HTTP methods")
        self.timeout = timeout
        self._asker = asker_of(client)
        self._scope = Scope(resource, _CODES)
        self._proof = verify
        self._clear = clearer_of(client, clear_cache)
        self._methods = frozenset(method.upper() for method in methods)
        self._within = request_timeout
        # A tenth is left for the proof, and for an attempt that began at the last moment.
        self._effort = Effort(seconds=0.9 * timeout, backoff=backoff or Backoff(0.05, 0.5))
        self._home = home_loop()

    def can_handle(self, report: ErrorReport) -> bool:
        """A failure of this API that it knows how to prove repaired."""
        if not self._scope.holds(report) and not self._is_failed_request(report):
            return False
        return self._proof is not None or self._may_repeat(_request_of(report.error))

    def heal(self, report: ErrorReport) -> Any:
        """Wait as asked, then ask until it answers.

        Raises:
            HealingFailed: If time is up, it asks for a longer wait than that, or it refuses for good.
        """
        return run(self._heal(report), self._home)

    def verify(self, report: ErrorReport) -> Any:
        """Ask once more, through the application's own client."""
        return run(self._use(report, self._within), self._home)

    def _heal(self, report: ErrorReport) -> Procedure[None]:
        if self._clear is not None:
            yield self._clear()
        yield from self._asker.forget_idle()
        wait = _asked_to_wait(report)
        if report.code is ErrorCode.RATE_LIMITED and wait is not None:
            # Only the proof asks: each request more counts against the limit that was hit.
            if wait >= self._effort.seconds:
                raise HealingFailed(f"asked to wait {wait:g} s, which is longer than {self._effort.seconds:g} s")
            yield Pause(wait)
            return
        yield from self._effort.until_used(
            lambda left: self._use(report, min(self._within, max(0.1, left))), wait=wait or 0.0
        )

    def _use(self, report: ErrorReport, within: float) -> Procedure[None]:
        if callable(self._proof):
            answer = yield Within(within, self._proof())
            if answer is False:
                raise HealingFailed("verify returned False")
            if callable(attribute(answer, "raise_for_status")):
                judge(answer)
        elif self._proof is not None:
            yield from self._asker.get(self._proof, within)
        else:
            request = _request_of(report.error)
            if not self._may_repeat(request):
                raise HealingFailed("nothing to prove it with: the failed request may not be made again")
            yield from self._asker.repeat(request, within)

    def _is_failed_request(self, report: ErrorReport) -> bool:
        """Whether a report that says no more than "network" is about an HTTP API all the same."""
        known = report.classification
        return (
            self._scope.resource is None
            and known.healable
            and not known.permanent
            and report.code is ErrorCode.NETWORK
            and _request_of(report.error) is not None
        )

    def _may_repeat(self, request: Any) -> bool:
        method = attribute(request, "method")
        return isinstance(method, str) and method.upper() in self._methods


def _request_of(error: BaseException) -> Any:
    """The failed request, which httpx and requests leave on their errors; None where there is none."""
    link: BaseException | None = error
    for _ in range(8):
        if link is None:
            return None
        request = attribute(link, "request")
        if request is not None and isinstance(attribute(request, "method"), str):
            return request
        link = link.__cause__ or link.__context__
    return None


def _asked_to_wait(report: ErrorReport) -> float | None:
    """Seconds that are left of a Retry-After; None where nothing was asked."""
    since = report.classification.retry_after
    if since is not None:
        return max(0.0, since - (time.monotonic() - report.created_at))
    # A date, from a server that does not tell its own time: read by this host's clock.
    return classify(report.error, time.time()).retry_after
