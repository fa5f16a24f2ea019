"""What the campaign breaks: a client of a real server, the strategy that heals it, and the ways to break it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from upright.testing.loop import LoopThread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from upright.strategies.healing.base import HealingStrategy

__all__ = ["AsyncComponent", "Component", "Fault", "Mistake", "nothing"]


def nothing() -> None:
    """Mend what mends itself."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way of breaking a component.

    Attributes:
        name: What happens, in a few words.
        break_: Does it.
        mend: Makes the resource whole again; `nothing` where new connections work at once.
        outage: Seconds in between, at least and at most; zeros mend at once. What only shows as silence must last
            longer than the application is ready to wait, or it never fails.
        hopeless: What the healing meets is permanent (credentials were revoked): it must not be "healed".
    """

    name: str
    break_: Callable[[], object]
    mend: Callable[[], object] = nothing
    outage: tuple[float, float] = (0.0, 0.0)
    hopeless: bool = False


@dataclass(frozen=True, slots=True)
class Mistake:
    """A call whose error is permanent.

    Attributes:
        name: What is wrong with it.
        call: Makes it; raises.
    """

    name: str
    call: Callable[[], object]


class Component(ABC):
    """A client of a real server.

    Attributes:
        name: Of the operation, of the resource and of the strategy, so that its figures are its own.
        strategy: Heals it.
        faults: Ways to break it.
        mistakes: Calls that no healing could help.
        failed_at: Monotonic seconds of the first failure of `use` since this was last set to None.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.faults: Sequence[Fault] = ()
        self.mistakes: Sequence[Mistake] = ()
        self.failed_at: float | None = None
        self.strategy: HealingStrategy

    def heal_by(self, strategy: HealingStrategy) -> None:
        """Name a strategy like the component."""
        strategy.name = self.name
        self.strategy = strategy

    @abstractmethod
    def use(self) -> object:
        """Use the resource as an application does; raises when that fails."""

    @abstractmethod
    def close(self) -> None:
        """End the client and the server."""

    def protect(self, tree: Any) -> Callable[[], object]:
        """The protected call."""

        @tree.protect(self.name, resource=self.name)  # type: ignore[untyped-decorator]
        def call() -> object:
            try:
                return self.use()
            except Exception:
                self.failed_at = self.failed_at or monotonic()
                raise

        return call  # type: ignore[no-any-return]


class AsyncComponent(Component):
    """The same for a client of asyncio, on a loop of its own."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.loop = LoopThread(name, within=40.0)

    @abstractmethod
    async def use_async(self) -> object:
        """Use the resource as an application does."""

    @abstractmethod
    async def close_async(self) -> None:
        """End the client."""

    def use(self) -> object:
        """Use the resource from outside of its loop."""
        return self.loop.run(self.use_async())

    def close(self) -> None:
        """End the client, its loop, and the server."""
        self.loop.run(self.close_async())
        self.loop.close()

    def protect(self, tree: Any) -> Callable[[], object]:
        """The protected call, made from outside of its loop."""

        @tree.protect(self.name, resource=self.name)  # type: ignore[untyped-decorator]
        async def call() -> object:
            try:
                return await self.use_async()
            except Exception:
                self.failed_at = self.failed_at or monotonic()
                raise

        return lambda: self.loop.run(call())
