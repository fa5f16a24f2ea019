"""docs/telemetry.md lists every stable name there is, and none that is not."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily

import upright
from upright.actors.sentry_metrics import COUNTERS, GAUGES
from upright.integrations.figures import figures
from upright.integrations.prometheus import UprightCollector
from upright.strategies.incidents import Outcome
from upright.strategies.notices import NoticeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
ROOMS = ("actors", "strategies", "supervisors", "upright")
LOGGING = {"log", "info", "warning", "error", "report", "_log"}
NAME = re.compile(r"[a-z]+(_[a-z]+)+")


def listed() -> dict[str, str]:
    """Where each name of the table is found."""
    page = (ROOT / "docs/telemetry.md").read_text()
    rows = re.findall(r"^\| `([\w.]+)` \| (.*?) \|", page[page.index("## All names") :], re.MULTILINE)
    assert len(rows) == len(dict(rows)), "a name is listed twice"
    return dict(rows)


def names_in(place: str) -> set[str]:
    return {name for name, where in listed().items() if re.search(rf"\b{place}\b", where)}


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call in the code, with the name of what is called."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            if path.resolve() != path or "demo" in path.parts or "testing" in path.parts:
                continue  # a link to another room, or nothing of the library's own
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    yield getattr(node.func, "attr", getattr(node.func, "id", "")), node


def texts(node: ast.AST) -> set[str]:
    """The names that an argument may be: also those of a choice between two."""
    if isinstance(node, ast.IfExp):
        return texts(node.body) | texts(node.orelse)
    found = node.value if isinstance(node, ast.Constant) else None
    return {found} if isinstance(found, str) and NAME.fullmatch(found) else set()


def test_every_log_line_is_listed_and_written() -> None:
    written = {f"incident_{outcome}" for outcome in Outcome if outcome is not Outcome.ESCALATED}
    for name, call in calls():
        if name in LOGGING:
            for argument in call.args[:2]:
                written |= texts(argument)
    # The one whose name is decided two lines above.
    written |= {"child_hung", "child_terminated"}
    assert names_in("log") == written


def test_every_line_of_the_view_is_listed_and_written() -> None:
    written = {name for called, call in calls() if called == "note" and call.args for name in texts(call.args[0])}
    assert names_in("view") == written


def test_every_event_and_tag_of_sentry_is_listed() -> None:
    assert names_in("Sentry event") == {*Outcome, "alert"}
    drafts = (ROOT / "actors/sentry_drafts.py").read_text()
    assert names_in("Sentry tag") == set(re.findall(r'"(upright\.\w+)":', drafts))


def test_every_kind_of_notice_is_listed() -> None:
    assert names_in("notice") == set(NoticeKind)


def test_every_attribute_is_listed() -> None:
    sources = [ROOT / "actors/sentry_metrics.py", ROOT / "upright/integrations/opentelemetry.py"]
    used = {name for path in sources for name in re.findall(r'"(upright\.\w+)"(?:\]|:)', path.read_text())}
    assert used <= names_in("attribute")
    assert names_in("span") >= {"upright.recovery", "upright.step"}


@pytest.fixture
def tree() -> Iterator[upright.Tree]:
    config = {"control": {"enabled": False}, "flags": {"error_predictor": False}}
    with upright.boot(config, name="named") as booted:
        booted.parts.board.risk = 0.5
        booted.call("menu", int)
        yield booted


def test_every_figure_is_listed_with_its_kind_and_its_name_in_prometheus(tree: upright.Tree) -> None:
    seen = figures(tree)
    assert names_in("counter") == set(seen.counters)
    assert names_in("gauge") == set(seen.gauges)
    assert names_in("distribution") == {"upright.recovery.duration"}
    scraped = set()
    for family in UprightCollector(tree).collect():
        scraped.add(family.name + ("_total" if isinstance(family, CounterMetricFamily) else ""))
    spelled = {name for where in listed().values() for name in re.findall(r"`(upright_\w+)`", where)}
    assert spelled | names_in("Prometheus") == scraped


def test_what_is_not_sent_to_sentry_is_marked() -> None:
    to_sentry = {*COUNTERS.values(), *GAUGES.values(), "upright.sentry.held_back", "upright.events.lost"}
    to_sentry |= {"upright.incidents.open", "upright.risk", "upright.recovery.duration"}
    all_figures = names_in("counter") | names_in("gauge") | names_in("distribution")
    assert all_figures - names_in("scraped") == to_sentry


def test_the_dashboard_shows_what_there_is(tree: upright.Tree) -> None:
    there = set(re.findall(r"\bupright_\w+", (ROOT / "docs/dashboards/grafana.json").read_text()))
    registry = CollectorRegistry()
    registry.register(UprightCollector(tree))
    samples = {sample.name for family in registry.collect() for sample in family.samples}
    names = {family.name for family in registry.collect()}
    assert there <= samples | names | {
        f"{name}_{part}" for name in names for part in ("bucket", "sum", "count", "total")
    }
