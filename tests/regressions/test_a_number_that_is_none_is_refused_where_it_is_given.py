"""Numbers that are none failed later than they were given, elsewhere, without a name, or not at all."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from upright.actors import SupervisedActor
from upright.actors.notices import NoticeStream
from upright.control_client import find
from upright.strategies import pace
from upright.strategies.errors import ConfigError
from upright.strategies.fallback import AudioFormat
from upright.strategies.healing.base import HealingStrategy
from upright.strategies.prediction import draw_chart
from upright.strategies.predictor_options import PredictorOptions
from upright.strategies.report import ErrorReport
from upright.strategies.retry import RetryBudget
from upright.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.tree import Tree


class _Noting(SupervisedActor):
    got: list[Any]
    ready: Event

    def on_receive(self, message: Any) -> Any:
        self.got.append(message)
        self.ready.set()


@pytest.mark.parametrize("timeout", ["3", float("nan"), True, 3j])
def test_an_ask_is_not_sent_whose_timeout_is_no_number(keep: Callable[..., Any], timeout: Any) -> None:
    _Noting.got, _Noting.ready = [], Event()
    address = keep(_Noting.start())
    with pytest.raises(ConfigError, match=r"Address\.ask\.timeout must be None or a number of seconds"):
        address.ask("not sent", timeout=timeout)
    with pytest.raises(ConfigError, match=r"Address\.stop\.timeout"):
        address.stop(timeout=timeout)
    address.ask("sent", timeout=float("inf"))
    assert _Noting.got == ["sent"]


@pytest.mark.parametrize(
    "given", [{"epoch": 0.5}, {"epoch": True}, {"created_at": float("nan")}, {"created_at": "now"}]
)
def test_a_report_is_refused_before_an_actor_compares_its_numbers(given: Any) -> None:
    with pytest.raises(ConfigError, match=next(iter(given))):
        ErrorReport(ConnectionError("down"), "query", **given)


def test_an_option_given_to_protect_is_refused_by_the_name_it_was_given_under(boot: Callable[..., Tree]) -> None:
    with pytest.raises(ConfigError, match=r"operations\.query\.retry_attempts must be an int >= 1, got 0"):
        boot().protect("query", retry_attempts=0)


def test_a_strategy_whose_timeout_is_no_number_is_not_registered(boot: Callable[..., Tree]) -> None:
    class Timeless(HealingStrategy):
        name = "timeless"
        timeout = float("nan")

        def can_handle(self, report: ErrorReport) -> bool:
            return True

        def heal(self, report: ErrorReport) -> None:
            return None

        verify = heal

    with pytest.raises(ConfigError, match=r"Timeless\.timeout must be a finite number > 0, got nan"):
        boot().register(Timeless())


def test_an_actor_whose_mailbox_has_no_limit_is_not_started() -> None:
    class Boundless(SupervisedActor):
        mailbox_limit = float("inf")  # type: ignore[assignment]

    with pytest.raises(ConfigError, match=r"mailbox_limit must be an int >= 1, got inf"):
        Boundless.start()


def test_a_wait_is_no_longer_than_what_the_system_can_sleep() -> None:
    assert pace.seconds(1e308) == 1e9


def test_a_stream_of_notices_is_waited_for_as_long_as_was_said() -> None:
    stream = NoticeStream(5, lambda: None)
    assert stream.get(timeout=-1) is None
    stream.end()
    assert stream.get(timeout=1e308) is None


@pytest.mark.parametrize(
    "use",
    [
        lambda: RetryBudget(0.5, reserve=10**9),
        lambda: AudioFormat(channels=70_000),
        lambda: AudioFormat().header(-1),
        lambda: draw_chart("cpu", [(0.0, 0.5)], limit=-1.0),
        lambda: draw_chart("cpu", [(0.0, 0.5)], limit=1.0, width=10**9),
        lambda: PredictorOptions(interval=1e-300),
        lambda: FakeClock(float("nan")),
        lambda: find(10**30),
    ],
    ids=["reserve", "channels", "size", "limit", "width", "interval", "start", "pid"],
)
def test_what_took_all_memory_or_ended_in_another_error_is_refused(
    use: Callable[[], Any], request: pytest.FixtureRequest
) -> None:
    with pytest.raises(ConfigError, match=request.node.callspec.id):
        use()
