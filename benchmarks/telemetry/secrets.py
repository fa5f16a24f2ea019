"""Whether any of 10 000 planted secrets leaves the process, by any way that telemetry has.

A secret is put wherever an application might put one: the texts, causes, notes and frame variables of its exceptions,
contexts, names of operations and resources, what healing strategies and fallback steps say, and the tags, contexts,
extras, user and breadcrumbs of its own Sentry scope. Everything that leaves is gathered: Sentry's envelopes, log lines,
status, history, events and metrics as the control socket gives them, notices, Prometheus and OpenTelemetry. Each secret
has a mark in it that nothing else has, so that half a secret is found as well; card numbers, which must look like such,
are looked for one by one. Beside the secrets stand plain words, which have to come out: otherwise silence would pass.
"""

from __future__ import annotations

import json
import logging
import random
import re
import string
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import sentry_sdk

import upright
from benchmarks.telemetry.figure import Figure
from upright.actors.control_wire import answer
from upright.commands import commands_for
from upright.strategies.secret_shapes import is_card_number
from upright.testing import SentryRecorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.strategies.report import ErrorReport

__all__ = ["Leaks", "measure", "plant"]

_MARK = "q7Zx"
_WORD = string.ascii_letters + string.digits
_NAMES = ("password", "api_key", "X-Auth-Token", "clientSecret", "aws_secret_access_key", "DB_PASSWD", "authorization")
_CARD = re.compile(r"[45][0-9](?:[ -]?[0-9]){14}")
_PER_INCIDENT = 60


@dataclass
class Planter:
    """Makes secrets, each in one of the ways in which secrets come, and remembers how many, and the cards.

    Attributes:
        planted: How many so far.
        cards: The card numbers among them.
    """

    random: random.Random
    planted: int = 0
    cards: set[str] = field(default_factory=set)

    def _some(self, length: int) -> str:
        return "".join(self.random.choices(_WORD, k=length))

    def secret(self) -> str:
        """A secret that can only be known by the name that it stands under."""
        self.planted += 1
        return f"{self._some(self.random.randrange(4, 12))}{_MARK}{self._some(8)}"

    def name(self) -> str:
        """A name that announces one."""
        return self.random.choice(_NAMES)

    def text(self) -> str:
        """A text with a secret in it that is known by what stands before it, or by its shape."""
        pick = self.random.randrange(9)
        if pick == 0:
            return f"postgresql://app:{self.secret()}@db-1:5432/shop refused"
        if pick == 1:
            return f"401 for Authorization: Bearer {self.secret()}{self._some(12)}1"
        if pick == 2:
            return f"bad response, {self.name()}={self.secret()} was sent"
        if pick == 3:
            return json.dumps({"page": 2, self.name(): self.secret()})
        if pick == 4:
            return f"GET https://api.example.org/v1?page=2&{self.name()}={self.secret()}&n=3 failed"
        if pick == 5:
            return f"no mailbox for {self.secret()}@{self._some(6).lower()}.example.org"
        if pick == 6:
            return f"token eyJ{self._some(12)}.eyJ{self.secret()}.{self._some(30)} has expired"
        if pick == 7:
            return f"key sk-live-{self.secret()}{self._some(20)} was rejected"
        return f"charge of {self._card()} was declined"

    def _card(self) -> str:
        self.planted += 1
        body = self.random.choice("45") + "".join(self.random.choices(string.digits, k=14))
        card = next(body + check for check in string.digits if is_card_number(body + check))
        self.cards.add(card)
        return card if self.random.random() < 0.5 else " ".join(card[at : at + 4] for at in range(0, 16, 4))

    def data(self) -> Any:
        """Nested data with a secret in it."""
        value: Any = {self.name(): self.secret()} if self.random.random() < 0.5 else {"note": self.text()}
        for level in range(self.random.randrange(4)):
            value = [value, "plain"] if level % 2 else {"inner": value, "plain": 1}
        return value


class _Repair(upright.HealingStrategy):
    """A repair that fails, and says too much about it."""

    name = "repair"

    def __init__(self, planter: Planter) -> None:
        self._planter = planter

    def can_handle(self, report: ErrorReport) -> bool:
        return True

    def heal(self, report: ErrorReport) -> None:
        raise ConnectionError(self._planter.text())

    def verify(self, report: ErrorReport) -> None:
        pass


@dataclass
class Leaks:
    """What came of it.

    Attributes:
        planted: Secrets.
        found: Pieces of text around those that left, by channel.
        silent: Channels by which nothing left at all, not even what is no secret.
        sizes: Characters that left, by channel.
    """

    planted: int = 0
    found: dict[str, list[str]] = field(default_factory=dict)
    silent: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)


def measure(secrets: int) -> list[Figure]:
    """Plant so many secrets and look at everything that leaves."""
    leaks = plant(secrets)
    count = sum(map(len, leaks.found.values()))
    note = ", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in leaks.sizes.items())
    for channel, places in leaks.found.items():
        for place in places[:3]:
            print(f"leaked by {channel}: {place}", file=sys.stderr)
    return [
        Figure(f"secrets that left, of {leaks.planted} planted", count, "", 0, note),
        Figure("channels by which nothing came", len(leaks.silent), "", 0, ", ".join(leaks.silent)),
    ]


def plant(secrets: int, seed: int = 20_261_126) -> Leaks:
    """Plant at least so many secrets, gather all that leaves, and look for them."""
    planter = Planter(random.Random(seed))
    left: dict[str, list[str]] = {}
    with ExitStack() as stack:
        log = stack.enter_context(_Log())
        sentry = stack.enter_context(SentryRecorder(max_breadcrumbs=20))
        config = {
            "retry": {"attempts": 1},
            "healing": {"heal_wait": 5, "max_healing_attempts": 1},
            "flags": {"error_predictor": False},
            "breaker": {"minimum_number_of_calls": 1_000},
            "control": {"enabled": False},
            "sentry": {"settle": 0.01, "max_events": 100_000, "metrics_interval": 0.5},
        }
        tree = stack.enter_context(upright.boot(config, strategies=[_Repair(planter)], name="secrets"))
        exporters = _exporters(stack, tree)
        notices = stack.enter_context(tree.notices(limit=100_000))
        number = 0
        while planter.planted < secrets:
            _incident(tree, planter, number)
            number += 1
            _keep_pace(tree)
        _told(sentry, number)
        commands = commands_for(tree.parts)
        for name, args in (("overview", {"limit": 1_000}), ("history", {"limit": 1_000}), ("config", {})):
            left[f"control socket: {name}"] = [answer(1, commands[name](**args)).decode()]
        left["status"] = [json.dumps(tree.status().to_dict(), default=str)]
        for name, export in exporters.items():
            left[name] = export()
        tree.stop()
        sentry.flush()
        left["Sentry"] = [sentry.sent]
        left["notices"] = [json.dumps(notice.to_dict()) + repr(notice) for notice in notices]
        left["log"] = log.lines
    return _looked_at(planter, left)


def _incident(tree: upright.Tree, planter: Planter, number: int) -> None:
    """One request of an application that is careless with its secrets, and fails."""
    scope: Any
    with sentry_sdk.isolation_scope() as scope:
        for at in range(6):
            scope.set_tag(f"tag-{at}", planter.text()[:190])
            scope.set_extra(f"extra-{at}", planter.data())
            scope.set_context(f"context-{at}", {"plain": "plainword", "data": planter.data()})
            sentry_sdk.add_breadcrumb(category="app", message=planter.text(), data={"data": planter.data()})
        scope.set_user({"id": "u1", "email": f"{planter.secret()}@example.org", planter.name(): planter.secret()})
        operation = f"plainword {number} {planter.text() if number % 3 == 0 else ''}"
        resource = f"plainword {number} {planter.text()}" if number % 2 else None
        try:
            _fails(planter, 2)
        except Exception as error:
            context = {"plain": "plainword", **{f"context-{at}": planter.data() for at in range(10)}}
            with suppress(Exception):
                tree.recover(error, operation=operation, resource=resource, context=context)


def _fails(planter: Planter, depth: int) -> None:
    """Fail from within, with secrets in the variables of every frame, in the causes and in the notes."""
    password, token = planter.secret(), planter.secret()
    settings = {"data": planter.data(), "url": planter.text(), "list": [planter.data() for _ in range(3)]}
    plain = "plainword"
    try:
        if depth:
            _fails(planter, depth - 1)
    except Exception as cause:
        error = ConnectionError(f"plainword: {planter.text()}")
        error.add_note(planter.text())
        raise error from cause
    raise TimeoutError(
        f"{planter.text()} {planter.text()}", {planter.name(): planter.secret()}, len(password + token), settings, plain
    )


def _keep_pace(tree: upright.Tree) -> None:
    """Let the tracker send what it has: events that it holds back would prove nothing."""
    while len(tree.parts.tracker.waiting) > 10 or tree["tracker"].depth > 100:
        time.sleep(0.002)


def _told(sentry: SentryRecorder, incidents: int) -> None:
    until = time.monotonic() + 60
    while len(sentry.events) < incidents and time.monotonic() < until:
        time.sleep(0.02)


def _exporters(stack: ExitStack, tree: upright.Tree) -> dict[str, Callable[[], list[str]]]:
    """What passes figures on; those whose library is not installed are left out."""
    exporters: dict[str, Callable[[], list[str]]] = {}
    with suppress(ImportError):
        from prometheus_client import CollectorRegistry, generate_latest

        from upright.integrations.prometheus import register

        registry = CollectorRegistry()
        register(tree, registry=registry, max_circuits=10_000)
        exporters["Prometheus"] = lambda: [generate_latest(registry).decode()]
    with suppress(ImportError):
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        from upright.integrations.opentelemetry import instrument

        reader, spans, tracers = InMemoryMetricReader(), InMemorySpanExporter(), TracerProvider()
        meters = MeterProvider(metric_readers=[reader])
        tracers.add_span_processor(SimpleSpanProcessor(spans))
        stack.callback(meters.shutdown)
        stack.callback(tracers.shutdown)
        stack.callback(instrument(tree, meter_provider=meters, tracer_provider=tracers))
        exporters["OpenTelemetry"] = lambda: [
            repr(reader.get_metrics_data()),
            *(span.to_json() for span in spans.get_finished_spans()),
        ]
    return exporters


class _Log(logging.Handler):
    """Everything that the logger "upright" says, with what a JSON formatter would add from `extra`."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self._logger = logging.getLogger("upright")

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.getMessage()} {record.__dict__!r}")

    def __enter__(self) -> Self:
        self._before = self._logger.level, self._logger.propagate
        self._logger.setLevel(logging.DEBUG)
        self._logger.propagate = False
        self._logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.level, self._logger.propagate = self._before


def _looked_at(planter: Planter, left: dict[str, list[str]]) -> Leaks:
    leaks = Leaks(planted=planter.planted)
    for channel, texts in left.items():
        leaks.sizes[channel] = sum(map(len, texts))
        found: list[str] = []
        for text in texts:
            found += [text[max(0, at.start() - 80) : at.end() + 40] for at in re.finditer(_MARK, text)]
            found += [at.group() for at in _CARD.finditer(text) if re.sub("[ -]", "", at.group()) in planter.cards]
        if found:
            leaks.found[channel] = found
        if not any("plainword" in text for text in texts) and channel != "control socket: config":
            leaks.silent.append(channel)
    return leaks
