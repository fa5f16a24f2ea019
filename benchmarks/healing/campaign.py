"""The campaign: every component is broken again and again beside the others, and watched until it is back."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import upright
from benchmarks.healing.component import Mistake
from benchmarks.healing.figures import Outcome, figures
from upright.strategies.classification import classify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.healing.component import Component, Fault

__all__ = ["Campaign"]

_BACK_WITHIN = 15.0  # seconds after the resource is whole again within which it must be healed
_NOTICED_WITHIN = 2.0  # seconds after that within which a call must have failed, or the fault was none
_MAX_AGAIN = 20  # faults per component that may go unnoticed; each is made up for by another
_COOLDOWN = 0.2  # seconds for which an escalated failure is left alone: short, for the next fault is due
_PACE = 0.01  # seconds between the user's calls


@dataclass(slots=True)
class Campaign:
    """Injects faults into components, all of them at the same time, one fault after another in each.

    Args:
        components: What is broken.
        seed: Of the order of the faults and the lengths of the outages. Thread timing stays free.
        on_outcome: Told each outcome.
    """

    components: Sequence[Component]
    seed: int = 1
    on_outcome: Callable[[Outcome], None] = lambda _outcome: None
    outcomes: list[Outcome] = field(default_factory=list)
    unnoticed: list[Outcome] = field(default_factory=list)

    def run(self, faults: int) -> None:
        """Inject so many faults, mistakes included, spread over the components."""
        share, more = divmod(faults, len(self.components))
        config = {"healing": {"cooldown": _COOLDOWN, "timeout": 20.0}, "flags": {"error_predictor": False}}
        strategies = [component.strategy for component in self.components]
        with upright.boot(config, strategies=strategies, name="healing-campaign") as tree:
            users = [
                threading.Thread(target=self._break, args=(tree, component, share + (n < more), n), name=component.name)
                for n, component in enumerate(self.components)
            ]
            for user in users:
                user.start()
            for user in users:
                user.join()

    def _break(self, tree: Any, component: Component, count: int, number: int) -> None:
        chance = random.Random(f"{self.seed}-{number}")
        call = component.protect(tree)
        kinds: list[Fault | Mistake] = []
        done = again = 0
        while done < count and again < _MAX_AGAIN:
            if not kinds:
                kinds = [*component.faults, *component.mistakes]
                chance.shuffle(kinds)
            kind = kinds.pop()
            outage = chance.random()
            try:
                outcome = self._one(tree, component, call, kind, outage)
            except Exception as error:
                outcome = Outcome(component.name, kind.name, permanent=False, healed=False, detail=f"broke: {error!r}")
            if outcome.unnoticed:
                again += 1
                self.unnoticed.append(outcome)
            else:
                done += 1
                self.outcomes.append(outcome)
                self.on_outcome(outcome)

    def _one(
        self, tree: Any, component: Component, call: Callable[[], object], kind: Fault | Mistake, outage: float
    ) -> Outcome:
        if not _works(call):
            raise RuntimeError("not well to begin with")
        watch = _Watch(tree, component)
        if isinstance(kind, Mistake):
            return _make_mistake(tree, component, kind, watch)
        if kind.hopeless:
            return _revoke(component, call, kind, watch)
        component.failed_at = None
        kind.break_()
        shortest, longest = kind.outage
        mended = _Mender(kind, shortest + (longest - shortest) * outage)
        back, last = 0.0, ""
        while True:
            try:
                call()
            except Exception as error:
                last = f"last failure {monotonic() - (mended.at or monotonic()):.2f} s after the end: {error!r}"
                sleep(_PACE)
            else:
                back = monotonic()
            whole = mended.at
            noticed = component.failed_at
            if whole is not None and noticed is not None and back >= max(whole, noticed) and watch.proven():
                mended.join()
                return Outcome(
                    component.name,
                    kind.name,
                    permanent=False,
                    healed=True,
                    mttr=back - max(whole, noticed),
                    with_detection=back - whole,
                )
            limit = _NOTICED_WITHIN if noticed is None else _BACK_WITHIN
            if whole is not None and monotonic() > whole + limit:
                mended.join()
                return Outcome(
                    component.name,
                    kind.name,
                    permanent=False,
                    healed=False,
                    detail=f"not proven in time; tried: {watch.tried()}; {last}",
                    unnoticed=noticed is None,
                )

    def summary(self) -> dict[str, Any]:
        """The figures, as JSON-safe data."""
        return {"seed": self.seed, **figures(self.outcomes, self.unnoticed)}


class _Watch:
    """Whether the strategy of a component has proven a healing since this was made."""

    def __init__(self, tree: Any, component: Component) -> None:
        self._tree = tree
        self._name = component.name
        self._before = self._figures()

    def _figures(self) -> tuple[int, int]:
        known = self._tree.status_of("healing").details["strategies"].get(self._name, {})
        return known.get("attempts", 0), known.get("proven", 0)

    def proven(self) -> bool:
        return self._figures()[1] > self._before[1]

    def tried(self) -> bool:
        return self._figures()[0] > self._before[0]


class _Mender:
    """Makes a resource whole again after a while; `at` is when it was."""

    def __init__(self, fault: Fault, outage: float) -> None:
        self.at: float | None = None
        if outage == 0.0:
            fault.mend()
            self.at = monotonic()
            self._thread = None
            return

        def mend() -> None:
            sleep(outage)
            fault.mend()
            self.at = monotonic()

        self._thread = threading.Thread(target=mend)
        self._thread.start()

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join()


def _works(call: Callable[[], object]) -> bool:
    deadline = monotonic() + _BACK_WITHIN
    while monotonic() < deadline:
        try:
            call()
        except Exception:
            sleep(_PACE)
        else:
            return True
    return False


def _make_mistake(tree: Any, component: Component, mistake: Mistake, watch: _Watch) -> Outcome:
    """Make a call that no healing could help: its own error must come out, and nobody may have tried."""
    call = tree.protect(f"{component.name}, {mistake.name}", resource=component.name)(mistake.call)
    detail = "nothing failed"
    try:
        call()
    except Exception as error:
        known = classify(error)
        detail = "" if known.permanent else f"not permanent: {known.reason}"
    if not detail and watch.tried():
        detail = "a healing was tried"
    return Outcome(component.name, mistake.name, permanent=True, healed=watch.proven(), detail=detail)


def _revoke(component: Component, call: Callable[[], object], fault: Fault, watch: _Watch) -> Outcome:
    """Break it so that the healing meets what is permanent: it must give up, and find nothing proven."""
    component.failed_at = None
    fault.break_()
    deadline = monotonic() + _BACK_WITHIN
    while not (component.failed_at and watch.tried()) and monotonic() < deadline:
        try:
            call()
        except Exception:
            sleep(_PACE)
    healed, detail = watch.proven(), "" if watch.tried() else "no healing was tried"
    fault.mend()
    sleep(_COOLDOWN)
    return Outcome(component.name, fault.name, permanent=True, healed=healed, detail=detail)
