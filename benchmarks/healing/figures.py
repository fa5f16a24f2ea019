"""What the campaign measured: the outcome of each fault, and the figures of all of them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Outcome", "figures", "missed_goals", "table"]

GOALS = {"healed_share": 0.99, "permanent_healed": 0, "mttr_p50": 0.5, "mttr_p99": 3.0}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one fault.

    Attributes:
        component: What was broken.
        fault: How.
        permanent: It was not to be healed.
        healed: The component's strategy proved a healing.
        mttr: Seconds from when the resource was whole again, and a call had failed, to the first call that worked;
            None for a permanent one, and where none did in time.
        with_detection: The same, counted from when the resource was whole even where no call had failed by then:
            what shows as silence is noticed by the application's own time limit.
        detail: What was odd.
        unnoticed: No call failed (a client that found its connection dead and made another by itself): not counted.
    """

    component: str
    fault: str
    permanent: bool
    healed: bool
    mttr: float | None = None
    with_detection: float | None = None
    detail: str = ""
    unnoticed: bool = False

    @property
    def is_odd(self) -> bool:
        """Whether it is not as it should be."""
        return bool(self.detail) or self.healed == self.permanent


def figures(outcomes: Sequence[Outcome], unnoticed: Sequence[Outcome] = ()) -> dict[str, Any]:
    """The figures of all outcomes and of each component, as JSON-safe data."""
    slowest = sorted(outcomes, key=lambda outcome: -(outcome.mttr or 0.0))[:5]
    late = sorted(outcomes, key=lambda outcome: -(outcome.with_detection or 0.0))[:5]
    return {
        **_figures(outcomes),
        "components": {
            name: _figures([outcome for outcome in outcomes if outcome.component == name])
            for name in sorted({outcome.component for outcome in outcomes})
        },
        "kinds": len({(outcome.component, outcome.fault) for outcome in outcomes}),
        "slowest": [f"{one.mttr or 0.0:.2f} s: {one.component}: {one.fault}" for one in slowest],
        "slowest_with_detection": [f"{one.with_detection or 0.0:.2f} s: {one.component}: {one.fault}" for one in late],
        "unnoticed": dict(Counter(f"{outcome.component}: {outcome.fault}" for outcome in unnoticed)),
        "odd": [
            f"{outcome.component}: {outcome.fault}: {outcome.detail or 'not healed in time'}"
            for outcome in outcomes
            if outcome.is_odd
        ],
    }


def _figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    healable = [outcome for outcome in outcomes if not outcome.permanent]
    permanent = [outcome for outcome in outcomes if outcome.permanent]
    healed = sum(outcome.healed for outcome in healable)
    times = _sorted(outcome.mttr for outcome in healable)
    seen = _sorted(outcome.with_detection for outcome in healable)
    return {
        "faults": len(outcomes),
        "healable": len(healable),
        "healed": healed,
        "healed_share": healed / len(healable) if healable else None,
        "permanent": len(permanent),
        "permanent_healed": sum(outcome.healed for outcome in permanent),
        "mttr_p50": _quantile(times, 0.5),
        "mttr_p99": _quantile(times, 0.99),
        "mttr_max": times[-1] if times else None,
        "mttr_with_detection_p50": _quantile(seen, 0.5),
        "mttr_with_detection_p99": _quantile(seen, 0.99),
    }


def _sorted(times: Iterable[float | None]) -> list[float]:
    return sorted(time for time in times if time is not None)


def _quantile(times: Sequence[float], quantile: float) -> float | None:
    return times[max(0, math.ceil(quantile * len(times)) - 1)] if times else None


_COLUMNS = {
    "faults": "faults",
    "healable": "healable",
    "healed": "healed",
    "permanent": "permanent",
    "permanent_healed": "of them healed",
    "mttr_p50": "MTTR p50",
    "mttr_p99": "MTTR p99",
    "mttr_with_detection_p99": "p99 with detection",
}


def table(summary: dict[str, Any]) -> str:
    """A Markdown table: a line for each component, and one for all of them."""
    lines = [f"| component | {' | '.join(_COLUMNS.values())} |", f"|---|{'---:|' * len(_COLUMNS)}"]
    for name, part in [*summary["components"].items(), ("**all**", summary)]:
        cells = (_cell(part[column]) for column in _COLUMNS)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s" if isinstance(value, float) else str(value)


def missed_goals(summary: dict[str, Any]) -> list[str]:
    """What was not reached, in words."""
    missed = []
    if (summary["healed_share"] or 0.0) < GOALS["healed_share"]:
        healed = f"{summary['healed']} of {summary['healable']}"
        missed.append(f"{healed} healed, at least {GOALS['healed_share']:.0%} asked")
    if summary["permanent_healed"] > GOALS["permanent_healed"]:
        missed.append(f"{summary['permanent_healed']} permanent faults were healed by mistake")
    missed.extend(
        f"{name} is {summary[name]} s, at most {GOALS[name]} asked"
        for name in ("mttr_p50", "mttr_p99")
        if summary[name] is None or summary[name] > GOALS[name]
    )
    return missed
