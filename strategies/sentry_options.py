"""What is said to Sentry about incidents, how soon, and how much of it at most."""

from __future__ import annotations

from dataclasses import dataclass

from upright.strategies.errors import ConfigError
from upright.strategies.foreign import is_of
from upright.strategies.options import SHORTEST_INTERVAL, require_bool, require_count, require_seconds

__all__ = ["SentryOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SentryOptions:
    """Reports of incidents, to Sentry and to the log.

    Sentry itself is the application's business: upright never calls `sentry_sdk.init`, and says nothing to Sentry
    where nobody else has.

    Attributes:
        enabled: Send events, breadcrumbs and metrics to Sentry. Off leaves the log lines and the metrics that
            `tree.metrics()` shows.
        service: The tag `upright.service`; empty takes the tree's name.
        cooldown: Seconds without a failure after which an incident is over, though nothing was proven healed.
        settle: Seconds that a failed incident is given to be healed after all, before its error event is sent. No
            event is sent while a healing is under way, for at most `patience`.
        patience: Seconds after which an incident is reported as it stands: still being healed, or living on
            fallbacks and retries.
        max_events: Events in any `window`; what is held back is counted, and the next event carries the count.
        window: Seconds.
        max_incidents: Incidents that are open at the same time; the one that was quiet longest is closed first.
        max_breadcrumbs: Steps of an incident that are kept for its event, the first and the newest.
        local_variables: Send the frames' local variables (redacted), if Sentry's own `include_local_variables` does.
        permanent_errors: Open incidents for permanent errors too (bad input, a 4xx). By default they are none: nothing
            is recovered, and the application gets them unchanged and reports them as it does without upright.
        metrics: Send the metrics of the tree through `sentry_sdk.metrics`.
        metrics_interval: Seconds between two of those, at least 0.001.
        redact: Names of keys that hold a secret, besides the built-in ones; in any case.

    Raises:
        ConfigError: If a value is out of its range or of the wrong kind.
    """

    enabled: bool = True
    service: str = ""
    cooldown: float = 60.0
    settle: float = 1.0
    patience: float = 30.0
    max_events: int = 30
    window: float = 60.0
    max_incidents: int = 1_000
    max_breadcrumbs: int = 50
    local_variables: bool = True
    permanent_errors: bool = False
    metrics: bool = True
    metrics_interval: float = 10.0
    redact: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("enabled", "local_variables", "permanent_errors", "metrics"):
            require_bool(f"SentryOptions.{name}", getattr(self, name))
        if type(self.service) is not str or len(self.service) > 200:
            raise ConfigError("SentryOptions.service", self.service, "a text of at most 200 characters")
        require_seconds("SentryOptions.cooldown", self.cooldown, above=True)
        require_seconds("SentryOptions.settle", self.settle)
        require_seconds("SentryOptions.patience", self.patience, above=True)
        require_count("SentryOptions.max_events", self.max_events, least=1)
        require_seconds("SentryOptions.window", self.window, above=True)
        require_count("SentryOptions.max_incidents", self.max_incidents, least=1)
        require_count("SentryOptions.max_breadcrumbs", self.max_breadcrumbs, least=2)
        require_seconds("SentryOptions.metrics_interval", self.metrics_interval, least=SHORTEST_INTERVAL)
        several = is_of(self.redact, tuple) or is_of(self.redact, list)
        if not several or not all(type(name) is str and name for name in self.redact):
            raise ConfigError("SentryOptions.redact", self.redact, "a list of texts that are not empty")
        object.__setattr__(self, "redact", tuple(self.redact))
