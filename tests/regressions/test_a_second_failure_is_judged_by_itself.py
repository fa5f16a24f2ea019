"""A call that was made again failed in the handling of its first failure, and was judged by that as its context.

An error without a verdict of its own was waited for as long as the Retry-After of the failure before it had asked for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import upright
from upright.strategies.foreign import part

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIG: dict[str, Any] = {
    "control": {"enabled": False},
    "retry": {"attempts": 3, "initial": 0.001, "maximum": 0.001},
}


class SlowDownError(Exception):
    retry_after = 0.001


class OddError(Exception):
    """Says nothing about itself."""


def planned(raised: list[Exception]) -> Callable[[], None]:
    errors = iter([SlowDownError(), OddError("second"), OddError("third")])

    def call() -> None:
        error = next(errors)
        raised.append(error)
        if isinstance(error, OddError):
            try:
                raise KeyError("of its own")
            except KeyError:
                raise error  # noqa: B904 - its context is what is tested
        raise error

    return call


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_context_of_a_retry_is_its_own(asynchronous: bool) -> None:  # noqa: FBT001 - a case
    raised: list[Exception] = []
    call = planned(raised)

    async def call_async() -> None:
        call()

    with upright.boot(CONFIG) as tree:

        def use() -> None:
            if asynchronous:
                asyncio.run(tree.protect("query")(call_async)())
            else:
                tree.protect("query")(call)()

        with pytest.raises(SlowDownError) as caught:
            use()
    assert caught.value is raised[0]
    assert caught.value.__context__ is None
    assert len(raised) == 3
    for error in raised[1:]:
        assert isinstance(error.__context__, KeyError)
        assert error.__context__.__context__ is None


def test_a_long_chain_and_the_error_itself_are_left_alone() -> None:
    error = last = OddError()
    for _ in range(1_000):
        last.__context__ = OddError()
        last = last.__context__
    handled = SlowDownError()
    last.__context__ = handled
    part(error, handled)
    part(handled, handled)
    part(error, None)
    assert last.__context__ is handled
