"""The healing actor: which strategy is tried on a failing resource, how often, and for how long.

One healing per recovery id at a time: a second request joins the first. The strategies run in workers, one after
another in the order of registration, until one of them proves its work; the actor itself only decides, and so
never waits. A strategy that takes longer than its timeout is abandoned with its worker.
"""

from __future__ import annotations

import asyncio
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from upright.actors.actor import SupervisedActor
from upright.actors.breaker import ResourceHealed
from upright.actors.escalation import Escalations
from upright.actors.exits import describe
from upright.actors.fallback import WorksAgain
from upright.actors.healing_job import HealingAttempt, Progress, attempt_healing
from upright.actors.healing_queue import WaitingLine
from upright.actors.healing_record import (
    ELSEWHERE,
    Heal,
    Healing,
    HealingReport,
    Shortcut,
    given_up,
    not_tried,
)
from upright.actors.messages import Answered
from upright.actors.reply import TellBack
from upright.actors.timers import Alarm
from upright.actors.worker import JobFailed
from upright.strategies.foreign import is_of
from upright.strategies.report import RecoveryStep, Stage, StepOutcome

if TYPE_CHECKING:
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
_YOUNG: Final = 0.002  # seconds after which a healing is looked at for the first time
_GONE_AFTER: Final = 5.0  # seconds that a job which was abandoned has to say so
_WORKER_AGAIN: Final = 0.05  # seconds after which a worker is asked for again when there was none


class _Overdue:
    """Some strategy may have used up its time."""


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
        self._escalations = Escalations(board, options)
        self._totals = board.healing_totals
        self._line: WaitingLine[tuple[Healing, int]] = WaitingLine()
        self._again: Timer | None = None
        self._alarm = Alarm(self.send_after, _Overdue())

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
        healing.look_at = inf
        healing.young = False
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
            self._look_at_times()
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
        refusal = self._escalations.refusal(recovery_id)
        if refusal is not None:
            ticket.answer(not_tried("healing", refusal))
            return
        healing = Healing(report, heal.loop, self._board.strategies, monotonic(), [ticket])
        ticket.note = healing
        self._healings[recovery_id] = healing
        self.entrust(ticket)
        with healing:
            self._try_next(healing)

    def _try_next(self, healing: Healing) -> None:
        healing.job = healing.outcome = None
        healing.overdue = False
        healing.job_started_at = monotonic()
        healing.young = True
        self._look_at(healing, healing.job_started_at + _YOUNG)
        self._submit(healing)

    def _submit(self, healing: Healing) -> None:
        strategies, start, report = healing.strategies, healing.index, healing.report
        job = healing.sending = self._pool.job()
        progress = healing.progress = Progress()
        healing.outcome = None
        self._pool.submit(
            lambda: attempt_healing(strategies, start, report, progress) if progress.begin() else ELSEWHERE,
            Shortcut(
                TellBack(self.actor_ref, (healing, start, progress)), self._proven, self._is_woken, healing, progress
            ),
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
        self._look_at(healing, due)

    def _look_at(self, healing: Healing, moment: float) -> None:
        healing.look_at = moment
        self._alarm.set(moment)

    def _look_at_times(self) -> None:
        self._alarm.rang()
        now = monotonic()
        for healing in list(self._healings.values()):
            if healing.look_at > now:
                self._alarm.set(healing.look_at)
                continue
            with healing:
                if healing.young:
                    healing.young = False  # a proof that came before has not woken this actor: it is looked at next
                    self._watch(healing)
                else:
                    self._abandon(healing)

    def _is_woken(self, healing: Healing) -> bool:
        """Whether a proof has to wake this actor; asked in the worker's thread, once the proof is on the lane.

        Most healings that are quick come in numbers: what is left to do about them gathers meanwhile.
        """
        return not healing.young or len(self._line) > 0

    def _limit(self, healing: Healing, index: int) -> float:
        own = healing.strategies[index].timeout
        return self._options.timeout if own is None else own

    def _abandon(self, healing: Healing) -> None:
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
                self._look_at(healing, now + _WORKER_AGAIN)
            else:
                self._watch(healing)
            return
        healing.overdue = True
        if healing.job is not None:
            healing.job.abandon()  # its asker, this actor, is told so as the job's answer
            self._look_at(healing, now + _GONE_AFTER)
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
        healing.look_at = inf
        if attempt.index is None:
            self._end(healing)
            return
        if attempt.cut_off and healing.loop is not None:
            # That of a request, perhaps, which did not wait for the end. Now on a loop that lives as long as it takes.
            healing.loop = None
            healing.progress = Progress()
            healing.index = attempt.index
            self._try_next(healing)
            return
        name = healing.strategies[attempt.index].name
        if attempt.counted:
            self._count(name, proven=attempt.proven)
        if attempt.proven:
            self._escalations.healed(healing.report.recovery_id)
            self._end(healing, healing.proven_by(attempt))
            return
        took = monotonic() - healing.job_started_at
        step = RecoveryStep(Stage.HEALING, name, StepOutcome.FAILED, took, attempt.detail)
        healing.steps.append(step)
        exhausted = attempt.counted and self._escalations.attempt_failed(
            healing.report, step, hopeless=attempt.hopeless
        )
        healing.job = healing.outcome = None
        healing.progress = Progress()
        healing.index = attempt.index + 1
        if exhausted or healing.index >= len(healing.strategies):
            self._end(healing)
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
        if is_of(cause, asyncio.CancelledError):
            return HealingAttempt(index, detail="its event loop was closed", cut_off=True)
        return HealingAttempt(index, detail="no account of it" if cause is None else describe(cause))

    def _end(self, healing: Healing, proof: HealingReport | None = None) -> None:
        self._healings.pop(healing.report.recovery_id, None)
        if proof is not None:
            report = proof
        elif healing.steps:
            report = HealingReport(False, tuple(healing.steps))
        else:
            report = not_tried("none", "no healing strategy fits")
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

    def _count(self, name: str, *, proven: bool) -> None:
        total = self._totals.setdefault(name, [0, 0])
        total[0] += 1
        total[1] += proven
        if not proven:
            self._board.healing_attempts.add()  # a proof was counted when it came: see Shortcut

    @property
    def status_details(self) -> dict[str, Any]:  # type: ignore[override]
        """What is being healed or waits for that, each strategy's totals, and what was escalated (seconds left)."""
        return {
            "healing": [str(recovery_id) for recovery_id, one in list(self._healings.items()) if not one.is_proven],
            "waiting_for_a_worker": len(self._line),
            "strategies": {
                name: {"attempts": attempts, "proven": proven}
                for name, (attempts, proven) in list(self._totals.items())
            },
            **self._escalations.status_details,
        }
