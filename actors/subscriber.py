"""Who is told events: they are let gather, and none that has come is lost when it stops.

A recovery tells several events to several subscribers, and whoever is woken by each would take the interpreter from the
actors that are recovering.
"""

from __future__ import annotations

from typing import ClassVar

from upright.actors.actor import SupervisedActor

__all__ = ["Subscriber"]


class Subscriber(SupervisedActor):
    """Base of the actors that are told events. Receives: those of upright.actors.events. Blocks on: nothing."""

    _gathers: ClassVar[float] = 0.002

    def on_stop(self) -> None:
        """Take in what was told before; a request to stop has overtaken it."""
        lane = self.actor_ref.lane
        for _, (message, reply) in zip(range(lane.depth), lane.rest(), strict=False):
            result = self.on_receive(message)
            if reply is not None:
                reply.answer(result)
