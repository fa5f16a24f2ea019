"""A service under load: threads, asyncio tasks, several operations, chains, breakers, and bare asks and reports."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import threading
import traceback
from collections import Counter, deque
from functools import partial
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from benchmarks.chaos.faults import Echo, is_ours
from benchmarks.chaos.resources import OutageError, Resources
from upright.strategies.errors import CircuitOpenError, UprightError
from upright.strategies.fallback.chain import FallbackChain, FallbackStep
from upright.strategies.report import ErrorReport, RecoveryResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.chaos.control_client import ControlClient
    from benchmarks.chaos.outbox import Outbox
    from upright.actors.reply import ReplyFuture
    from upright.tree import Tree

__all__ = ["ANSWER_WITHIN", "Workload", "chains"]

# Seconds that an ask gets after the tree has come to rest. Before, it may wait as long as its actor crashes anew with
# every message: it has mail before it, and no patience of its own that could run out.
ANSWER_WITHIN = 30.0
_MAX_WAITS = 100_000
_NAMES = 2_000  # more than are used in most rounds; a name is not used twice in one
STATUS_WITHIN = 5.0  # seconds; it needs a millisecond, but a busy machine may keep its thread waiting


_OPERATIONS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("query", "db", {}),
    ("search", "db", {}),
    ("fetch", "api", {"heal_wait": 0.05}),
    ("send", "socket", {"heal_wait": 0.0}),
    ("hopeless", "outage", {"heal_wait": 0.05}),
)


class BadInputError(ValueError):
    """The application's own mistake: permanent, to come out untouched."""


_SUBSTITUTES = {"query": "stale", "fetch": "bounded"}  # what the chains below give, by operation


def chains() -> list[FallbackChain]:
    """Fallback chains of some operations: plain, failing first, and with a timeout."""

    def refuse(_: Any) -> Any:
        raise LookupError("nothing cached")

    return [
        FallbackChain("query", [FallbackStep("cache", refuse), FallbackStep("stale", lambda _: _SUBSTITUTES["query"])]),
        FallbackChain("fetch", [FallbackStep("bounded", lambda _: _SUBSTITUTES["fetch"], timeout=0.5)]),
        FallbackChain("hopeless", [FallbackStep("cache", refuse), FallbackStep("other", refuse)]),
    ]


class Workload:
    """Runs until it is told to end; everything that must not happen is counted on it.

    Attributes:
        wrong: What must not happen, by kind, with the first few examples in `examples`.
        done: What did happen, by kind.
    """

    def __init__(self, resources: Resources, seed: int, outbox: Outbox, control: ControlClient) -> None:
        self.resources = resources
        self.seed = seed
        self.outbox = outbox
        self.control = control
        self.wrong: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.examples: deque[str] = deque(maxlen=40)
        self.status_wall: deque[float] = deque(maxlen=20_000)
        self.status_max = 0.0
        self.waits: deque[float] = deque(maxlen=_MAX_WAITS)  # seconds, of the newest asks of an echo
        self.tree: Tree | None = None
        self.shots: deque[tuple[str, float]] = deque()
        self._asks: deque[tuple[float, str, Any, ReplyFuture[Any]]] = deque()
        self._answered: deque[tuple[Any, ReplyFuture[Any]]] = deque(maxlen=5_000)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._names = iter(range(10**9))
        self._guard = threading.Lock()

    def fault(self, kind: str, example: str) -> None:
        """Count something that must not happen."""
        with self._guard:
            self.wrong[kind] += 1
            self.examples.append(f"{kind}: {example}")
            if self.wrong[kind] <= 5:
                print(f"WRONG {kind}: {example}", file=sys.stderr, flush=True)

    # Life.

    def start(self, tree: Tree) -> None:
        """Begin on this tree."""
        self.tree = tree
        self._stop.clear()
        jobs: list[Callable[[], None]] = [
            *(lambda n=n: self._calls(n) for n in range(3)),
            self._loop,
            self._bare,
            self._echoes,
            self._status,
            self._breaking,
            lambda: self.outbox.save(tree, self._stop, random.Random(self.seed * 100 + 90), self.fault),
            lambda: self.control.run(tree, self._stop, random.Random(self.seed * 100 + 95), self),
        ]
        self._threads = [
            threading.Thread(target=self._guarded, args=(job,), name=f"load-{i}") for i, job in enumerate(jobs)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, and count what does not."""
        self._stop.set()
        for thread in self._threads:
            thread.join(ANSWER_WITHIN)
            if thread.is_alive():
                self.fault("a caller hangs", thread.name)
        self._threads = []

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException:
            self.fault("the workload broke", traceback.format_exc())

    # Protected calls: the application's own exceptions come out as they were.

    def _calls(self, number: int) -> None:
        rng = random.Random(self.seed * 100 + number)
        assert self.tree is not None
        tree = self.tree
        raised = threading.local()

        def use(name: str) -> str:
            try:
                return self.resources.by_name[name].use()
            except OutageError as error:
                if getattr(raised, "first", None) is None:
                    raised.first = (error, error.__cause__, error.__context__, error.args, error.__traceback__)
                raise

        operations = {
            name: tree.protect(name, resource=resource, **options)(use) for name, resource, options in _OPERATIONS
        }
        targets = {name: resource for name, resource, _ in _OPERATIONS}
        bad = tree.protect("bad input")(_bad_input)
        while not self._stop.is_set():
            name = rng.choice(list(targets))
            raised.first = None
            self.done["calls"] += 1
            try:
                got = operations[name](targets[name])
                if got != targets[name] and got != _SUBSTITUTES.get(name):
                    self.fault("a call gave what its function did not", f"{got!r} instead of {targets[name]!r}")
            except CircuitOpenError as error:
                self.done["circuit open"] += 1
                if raised.first is not None and error.__cause__ is not raised.first[0]:
                    self.fault("a rejection without its cause", repr(error.__cause__))
            except OutageError as error:
                self.done["failed"] += 1
                self._compare(error, raised.first)
            except BaseException as error:
                self.fault("an exception changed", "".join(traceback.format_exception(error))[-2500:])
            if rng.random() < 0.05:
                mine = BadInputError("no")
                try:
                    bad(mine)
                except BadInputError as error:
                    if error is not mine or error.__cause__ is not None or getattr(error, "__notes__", None):
                        self.fault("an exception changed", repr(error))
            sleep(rng.random() * 0.004)

    def _compare(self, error: BaseException, first: Any) -> None:
        if first is None:
            self.fault("an exception changed", f"{error!r} from nowhere")
            return
        mine, cause, context, args, trace = first
        if error is not mine or error.__cause__ is not cause or error.__context__ is not context or error.args != args:
            self.fault("an exception changed", f"{error!r} is not {mine!r}")
        walk = error.__traceback__
        while walk is not None and walk is not trace:
            walk = walk.tb_next
        if walk is None:
            self.fault("an exception changed", f"{error!r} lost its traceback")
        if getattr(error, "__notes__", None):
            self.done["notes"] += 1
            self.examples.append(f"note: {error.__notes__}")

    # The same in asyncio.

    def _loop(self) -> None:
        asyncio.run(self._tasks())

    async def _tasks(self) -> None:
        assert self.tree is not None
        tree = self.tree
        rng = random.Random(self.seed * 100 + 50)

        first: dict[Any, Any] = {}  # by task

        @tree.protect("stream", resource="async-stream", heal_wait=0.2)
        async def stream() -> str:
            await asyncio.sleep(0)
            try:
                return self.resources.by_name["async-stream"].use()
            except OutageError as error:
                told = (error, error.__cause__, error.__context__, error.args, error.__traceback__)
                first.setdefault(asyncio.current_task(), told)
                raise

        async def client() -> None:
            while not self._stop.is_set():
                self.done["async calls"] += 1
                first.pop(asyncio.current_task(), None)
                try:
                    # Not under asyncio.timeout(), which could not tell who is late from who was cancelled.
                    got = await stream()
                    if got != "async-stream":
                        self.fault("a call gave what its function did not", f"async {got!r}")
                except OutageError as error:
                    self.done["async failed"] += 1
                    self._compare(error, first.get(asyncio.current_task()))
                except CircuitOpenError as error:
                    self.done["async failed"] += 1
                    told = first.get(asyncio.current_task())
                    if told is not None and error.__cause__ is not told[0]:
                        self.fault("a rejection without its cause", f"async {error.__cause__!r}")
                except BaseException as error:
                    self.fault("an exception changed", f"async {error!r}")
                try:
                    await tree["breaker"].ask_async(Echo(7), timeout=ANSWER_WITHIN)
                except BaseException as error:
                    self._judge("async echo", 7, error)
                await asyncio.sleep(rng.random() * 0.02)

        await asyncio.gather(*(client() for _ in range(5)))

    # Asks whose answer is known, and asks for a recovery.

    def _echoes(self) -> None:
        rng = random.Random(self.seed * 100 + 60)
        assert self.tree is not None
        addresses = list(self.tree._parts.directory.walk())  # noqa: SLF001 - all of them
        while not self._stop.is_set():
            token = rng.randrange(10**9)
            address = rng.choice(addresses)
            asked, reply = monotonic(), address.ask(Echo(token), block=False)
            reply.add_waiter(partial(self._note_wait, asked))
            self._asks.append((asked, address.name, token, reply))
            self.done["asks"] += 1
            self._check_asks()
            sleep(0.002)
            if len(self._asks) > 5_000:
                sleep(0.01)

    def _note_wait(self, asked: float) -> None:
        self.waits.append(monotonic() - asked)

    def _check_asks(self, *, all_of_them: bool = False) -> None:
        for _ in range(len(self._asks) if all_of_them else min(len(self._asks), 50)):
            entry = self._asks.popleft()
            _, name, expected, reply = entry
            if not reply.done:
                self._asks.append(entry)
                continue
            outcome = reply._outcome  # noqa: SLF001 - compared again later
            value, error, _ = outcome  # type: ignore[misc]
            self._judge(name, expected, value if error is None else error)
            self._answered.append((outcome, reply))

    def _judge(self, name: str, expected: Any, got: Any) -> None:
        if expected is RecoveryResult and isinstance(got, RecoveryResult):
            self.done[f"asked {got.status}"] += 1
        elif not isinstance(got, BaseException) and got == expected:
            self.done["echoed"] += 1
        elif isinstance(got, UprightError) or is_ours(got):
            self.done[f"answered {type(got).__name__}"] += 1
        else:
            self.fault("an odd answer", f"{name}: {type(got)} instead of {expected!r}")

    def check_answers(self) -> None:
        """At the end: every ask has its answer, and it is still the same."""
        deadline = monotonic() + ANSWER_WITHIN
        while self._asks and monotonic() < deadline:
            self._check_asks(all_of_them=True)
            sleep(0.01)
        for at, name, expected, _ in self._asks:
            self.fault("an ask without an answer", f"{name} {expected!r} after {monotonic() - at:.1f} s")
        self._asks.clear()
        for outcome, reply in self._answered:
            if reply._outcome is not outcome:  # noqa: SLF001
                self.fault("a second answer", repr(outcome))
        self._answered.clear()

    def _bare(self) -> None:
        rng = random.Random(self.seed * 100 + 70)
        assert self.tree is not None
        tree = self.tree
        while not self._stop.is_set():
            number = next(self._names)
            dice = rng.random()
            if dice < 0.3:
                self._shoot(tree, number)
            elif dice < 0.6:
                error = OutageError("asked")
                report = ErrorReport(error, "asked", "loose", call=rng.choice((None, lambda: "again")))
                self._asks.append(
                    (monotonic(), "orchestrator", RecoveryResult, tree.orchestrator.ask(report, block=False))
                )
                self.done["asks"] += 1
            elif dice < 0.8:
                result = tree.recover(OutageError("recover"), operation="recovered", resource="loose", timeout=0.05)
                self._judge("recover", RecoveryResult, result)
            else:
                result = tree.call(f"one-off-{number % 50}", self.resources.by_name["db"].use)
                self._judge("call", RecoveryResult, result)
            sleep(rng.random() * 0.01)

    def _shoot(self, tree: Tree, number: int) -> None:
        """Report a failure that nobody else will ever report: it must be healed all the same."""
        # The names come round again: what is remembered of so many is full before growth is judged.
        name = f"shot-{number % _NAMES}"
        if name in self.resources.by_name:
            return  # of this round
        resource = self.resources.add(name)
        resource.break_down()
        self.shots.append((resource.name, monotonic()))
        self.done["reports"] += 1
        try:
            tree.report(OutageError("only once"), operation="shots", resource=resource.name)
        except BaseException as error:
            self.fault("report raised", repr(error))

    # Looking on.

    def _status(self) -> None:
        assert self.tree is not None
        while not self._stop.is_set():
            began = monotonic()
            try:
                shown = self.tree.status()
            except BaseException:
                self.fault("status raised", traceback.format_exc())
                continue
            took = monotonic() - began
            self.done["status"] += 1
            self.status_wall.append(took)
            self.status_max = max(self.status_max, took)
            if took > STATUS_WITHIN:
                self.fault("status did not answer in time", f"{took:.3f} s")
            if self.done["status"] % 20 == 0:
                json.dumps(shown.to_dict(), default=_unknown)
            sleep(0.02)

    def _breaking(self) -> None:
        rng = random.Random(self.seed * 100 + 80)
        names = [name for name in self.resources.by_name if not name.startswith("shot-")]
        while not self._stop.is_set():
            self.resources.by_name[rng.choice(names)].break_down()
            self.done["breakdowns"] += 1
            sleep(rng.random() * 0.1)


def _bad_input(error: BaseException) -> None:
    raise error


def _unknown(value: Any) -> str:
    return type(value).__name__
