"""A failure on the way of an answer, after its ticket was closed and before anybody had it, lost the answer.

One in 100 000 faults of a storm hit there: the orchestrator waited for a healing that had ended, and every failure of
that resource joined its recovery from then on.
"""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from recovery_parts import Healer, failing

from upright.actors.ledger import Ledger
from upright.actors.mailbox import WAKE, Lane
from upright.actors.recovering import HealingReply
from upright.actors.reply import TellBack
from upright.strategies.report import RecoveryStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.tree import Tree

pytestmark = pytest.mark.actor_crash


@pytest.mark.parametrize("proven", [True, False])
@pytest.mark.parametrize("kind", [MemoryError, KeyboardInterrupt])
def test_a_healing_s_end_is_told_though_telling_it_fails_at_first(
    boot: Callable[..., Tree], monkeypatch: pytest.MonkeyPatch, kind: type[BaseException], *, proven: bool
) -> None:
    tell, left = HealingReply.tell, [True]

    def failing_at_first(reply: HealingReply, *args: Any, **kwargs: Any) -> bool:
        if left:
            left.pop()
            raise kind("on the way")
        return tell(reply, *args, **kwargs)

    monkeypatch.setattr(HealingReply, "tell", failing_at_first)
    healer = Healer(verify=(lambda _: None) if proven else failing(ConnectionError("still down")))
    tree = boot(healer, healing={"max_healing_attempts": 1})
    result = tree.recover(ConnectionError("down"), operation="query", resource="db", timeout=20.0)
    assert not left
    assert result.status is (RecoveryStatus.HEALED if proven else RecoveryStatus.FAILED)
    assert len(healer.reports) == 1


class _Refusing:
    """Takes no answer at first."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.refusals = [MemoryError("answer"), MemoryError("fail")]

    def answer(self, value: Any) -> bool:
        if self.refusals:
            raise self.refusals.pop()
        self.taken.append(value)
        return True

    fail = answer


@pytest.mark.parametrize("method", ["answer", "fail"])
def test_a_ticket_stays_open_until_its_answer_was_taken(method: str) -> None:
    ledger, reply = Ledger(), _Refusing()
    ticket = ledger.open("accepted", reply)
    for _ in range(2):
        with pytest.raises(MemoryError):
            getattr(ticket, method)(ValueError("value"))
        assert ledger.tickets() == [ticket]
    assert getattr(ticket, method)(ValueError("value"))
    assert not getattr(ticket, method)(ValueError("again"))
    assert len(reply.taken) == 1
    assert not ledger.tickets()


class _Full(deque[Any]):
    """Takes nothing at first."""

    full = True

    def append(self, item: Any, /) -> None:
        if self.full:
            self.full = False
            raise MemoryError
        super().append(item)


def test_an_answer_that_was_not_told_can_still_be() -> None:
    lane = Lane()
    lane.system = _Full()
    back = TellBack(SimpleNamespace(lane=lane), "key")  # type: ignore[arg-type]
    with pytest.raises(MemoryError):
        back.answer("value")
    assert not back.done
    assert back.answer("value")
    assert [answered.value for answered in lane.system] == ["value"]
    assert lane.get() is WAKE


class _FullLane(Lane):
    full = True

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002
        if self.full:
            self.full = False
            raise MemoryError
        super().put(item, block, timeout)


def test_a_lane_that_could_not_be_woken_can_be_once_more() -> None:
    lane = _FullLane()
    with pytest.raises(MemoryError):
        lane.wake()
    lane.wake()
    assert lane.get() is WAKE
