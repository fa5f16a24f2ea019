"""No waits and few attempts: what the tests of an application that uses upright want."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from upright.strategies.options import require_count
from upright.strategies.pace import set_cap

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["instant"]


class instant:  # noqa: N801 - used as a verb, as contextlib's `suppress` is
    """Let retries and healings wait for nothing and give up soon, in the whole process, from now on.

    The decisions stay what they are: what is retried in production is retried here, only at once. What is no wait of
    upright's own stays real: the time that a healing takes (callers wait for it up to `heal_wait`), the application's
    calls, and an open circuit, which rejects calls for as long as its options say. Restart backoffs and hang limits
    of actors follow the clock: see `FakeClock`.

    In force when it was made, so it may be called once for a whole test run; ended by `stop()`, or by the end of its
    `with` block, which may be entered within another.

    Args:
        attempts: Calls in all that a retry stage makes at most, the first one included, and tries of a ready-made
            healing; at least 1, which never retries. A policy that allows fewer keeps its number.

    Raises:
        ConfigError: `attempts` is no int >= 1.

    Examples:
        >>> import time, upright
        >>> tree = upright.boot({"control": {"enabled": False}, "retry": {"initial": 60.0, "maximum": 60.0}})
        >>> with tree, instant():
        ...     flaky = iter([ConnectionError(), ConnectionError(), "paid"])
        ...     def pay():
        ...         outcome = next(flaky)
        ...         if isinstance(outcome, Exception):
        ...             raise outcome
        ...         return outcome
        ...     began = time.monotonic()
        ...     result = tree.call("pay", pay)
        ...     result.value, str(result.method), time.monotonic() - began < 30
        ('paid', 'RETRY', True)
    """

    def __init__(self, attempts: int = 3) -> None:
        require_count("instant.attempts", attempts, least=1)
        self._before = set_cap(attempts)
        self._over = False

    def stop(self) -> None:
        """Wait and try as before. A second call does nothing."""
        if not self._over:
            self._over = True
            set_cap(self._before)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
