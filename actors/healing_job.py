"""One attempt at healing, as it runs in a worker: the strategies' own code and nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from upright.actors.edge import is_healing
from upright.actors.exits import describe
from upright.actors.interrupt import Interrupted
from upright.strategies.classification import classify, is_passthrough
from upright.strategies.codes import ErrorCode
from upright.strategies.foreign import is_awaitable, is_of
from upright.strategies.healing.base import HealingFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from upright.strategies.healing.base import HealingStrategy
    from upright.strategies.report import ErrorReport

__all__ = ["HealingAttempt", "Progress", "attempt_healing"]


class Progress:
    """Which strategy is at work: written by the worker, read by the healing actor when time is up.

    Attributes:
        now_at: (index of the strategy, since when in monotonic seconds); None before the first. Replaced as a whole.
    """

    __slots__ = ("_begun", "now_at")

    def __init__(self) -> None:
        self.now_at: tuple[int, float] | None = None
        self._begun = [True]

    @property
    def begun(self) -> bool:
        """Whether the attempt was claimed."""
        return not self._begun

    def begin(self) -> bool:
        """Claim the attempt; False if somebody else has: it is made once or never."""
        try:
            self._begun.pop()
        except IndexError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class HealingAttempt:
    """What one strategy achieved.

    Attributes:
        index: Which strategy; None if none of them fits the report.
        proven: It healed, and its `verify` used the resource.
        detail: Why not.
        hopeless: It met a permanent error (a wrong password): trying again would be in vain.
        counted: It is an attempt at healing: `heal` was called.
        cut_off: The event loop that it ran on was stopped before it came to an end.
    """

    index: int | None
    proven: bool = False
    detail: str = ""
    hopeless: bool = False
    counted: bool = True
    cut_off: bool = False


def attempt_healing(
    strategies: Sequence[HealingStrategy], start: int, report: ErrorReport, progress: Progress
) -> HealingAttempt | Any:
    """Let the first strategy from `start` on that fits try to heal, and prove it.

    Whatever a strategy raises is its failure, a stray `sys.exit()` included.

    Returns:
        A HealingAttempt, or a coroutine of one if the strategy is asynchronous.
    """
    is_healing.set(True)  # in the context of this job
    for index in range(start, len(strategies)):
        progress.now_at = (index, monotonic())
        strategy = strategies[index]
        try:
            fits = strategy.can_handle(report)
        except Interrupted:
            raise
        except BaseException as error:
            return _unfit(index, error)
        if is_awaitable(fits):
            return _attempt_async(strategies, index, report, progress, fits)
        if fits:
            return _attempt(strategies, index, report)
    return HealingAttempt(None)


def _attempt(strategies: Sequence[HealingStrategy], index: int, report: ErrorReport) -> HealingAttempt | Any:
    strategy = strategies[index]
    try:
        healed = strategy.heal(report)
        if is_awaitable(healed):
            return _finish_async(strategy, index, report, healed)
        proof = strategy.verify(report)
        if is_awaitable(proof):
            return _finish_async(strategy, index, report, None, proof)
    except Interrupted:
        raise
    except BaseException as error:
        return _failed(index, error)
    return _judge(index, proof)


async def _attempt_async(
    strategies: Sequence[HealingStrategy], index: int, report: ErrorReport, progress: Progress, fits: Any
) -> HealingAttempt:
    try:
        fitting = await fits
    except asyncio.CancelledError:
        return _cut_off(index)
    except Exception as error:
        return _unfit(index, error)
    if fitting:
        attempt = _attempt(strategies, index, report)
    else:
        attempt = attempt_healing(strategies, index + 1, report, progress)
    return await attempt if is_awaitable(attempt) else attempt


async def _finish_async(
    strategy: HealingStrategy, index: int, report: ErrorReport, healed: Any, proof: Any = None
) -> HealingAttempt:
    # SystemExit and KeyboardInterrupt are left to asyncio, which ends a loop of ours with them: the job then failed.
    try:
        if healed is not None:
            await healed
            proof = strategy.verify(report)
        if is_awaitable(proof):
            proof = await proof
    except asyncio.CancelledError:
        return _cut_off(index)
    except Exception as error:
        return _failed(index, error)
    return _judge(index, proof)


def _cut_off(index: int) -> HealingAttempt:
    return HealingAttempt(index, detail="cancelled: the loop it ran on was stopped", cut_off=True)


def _unfit(index: int, error: BaseException) -> HealingAttempt:
    return HealingAttempt(index, detail=f"can_handle raised {describe(error)}", counted=False)


def _failed(index: int, error: BaseException) -> HealingAttempt:
    cause = error.__cause__ if is_of(error, HealingFailed) else error
    hopeless = cause is not None and not is_passthrough(cause) and _is_hopeless(cause)
    return HealingAttempt(index, detail=describe(error), hopeless=hopeless)


def _is_hopeless(cause: BaseException) -> bool:
    # A bug in the strategy (TypeError, ...) is permanent as well, but says nothing about the resource.
    known = classify(cause)
    return known.permanent and known.code is ErrorCode.AUTHENTICATION


def _judge(index: int, proof: Any) -> HealingAttempt:
    # Raising means failed; so does a verify that says False in so many words.
    if proof is False:
        return HealingAttempt(index, detail="verify returned False")
    return HealingAttempt(index, proven=True)
