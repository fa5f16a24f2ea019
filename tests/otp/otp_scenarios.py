"""Scenarios that OTP's supervisor and upright both play, and how OTP plays them.

A scenario is a top supervisor with its flags and children, and steps. Leaves have unique ids, so a step names a
leaf by its id alone, wherever in the tree it is. The steps:

    plan ID OUTCOMES             what the next starts of a leaf do: ok, fail, ignore
    exit ID HOW                  a leaf ends by itself: crash, normal, shutdown, shutdown_detail
    together SUP EXITS CALLS     several do so while their supervisor is busy, and then calls come: it finds all in
                                 its mailbox at once
    stick ID                     a leaf goes deaf, so that it has to be killed
    looping ID CALLS             a leaf of the top supervisor crashes, and each of its starts fails while one of
                                 the calls waits in the supervisor's mailbox; then the next start succeeds
    start_child SUP SPEC         and terminate_child, restart_child, delete_child, which_child SUP ID
    stop SUP                     an orderly stop from outside

Each step gives a result, the journal since the step before, whether the top lives, and the children and counts
of every supervisor once no restart is under way. `noop` is the result of a step whose leaf is not running.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

DRIVER = Path(__file__).parent / "differential" / "otp_driver.escript"

Step = list[Any]
Observation = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One play, made of atoms (str), integers, booleans, lists and dicts, so that it is also Erlang."""

    name: str
    steps: list[Step]
    children: list[dict[str, Any]] = field(default_factory=list)
    flags: dict[str, Any] = field(default_factory=dict)
    plans: dict[str, list[str]] = field(default_factory=dict)
    kind: Literal["supervisor", "dynamic"] = "supervisor"
    template: dict[str, Any] = field(default_factory=dict)


def flags(strategy: str = "one_for_one", intensity: int = 2, auto_shutdown: str = "never") -> dict[str, Any]:
    """Return supervisor flags; the period is an hour, since the two differ in how they round time."""
    return {"strategy": strategy, "intensity": intensity, "period": 3600, "auto_shutdown": auto_shutdown}


def leaf(child: str, restart: str = "permanent", *, significant: bool = False, shutdown: Any = 5000) -> dict[str, Any]:
    """Return the spec of a leaf; shutdown in milliseconds, `infinity` or `brutal_kill`."""
    return {"id": child, "restart": restart, "significant": significant, "shutdown": shutdown}


def tree(
    child: str,
    flags: dict[str, Any],
    *children: dict[str, Any],
    restart: str = "permanent",
    significant: bool = False,
) -> dict[str, Any]:
    """Return the spec of a supervisor below the top."""
    return {
        "id": child, "restart": restart, "significant": significant, "flags": flags, "children": list(children)
    }  # fmt: skip


def leaves(children: str, restart: str = "permanent") -> list[dict[str, Any]]:
    """Return the specs of several leaves, by ids separated by spaces."""
    return [leaf(child, restart) for child in children.split()]


# OTP's side.


def erlang_missing() -> str:
    """Why scenarios cannot be played on OTP here; empty if they can."""
    return "" if shutil.which("escript") else "escript is not installed (Debian: apt-get install erlang-base)"


def play_on_otp(scenarios: list[Scenario], timeout: float = 600.0) -> list[Observation]:
    """Play scenarios on OTP's supervisor, all in one Erlang node."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "scenarios.term"
        script.write_text("".join(f"{_term(asdict(scenario))}.\n" for scenario in scenarios))
        done = subprocess.run(
            ["escript", str(DRIVER), str(script)],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def _term(value: Any) -> str:
    """Write a value as an Erlang term."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            return "'" + value.replace("'", r"\'") + "'"
        case list() | tuple():
            return f"[{','.join(_term(item) for item in value)}]"
        case dict():
            return f"[{','.join(f'{{{_term(key)},{_term(item)}}}' for key, item in value.items())}]"
    raise TypeError(f"not for Erlang: {value!r}")


# Comparing.


def comparable(scenario: Scenario, observation: Observation) -> Observation:
    """Take out of an observation what upright is meant to do differently; docs/otp.md says why."""
    if scenario.kind == "dynamic":
        for step in observation.get("steps", ()):
            # simple_one_for_one counts its template, Elixir's DynamicSupervisor its children.
            for supervisor in step["supervisors"]:
                supervisor["counts"][0] = None
            # Dynamic children stop in parallel.
            step["events"] = _sort_runs(step["events"])
    return observation


def _sort_runs(events: list[list[str]]) -> list[list[str]]:
    result: list[list[str]] = []
    run: list[list[str]] = []
    for event in events:
        if event[0] == "down" and event[2] == "stopped":
            run.append(event)
        else:
            result += [*sorted(run), event]
            run = []
    return result + sorted(run)


# Random scenarios.

STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
INTENSITIES = (0, 1, 2, 3, 4, 6, 8, 10)
RESTARTS = ("permanent", "transient", "temporary")
EXITS = ("crash", "crash", "crash", "normal", "shutdown", "shutdown_detail")


class Author:
    """Writes random scenarios; the same seed gives the same scenario."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._seed = seed
        self._ids: list[str] = []
        self._own: list[str] = []  # the leaves of the top supervisor
        self._supervisors: list[str] = ["top"]
        self._specs: dict[str, dict[str, Any]] = {}

    def write(self) -> Scenario:
        """Write one."""
        return self._dynamic() if self._random.random() < 0.15 else self._static()

    def _static(self) -> Scenario:
        rnd = self._random
        mode = rnd.choice(("never", "never", "any_significant", "all_significant"))
        top = flags(rnd.choice(STRATEGIES), rnd.choice(INTENSITIES), mode)
        children = [self._child(mode, depth=0) for _ in range(rnd.randrange(6))]
        plans = {rnd.choice(self._ids): self._outcomes()} if self._ids and rnd.random() < 0.15 else {}
        self._specs = {child["id"]: child for child in children}
        steps = [self._step(children) for _ in range(rnd.randrange(2, 10))]
        return Scenario(f"random-{self._seed}", [*steps, ["stop", "top"]], children, top, plans)

    def _child(self, mode: str, depth: int) -> dict[str, Any]:
        rnd = self._random
        restart = rnd.choice(("permanent", *RESTARTS))
        significant = mode != "never" and restart != "permanent" and rnd.random() < 0.6
        if depth < 2 and rnd.random() < 0.15:
            child = f"s{len(self._supervisors)}"
            self._supervisors.append(child)
            inner = rnd.choice(("never", "any_significant", "all_significant"))
            below = [self._child(inner, depth + 1) for _ in range(rnd.randrange(4))]
            return tree(
                child, flags(rnd.choice(STRATEGIES), rnd.choice(INTENSITIES), inner), *below,
                restart=restart, significant=significant,
            )  # fmt: skip
        own = self._id("top" if depth == 0 else "below")
        return leaf(own, restart, significant=significant, shutdown=self._shutdown())

    def _id(self, supervisor: str = "top") -> str:
        # Not in alphabetical order, as in the suite's order_of_children.
        self._ids.append(f"{self._random.choice('abcdefgh')}{len(self._ids)}")
        if supervisor == "top":
            self._own.append(self._ids[-1])
        return self._ids[-1]

    def _shutdown(self) -> Any:
        # None shorter than 200 ms: whether an idle child makes it in 0 ms is a race, on both sides.
        return self._random.choice((5000, 5000, 5000, 200, "infinity", "brutal_kill"))

    def _outcomes(self) -> list[str]:
        return [self._random.choice(("fail", "fail", "ignore", "ok")) for _ in range(self._random.randrange(1, 4))]

    def _dynamic_outcomes(self) -> list[str]:
        # No ignore: up to OTP 26 a dynamic child that ignores at a restart stays in the list (erlang/otp#8215).
        return [self._random.choice(("fail", "fail", "ok")) for _ in range(self._random.randrange(1, 4))]

    def _step(self, children: list[dict[str, Any]]) -> Step:
        rnd = self._random
        supervisor = rnd.choice(("top", "top", *self._supervisors))
        if not self._ids or rnd.random() < 0.1:
            # A spec that may be known already.
            known = [child for child in children if "children" not in child and supervisor == "top"]
            old = rnd.choice(known) if known and rnd.random() < 0.5 else None
            return ["start_child", supervisor, old or leaf(self._id(supervisor), rnd.choice(RESTARTS))]
        child = rnd.choice(self._ids)
        present = [spec["id"] for spec in children]
        admin = rnd.choice(("terminate_child", "terminate_child", "restart_child", "delete_child", "which_child"))
        match rnd.randrange(20):
            case 0 | 1 | 2:
                return ["plan", child, self._outcomes()]
            case 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10:
                return ["exit", child, rnd.choice(EXITS)]
            case 11 | 12 if self._own:
                # Children of the supervisor that is kept busy; others would be dealt with at once.
                pair = rnd.sample(self._own, min(len(self._own), rnd.choice((2, 2, 3))))
                calls = [self._call(rnd.choice(self._own)) for _ in range(rnd.choice((0, 0, 1, 2)))]
                return ["together", "top", [[one, rnd.choice(EXITS)] for one in pair], calls]
            case 13:
                deaf = [spec["id"] for spec in children if spec.get("shutdown") in (200, "brutal_kill")]
                return ["stick", rnd.choice(deaf)] if deaf else ["exit", child, "crash"]
            case 14 if own := [spec["id"] for spec in children if "children" not in spec]:
                child = rnd.choice(own)
                calls = [self._call(rnd.choice((child, rnd.choice(own)))) for _ in range(rnd.randrange(5))]
                return ["looping", child, calls]
            case _:
                target = rnd.choice(present) if present and supervisor == "top" else child
                return [admin, supervisor, target]

    def _call(self, child: str) -> list[Any]:
        call = self._random.choice((*ADMIN, "start_child"))
        return [call, self._specs.get(child) or leaf(child) if call == "start_child" else child]

    def _dynamic(self) -> Scenario:
        rnd = self._random
        template = leaf("template", rnd.choice(RESTARTS))
        steps: list[Step] = [["start_child", "top", self._dynamic_child(template)] for _ in range(rnd.randrange(1, 4))]
        for _ in range(rnd.randrange(2, 10)):
            child = rnd.choice(self._ids)
            match rnd.randrange(8):
                case 0:
                    steps.append(["plan", child, self._dynamic_outcomes()])
                case 1:
                    steps.append(["start_child", "top", self._dynamic_child(template)])
                case 2:
                    steps.append(["terminate_child", "top", child])
                case 3:
                    pair = rnd.sample(self._ids, min(len(self._ids), 2))
                    steps.append(["together", "top", [[one, rnd.choice(EXITS)] for one in pair], []])
                case _:
                    steps.append(["exit", child, rnd.choice(EXITS)])
        top = flags("one_for_one", rnd.choice(INTENSITIES))
        del top["strategy"], top["auto_shutdown"]
        return Scenario(f"random-{self._seed}", [*steps, ["stop", "top"]], flags=top, kind="dynamic", template=template)

    def _dynamic_child(self, template: dict[str, Any]) -> dict[str, Any]:
        return {**template, "id": self._id()}


ADMIN = ("restart_child", "delete_child", "which_child", "terminate_child")
