"""What is worth saying about a tree: what is wrong, since when, what upright did, and what it will do next.

Worked out from the answer to `overview`, or to `status` alone; nothing here prints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from upright.cli.words import ago, count, duration, percent

__all__ = ["Finding", "Level", "findings", "nodes"]

_BUSY: Final = 5.0  # seconds with one message that are worth a word
_BACKLOG: Final = 1_000  # waiting messages that are worth a word
_RECENT: Final = 300.0  # seconds for which a restart or a failure is news


class Level(StrEnum):
    """How much a finding matters."""

    BAD = "bad"
    """Something does not work now."""
    WARNING = "warning"
    """It works, but not as it should, or somebody has interfered."""
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is worth saying.

    Attributes:
        level: How much it matters.
        what: What is the matter, and since when.
        why: The cause, if it is known.
        did: What upright did about it.
        next: What it will do, or what can be done.
    """

    level: Level
    what: str
    why: str = ""
    did: str = ""
    next: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return it as plain data."""
        return {
            "level": self.level.value,
            "what": self.what,
            "why": self.why,
            "did": self.did,
            "next": self.next,
        }


def findings(view: Mapping[str, Any]) -> list[Finding]:
    """Return what is worth saying, the worst first.

    Args:
        view: The answer to `overview`; of its parts only "status" has to be there.
    """
    status = view["status"]
    found = [
        *_of_actors(status),
        *_of_circuits(view.get("breakers") or []),
        *_of_recoveries(status),
        *_of_history(view.get("history") or [], view.get("at")),
        *_of_prediction(status),
        *_of_flags(view.get("flags") or {}),
    ]
    return sorted(found, key=lambda finding: list(Level).index(finding.level))


def nodes(node: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every node of a status with its path, parents first."""
    own = f"{path}/{node['name']}" if path else str(node["name"])
    yield own, node
    for child in node.get("children", ()):
        yield from nodes(child, own)


def _details(status: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    for _, node in nodes(status):
        if node["name"] == name and isinstance(node.get("details"), Mapping):
            return node["details"]  # type: ignore[no-any-return]
    return {}


def _of_actors(status: Mapping[str, Any]) -> Iterator[Finding]:
    for path, node in nodes(status):
        yield from _of_actor(path, node)


def _of_actor(path: str, node: Mapping[str, Any]) -> Iterator[Finding]:
    state, last_exit = node["state"], node.get("last_exit") or ""
    restarts = node["restarts"]
    if state == "gave_up":
        nothing = "failing calls get their own exceptions, as without upright"
        yield Finding(Level.BAD, f"supervisor {path} gave up", last_exit, "stopped what was below it", nothing)
    elif state in ("restarting", "starting") and restarts:
        tries = f"restarted it {count(restarts, 'time')}"
        yield Finding(Level.BAD, f"{path} is {state}", last_exit, tries, "its supervisor starts it again")
    elif state == "stopped":
        yield Finding(Level.WARNING, f"{path} is stopped", last_exit)
    elif restarts and node["uptime"] < _RECENT:
        what = f"{path} was restarted {ago(node['uptime'])}, {count(restarts, 'time')} in all"
        yield Finding(Level.INFO, what, last_exit)
    busy = node.get("busy_for")
    if busy is not None and busy >= _BUSY:
        what = f"{path} has been busy with one message for {duration(busy)}"
        yield Finding(Level.WARNING, what, next="replaced when supervision.hang_timeout is over")
    if node["mailbox_depth"] >= _BACKLOG:
        yield Finding(Level.WARNING, f"{count(node['mailbox_depth'], 'message')} wait in the mailbox of {path}")
    if node.get("zombies"):
        did = "replaced them already"
        what = f"{path} has {count(node['zombies'], 'hung thread')} left behind"
        yield Finding(Level.WARNING, what, did=did, next="each ends when the call that it is stuck in returns")
    if unavailable := node.get("details", {}).get("unavailable"):
        yield Finding(Level.WARNING, f"{path} is not available", str(unavailable))


def _of_circuits(circuits: list[Mapping[str, Any]]) -> Iterator[Finding]:
    for circuit in circuits:
        name, state, since = circuit["operation"], circuit["state"], duration(circuit.get("since"))
        rejected = circuit.get("rejected") or 0
        did = f"turned {count(rejected, 'call')} away" if rejected else ""
        why = circuit.get("cause") or ""
        if state == "OPEN":
            coming = f"probes in {duration(circuit['wait_time'])}" if circuit["wait_time"] > 0 else "probes now"
            yield Finding(Level.BAD, f"circuit {name} is OPEN for {since}", why, did, coming)
        elif state == "HALF_OPEN":
            coming = f"closes if its probes succeed; {percent(circuit['failure_rate'])} failed so far"
            yield Finding(Level.WARNING, f"circuit {name} is HALF_OPEN for {since}", why, did, coming)
        elif state in ("FORCED_OPEN", "DISABLED"):
            effect = "rejects every call" if state == "FORCED_OPEN" else "lets every call through"
            what = f"circuit {name} was forced by hand {since} ago and {effect}"
            level = Level.BAD if state == "FORCED_OPEN" else Level.WARNING
            yield Finding(level, what, did=did, next=f"until: upright breaker {name} auto")


def _of_recoveries(status: Mapping[str, Any]) -> Iterator[Finding]:
    healing = _details(status, "healing")
    for recovery in _details(status, "orchestrator").get("active") or ():
        joined = recovery.get("joined") or 0
        what = f"{recovery['recovery_id']} is being recovered for {duration(recovery.get('for'))}"
        shared = f"{count(joined, 'more report')} joined it" if joined else ""
        yield Finding(Level.BAD, what, did=shared, next="callers go on after healing.heal_wait")
    for recovery_id, left in (healing.get("escalated") or {}).items():
        tried = "used up its healing attempts and raised an event"
        yield Finding(Level.BAD, f"{recovery_id} is escalated", did=tried, next=f"heals again in {duration(left)}")


def _of_history(history: list[Mapping[str, Any]], at: float | None) -> Iterator[Finding]:
    """Say what failed lately in spite of everything, once per recovery id, unless it has worked since."""
    latest: dict[str, list[Mapping[str, Any]]] = {}
    for entry in history:
        if at is not None and at - entry["started_at"] > _RECENT:
            continue
        failed = latest.setdefault(str(entry["recovery_id"] or entry["operation"]), [])
        # One that failed by itself and then met the open circuit is a failure too; one that was kept away has no id.
        met_circuit = entry["status"] == "CIRCUIT_OPEN" and entry["recovery_id"] and not entry["degraded"]
        if entry["status"] == "FAILED" or met_circuit:
            failed.append(entry)
        elif entry["status"] in ("HEALED", "RECOVERED"):
            failed.clear()
    for recovery_id, failed in latest.items():
        if not failed:
            continue
        newest = failed[-1]
        error = newest.get("error") or {}
        when = f", last {ago(at - newest['started_at'])}" if at is not None else ""
        why = f"{error.get('type')}: {error.get('message')}" if error else ""
        what = f"{recovery_id} was not recovered, {count(len(failed), 'time')}{when}"
        yield Finding(Level.WARNING, what, why, _tried(newest.get("steps") or ()))


def _tried(steps: Any) -> str:
    """Say what was tried; the breaker only lets pass or not."""
    said = []
    for step in steps:
        if step["stage"] != "BREAKER":
            detail = f" ({step['detail']})" if step.get("detail") else ""
            said.append(f"{step['stage'].lower()} {step['outcome'].lower()}{detail}")
    return ", ".join(said)


def _of_prediction(status: Mapping[str, Any]) -> Iterator[Finding]:
    predictor = _details(status, "predictor")
    for factor in predictor.get("alerting") or ():
        forecast = next((one for one in predictor.get("forecasts") or () if one["factor"] == factor), None)
        eta = f"; its limit is reached in about {duration(forecast['eta_seconds'])}" if forecast else ""
        why = forecast["reason"] if forecast else ""
        yield Finding(Level.WARNING, f"the predictor warns of {factor}{eta}", why)
    if predictor.get("level") in ("HIGH", "CRITICAL"):
        factors = ", ".join(predictor.get("factors") or ())
        yield Finding(Level.BAD, f"risk is {predictor['level']} ({percent(predictor['risk'])}): {factors}")


def _of_flags(answer: Mapping[str, Any]) -> Iterator[Finding]:
    flags = answer.get("flags") or {}
    if flags.get("observe_only"):
        off = "upright flags observe_only off"
        yield Finding(Level.WARNING, "observe_only is on: everything is decided, nothing is done", next=off)
    for name, on in flags.items():
        if not on and name != "observe_only":
            yield Finding(Level.WARNING, f"{name} is switched off", next=f"upright flags {name} on")
    if answer.get("last_error"):
        yield Finding(Level.WARNING, "the flags file was not taken over", str(answer["last_error"]))
