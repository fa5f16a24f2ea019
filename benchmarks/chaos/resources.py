"""What the workload works on: resources that break, and strategies that repair them and keep the score."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import deque
from contextlib import suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from benchmarks.chaos.faults import worker_at_work
from upright.strategies.healing.base import HealingStrategy

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.actors.incarnation import Incarnation
    from upright.strategies.report import ErrorReport

__all__ = ["AsyncRepair", "OutageError", "Repair", "Resource", "Resources"]


class OutageError(ConnectionError):
    """What a broken resource raises: transient, healable."""


class Resource:
    """Something that is up or down; each breakdown is one failure, to be healed once.

    Attributes:
        name: As the calls name it.
        failure: Number of the newest breakdown; raised under the lock of the harness.
        heals_itself: Seconds after which it is up again, healed by nobody; None: it must be healed.
        loose: Reported also while it works, so that healing it twice is no mistake.
    """

    def __init__(self, name: str, *, heals_itself: float | None = None, loose: bool = False) -> None:
        self.name = name
        self.loose = loose
        self.failure = 0
        self.heals_itself = heals_itself
        self.down_since: float | None = None
        self.verified = 0  # the newest failure whose repair a strategy has seen
        self.proven = 0  # the newest failure whose proof has reached the healing actor's books
        self.healers: list[Incarnation | None] = []  # of the workers that are at it
        self.guard = threading.Lock()
        self.story: deque[str] = deque(maxlen=12)  # of the last healings

    def tell(self, what: str, healer: Any = None) -> None:
        """Note a step of its story."""
        who = "" if healer is None else f" by worker {id(healer):x} {'detached' if healer.detached else ''}"
        self.story.append(f"{monotonic():.4f} {what} #{self.failure}{who}")

    @property
    def down(self) -> bool:
        """Whether a use of it fails now."""
        since = self.down_since
        if since is not None and self.heals_itself is not None and monotonic() - since > self.heals_itself:
            self.down_since = None
        return self.down_since is not None

    def break_down(self) -> None:
        """Begin a failure, unless one lasts already."""
        with self.guard:
            if self.down_since is None:
                self.failure += 1
                self.down_since = monotonic()

    def use(self) -> str:
        """Return the name; raise `OutageError` while it is down."""
        if self.down:
            try:
                raise OSError(5, f"{self.name} gone")
            except OSError as cause:
                raise OutageError(f"{self.name} is down ({self.failure})") from cause
        return self.name


class Resources:
    """All of them, with what must not happen.

    Attributes:
        healings: Calls of `heal`, by resource.
        double: Healings of a failure that had been healed, and proven, before.
        overlapping: Healings of one resource at the same time.
    """

    def __init__(self, happened_since: Callable[[float], str]) -> None:
        self.happened_since = happened_since
        self.by_name: dict[str, Resource] = {}
        self.healings = 0
        self.proofs = 0
        self.double: list[str] = []
        self.overlapping: list[str] = []
        self.failed_on_purpose = 0

    def add(self, name: str, **options: Any) -> Resource:
        """Add a resource that is up."""
        resource = self.by_name[name] = Resource(name, **options)
        return resource

    def proof_kept(self, target: str) -> None:
        """Note that a proof is where a crash cannot lose it: from here on a second healing is one too many.

        What a worker had proven when it was killed with the proof in its hand is not known to anybody.
        """
        resource = self.by_name.get(target)
        if resource is not None:
            resource.proven = resource.verified
            resource.tell("proof kept")

    def explain(self, resource: Resource) -> str:
        """Tell the last healings of a resource, and what struck those who decide on them meanwhile."""
        story = "".join(f"\n    {line}" for line in resource.story)
        began = float(resource.story[0].split()[0]) if resource.story else monotonic()
        return f"{story}\n    struck meanwhile:{self.happened_since(began - 0.5)}"


def worker_now() -> Incarnation | None:
    """Return the incarnation of the worker that this healing runs in, or for."""
    worker = worker_at_work()
    return None if worker is None else worker._incarnation  # noqa: SLF001 - ended, or not


def _is_gone(healer: Incarnation | None) -> bool:
    # The thread of a worker that was killed runs on until its C call returns: a zombie, which is accounted for.
    return healer is not None and (healer.detached or healer.ended)


class Repair(HealingStrategy):
    """Repairs every resource of the workload, sometimes slowly, sometimes in vain."""

    name = "repair"

    def __init__(self, resources: Resources, seed: int, *, vain: float = 0.05) -> None:
        self.resources = resources
        self.random = random.Random(seed)
        self.vain = vain

    def can_handle(self, report: ErrorReport) -> bool:
        """Whether the resource is one of its kind."""
        resource = self.resources.by_name.get(report.resource or "")
        return resource is not None and resource.heals_itself is None and not resource.name.startswith("async")

    def heal(self, report: ErrorReport) -> None:
        """End the failure, or raise in vain."""
        resource = self.resources.by_name[report.resource or ""]
        self._begin(resource, report)
        try:
            sleep(self.random.choice((0.0, 0.0, 0.001, 0.01)))
            self._finish(resource)
        finally:
            with suppress(ValueError):  # it was given up, and taken out by the next
                resource.healers.remove(worker_now())

    def _begin(self, resource: Resource, report: ErrorReport) -> None:
        with resource.guard:
            self.resources.healings += 1
            # One that was interrupted just here or there takes itself out of the list never, but is gone.
            resource.healers[:] = [healer for healer in resource.healers if not _is_gone(healer)]
            if resource.healers:
                story = self.resources.explain(resource)
                self.resources.overlapping.append(
                    f"{resource.name}#{resource.failure}, for {report.recovery_id}{story}"
                )
            healer = worker_now()
            resource.healers.append(healer)
            resource.tell(f"healing begins for {report.recovery_id} of {report.created_at:.4f}", healer)
            if not resource.down and not resource.loose and resource.proven == resource.failure:
                story = self.resources.explain(resource)
                self.resources.double.append(f"{resource.name}#{resource.failure} at {monotonic():.3f}{story}")

    def _finish(self, resource: Resource) -> None:
        if self.random.random() < self.vain:
            self.resources.failed_on_purpose += 1
            resource.tell("healing in vain")
            raise OSError("in vain")
        resource.down_since = None
        resource.tell("mended")

    def verify(self, report: ErrorReport) -> None:
        """Use it."""
        resource = self.resources.by_name[report.resource or ""]
        failure = resource.failure
        resource.use()
        self.resources.proofs += 1
        resource.verified = failure
        resource.tell("verified")


class AsyncRepair(Repair):
    """The same for resources that belong to an event loop."""

    name = "async repair"

    def can_handle(self, report: ErrorReport) -> bool:
        """Whether the resource is one of its kind."""
        return (report.resource or "").startswith("async")

    async def heal(self, report: ErrorReport) -> None:  # type: ignore[override]
        """Likewise, on a loop."""
        resource = self.resources.by_name[report.resource or ""]
        self._begin(resource, report)
        try:
            await asyncio.sleep(self.random.choice((0.0, 0.001, 0.01)))
            self._finish(resource)
        finally:
            with suppress(ValueError):  # it was given up, and taken out by the next
                resource.healers.remove(worker_now())

    async def verify(self, report: ErrorReport) -> Any:  # type: ignore[override]
        """Likewise, on a loop."""
        await asyncio.sleep(0)
        super().verify(report)
