"""Who is told events: they are let gather, and none that has come is lost when it stops.

A recovery tells several events to several subscribers, and whoever is woken by each would take the interpreter from the
actors that are recovering.
"""

from __future__ import annotations

from typing import ClassVar

from upright.actors.actor import SupervisedActor
from upright.actors.exits import describe
from upright.actors.interrupt import Interrupted
from upright.actors.letters import dead_letters

__all__ = ["Subscriber"]


class Subscriber(SupervisedActor):
    """Base of the actors that are told events. Receives: those of upright.actors.events. Blocks on: nothing."""

    _gathers: ClassVar[float] = 0.002

    def on_stop(self) -> None:
        """Take in what was told before; a request to stop has overtaken it.

        A message that fails here costs the others nothing: its asker gets the exception, and what was told becomes a
        dead letter.
        """
        address = self.actor_ref
        lane = address.lane
        for _, (message, reply) in zip(range(lane.depth), lane.rest(), strict=False):
            try:
                result = self._handle_receive(message)
            except Interrupted:
                lane.hand_back((message, reply))  # this incarnation was detached: the next one takes it
                raise
            except BaseException as error:
                if reply is None or not reply.fail(error):
                    dead_letters.add(address.name, message, f"failed while its receiver stopped: {describe(error)}")
            else:
                if reply is not None:
                    reply.answer(result)
