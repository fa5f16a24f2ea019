"""What is worth saying about a tree: what is wrong, since when, what upright did, and what it will do next.

Worked out from the answer to `overview`, or to `status` alone; nothing here prints.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from upright.cli.words import ago, count, duration, percent

__all__ = ["WORKER", "Finding", "Level", "findings", "nodes", "together"]

_BUSY: Final = 5.0  # seconds with one message that are worth a word
_BACKLOG: Final = 1_000  # waiting messages that are worth a word
WORKER: Final = "worker"
"""What all the actors of a pool are called."""
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
    status, circuits, history = view["status"], view.get("breakers") or [], view.get("history") or []
    found = [
        *_of_actors(status),
        *_of_circuits(circuits, history),
        *_of_recoveries(status),
        *_of_escalations(status, circuits),
        *_of_history(history, view.get("at"), _details(status, "healing").get("escalated") or {}),
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


def together(children: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return children with all workers of a pool as one, if there are several: a pool may have hundreds.

    That one has a "key", which stays the same while its name says how many there are.
    """
    children = list(children)
    workers = [child for child in children if child["name"] == WORKER]
    if len(workers) < 2:
        return children
    busy = [child["busy_for"] for child in workers if child.get("busy_for") is not None]
    odd = next((child for child in workers if child["state"] != "running"), workers[0])
    one = {
        **odd,
        "name": f"{len(workers)} workers" + (f", {len(busy)} busy" if busy else ""),
        "key": "workers",
        "busy_for": max(busy, default=None),
        "uptime": max(child["uptime"] for child in workers),
        **{name: sum(child[name] for child in workers) for name in ("restarts", "mailbox_depth", "zombies")},
        "details": {"busy_for": sorted(busy, reverse=True)},
        "children": (),
    }
    return [child for child in children if child["name"] != WORKER] + [one]


def _details(status: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    for _, node in nodes(status):
        if node["name"] == name and isinstance(node.get("details"), Mapping):
            return node["details"]  # type: ignore[no-any-return]
    return {}


def _of_actors(status: Mapping[str, Any]) -> Iterator[Finding]:
    for path, node in nodes(status):
        if node["name"] != WORKER:
            yield from _of_actor(path, node)
        busy = [child["busy_for"] for child in node.get("children", ()) if _hangs(child)]
        if busy:
            what = f"{count(len(busy), 'worker')} of {path} {'is' if len(busy) == 1 else 'are'} stuck in a call"
            what += f" for {duration(max(busy))}"
            yield Finding(Level.WARNING, what, next="each is left behind when its strategy's or step's time is over")


def _hangs(node: Mapping[str, Any]) -> bool:
    return node["name"] == WORKER and (node.get("busy_for") or 0.0) >= _BUSY


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


def _of_circuits(circuits: list[Mapping[str, Any]], history: list[Mapping[str, Any]]) -> Iterator[Finding]:
    fallbacks = {entry["operation"]: _fallback(entry) for entry in history if entry["status"] == "CIRCUIT_OPEN"}
    for circuit in circuits:
        name, state, since = circuit["operation"], circuit["state"], duration(circuit.get("since"))
        rejected = circuit.get("rejected") or 0
        did = f"turned {count(rejected, 'call')} away" if rejected else ""
        if did and fallbacks.get(name):
            did += f"; {fallbacks[name]} answers"
        why = circuit.get("cause") or ""
        if state == "OPEN":
            coming = f"probes in {duration(circuit['wait_time'])}" if circuit["wait_time"] > 0 else "probes now"
            coming += ", and closes if that works"
            yield Finding(Level.BAD, f"circuit {name} is OPEN for {since}", why, did, coming)
        elif state == "HALF_OPEN":
            coming = f"closes if its probes succeed; {percent(circuit['failure_rate'])} failed so far"
            yield Finding(Level.WARNING, f"circuit {name} is HALF_OPEN for {since}", why, did, coming)
        elif state in ("FORCED_OPEN", "DISABLED"):
            effect = "rejects every call" if state == "FORCED_OPEN" else "lets every call through"
            what = f"circuit {name} was forced by hand {since} ago and {effect}"
            level = Level.BAD if state == "FORCED_OPEN" else Level.WARNING
            yield Finding(level, what, did=did, next=f"until: upright breaker {name} auto")


def _fallback(entry: Mapping[str, Any]) -> str:
    """Name the fallback step that answered a call, or return an empty text."""
    tried = [step for step in entry.get("steps") or () if step["stage"] == "FALLBACK"]
    return f"fallback {tried[-1]['strategy']}" if tried and entry["degraded"] else ""


def _of_recoveries(status: Mapping[str, Any]) -> Iterator[Finding]:
    for recovery in _details(status, "orchestrator").get("active") or ():
        joined = recovery.get("joined") or 0
        what = f"{recovery['recovery_id']} is being recovered for {duration(recovery.get('for'))}"
        shared = f"{count(joined, 'more report')} joined it" if joined else ""
        yield Finding(Level.BAD, what, did=shared, next="callers go on after healing.heal_wait")


def _of_escalations(status: Mapping[str, Any], circuits: list[Mapping[str, Any]]) -> Iterator[Finding]:
    healing = _details(status, "healing")
    for recovery_id, left in (healing.get("escalated") or {}).items():
        story = (healing.get("gave_up") or {}).get(recovery_id) or {}
        did = (
            f"tried to heal it {count(story['attempts'], 'time')}, and raised an event" if story else "raised an event"
        )
        what = f"{recovery_id} is escalated" + (f": healing gave up {ago(story['for'])}" if story else "")
        coming = f"heals again, if it fails again, in {duration(left)}"
        # Nobody proved it healed; but calls may tell.
        works = _works(recovery_id.partition(":")[2], circuits)
        if works:
            what += f", but {works} works again"
        yield Finding(Level.WARNING if works else Level.BAD, what, story.get("last") or "", did, coming)


def _works(target: str, circuits: list[Mapping[str, Any]]) -> str:
    """Name an operation on a resource all of whose operations work now, or return an empty text."""
    on_it = [one for one in circuits if target in (one.get("resource"), one["operation"])]
    well = [one for one in on_it if one["state"] == "CLOSED" and one["calls"] and not one["failure_rate"]]
    return str(well[0]["operation"]) if well and len(well) == len(on_it) else ""


def _of_history(history: list[Mapping[str, Any]], at: float | None, said: Container[str]) -> Iterator[Finding]:
    """Say what failed lately, and what became of it, once per recovery id; not of those that much is `said` of."""
    latest: dict[str, list[Mapping[str, Any]]] = {}
    healed: dict[str, list[Mapping[str, Any]]] = {}
    for entry in history:
        if at is not None and at - entry["started_at"] > _RECENT:
            continue
        recovery_id = str(entry["recovery_id"] or entry["operation"])
        failed = latest.setdefault(recovery_id, [])
        # One that failed by itself and then met the open circuit is a failure too; one that was kept away has no id.
        met_circuit = entry["status"] == "CIRCUIT_OPEN" and entry["recovery_id"] and not entry["degraded"]
        if entry["status"] == "FAILED" or met_circuit:
            failed.append(entry)
        elif entry["status"] in ("HEALED", "RECOVERED"):
            failed.clear()
            healed.setdefault(recovery_id, []).append(entry)
    for recovery_id, failed in latest.items():
        if failed and recovery_id not in said:
            yield _story(Level.WARNING, f"{recovery_id} was not recovered", failed, at)
        elif recovery_id in healed:
            newest = healed[recovery_id][-1]
            how = "healed" if newest["status"] == "HEALED" else f"recovered by {newest['method'].lower()}"
            yield _story(Level.INFO, f"{recovery_id} failed and was {how}", healed[recovery_id], at)


def _story(level: Level, what: str, entries: list[Mapping[str, Any]], at: float | None) -> Finding:
    newest = entries[-1]
    error = newest.get("error") or {}
    when = f", last {ago(at - newest['started_at'])}" if at is not None else ""
    why = f"{error.get('type')}: {error.get('message')}" if error else ""
    return Finding(level, f"{what}, {count(len(entries), 'time')}{when}", why, _tried(newest.get("steps") or ()))


def _tried(steps: Any) -> str:
    """Say what was tried; the breaker only lets pass or not."""
    said = []
    for step in steps:
        if step["stage"] != "BREAKER":
            detail = f" ({step['detail']})" if step.get("detail") else ""
            stage = step["stage"].lower()
            name = f" {step['strategy']}" if step.get("strategy") not in (None, stage, "none") else ""
            said.append(f"{stage}{name} {step['outcome'].lower()}{detail}")
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
