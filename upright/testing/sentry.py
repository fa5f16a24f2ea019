"""SentryRecorder: what Sentry would have got, by a real transport of a real client.

Nothing of the SDK is patched or faked; only the last step, the sending, ends in a list.
"""

from __future__ import annotations

import json
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

import sentry_sdk
from sentry_sdk.transport import Transport

from upright.strategies.options import require_count, require_seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from sentry_sdk.envelope import Envelope

__all__ = ["SentryRecorder"]


class SentryRecorder:
    """Initialises Sentry for the length of a `with` block, and records what it sends.

    Args:
        options: Of `sentry_sdk.init`; by default no integration is enabled automatically.

    Attributes:
        events: Events as they would have been sent, oldest first.
        metrics: Metrics likewise, each a dict with `name`, `type`, `value` and `attributes`. They are sent in
            batches: call `flush` first.
        sent: Every byte that would have left, as text; for looking for what must not leave.

    Examples:
        >>> with SentryRecorder() as sentry:
        ...     _ = sentry_sdk.capture_message("hello")
        ...     sentry.wait_for(1)[0]["message"]
        'hello'
    """

    def __init__(self, **options: Any) -> None:
        self.events: list[dict[str, Any]] = []
        self.metrics: list[dict[str, Any]] = []
        self._sent: list[str] = []
        self._changed = threading.Condition()
        self._options = {"dsn": "http://public@127.0.0.1:9/1", "auto_enabling_integrations": False, **options}
        self._before: Any = None
        self._scopes: Any = None

    @property
    def sent(self) -> str:
        """Every byte that would have left, as text."""
        return "\n".join(self._sent)

    def __enter__(self) -> Self:
        recorder = self

        class Recording(Transport):
            def capture_envelope(self, envelope: Envelope) -> None:
                recorder._take(envelope)

        self._before = sentry_sdk.get_client()
        self._scopes = sentry_sdk.isolation_scope()
        self._scopes.__enter__()
        sentry_sdk.init(transport=Recording, **self._options)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        client = sentry_sdk.get_client()
        sentry_sdk.get_global_scope().set_client(self._before if self._before.is_active() else None)
        client.close(timeout=0)
        self._scopes.__exit__(kind, error, traceback)

    def wait_for(
        self, number: int = 1, *, timeout: float = 5.0, where: Callable[[dict[str, Any]], bool] | None = None
    ) -> list[dict[str, Any]]:
        """Wait until at least `number` events (that fulfil `where`) are there, and return them.

        Raises:
            ConfigError: `number` is no count, or `timeout` no finite number >= 0.
            AssertionError: They did not come within `timeout` seconds; its text lists what did.
        """
        require_count("SentryRecorder.wait_for.number", number)
        require_seconds("SentryRecorder.wait_for.timeout", timeout)
        until = monotonic() + timeout
        with self._changed:
            while True:
                found = [event for event in self.events if where is None or where(event)]
                if len(found) >= number:
                    return found
                if not self._changed.wait(until - monotonic()) and monotonic() >= until:
                    names = [event.get("message") or event.get("logentry") for event in self.events]
                    raise AssertionError(f"{len(found)} of {number} events within {timeout:g} s; there are {names}")

    def flush(self) -> None:
        """Have the client send what it has gathered: metrics, logs."""
        sentry_sdk.get_client().flush(timeout=1.0)

    def metric(self, name: str) -> float:
        """Return the sum of a metric's values so far; flushes first."""
        self.flush()
        return sum(float(metric["value"]) for metric in self.metrics if metric["name"] == name)

    def _take(self, envelope: Envelope) -> None:
        text = envelope.serialize().decode("utf-8", "replace")
        with self._changed:
            self._sent.append(text)
            for item in envelope.items:
                payload = json.loads(item.get_bytes() or b"null")
                if item.type == "event":
                    self.events.append(payload)
                elif item.type == "trace_metric":
                    self.metrics.extend(payload["items"])
            self._changed.notify_all()
