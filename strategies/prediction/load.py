"""Is it only more work? Tells a rise of load from trouble, with request counts or without."""

from __future__ import annotations

from upright.strategies.prediction.trend import median

__all__ = ["Load"]

RISEN = 1.5
"""How many times its usual level counts as a rise of load."""


class Load:
    """Follows the request rate, or what stands for it: connections and CPU, where both have risen.

    Resources that are independent of each other grow together when there is more work; a leak grows alone.
    Bounded: five readings, and 24 five-minute means of the last two hours.
    """

    def __init__(self) -> None:
        self._recent: list[float] = []
        self._past: list[float] = []
        # The five minutes that are not over yet: their start, sum and number of readings.
        self._slot = (0.0, 0.0, 0)

    def observe(self, now: float, rate: float) -> None:
        """Take in a request rate."""
        self._recent = [*self._recent[-4:], rate]
        start, total, count = self._slot
        if count and now - start >= 300:
            self._past = [*self._past[-23:], total / count]
            start, total, count = now, 0.0, 0
        self._slot = (start if count else now, total + rate, count + 1)

    @property
    def known(self) -> bool:
        """Whether there is enough history of request counts to judge by."""
        return len(self._past) >= 4

    def ratio(self) -> float:
        """Return the present request rate over the usual one of the last two hours; 1 if unknown."""
        if not self.known:
            return 1.0
        usual = median(self._past)
        return median(self._recent) / usual if usual > 0 else 1.0
