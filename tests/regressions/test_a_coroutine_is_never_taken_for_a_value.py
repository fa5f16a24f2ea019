"""Objects with an `async def __call__` went unprotected; `call`, `recover` and reports took coroutines for values."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest

import upright
from upright import booting
from upright.strategies.errors import ConfigError
from upright.strategies.fallback import FallbackChain, FallbackStep
from upright.strategies.healing.base import HealingStrategy
from upright.strategies.report import ErrorReport, RecoveryStatus

CONFIG = {"control": {"enabled": False}}


class Repair(HealingStrategy):
    """Repairs what `Price` asks."""

    name = "repair"
    down = True

    def can_handle(self, report: ErrorReport) -> bool:
        return True

    def heal(self, report: ErrorReport) -> None:
        self.down = False

    def verify(self, report: ErrorReport) -> None:
        assert not self.down


class Price:
    """Called like a coroutine function."""

    def __init__(self, repair: Repair) -> None:
        self.repair = repair

    async def __call__(self, of: str = "pro") -> str:
        await asyncio.sleep(0)
        if self.repair.down:
            raise ConnectionError("down")
        return f"price of {of}"


class Prices:
    """Called like a generator function."""

    async def __call__(self) -> Any:
        yield 5


@pytest.mark.parametrize(
    "bind", [lambda price: price, lambda price: functools.partial(price, of="pro")], ids=["it", "part"]
)
def test_an_object_that_is_called_like_a_coroutine_function_is_protected(bind: Any) -> None:
    repair = Repair()
    with upright.boot(CONFIG, strategies=[repair]) as tree:
        price = tree.protect("price")(bind(Price(repair)))
        assert asyncio.run(price()) == "price of pro"
        assert tree.metrics().healing_successes == 1


def test_one_that_is_called_like_a_generator_function_is_refused() -> None:
    with upright.boot(CONFIG) as tree, pytest.raises(ConfigError, match=r"protect\.function"):
        tree.protect("prices")(Prices())


def generate() -> Any:
    yield 5


def test_a_static_method_is_what_it_wraps() -> None:
    repair = Repair()
    with upright.boot(CONFIG, strategies=[repair]) as tree:

        async def price() -> int:
            if repair.down:
                raise ConnectionError("down")
            return 5

        assert asyncio.run(tree.protect("price")(staticmethod(price))()) == 5
        with pytest.raises(ConfigError, match=r"protect\.function"):
            tree.protect("prices")(staticmethod(generate))


def test_generator_functions_are_refused_wherever_a_call_is_given() -> None:
    with upright.boot(CONFIG) as tree:
        with pytest.raises(ConfigError, match=r"call\.function .* a generator fails while it is iterated"):
            tree.call("prices", generate)
        with pytest.raises(ConfigError, match=r"recover\.call .* a generator fails while it is iterated"):
            tree.recover(ConnectionError("down"), operation="prices", call=generate)
        with pytest.raises(ConfigError, match=r"call_async\.function .* a generator fails while it is iterated"):
            asyncio.run(tree.call_async("prices", generate))


def test_without_a_tree_the_verbs_take_and_refuse_the_same() -> None:
    booting._make_default(None)
    assert asyncio.run(upright.call_async("price", lambda: 5)).value == 5
    with pytest.raises(ConfigError, match=r"call\.function must be a def"):
        upright.call("price", Price(Repair()))


def test_an_asynchronous_fallback_leaves_the_loop_of_the_thread_as_it_was() -> None:
    async def provide(_: Any) -> int:
        return 5

    def fail() -> int:
        raise ConnectionError("down")

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        with upright.boot(CONFIG, strategies=[FallbackChain("price", [FallbackStep("step", provide)])]) as tree:
            assert tree.protect("price")(fail)() == 5
            assert asyncio.get_event_loop() is loop
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def test_call_and_recover_refuse_what_nobody_would_await() -> None:
    repair = Repair()
    with upright.boot(CONFIG, strategies=[repair]) as tree:
        for given in (Price(repair), Price(repair).__call__, functools.partial(Price(repair), of="pro")):
            with pytest.raises(ConfigError, match=r"call\.function must be a def; call_async takes"):
                tree.call("price", given)
            with pytest.raises(ConfigError, match=r"recover\.call must be a def; recover_async takes"):
                tree.recover(ConnectionError("down"), operation="price", call=given)


def test_the_call_of_a_report_is_awaited() -> None:
    repair = Repair()
    with upright.boot(CONFIG, strategies=[repair]) as tree:
        report = ErrorReport(ConnectionError("down"), "price", call=Price(repair))
        result = tree.orchestrator.ask(report, timeout=20.0)
        assert (result.status, result.value) == (RecoveryStatus.HEALED, "price of pro")


def test_the_call_of_a_report_that_fails_when_it_is_awaited_has_failed() -> None:
    repair = Repair()
    with upright.boot({**CONFIG, "retry": {"attempts": 1}}, strategies=[repair]) as tree:
        other = Repair()
        report = ErrorReport(ConnectionError("down"), "price", call=Price(other))
        assert tree.orchestrator.ask(report, timeout=20.0).status is RecoveryStatus.FAILED


def test_call_async_takes_a_plain_function_too() -> None:
    with upright.boot(CONFIG) as tree:
        assert asyncio.run(tree.call_async("price", lambda of: f"price of {of}", "pro")).value == "price of pro"


def test_a_def_that_gives_a_coroutine_is_told_so() -> None:
    with upright.boot(CONFIG) as tree:
        prices = {"pro": Price(Repair())}
        with pytest.raises(ConfigError, match=r"call\.function must be a def whose value is no coroutine"):
            tree.call("price", lambda of: prices[of](), "pro")
        with pytest.raises(ConfigError, match=r"recover\.call must be a def whose value is no coroutine"):
            tree.recover(ConnectionError("down"), operation="price", call=lambda: prices["pro"]("basic"))
        made = []

        def second_is_a_coroutine() -> Any:
            made.append(1)
            if len(made) == 1:
                raise ConnectionError("down")
            return prices["pro"]()

        with pytest.raises(ConfigError, match=r"call\.function must be a def whose value is no coroutine"):
            tree.call("price", second_is_a_coroutine)


def test_a_static_method_stays_one() -> None:
    with upright.boot(CONFIG) as tree:

        class Shop:
            @tree.protect("price")
            @staticmethod
            def price(of: str = "pro") -> str:
                return f"price of {of}"

        assert Shop.price() == Shop().price() == "price of pro"


def test_forgotten_parentheses_are_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"protect\.operation must be a text"):
        upright.protect(generate)  # type: ignore[arg-type]
