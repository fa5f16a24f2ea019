"""In which order to try fallback steps: the declared one, until there is evidence for a better.

A step's score is the lower end of the Wilson interval of its success rate (E. B. Wilson, 1927), which is low
for a poor rate and for a rate that few samples back: 1 of 1 says less than 95 of 100. Evidence decays with
time, by half every `half_life`, so that a step which was down last night can rise again this morning.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from upright.strategies.options import require_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Evidence", "Ranking", "wilson_lower_bound"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one step, as of one moment; numbers with a fraction, because they decay.

    Attributes:
        successes: Successes that still count.
        failures: Failures that still count.
        at: The moment, monotonic seconds.
    """

    successes: float = 0.0
    failures: float = 0.0
    at: float = 0.0

    @property
    def samples(self) -> float:
        """Successes and failures together."""
        return self.successes + self.failures


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The rule of the order.

    Args:
        minimum_samples: A step with less evidence keeps its declared place, above 0.
        half_life: Seconds after which evidence counts half, above 0.
        confidence: The z of the interval, at least 0: 1.96 is 95 %, 0 ranks by the bare rate.

    Raises:
        ConfigError: If a value breaks its rule.
    """

    minimum_samples: float = 5.0
    half_life: float = 600.0
    confidence: float = 1.96

    def __post_init__(self) -> None:
        require_seconds("Ranking.minimum_samples", self.minimum_samples, above=True)
        require_seconds("Ranking.half_life", self.half_life, above=True)
        require_seconds("Ranking.confidence", self.confidence)

    def record(self, evidence: Evidence | None, *, succeeded: bool, now: float) -> Evidence:
        """The evidence with one more outcome; None stands for none so far."""
        decayed = self.decayed(evidence or Evidence(at=now), now)
        return Evidence(decayed.successes + succeeded, decayed.failures + (not succeeded), now)

    def decayed(self, evidence: Evidence, now: float) -> Evidence:
        """The same evidence as of `now`."""
        share = math.exp2(-max(0.0, now - evidence.at) / self.half_life)
        return Evidence(evidence.successes * share, evidence.failures * share, now)

    def score(self, evidence: Evidence, now: float) -> float | None:
        """The step's score, 0 to 1; None if there is too little evidence by now."""
        decayed = self.decayed(evidence, now)
        if decayed.samples < self.minimum_samples:
            return None
        return wilson_lower_bound(decayed.successes, decayed.samples, self.confidence)

    def rank(
        self,
        steps: Sequence[str],
        evidence: Mapping[str, Evidence],
        now: float,
        weights: Mapping[str, float] | None = None,
    ) -> list[str]:
        """The steps in the order in which to try them.

        Steps without enough evidence stay where they were declared. The others share the remaining places,
        best score first, and equal scores in the declared order.

        Args:
            steps: Names in the declared order.
            evidence: What is known, by name; a name may be missing.
            now: The present, monotonic seconds.
            weights: What a step's answers are worth, by name; its score is multiplied by that. 1 where missing.

        Examples:
            >>> known = {"cache": Evidence(1, 19), "replica": Evidence(20, 0)}
            >>> Ranking().rank(["cache", "queue", "replica"], known, now=0.0)
            ['replica', 'queue', 'cache']
        """
        scores = {name: self.score(evidence[name], now) for name in steps if name in evidence}
        worth = weights or {}
        scored = [(score * worth.get(name, 1.0), name) for name in steps if (score := scores.get(name)) is not None]
        # A stable sort, so that equal scores keep the declared order. Rounded, since evidence that decayed
        # by the same share ought to be equal and differs in the last bits.
        best_first = iter(sorted(scored, key=lambda pair: -round(pair[0], 9)))
        return [name if scores.get(name) is None else next(best_first)[1] for name in steps]


def wilson_lower_bound(successes: float, samples: float, z: float = 1.96) -> float:
    """The lower end of the Wilson score interval of a success rate; 0 without samples.

    Examples:
        >>> round(wilson_lower_bound(1, 1), 3), round(wilson_lower_bound(95, 100), 3)
        (0.207, 0.888)
    """
    if samples < 1e-9:  # evidence that has all but decayed; its square would be no number
        return 0.0
    rate = successes / samples
    square = z * z
    centre = rate + square / (2 * samples)
    spread = z * math.sqrt(rate * (1 - rate) / samples + square / (4 * samples * samples))
    return max(0.0, (centre - spread) / (1 + square / samples))
