"""How upright plays the scenarios of otp_scenarios.py: otp_driver.escript in Python, step by step."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pykka
from otp_lab import Exits
from otp_stage import PATIENCE, Leaf, Life, Stage
from pykka.messages import ProxyCall

from upright.actors.exits import NORMAL, Shutdown
from upright.supervisors import (
    BRUTAL_KILL,
    INFINITY,
    AutoShutdown,
    ChildAlreadyPresent,
    ChildAlreadyStarted,
    ChildInfo,
    ChildKind,
    ChildNotFound,
    ChildRestarting,
    ChildRunning,
    ChildSpec,
    ChildState,
    DynamicSupervisor,
    Restart,
    RestartStrategy,
    StartFailed,
    Supervisor,
    count_children,
    which_children,
)

if TYPE_CHECKING:
    from otp_scenarios import Observation, Scenario, Step

    from upright.actors.address import Address

_ERRORS: dict[type[BaseException], str] = {
    ChildNotFound: "not_found",
    ChildAlreadyStarted: "already_started",
    ChildAlreadyPresent: "already_present",
    ChildRunning: "running",
    ChildRestarting: "restarting",
    StartFailed: "start_failed",
    pykka.ActorDeadError: "dead",
}


def play_on_upright(scenario: Scenario) -> Observation:
    """Play one scenario on upright's supervisor."""
    player = Player(scenario)
    try:
        return player.play()
    finally:
        player.close()


class _AgainError(Exception):
    """Something is still under way."""


class Player:
    """Plays one scenario.

    Args:
        scenario: What to play.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._stage = Stage()
        self._top: Address[Any] | None = None
        self._top_exits: Exits | None = None
        self._top_state = ""
        self._supervisors: dict[str, Address[Any]] = {}
        self._mark = 0
        self._brutal: set[str] = set()

    def play(self) -> Observation:
        """Play all steps and return what was observed, in the form the Erlang driver prints."""
        for child, outcomes in self._scenario.plans.items():
            self._stage.plan(child, *outcomes)  # type: ignore[arg-type]
        steps = [self._observe("start", self._start())]
        steps += [self._observe(step[0], self._step(step)) for step in self._scenario.steps]
        return {"name": self._scenario.name, "steps": steps}

    def close(self) -> None:
        """Leave nothing behind."""
        self._stage.close()
        if self._top is not None:
            self._top.stop()
        if self._top_exits is not None:
            self._top_exits.close()
        self._stage.join()

    # Making the tree.

    def _start(self) -> Any:
        scenario = self._scenario
        try:
            if scenario.kind == "dynamic":
                flags = scenario.flags
                self._top = DynamicSupervisor.start(intensity=flags["intensity"], period=float(flags["period"]))
            else:
                specs = [self._spec(child) for child in scenario.children]
                self._top = Supervisor.start(specs, **_flags(scenario.flags))
        except StartFailed as error:
            return ["start_failed", error.child_id]
        assert self._top is not None
        self._supervisors["top"] = self._top
        self._top_exits = Exits(self._top)
        return "started"

    def _spec(self, child: dict[str, Any]) -> ChildSpec:
        restart = Restart[child["restart"].upper()]
        if "children" in child:
            return ChildSpec(
                child["id"],
                Supervisor,
                args=([self._spec(below) for below in child["children"]],),
                kwargs=_flags(child["flags"]),
                restart=restart,
                significant=child["significant"],
            )
        if child["shutdown"] == "brutal_kill":
            self._brutal.add(child["id"])
        return ChildSpec(
            child["id"],
            Leaf,
            args=(self._stage, child["id"]),
            # Where a start fails must not matter, so both places are played.
            kwargs={"start_in": "init" if hash_of(child["id"]) % 2 else "on_start"},
            restart=restart,
            significant=child["significant"],
            shutdown=_shutdown(child["shutdown"]),
        )

    # Playing a step.

    def _step(self, step: Step) -> Any:
        match step:
            case ["plan", child, outcomes]:
                self._stage.plan(child, *outcomes)
                return "ok"
            case ["exit", child, how]:
                return "ok" if self._leave(child, how) else "noop"
            case ["together", supervisor, exits, calls]:
                return self._together(supervisor, exits, calls)
            case ["stick", child]:
                return self._stick(child)
            case ["looping", child, calls]:
                return self._looping(child, calls)
            case ["stop", supervisor]:
                address = self._running(supervisor)
                if address is None:
                    return "dead"
                address.stop()
                return "ok"
            case [call, supervisor, argument]:
                address = self._running(supervisor)
                return "dead" if address is None else self._answer(call, self._request(address, call, argument))
        raise ValueError(step)

    def _free(self, child: str) -> Life | None:
        """Return the present life of a leaf, if it is one that handles messages."""
        lives = self._stage.lives(child)
        life = lives[-1] if lives else None
        return None if life is None or life.leaf.deaf or not life.address.is_alive() else life

    def _leave(self, child: str, how: str) -> Life | None:
        life = self._free(child)
        if life is None:
            return None
        life.address.tell(how)
        life.thread.join(PATIENCE)
        assert not life.thread.is_alive(), f"{child} does not end"
        return life

    def _stick(self, child: str) -> str:
        life = self._free(child)
        if life is None:
            return "noop"
        life.address.tell("stick")
        self._stage.wait_until(lambda: life.leaf.stuck)
        return "ok"

    def _together(self, supervisor: str, exits: list[list[str]], calls: list[list[Any]]) -> Any:
        address = self._running(supervisor)
        if address is None:
            return "dead"
        self._stage.plan("gate", "gate")
        spec = ChildSpec("gate", Leaf, (self._stage, "gate"), {"start_in": "init"}, restart=Restart.TEMPORARY)
        request = address.ask(ProxyCall(("start_child",), (spec,), {}), block=False)
        assert self._stage.entered.get(timeout=PATIENCE) == "gate"
        left = [self._leave(child, how) for child, how in exits]
        requests = [(call, self._request(address, call, argument)) for call, argument in calls]
        self._stage.open_gate("gate", "ignore")
        self._answer("start_child", request)
        answers = [self._answer(call, waiting) for call, waiting in requests]
        return [["noop" if life is None else "ok" for life in left], answers]

    def _looping(self, child: str, calls: list[list[Any]]) -> Any:
        self._stage.plan(child, "gate")
        if self._leave(child, "crash") is None:
            self._stage.plan(child)
            return "noop"
        assert self._top is not None
        answers: list[str] = []
        try:
            while self._gate_entered():
                if not calls:
                    self._stage.open_gate(child, "ok")
                    return answers
                (call, argument), *calls = calls
                request = self._request(self._top, call, argument)
                self._stage.plan(child, "gate")
                self._stage.open_gate(child, "fail")
                answers.append(self._answer(call, request))
        finally:
            self._stage.plan(child)
        return answers

    def _gate_entered(self) -> bool:
        """Wait until a start waits at its gate; False once nothing is restarting any more."""
        assert self._top is not None
        entered = self._stage.entered
        while True:
            probe = self._top.ask(ProxyCall(("which_children",), (), {}), block=False)
            probe.add_waiter(lambda: entered.put("probe"))
            if entered.get(timeout=PATIENCE) != "probe":
                # The probe is answered when the gate is open, and must not be taken for a later one then.
                probe._waiters.clear()
                return True
            try:
                children: list[ChildInfo] = probe.get()
            except pykka.ActorDeadError:
                return False
            if all(child.state is not ChildState.RESTARTING for child in children):
                return False

    def _request(self, address: Address[Any], call: str, argument: Any) -> Any:
        if call == "start_child":
            argument = self._spec(argument)
        elif self._scenario.kind == "dynamic":
            life = self._free(argument)
            if life is None:
                return "not_found"
            argument = life.address
        return address.ask(ProxyCall((call,), (argument,), {}), block=False)

    def _answer(self, call: str, request: Any) -> str:
        if isinstance(request, str):
            return request
        try:
            value = request.get(timeout=PATIENCE)
        except tuple(_ERRORS) as error:
            return next(word for kind, word in _ERRORS.items() if isinstance(error, kind))
        match call:
            case "start_child" | "restart_child":
                return "ignored" if value is None else "started"
            case "which_child":
                return "found"
        return "ok"

    # Looking at the tree.

    def _running(self, supervisor: str) -> Address[Any] | None:
        address = self._supervisors.get(supervisor)
        return address if address is not None and address.is_alive() else None

    def _observe(self, name: str, result: Any) -> dict[str, Any]:
        states = self._settle() if self._top is not None and not self._top_state else []
        journal = self._stage.journal
        new, self._mark = journal[self._mark :], len(journal)
        events = [
            [entry.kind, entry.id, *([entry.detail] if entry.kind == "down" else [])]
            for entry in new
            if entry.kind != "stuck"
            # A child that is killed at once has no last words; whether an idle one still says them is a race.
            and not (entry.kind == "down" and entry.detail == "stopped" and entry.id in self._brutal)
        ]
        top = self._top_state or ("none" if self._top is None else "alive")
        return {"step": name, "result": result, "events": events, "top": top, "supervisors": states}

    def _settle(self) -> list[dict[str, Any]]:
        assert self._top is not None
        assert self._top_exits is not None
        pause = threading.Event()
        before: Any = None
        for _ in range(10_000):
            try:
                seen: list[int] = []
                states = self._walk("top", self._top, seen)
                now = (states, seen, len(self._stage.journal))
                if now == before:
                    return states
                before = now
            except (_AgainError, pykka.ActorDeadError):
                before = None
                if not self._top.is_alive():
                    self._top_state = _word(self._top_exits.reason())
                    return []
                pause.wait(0.001)
        raise AssertionError(f"does not come to rest: {before}")

    def _walk(self, name: str, address: Address[Any], seen: list[int]) -> list[dict[str, Any]]:
        self._supervisors[name] = address
        children = which_children(address)
        if any(child.state is ChildState.RESTARTING for child in children):
            raise _AgainError
        seen += [child.restarts for child in children]
        counts = count_children(address)
        if self._scenario.kind == "dynamic":
            children = sorted(children, key=lambda child: str(child.id))
        own = {
            "id": name,
            "children": [[child.id, child.state.name.lower()] for child in children],
            "counts": [counts.specs, counts.active, counts.supervisors, counts.workers],
        }
        below = [
            state
            for child in children
            if child.kind is ChildKind.SUPERVISOR and child.state is ChildState.RUNNING
            for state in self._walk(child.id, child.address, seen)
        ]
        return [own, *below]


def hash_of(child: str) -> int:
    """Return a number for an id, the same in every run."""
    return sum(map(ord, child))


def _flags(flags: dict[str, Any]) -> dict[str, Any]:
    return {
        "strategy": RestartStrategy[flags["strategy"].upper()],
        "intensity": flags["intensity"],
        "period": float(flags["period"]),
        "auto_shutdown": AutoShutdown[flags.get("auto_shutdown", "never").upper()],
    }


def _shutdown(value: Any) -> Any:
    match value:
        case "infinity":
            return INFINITY
        case "brutal_kill":
            return BRUTAL_KILL
    return value / 1000


def _word(reason: Any) -> str:
    if reason == NORMAL:
        return "normal"
    return "shutdown" if isinstance(reason, Shutdown) else "other"
