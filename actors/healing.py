"""The healing actor: which strategy is tried on a failing resource, how often, and for how long.

One healing per recovery id at a time: a second request joins the first. The strategies run in workers, one after
another in the order of registration, until one of them proves its work; the actor itself only decides, and so
never waits. A strategy that takes longer than its timeout is abandoned with its worker.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from upright.actors.actor import SupervisedActor
from upright.actors.breaker import ResourceHealed
from upright.actors.events import RecoveryEscalated
from upright.actors.exits import describe
from upright.actors.fallback import WorksAgain
from upright.actors.healing_job import HealingAttempt, Progress, attempt_healing
from upright.actors.healing_queue import WaitingLine
from upright.actors.healing_record import (
    ELSEWHERE,
    Failures,
    Heal,
    Healing,
    HealingReport,
    Shortcut,
    given_up,
    not_tried,
)
from upright.actors.log import get_logger
from upright.actors.messages import Answered
from upright.actors.reply import TellBack
from upright.actors.worker import JobFailed
from upright.strategies.report import RecoveryStep, Stage, StepOutcome

if TYPE_CHECKING:
    from collections import OrderedDict

    from upright.actors.board import Board
    from upright.actors.directory import Directory
    from upright.actors.ledger import Ticket
    from upright.actors.timers import Timer
    from upright.actors.worker import WorkerPool
    from upright.strategies.healing_options import HealingOptions
    from upright.strategies.report import RecoveryId

__all__ = ["HealingActor"]

_MAX_CRASHES: Final = 2  # a healing that crashed more incarnations of this actor is given up
_MAX_CRASHES_AT_WORK: Final = 10  # likewise while a strategy is at work: giving up would let a second one begin
_GONE_AFTER: Final = 5.0  # seconds that a job which was abandoned has to say so
_MAX_REMEMBERED: Final = 1_000  # recovery ids whose failed attempts are remembered, the oldest go first
_WORKER_AGAIN: Final = 0.05  # seconds after which a worker is asked for again when there was none


@dataclass(frozen=True, slots=True)
class _Overdue:
    """A strategy has used up its time."""

    healing: Healing
    index: int


@dataclass(frozen=True, slots=True)
class _TryAgain:
    """There was no worker to be had; perhaps there is now."""


class HealingActor(SupervisedActor):
    """Receives: `Heal`. Replies: one `HealingReport` to each, when the healing has ended.

    Owns: the healings under way, and the failed attempts of every recovery id. Blocks on: nothing.

    Args:
        board: Where the registered strategies are published, and proofs.
        directory: Where those are found who are told of a proof: the breaker and the fallback actor.
        pool: Workers that the strategies run in.
        options: Attempts, window, cool-down and timeout.
    """

    keeps_tickets = True

    def __init__(self, board: Board, directory: Directory, pool: WorkerPool, options: HealingOptions) -> None:
        super().__init__()
        self._board = board
        self._directory = directory
        self._pool = pool
        self._options = options
        self._healings: dict[RecoveryId, Healing] = board.healings
        self._failures: OrderedDict[RecoveryId, Failures] = board.healing_failures
        self._totals = board.healing_totals
        self._line: WaitingLine[tuple[Healing, int]] = WaitingLine()
        self._again: Timer | None = None

    def on_start(self) -> None:
        # What an earlier incarnation had accepted goes on, also if its askers had to be told that it was stopped: its
        # workers did not notice that it ended.
        left = self.open_tickets()
        noted = (ticket.note for ticket in left if isinstance(ticket.note, Healing))
        found = dict.fromkeys((*self._healings.values(), *noted))
        for healing in found:
            healing.found()
            if healing.crashes <= (_MAX_CRASHES_AT_WORK if healing.is_at_work else _MAX_CRASHES):
                self._healings.setdefault(healing.report.recovery_id, healing)
                continue
            if self._healings.get(healing.report.recovery_id) is healing:
                del self._healings[healing.report.recovery_id]
            if healing.sending is not None:
                # Before it is answered, or what it heals would be healed again at the same time.
                healing.progress.begin()
                healing.sending.abandon()
        for ticket in left:
            if ticket.note is None and ticket.handovers <= _MAX_CRASHES:
                self._accept(ticket)
            elif ticket.note is None or not self._is_at(ticket.note, ticket.note.index):
                ticket.answer(given_up(ticket.note))
        for healing in found:
            if self._is_at(healing, healing.index):
                with healing:
                    self._resume(healing, [ticket for ticket in left if ticket.note is healing])

    def _resume(self, healing: Healing, tickets: list[Ticket]) -> None:
        healing.timer = None
        healing.tickets = tickets
        if healing.outcome is not None:
            self._attempted(healing, healing.outcome)
        elif healing.job is None:
            # The one before may have sent the job and crashed before it had noted that. If it has been begun it goes
            # on; if not, it never will be.
            if healing.progress.begin():
                self._try_next(healing)
            else:
                healing.job = healing.sending
                self._watch(healing)
        else:
            self._watch(healing)

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, Heal):
            self._accept(self.defer())
        elif isinstance(message, _Overdue):
            with message.healing:
                self._abandon(message)
        elif isinstance(message, _TryAgain):
            self._again = None
            for healing, index in self._line.take_turn():
                self._ask_again(healing, index)
            self._look_again()
        else:
            return super().on_receive(message)
        return None

    def on_system_message(self, message: Any) -> None:
        if isinstance(message, Answered) and isinstance(message.key, tuple):
            healing: Healing
            healing, index, progress = message.key
            if self._is_at(healing, index) and healing.progress is progress:
                with healing:
                    # A worker that was killed between noting its proof and telling it is answered for with a failure.
                    self._attempted(healing, healing.outcome or message)
            if progress.now_at is not None:
                self._a_worker_is_free()
        else:
            super().on_system_message(message)

    def _is_at(self, healing: Healing, index: int) -> bool:
        return self._healings.get(healing.report.recovery_id) is healing and healing.index == index

    # One healing.

    def _accept(self, ticket: Ticket) -> None:
        if ticket.settled:
            ticket.withdraw()  # the orchestrator has sent its request again, not knowing that it had
            return
        heal: Heal = ticket.message
        report = heal.report
        recovery_id = report.recovery_id
        if self._board.proof(report.target).epoch > heal.epoch:
            # By a healing whose asker was stopped meanwhile, so that another asks now.
            step = RecoveryStep(Stage.HEALING, "healed before", StepOutcome.JOINED)
            ticket.answer(HealingReport(proven=True, steps=(step,)))
            return
        running = self._healings.get(recovery_id)
        if running is not None and running.outcome is not None and running.is_proven:
            # Which this actor is about to hear; and what has failed since is another failure.
            with running:
                self._attempted(running, running.outcome)
            running = None
        if running is not None:
            ticket.note = running
            running.tickets.append(ticket)
            self.entrust(ticket)
            return
        refusal = self._refusal(recovery_id)
        if refusal is not None:
            ticket.answer(refusal)
            return
        healing = Healing(report, heal.loop, self._board.strategies, monotonic(), [ticket])
        ticket.note = healing
        self._healings[recovery_id] = healing
        self.entrust(ticket)
        with healing:
            self._try_next(healing)

    def _refusal(self, recovery_id: RecoveryId) -> HealingReport | None:
        failures = self._failures.get(recovery_id)
        if failures is not None and failures.cooling_until > monotonic():
            left = failures.cooling_until - monotonic()
            return not_tried("healing", f"escalated: {failures.escalated_after} attempts failed, next in {left:.1f} s")
        return None

    def _try_next(self, healing: Healing) -> None:
        healing.job = healing.outcome = None
        healing.overdue = False
        healing.job_started_at = monotonic()
        self._submit(healing)
        self._watch(healing)

    def _submit(self, healing: Healing) -> None:
        strategies, start, report = healing.strategies, healing.index, healing.report
        job = healing.sending = self._pool.job()
        progress = healing.progress = Progress()
        healing.outcome = None
        self._pool.submit(
            lambda: attempt_healing(strategies, start, report, progress) if progress.begin() else ELSEWHERE,
            Shortcut(TellBack(self.actor_ref, (healing, start, progress)), self._proven, healing, progress),
            loop=healing.loop,
            job=job,
        )
        healing.job = job

    def _look_again(self) -> None:
        if self._again is None and len(self._line):
            self._again = self.send_after(_WORKER_AGAIN, _TryAgain())

    def _a_worker_is_free(self) -> None:
        while (first := self._line.take()) is not None:
            if self._ask_again(*first):
                return

    def _ask_again(self, healing: Healing, index: int) -> bool:
        """Submit a healing that found no worker; False if it no longer waits for one."""
        if not self._is_at(healing, index) or healing.job is not None:
            return False
        with healing:
            self._submit(healing)
        return True

    def _watch(self, healing: Healing) -> None:
        """Look again when the strategy that is at work, or the first that may come to be, has used up its time."""
        now_at = healing.progress.now_at
        if now_at is None:
            limit = min(self._limit(healing, index) for index in range(healing.index, len(healing.strategies)))
            due = healing.job_started_at + limit
        else:
            due = now_at[1] + self._limit(healing, now_at[0])
        healing.timer = self.send_after(max(0.0, due - monotonic()), _Overdue(healing, healing.index))

    def _limit(self, healing: Healing, index: int) -> float:
        own = healing.strategies[index].timeout
        return self._options.timeout if own is None else own

    def _abandon(self, overdue: _Overdue) -> None:
        healing = overdue.healing
        if not self._is_at(healing, overdue.index):
            return
        if healing.overdue:
            self._attempted(healing, Answered((healing, healing.index)))  # whoever was to answer is gone
            return
        now_at, now = healing.progress.now_at, monotonic()
        if now_at is not None:
            over = now >= now_at[1] + self._limit(healing, now_at[0])
        else:
            over = now >= healing.job_started_at + self._options.timeout  # no worker in all this time
        if not over:
            # Passed on meanwhile to a strategy that may take longer, or not begun yet.
            if now_at is None:
                healing.timer = self.send_after(_WORKER_AGAIN, overdue)
            else:
                self._watch(healing)
            return
        healing.overdue = True
        if healing.job is not None:
            healing.job.abandon()  # its asker, this actor, is told so as the job's answer
            healing.timer = self.send_after(_GONE_AFTER, overdue)
        else:
            self._attempted(healing, Answered((healing, healing.index)))

    def _attempted(self, healing: Healing, answered: Answered) -> None:
        attempt = answered.value
        if not isinstance(attempt, HealingAttempt):
            if healing.progress.now_at is None and not healing.overdue:
                # It never began: more healings than workers, or their supervisor is being restarted.
                healing.job = healing.outcome = None
                healing.progress = Progress()
                self._line.put((healing, healing.index), healing.job_started_at)
                self._look_again()
                return
            attempt = self._lost_attempt(healing, answered.error)
        if healing.timer is not None:
            healing.timer.cancel()
        took = monotonic() - healing.job_started_at
        if attempt.index is None:
            self._end(healing, proven=False)
            return
        name = healing.strategies[attempt.index].name
        if attempt.counted:
            self._count(name, proven=attempt.proven)
        outcome = StepOutcome.SUCCEEDED if attempt.proven else StepOutcome.FAILED
        healing.steps.append(RecoveryStep(Stage.HEALING, name, outcome, took, attempt.detail))
        if attempt.proven:
            self._failures.pop(healing.report.recovery_id, None)
            self._end(healing, proven=True)
            return
        exhausted = attempt.counted and self._attempt_failed(healing, healing.steps[-1], hopeless=attempt.hopeless)
        healing.job = healing.outcome = None
        healing.progress = Progress()
        healing.index = attempt.index + 1
        if exhausted or healing.index >= len(healing.strategies):
            self._end(healing, proven=False)
        else:
            self._try_next(healing)

    def _lost_attempt(self, healing: Healing, error: BaseException | None) -> HealingAttempt:
        """Make sense of a worker that gave no account: killed for its time, crashed, or not to be had."""
        now_at = healing.progress.now_at
        index = healing.index if now_at is None else now_at[0]
        cause = error.error if isinstance(error, JobFailed) else error
        if now_at is None:
            return HealingAttempt(index, detail="no worker to be had", counted=False)
        if healing.overdue:
            return HealingAttempt(index, detail=f"not done within {self._limit(healing, index):g} s")
        return HealingAttempt(index, detail="no account of it" if cause is None else describe(cause))

    def _end(self, healing: Healing, *, proven: bool) -> None:
        self._healings.pop(healing.report.recovery_id, None)
        steps = tuple(healing.steps)
        report = HealingReport(proven, steps) if steps else not_tried("none", "no healing strategy fits")
        for ticket in healing.tickets:
            ticket.answer(report)

    def _proven(self, target: str) -> None:
        """Publish a proof; in the worker's thread, before anybody is answered."""
        # Before anything else: so who has got its answer finds it counted, and a failure from before it is not
        # healed again, whatever has become of who asked and of this actor.
        board = self._board
        board.healed(target)
        board.healing_attempts.add()
        board.healing_successes.add()
        # A circuit that opens from here on for a failure before the proof is told so by the time of that.
        if board.not_closed:
            self._directory["breaker"].send_unbounded(ResourceHealed(target))
        if board.catches_up:
            self._directory["fallback"].send_unbounded(WorksAgain(resource=target))

    # Attempts and escalation.

    def _attempt_failed(self, healing: Healing, step: RecoveryStep, *, hopeless: bool) -> bool:
        """Count a failed attempt; True if there are to be no more of them for now."""
        options, now = self._options, monotonic()
        recovery_id = healing.report.recovery_id
        failures = self._failures.setdefault(recovery_id, Failures())
        self._failures.move_to_end(recovery_id)
        if len(self._failures) > _MAX_REMEMBERED:
            self._failures.popitem(last=False)
        while failures.times and failures.times[0] < now - options.attempt_window:
            failures.times.popleft()
        failures.times.append(now)
        failures.last = f"{step.strategy}: {step.detail}" if step.detail else step.strategy
        if len(failures.times) < options.max_healing_attempts and not hopeless:
            return False
        attempts = failures.escalated_after = len(failures.times)
        failures.cooling_until = now + options.cooldown
        failures.times.clear()
        self._escalate(RecoveryEscalated(recovery_id, healing.report, attempts, options.cooldown))
        return True

    def _escalate(self, event: RecoveryEscalated) -> None:
        self._board.escalations.add()
        get_logger("healing").log(
            logging.ERROR,
            "recovery_escalated",
            recovery_id=str(event.recovery_id),
            operation=event.report.operation,
            attempts=event.attempts,
            cooldown=event.cooldown,
            error=describe(event.report.error),
        )
        self._board.publish(event)

    def _count(self, name: str, *, proven: bool) -> None:
        total = self._totals.setdefault(name, [0, 0])
        total[0] += 1
        total[1] += proven
        if not proven:
            self._board.healing_attempts.add()  # a proof was counted when it came: see Shortcut

    @property
    def status_details(self) -> dict[str, Any]:  # type: ignore[override]
        """What is being healed or waits for that, each strategy's totals, and what was escalated (seconds left)."""
        now = monotonic()
        return {
            "healing": [str(recovery_id) for recovery_id in list(self._healings)],
            "waiting_for_a_worker": len(self._line),
            "strategies": {
                name: {"attempts": attempts, "proven": proven}
                for name, (attempts, proven) in list(self._totals.items())
            },
            "escalated": {
                str(recovery_id): round(failures.cooling_until - now, 1)
                for recovery_id, failures in list(self._failures.items())
                if failures.cooling_until > now
            },
            "gave_up": {
                str(recovery_id): {
                    "for": round(self._options.cooldown - (failures.cooling_until - now), 1),
                    "attempts": failures.escalated_after,
                    "last": failures.last,
                }
                for recovery_id, failures in list(self._failures.items())
                if failures.cooling_until > now
            },
            "escalations": self._board.escalations.value,
        }
