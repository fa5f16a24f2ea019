"""The predictor alone, without a tree: what would it have said about a recording, and how much ahead?

    python examples/predictor_replay.py [recording.csv]

A recording has a column `at` (seconds, or ISO 8601) and any of memory, response_ms, error_rate, connections, cpu,
requests, pressure; `upright record` writes one, and so does an export of your monitoring. Without one, the memory of a
host is made up: two hours of peace, then a leak. `upright replay recording.csv --chart` is the same as a command.
"""

import random
import sys
from pathlib import Path

from upright.strategies.prediction import Limits, PredictionEngine, RiskScorer, read_metrics, replay


def made_up():
    """Yield the lines of a CSV file: a reading every 30 seconds."""
    yield "at,memory"
    noise = random.Random(1)
    for number in range(480):
        leaked = max(0, number - 240) * 0.0025
        yield f"{30 * number},{min(0.99, 0.45 + leaked + noise.uniform(-0.005, 0.005)):.4f}"


def minutes(at, readings):
    """Say how long after the first reading."""
    return f"{(at - readings[0].at) / 60:7.1f} min"


def main():
    """Print what happened when."""
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines() if len(sys.argv) > 1 else made_up()
    readings = list(read_metrics(lines))
    limits = Limits(memory=0.85)  # of this host; the others keep their defaults
    engine = PredictionEngine(limits)

    # The engine has no clock and no thread: the same readings always give the same predictions.
    for _, event in replay(readings, engine):
        if event is None:
            continue
        print(f"{minutes(event.at, readings)}  {event.kind.value}", end=" ")
        if event.alert is not None:
            print(f"({event.alert.kind.value}): {event.alert.reason}")
            print(f"             do: {event.alert.actions[0]}")
        elif event.duration is not None:
            print(f"after {event.duration / 60:.0f} min")

    above = [reading.at for reading in readings if reading.memory is not None and reading.memory > limits.memory]
    if above:
        print(f"{minutes(above[0], readings)}  memory really went above {limits.memory:.0%}")

    # The other half of the predictor: a risk in points, exact and late.
    risk = RiskScorer(limits).score(readings[-1])
    print(
        f"risk at the end: {risk.level.name}, {risk.points} points, because of {', '.join(risk.factors) or 'nothing'}"
    )


if __name__ == "__main__":
    main()
