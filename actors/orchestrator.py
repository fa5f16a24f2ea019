"""The orchestrator: one recovery per failure, however many report it.

A report opens a recovery, joins the one under way, or joins a healing that was proven after its call began. The
orchestrator asks the healing actor and never waits for it; everyone who asked gets an answer when the healing ends,
or when `heal_wait` is over, whichever comes first. What comes after the healing (circuit breaker, fallback chain,
retry) runs at the edge, in the caller's own thread; only for a bare `ask(ErrorReport)`, whose asker just waits, a
worker carries it out.

What was accepted is kept on tickets (see upright.actors.ledger): an incarnation that crashes leaves every recovery
but the one it crashed on to the next.
"""

from __future__ import annotations

from collections import OrderedDict
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from upright.actors.actor import SupervisedActor
from upright.actors.counsel import Consult, Counsel, HandedOn, Inquire, result_of, skipped, still_healing
from upright.actors.events import HealingEnded, RecoveryFinished, RecoveryStarted
from upright.actors.gate import Gate
from upright.actors.healing_record import Heal, HealingReport
from upright.actors.messages import Answered
from upright.actors.recovering import HealingReply, Recovery
from upright.actors.timers import Alarm
from upright.strategies.report import (
    ErrorReport,
    RecoveryResult,
    RecoveryStep,
    Stage,
    StepOutcome,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.actors.board import Board
    from upright.actors.directory import Directory
    from upright.actors.ledger import Ticket
    from upright.actors.worker import WorkerPool
    from upright.strategies.report import RecoveryId

__all__ = ["OrchestratorActor"]

_MAX_CRASHES: Final = 2  # a recovery that crashed more incarnations of this actor is answered with its failure
_MAX_CRASHES_MEANWHILE: Final = 10  # likewise while its healing is under way, whose proof is worth waiting for
_RERUNS_AT_ONCE: Final = 200  # calls that are made again at the same time after a shared healing
_MAX_GATES: Final = 100  # resources whose gate is kept for those who join the healing late
_REPORTS: Final = (ErrorReport, Consult)
_MAILBOX_LIMIT: Final = 200_000  # a burst of duplicates is merged as fast as it is read; a tuple of two each until then


class _WaitIsOver:
    """Somebody may have waited for a healing as long as it wanted to."""


class OrchestratorActor(SupervisedActor):
    """Receives: `ErrorReport` (told or asked) and `Consult`. Replies: a `RecoveryResult`, or a `Counsel`.

    Owns: the recoveries under way. Blocks on: nothing.

    Args:
        board: Where it publishes recoveries, reads epochs, and tells events.
        directory: Where the healing actor is found.
        pool: Workers for what follows a healing when nobody else can carry it out.
        heal_wait: Gives the seconds that a bare ask waits for a healing, by operation.
        finish: Carries out what follows the healing for a bare ask: `finish(report, counsel) -> RecoveryResult`.
        healing_on: Tells whether the flag self_healing is on.
    """

    keeps_tickets = True
    mailbox_limit = _MAILBOX_LIMIT

    def __init__(
        self,
        board: Board,
        directory: Directory,
        pool: WorkerPool,
        heal_wait: Callable[[str], float],
        finish: Callable[[ErrorReport, Counsel], RecoveryResult],
        healing_on: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._board = board
        self._directory = directory
        self._pool = pool
        self._heal_wait = heal_wait
        self._finish = finish
        self._healing_on = healing_on
        self._recoveries: dict[RecoveryId, Recovery] = {}
        self._gates: OrderedDict[str, Gate] = OrderedDict()  # by resource, of the last healing that was shared
        self._alarm = Alarm(self.send_after, _WaitIsOver())
        self._totals = {"recoveries": 0, "healed": 0, "not_healed": 0, "joined": 0}

    def on_start(self) -> None:
        left = self.open_tickets()
        by_recovery: dict[Recovery, list[Ticket]] = {}
        for ticket in left:
            if isinstance(ticket.note, Recovery):
                by_recovery.setdefault(ticket.note, []).append(ticket)
        for recovery in by_recovery:
            recovery.found()
            if recovery.crashes <= (_MAX_CRASHES_MEANWHILE if recovery.is_being_healed else _MAX_CRASHES):
                self._recoveries[recovery.id] = recovery
        self._forget_the_others()
        for ticket in left:
            if isinstance(ticket.note, HandedOn):
                if not ticket.note.sent:
                    self._hand_on(ticket.note)
            elif ticket.note is None and ticket.handovers <= _MAX_CRASHES:
                self._accept(ticket)
            elif not self._is_kept(ticket.note):
                self._give_up(ticket)
        for recovery, tickets in by_recovery.items():
            if self._is_kept(recovery):
                with recovery:
                    self._resume(recovery, tickets)

    def _forget_the_others(self) -> None:
        """Take recoveries off the board that no ticket tells of."""
        board = self._board
        for recovery_id in list(board.recovering):
            if recovery_id not in self._recoveries:
                board.recovering.pop(recovery_id, None)
        for name, healing in list(board.healing.items()):
            if all(recovery.done is not healing for recovery in self._recoveries.values()):
                board.healing.pop(name, None)
                healing.answer(False)

    def _is_kept(self, recovery: Any) -> bool:
        return isinstance(recovery, Recovery) and self._recoveries.get(recovery.id) is recovery

    def _resume(self, recovery: Recovery, tickets: list[Ticket]) -> None:
        """Go on with a recovery that an earlier incarnation began: whose waits, but not its timers, live on."""
        # Not only those in `waiting`: the crash may have come just before a ticket was put there, or after it was
        # taken out.
        now, known = monotonic(), recovery.waiting
        recovery.waiting = {t: known.get(t, now if t.asked else inf) for t in tickets}
        recovery.look_at = inf
        self._look_at(recovery, min(recovery.waiting.values(), default=inf))
        self._board.recovering[recovery.id] = recovery.merged
        if recovery.outcome is not None:
            self._healing_ended(recovery, recovery.outcome)
        elif not self._healing_on() or recovery.reply is None:
            self._heal(recovery)  # which answers at once when healing was switched off meanwhile
        elif not recovery.asked:
            self._ask(recovery, recovery.reply)

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, _REPORTS):
            self._receive(message)
        elif isinstance(message, _WaitIsOver):
            self._look_at_waits()
        elif isinstance(message, Inquire):
            pass  # that it is answered says it: whatever was reported before has been accepted
        else:
            return super().on_receive(message)
        return None

    def on_system_message(self, message: Any) -> None:
        recovery = message.key if isinstance(message, Answered) else None
        if isinstance(recovery, Recovery):
            if self._is_kept(recovery):
                with recovery:
                    self._healing_ended(recovery, recovery.outcome or message)
        else:
            super().on_system_message(message)

    # Accepting.

    def _receive(self, message: ErrorReport | Consult) -> None:
        running = None
        if not self.was_asked():
            report = message.report if isinstance(message, Consult) else message
            running = self._running(report)
        if running is not None:
            running.joined += 1  # a duplicate that nobody waits for needs no more than to be counted
            self._board.joined_reports.add()
            return
        self._accept(self.defer())

    def _running(self, report: ErrorReport) -> Recovery | None:
        """Return the recovery that a report joins; None if there is none."""
        running = self._recoveries.get(report.recovery_id)
        if running is not None and self._board.proof(report.target).epoch > running.epoch:
            # Proven, which this actor is about to hear. What has failed since is another failure; what failed before
            # will be told so by its epoch.
            with running:
                self._healing_ended(running, running.outcome or Answered(running, _healed_before()))
            return None
        return running

    def was_asked(self) -> bool:
        """Whether somebody waits for the answer to the message in hand."""
        incarnation = self._incarnation
        return incarnation is not None and incarnation.current is not None and incarnation.current[1] is not None

    def _accept(self, ticket: Ticket) -> None:
        message = ticket.message
        consult = message if isinstance(message, Consult) else None
        report: ErrorReport = message.report if consult is not None else message
        if report.permanent:
            self._answer(ticket, Counsel(healed=False, steps=(skipped("permanent error"),)))
            return
        recovery_id = report.recovery_id
        running = self._running(report)
        if running is not None:
            running.joined += 1
            self._board.joined_reports.add()
            self._wait(running, ticket, consult)
            return
        proof = self._board.proof(report.target)
        epoch = proof.epoch_at(report.created_at) if report.epoch is None else report.epoch
        if epoch < proof.epoch:
            self._board.joined_reports.add()
            gate = self._gate_of(report.target)
            self._answer(ticket, Counsel(healed=True, joined=True, steps=_healed_before().steps, gate=gate))
            return
        risk = self._board.risk
        if risk is not None and "predicted_risk" not in report.context:
            report = report.with_context(predicted_risk=risk)
        recovery = Recovery(recovery_id, report, proof.epoch, consult.loop if consult else None, monotonic())
        self._recoveries[recovery_id] = recovery
        self._board.recovering[recovery_id] = recovery.merged
        self._totals["recoveries"] += 1
        self._wait(recovery, ticket, consult)
        self._board.publish(RecoveryStarted(recovery_id, report))
        with recovery:
            self._heal(recovery)

    def _wait(self, recovery: Recovery, ticket: Ticket, consult: Consult | None) -> None:
        ticket.note = recovery
        wait = consult.heal_wait if consult is not None else self._heal_wait(ticket.message.operation)
        if not ticket.asked:
            wait = inf  # nobody waits: the ticket is there only to survive a crash
        until = recovery.waiting[ticket] = monotonic() + wait
        self.entrust(ticket)
        self._look_at(recovery, until)

    def _look_at(self, recovery: Recovery, moment: float) -> None:
        """Have the waits looked at when the one is over that ends at `moment`."""
        if moment < recovery.look_at:
            recovery.look_at = moment
            self._alarm.set(moment)

    def _look_at_waits(self) -> None:
        self._alarm.rang()
        now = monotonic()
        for recovery in list(self._recoveries.values()):
            if recovery.look_at <= now:
                with recovery:
                    self._waits_are_over(recovery)
            else:
                self._alarm.set(recovery.look_at)

    # Healing.

    def _heal(self, recovery: Recovery) -> None:
        if not self._healing_on():
            self._skip(recovery, "switched off")
            return
        if not self._board.strategies:
            # Said by the orchestrator itself, so that also those hear it who do not wait for the healing.
            self._skip(recovery, "no healing strategy is registered")
            return
        target = recovery.report.target
        if self._board.proof(target).epoch > recovery.epoch:
            # Meanwhile proven by another recovery, whose incarnation crashed before it had told those that followed.
            self._close(recovery, _healed_before(), self._gate_of(target), joined=True)
            recovery.done.answer(True)
            return
        if self._board.healing.get(target, recovery.done) is not recovery.done:
            # The same resource is being healed already, for another kind of failure: one healing is enough.
            recovery.follows = True
            return
        recovery.follows = recovery.asked = False
        self._board.healing[target] = recovery.done
        recovery.outcome = None
        recovery.reply = HealingReply(self.actor_ref, recovery)
        self._ask(recovery, recovery.reply)

    def _ask(self, recovery: Recovery, reply: HealingReply) -> None:
        # A crash between the two has the next incarnation ask again; the healing actor knows by the reply that it has
        # dealt with that request.
        self._directory["healing"].send(Heal(recovery.report, recovery.loop, recovery.epoch), reply)
        recovery.asked = True

    def _skip(self, recovery: Recovery, why: str) -> None:
        self._healing_ended(recovery, Answered(recovery, HealingReport(False, (skipped(why),), True)))

    def _healing_ended(self, recovery: Recovery, answered: Answered) -> None:
        outcome = answered.value
        if not isinstance(outcome, HealingReport):
            detail = type(answered.error).__name__
            step = RecoveryStep(Stage.HEALING, "healing", StepOutcome.FAILED, 0.0, f"no healing actor: {detail}")
            outcome = HealingReport(proven=False, steps=(step,))
        target = recovery.report.target
        followers = [r for r in self._recoveries.values() if r.follows and r.report.target == target]
        gate = None
        if self._board.healing.get(target) is recovery.done:
            self._board.healing.pop(target, None)
        if outcome.proven:
            self._gates.pop(target, None)
            if len(recovery.waiting) + sum(len(follower.waiting) for follower in followers) > 1:
                gate = self._gate_of(target)
        recovery.done.answer(outcome.proven)
        self._close(recovery, outcome, gate)
        for follower in followers:
            if self._recoveries.get(follower.id) is not follower:
                continue  # closed meanwhile, with another follower whose healing was skipped
            if outcome.proven:
                self._close(follower, outcome, gate, joined=True)
            else:
                self._heal(follower)

    def _gate_of(self, target: str) -> Gate:
        """Return what lets those who share the last healing of a resource make their calls again."""
        gate = self._gates.get(target)
        if gate is None:
            gate = self._gates[target] = Gate(_RERUNS_AT_ONCE)
            if len(self._gates) > _MAX_GATES:
                self._gates.popitem(last=False)
        return gate

    def _close(self, recovery: Recovery, outcome: HealingReport, gate: Gate | None, *, joined: bool = False) -> None:
        """Answer everybody who waits for this recovery, and forget it."""
        self._recoveries.pop(recovery.id, None)
        self._board.recovering.pop(recovery.id, None)
        sharers = recovery.joined + recovery.merged.value
        self._totals["joined"] += sharers
        self._totals["healed" if outcome.proven else "not_healed"] += 1
        self._board.publish(
            HealingEnded(
                recovery.id,
                recovery.report,
                outcome.proven,
                outcome.skipped,
                outcome.steps,
                monotonic() - recovery.started_at,
                sharers,
            )
        )
        spread = min(0.5, len(recovery.waiting) / 2_000) if gate is not None else 0.0
        for place, ticket in enumerate(recovery.waiting):
            if ticket is recovery.keeper and not outcome.proven:
                ticket.answer(None)  # those who waited have said already that it was not healed
                continue
            shared = joined or place > 0
            self._answer(ticket, Counsel(outcome.proven, shared, outcome.steps, gate, spread))

    def _waits_are_over(self, recovery: Recovery) -> None:
        now = monotonic()
        over = [ticket for ticket, until in recovery.waiting.items() if until <= now]
        step = still_healing(now - recovery.started_at)
        if over and len(over) == len(recovery.waiting):
            # It goes on for everybody who comes later, and a crash must not lose it.
            recovery.keeper = self._address.ledger.open(recovery.report, None, recovery)
            recovery.waiting[recovery.keeper] = inf
        for ticket in over:
            del recovery.waiting[ticket]
            self._answer(ticket, Counsel(healed=False, joined=recovery.joined > 0, steps=(step,)))
        recovery.look_at = inf
        self._look_at(recovery, min(recovery.waiting.values(), default=inf))

    # Answering.

    def _answer(self, ticket: Ticket, counsel: Counsel) -> None:
        message = ticket.message
        if isinstance(message, Consult):
            ticket.answer(counsel)
            return
        report: ErrorReport = message
        if not ticket.asked:
            self._board.publish(RecoveryFinished(result_of(report, counsel), report))
            ticket.answer(None)
        elif report.permanent or (counsel.healed and report.call is None):
            result = result_of(report, counsel)
            # Before the answer: nothing is left to do then, and who gets it need not wait for this thread to pause.
            self._board.publish(RecoveryFinished(result, report))
            ticket.answer(result)
        else:
            ticket.note = HandedOn(ticket, report, counsel)
            self._hand_on(ticket.note)

    def _hand_on(self, handed: HandedOn) -> None:
        """Have a worker do what follows a healing, for somebody who just waits for the result."""
        finish = self._finish
        try:
            self._pool.submit(lambda: handed.job(finish), handed)
        except Exception as error:
            handed.fail(error)
        handed.sent = True

    def _give_up(self, ticket: Ticket) -> None:
        step = RecoveryStep(
            Stage.HEALING, "orchestrator", StepOutcome.FAILED, 0.0, "given up: the orchestrator failed repeatedly"
        )
        counsel = Counsel(healed=False, steps=(step,))
        report: ErrorReport = ticket.message
        if isinstance(ticket.message, Consult):
            ticket.answer(counsel)
            return
        result = result_of(report, counsel)
        ticket.answer(result)
        self._board.publish(RecoveryFinished(result, report))

    @property
    def status_details(self) -> dict[str, Any]:  # type: ignore[override]
        """Totals, and every recovery under way with how many share it and for how long it has been going on."""
        now = monotonic()
        return {
            **self._totals,
            "active": [
                {
                    "recovery_id": str(recovery.id),
                    "operation": recovery.report.operation,
                    "joined": recovery.joined + recovery.merged.value,
                    "for": round(now - recovery.started_at, 3),
                }
                for recovery in list(self._recoveries.values())
            ],
        }


def _healed_before() -> HealingReport:
    return HealingReport(proven=True, steps=(RecoveryStep(Stage.HEALING, "healed before", StepOutcome.JOINED),))
