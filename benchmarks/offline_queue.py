"""Whether offline queueing and replay survive `kill -9`: `python -m benchmarks.offline_queue [--kills 50] [--json]`.

A child process puts numbered operations and says each one that `put` has returned for; another replays them and
says each one that its handler is given. Both are killed with SIGKILL in turn, at a random one of their lines and
after a random moment more, so that kills fall between any two instants. In the end the rest is replayed and held
against what was said:

    lost            said by the child that put it, and never handled       must be 0
    out of order    handled for the first time before an earlier one       must be 0
    handled again   at least once means that one operation a kill may be
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from upright.strategies.fallback.offline_queue import OfflineQueue

__all__ = ["Campaign", "main", "run"]

LIMIT = 1_000_000
_PUT = """
import sys
from upright.strategies.fallback.offline_queue import OfflineQueue
queue, number = OfflineQueue(sys.argv[1], limit=1_000_000), int(sys.argv[2])
while True:
    queue.put({"number": number}, key=f"key-{number}")
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    number += 1
"""
_REPLAY = """
import sys
from upright.strategies.fallback.offline_queue import OfflineQueue
def handle(key, payload):
    assert key == f"key-{payload['number']}"
    sys.stdout.write(f"{payload['number']}\\n")
    sys.stdout.flush()
OfflineQueue(sys.argv[1], limit=1_000_000).replay(handle)
"""


@dataclass(frozen=True)
class Campaign:
    """What became of the operations.

    Attributes:
        kills: Processes that were killed.
        while_putting: Of them, while they put.
        while_replaying: Of them, while they replayed.
        promised: Operations that `put` had returned for.
        lost: Of them, never handled.
        out_of_order: Handled for the first time before one that was put earlier.
        handled_again: Handled more than once.
        poison: Set aside, which none deserved.
        seconds: How long it took.
    """

    kills: int
    while_putting: int
    while_replaying: int
    promised: int
    lost: int
    out_of_order: int
    handled_again: int
    poison: int
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether nothing was lost, out of order or set aside, and at most one handled again for each kill."""
        return not (self.lost or self.out_of_order or self.poison) and self.handled_again <= self.while_replaying


def run(path: Path, kills: int, seed: int = 0) -> Campaign:
    """Kill so many processes in turn, and count.

    Args:
        path: Of the queue's file, which must not exist.
        kills: How many.
        seed: Of the moments at which they are killed.
    """
    began = time.monotonic()
    chance = random.Random(seed)
    promised: list[int] = []
    handled: list[int] = []
    killed = [0, 0]
    for number in itertools.count():
        if sum(killed) >= kills:
            break
        if number % 2 == 0:
            # Once more from the last promise: what was put but not said comes again under its key, and is not doubled.
            first = promised[-1] + 1 if promised else 0
            said, was_killed = _killed_at(_PUT, path, first, chance.randint(5, 25), chance.random() * 0.003)
            promised += said
        else:
            said, was_killed = _killed_at(_REPLAY, path, 0, chance.randint(1, 12), chance.random() * 0.003)
            handled += said
        killed[number % 2] += was_killed
    queue = OfflineQueue(path, limit=LIMIT)
    queue.replay(lambda _key, payload: handled.append(payload["number"]))
    poison = len(queue.poison())
    queue.close()
    first_times = list(dict.fromkeys(handled))
    return Campaign(
        kills=sum(killed),
        while_putting=killed[0],
        while_replaying=killed[1],
        promised=len(promised),
        lost=len(set(promised) - set(handled)),
        out_of_order=sum(later < earlier for earlier, later in itertools.pairwise(first_times)),
        handled_again=len(handled) - len(first_times),
        poison=poison,
        seconds=time.monotonic() - began,
    )


def _killed_at(script: str, path: Path, first: int, lines: int, then: float) -> tuple[list[int], bool]:
    """Run until so many lines have come and `then` seconds more, and kill; what it said, and whether it was killed."""
    process = subprocess.Popen([sys.executable, "-c", script, str(path), str(first)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        if line.endswith("\n"):  # else the kill fell into the line, and it was not said
            said.append(int(line))
        if len(said) == lines:
            time.sleep(then)
            process.send_signal(signal.SIGKILL)
    process.stdout.close()
    return said, process.wait() == -signal.SIGKILL


def main(arguments: list[str] | None = None) -> int:
    """Run the campaign and print what became of it; 1 if it failed."""
    parser = argparse.ArgumentParser(description="Kill -9 during offline queueing and replay.")
    parser.add_argument("--kills", type=int, default=50, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        campaign = run(Path(folder) / "offline.db", options.kills, options.seed)
    if options.json:
        print(json.dumps({**asdict(campaign), "passed": campaign.passed}))
    else:
        for name, value in asdict(campaign).items():
            print(
                f"{name.replace('_', ' '):<16} {value:>8.1f}"
                if name == "seconds"
                else f"{name.replace('_', ' '):<16} {value:>8}"
            )
        print("passed" if campaign.passed else "FAILED")
    return 0 if campaign.passed else 1


if __name__ == "__main__":
    sys.exit(main())
