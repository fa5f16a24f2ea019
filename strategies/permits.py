"""The permits of a half-open circuit: claimed, reported, released and revoked by any thread without a lock.

What must not happen: more probes at once than permitted (the stampede that circuitbreaker, purgatory, hyx,
aiobreaker, crashbytes and pyresilience let through, 20 of 20 callers), and a permit that is lost because its
holder was cancelled, died or hung (which leaves unbreak and tranq rejecting for ever).

Three atomic steps carry it. `deque.popleft` gives each free permit to one caller. A permit is *settled* once,
by whoever takes number 0 from its counter: the report of its outcome, the holder that gives it back, or the
one that revokes it. And only who settled a permit puts a new one into its slot, so there are never more than
there are slots.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass

from upright.strategies.window import copied

__all__ = ["Permit", "Probation", "ProbeOutcome"]


@dataclass(frozen=True, slots=True)
class ProbeOutcome:
    """What a probe came to.

    Attributes:
        failed: Whether it failed.
        took: Seconds that it took.
        error: The failure; None for a success.
    """

    failed: bool
    took: float
    error: BaseException | None = None


class Permit:
    """The right to make one probe.

    Attributes:
        probation: The probation that it belongs to.
        slot: Its place there, from 0.
        claimed_at: When it was taken, on the monotonic clock; None while it is free.
        settled: Whether its fate is decided. Written by the one that decided it, so it may lag for a moment.
        outcome: What the probe came to; its holder notes it before telling anybody, so that the outcome is found
            when the message is lost with an owner that crashed.
    """

    __slots__ = ("_turns", "claimed_at", "outcome", "probation", "settled", "slot")

    def __init__(self, probation: Probation, slot: int) -> None:
        self._turns = itertools.count()
        self.probation = probation
        self.slot = slot
        self.claimed_at: float | None = None
        self.settled = False
        self.outcome: ProbeOutcome | None = None

    def settle(self) -> bool:
        """Decide its fate: True for one caller ever, who then does what is to be done."""
        if next(self._turns) > 0:
            return False
        self.settled = True
        return True


class Probation:
    """A fixed number of permits, renewed when they come back without an outcome.

    Args:
        permitted: How many probes may run at once, and how many outcomes will decide.
    """

    __slots__ = ("_free", "_slots")

    def __init__(self, permitted: int) -> None:
        # Invariant: one permit per slot; only who settled it replaces it. A settled one stays in its slot
        # when its outcome was reported, so reported plus open permits are always `permitted`.
        self._slots = [Permit(self, slot) for slot in range(permitted)]
        self._free = deque(self._slots)

    @property
    def free(self) -> int:
        """Permits that nobody holds."""
        return len(self._free)

    def claim(self, now: float) -> Permit | None:
        """Take a permit; None if all are taken."""
        try:
            permit = self._free.popleft()
        except IndexError:
            return None
        permit.claimed_at = now
        return permit

    def release(self, permit: Permit) -> bool:
        """Give a permit back without an outcome; False if its fate was decided before."""
        if not permit.settle():
            return False
        fresh = Permit(self, permit.slot)
        self._slots[permit.slot] = fresh
        self._free.append(fresh)
        return True

    @property
    def is_over(self) -> bool:
        """Whether every probe has come to an outcome, so that only the verdict is still to be told."""
        return all(permit.outcome is not None for permit in tuple(self._slots))

    def noted(self) -> list[Permit]:
        """Permits whose holder has noted an outcome that nobody has taken yet."""
        return [permit for permit in tuple(self._slots) if permit.outcome is not None and not permit.settled]

    def revoke_overdue(self, now: float, limit: float) -> int:
        """Take back every permit claimed at least `limit` seconds ago; how many that were."""
        free = copied(self._free)
        revoked = 0
        for permit in tuple(self._slots):
            if permit.settled or permit in free:
                continue
            if permit.claimed_at is None:
                # Taken, and its taker did not live to say when: its time begins now.
                permit.claimed_at = now
            elif now - permit.claimed_at >= limit:
                revoked += self.release(permit)
        return revoked

    def next_overdue(self, limit: float) -> float | None:
        """When the next permit will be overdue; None while none is claimed."""
        claimed = [
            permit.claimed_at for permit in tuple(self._slots) if not permit.settled and permit.claimed_at is not None
        ]
        return min(claimed) + limit if claimed else None
