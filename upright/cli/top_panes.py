"""What the panes of `upright top` say; from the answer to `overview` to texts, without any widget."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from upright.cli.findings import Level, findings, nodes, together
from upright.cli.output import styled
from upright.cli.words import clean, clock, count, duration, percent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = [
    "CIRCUIT_COLUMNS",
    "circuit_row",
    "event_lines",
    "head",
    "inside",
    "node_label",
    "problems",
    "risk",
    "risk_line",
]

CIRCUIT_COLUMNS: Final = ("circuit", "state", "for", "calls", "failed", "slow", "rejected")
_BARS: Final = "▁▂▃▄▅▆▇█"
_SIGNS: Final = {Level.BAD: ("✖ ", "bold red"), Level.WARNING: ("▲ ", "yellow"), Level.INFO: ("· ", "cyan")}
_TOOK: Final = re.compile(r" in [0-9.e+-]+ m?s\b")
_FACTORS: Final = {
    "memory": ("memory", percent),
    "response_time": ("response", lambda ms: f"{ms:.0f} ms"),
    "error_rate": ("errors", percent),
    "connections": ("connections", lambda number: f"{number:.0f}"),
    "cpu": ("cpu", percent),
}


def head(view: Mapping[str, Any], *, paused: bool) -> Text:
    """Say which tree this is, how it is, and its main figures."""
    status, about, metrics = view["status"], view.get("about") or {}, view.get("metrics") or {}
    text = Text.assemble(
        (clean(status["name"]), "bold"), f"  pid {about.get('pid', '?')}  up {duration(status['uptime'])}  "
    )
    bad = sum(finding.level is Level.BAD for finding in findings(view))
    text.append(count(bad, "problem") if bad else "all is well", "bold red" if bad else "green")
    if metrics:
        text.append(
            f"   healed {metrics['healing_successes']}/{metrics['healing_attempts']}"
            f"   fallbacks {metrics['fallback_activations']}   trips {metrics['breaker_trips']}"
            f"   restarts {metrics['restarts']}   p99 {duration(metrics['recovery_time_p99'])}",
            "dim",
        )
    if paused:
        text.append("   PAUSED", "reverse yellow")
    return text


def problems(view: Mapping[str, Any]) -> Text:
    """Say what is wrong and what comes next, a finding per paragraph."""
    text = Text()
    for finding in findings(view):
        sign, style = _SIGNS[finding.level]
        text.append(sign, style)
        text.append(clean(finding.what) + "\n")
        if finding.why:
            text.append(f"  {clean(finding.why)}\n", "dim")
        for label, said in (("so far ", finding.did), ("next   ", finding.next)):
            if said:
                text.append(f"  {label}", "dim")
                text.append(clean(said) + "\n")
    text.rstrip()
    return text or Text("Nothing is wrong.", "green")


def node_label(node: Mapping[str, Any]) -> Text:
    """Say how an actor is, in as few words as possible: only what is not as usual is said."""
    text = Text(clean(node["name"]), "bold" if node["kind"] == "supervisor" else "")
    if node["state"] != "running":
        text.append(" ").append_text(styled(node["state"].upper()))
    if node["restarts"]:
        text.append(f"  ↻{node['restarts']}", "yellow")
    if node["mailbox_depth"]:
        text.append(f"  ✉{node['mailbox_depth']}", "cyan")
    if (node.get("busy_for") or 0) >= 0.1:
        text.append(f"  busy {duration(node['busy_for'])}", "magenta")
    if node.get("zombies"):
        text.append(f"  {node['zombies']} hung", "red")
    return text


def circuit_row(circuit: Mapping[str, Any]) -> list[Text]:
    """Say how a circuit is, in the order of CIRCUIT_COLUMNS."""
    passes = circuit["state"] not in ("OPEN", "FORCED_OPEN")
    return [
        Text(clean(circuit["operation"])),
        styled(circuit["state"]),
        Text(duration(circuit["since"]), justify="right"),
        Text(str(circuit["calls"]) if passes else "-", justify="right"),
        Text(percent(circuit["failure_rate"]) if passes else "-", justify="right"),
        Text(percent(circuit["slow_rate"]) if passes else "-", justify="right"),
        Text(str(circuit.get("rejected", "")), justify="right"),
    ]


def _predictor(view: Mapping[str, Any]) -> Mapping[str, Any]:
    for _, node in nodes(view["status"]):
        if node["name"] == "predictor":
            details: Mapping[str, Any] = node["details"]
            return details
    return {}


def risk_line(view: Mapping[str, Any], width: int) -> Text:
    """Draw the newest risk scores, the oldest first; a full block is 100 %, whatever the others are."""
    text = Text(no_wrap=True)
    for points in list(_predictor(view).get("recent_points") or ())[-max(1, width) :]:
        style = "green" if points <= 40 else "yellow" if points <= 60 else "bold red"
        text.append(_BARS[min(len(_BARS) - 1, int(points * len(_BARS) / 100))], style)
    return text


def risk(view: Mapping[str, Any]) -> Text:
    """Say the present risk, what it is made of, and what is foretold."""
    details = _predictor(view)
    if "risk" not in details:
        return Text("no reading yet" if details else "no predictor", "dim")
    level = details["level"]
    style = {"LOW": "green", "MEDIUM": "yellow"}.get(level, "bold red")
    text = Text.assemble("risk ", (f"{percent(details['risk'])} {level}", style))
    for factor, value in (details.get("metrics") or {}).items():
        name, say = _FACTORS.get(factor, (factor, str))
        if value is not None:
            over = factor in (details.get("factors") or ())
            text.append(f"   {name} {say(value)}", "bold red" if over else "dim")
    for forecast in details.get("forecasts") or ():
        text.append(f"\n▲ {clean(forecast['factor'])} in {duration(forecast['eta_seconds'])}", "yellow")
    return text


def event_lines(view: Mapping[str, Any]) -> Text:
    """Say the last events, the newest first; those that differ only in how long they took are said once."""
    text = Text(no_wrap=True, overflow="ellipsis")
    alike: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for event in reversed(view.get("events") or ()):
        alike.setdefault((event["name"], _TOOK.sub("", event["text"])), []).append(event)
    for (name, said), events in alike.items():
        text.append(f"{clock(events[0]['at'])}  ", "dim")
        text.append(f"{clean(name):<18} ", "cyan")
        text.append(clean(said if len(events) > 1 else events[0]["text"]))
        if len(events) > 1:
            text.append(f", {count(len(events), 'time')} since {clock(events[-1]['at'])}", "dim")
        text.append("\n")
    text.rstrip()
    return text or Text("Nothing has happened yet.", "dim")


def inside(view: Mapping[str, Any], kind: str, name: str) -> Text:
    """Say everything about one actor (by path) or one circuit (by operation)."""
    if kind == "circuit":
        found: Any = next((one for one in view.get("breakers") or () if one["operation"] == name), None)
    else:
        found = next((node for path, node in _shown_nodes(view["status"]) if path == name), None)
    if found is None:
        return Text("It is gone.", "yellow")
    text = Text()
    _say(text, {key: value for key, value in found.items() if key != "children"}, 0)
    text.rstrip()
    return text


def _shown_nodes(node: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    own = str(node.get("key") or node["name"])
    path = f"{before}/{own}" if before else own
    yield path, {key: value for key, value in node.items() if key != "key"}
    for child in together(node.get("children") or ()):
        yield from _shown_nodes(child, path)


def _say(text: Text, value: Any, depth: int) -> None:
    """Say nested data as indented lines."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value, 1)
    width = max((len(str(key)) for key in value), default=0) if isinstance(value, dict) else 0
    for key, one in pairs:
        label = "  " * depth + (f"{clean(key):<{width}}  " if isinstance(value, dict) else "- ")
        text.append(label, "dim")
        if isinstance(one, dict | list) and one and not _is_flat(one):
            text.append("\n")
            _say(text, one, depth + 1)
        else:
            text.append(_SAID.get(key, _plain)(one) + "\n")


def _is_flat(value: dict[str, Any] | list[Any]) -> bool:
    return isinstance(value, list) and all(not isinstance(one, dict | list) for one in value)


def _plain(value: Any) -> str:
    if value is None or value in ({}, []):
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(_plain(one) for one in value)
    return clean(value)


def _time(value: Any) -> str:
    return duration(value) if isinstance(value, int | float) else _plain(value)


def _rate(value: Any) -> str:
    return percent(value) if isinstance(value, int | float) else _plain(value)


# What the units are of what actors and circuits say of themselves.
_SAID: Final[Mapping[Any, Callable[[Any], str]]] = {
    **dict.fromkeys(("uptime", "busy_for", "since", "wait_time", "for"), _time),
    **dict.fromkeys(("failure_rate", "slow_rate"), _rate),
}
