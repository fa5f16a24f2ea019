"""The fallback actor: which step of a chain is tried first, by what has worked.

Callers run the steps themselves, in the order that is published here, and tell what became of them. The order
changes only on evidence (upright.strategies.ranking); each chain's present order is one tuple, replaced as a whole.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from upright.actors.actor import SupervisedActor
from upright.strategies.ranking import Evidence, Ranking

if TYPE_CHECKING:
    from upright.strategies.fallback.chain import FallbackChain, FallbackStep

__all__ = ["ChainView", "Chains", "FallbackActor", "StepsTried"]

_LOGGED: Final = 256  # outcomes kept per chain until the actor has read them
_RERANK_EVERY: Final = 16  # outcomes after which a caller asks for a new order


class ChainView:
    """A chain as callers use it: the present order, and a log of what became of each step.

    Attributes:
        chain: As registered.
        order: The steps with their declared places, the one to try first in front. Replaced by the fallback actor.
        outcomes: (step index in the chain, succeeded, monotonic seconds), appended by callers.
        activations: How many values the chain has given; approximately, since callers raise it.
    """

    __slots__ = ("activations", "chain", "evidence", "order", "outcomes", "told_at")

    def __init__(self, chain: FallbackChain) -> None:
        self.chain = chain
        self.order: tuple[tuple[int, FallbackStep], ...] = tuple(enumerate(chain.steps))
        self.outcomes: deque[tuple[int, bool, float]] = deque(maxlen=_LOGGED)
        self.evidence: dict[str, Evidence] = {}  # the actor's; kept here so that its crash forgets nothing
        self.activations = 0
        self.told_at = 0


Chains = dict[str, ChainView]
"""The registered chains by operation. Entries are put by `register`, and replaced as a whole."""


@dataclass(frozen=True, slots=True)
class StepsTried:
    """Enough has happened on a chain to look at its order again.

    From: a caller, about once per 16 outcomes and on each failure. To: the fallback actor. Reply: none.
    """

    view: ChainView


class FallbackActor(SupervisedActor):
    """Receives: `StepsTried`. Replies: none.

    Owns: the order of every chain. Blocks on: nothing.

    Args:
        chains: The registered chains.
        ranking: The rule of the order.
    """

    def __init__(self, chains: Chains, ranking: Ranking | None = None) -> None:
        super().__init__()
        self._chains = chains
        self._ranking = ranking or Ranking()

    def on_receive(self, message: Any) -> Any:
        if not isinstance(message, StepsTried):
            return super().on_receive(message)
        view, ranking = message.view, self._ranking
        steps = view.chain.steps
        while view.outcomes:
            try:
                index, succeeded, at = view.outcomes.popleft()
            except IndexError:
                break
            name = steps[index].name
            view.evidence[name] = ranking.record(view.evidence.get(name), succeeded=succeeded, now=at)
        names = [step.name for step in steps]
        order = ranking.rank(names, view.evidence, monotonic())
        if [step.name for _, step in view.order] != order:
            view.order = tuple((index, steps[index]) for index in map(names.index, order))
        return None

    @property
    def status_details(self) -> dict[str, Any]:  # type: ignore[override]
        """The chains in their present order, and how many values each has given."""
        return {
            "chains": {
                name: {
                    "order": [step.name for _, step in view.order],
                    "activations": view.activations,
                    "evidence": {
                        name: {"successes": round(known.successes, 2), "failures": round(known.failures, 2)}
                        for name, known in list(view.evidence.items())
                    },
                }
                for name, view in list(self._chains.items())
            }
        }
