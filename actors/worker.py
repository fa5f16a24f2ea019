"""Workers that may be abandoned: where healing, and steps with a timeout, run.

A job that hangs must not take anything down with it, so it runs in an actor of its own under a DynamicSupervisor
and can be detached at any time. Idle workers are kept for the next job, since starting a thread costs more than
most jobs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pykka.messages import ProxyCall

from upright.actors.actor import SupervisedActor
from upright.actors.errors import ActorKilled, ActorStopped, Reply
from upright.actors.interrupt import Interrupted, shielded
from upright.strategies.foreign import is_awaitable, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from contextvars import Context

    from upright.actors.address import Address
    from upright.actors.directory import Directory
    from upright.actors.reply import Answer

__all__ = ["Job", "JobFailed", "Worker", "WorkerPool"]

_LOOK: Final = 1.0  # seconds between two looks at whether an application's event loop is still there
_MAX_IDLE: Final = 8  # idle workers kept; one more is stopped


class JobFailed(Reply):
    """A job raised; the worker lives on. `error` is what it raised."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(kind_of(error))
        self.error = error


class Run(NamedTuple):
    """Run a function in the worker's thread; a coroutine is run to its end.

    From: a WorkerPool. To: a Worker. Reply: the function's value, or JobFailed.
    """

    job: Job
    function: Callable[[], Any]
    context: Context
    loop: asyncio.AbstractEventLoop | None = None


class Worker(SupervisedActor):
    """Runs one job after another for its pool.

    Receives: `Run`. Replies: the job's value, or JobFailed. Blocks on: the job, for as long as that takes.
    """

    def __init__(self, pool: WorkerPool) -> None:
        super().__init__()
        self._pool = pool

    def on_receive(self, message: Any) -> Any:
        if not isinstance(message, Run):
            return super().on_receive(message)
        try:
            value = message.context.run(run_to_end, message.function, message.loop, self._withdraw_by)
        except Interrupted:
            raise  # detached: somebody has given the job up
        except BaseException as error:
            # Also what passes through elsewhere: a stray sys.exit() is the job's failure and nobody else's.
            self._finished(message.job)
            raise JobFailed(error) from error
        self._finished(message.job)
        return value

    def _withdraw_by(self, cancel: Callable[[], object] | None) -> None:
        """Have the coroutine that is waited for cancelled when this worker is detached; None: there is none now."""
        incarnation = self._incarnation
        if incarnation is not None:
            incarnation.when_detached = cancel
            if incarnation.detached and cancel is not None:
                cancel()

    def _finished(self, job: Job) -> None:
        if job.finish():
            self._pool.is_idle(self.actor_ref)


def run_to_end(
    function: Callable[[], Any],
    loop: asyncio.AbstractEventLoop | None,
    withdraw_by: Callable[[Callable[[], object] | None], object] = lambda _: None,
) -> Any:
    """Call a function, and if it returns an awaitable run that to its end.

    Args:
        function: Called without arguments.
        loop: The application's event loop, if the awaitable may belong to it: connections of asyncio drivers
            work on the loop they were made on. None, or one that no longer runs: a loop of this thread's own.
        withdraw_by: Is told how to cancel the awaitable, from any thread, as long as it is waited for.
    """
    value = function()
    if not is_awaitable(value):
        return value

    async def finish() -> Any:
        return await value

    async def finish_here() -> Any:
        task, own = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None  # noqa: S101 - a runner makes one
        withdraw_by(lambda: own.call_soon_threadsafe(task.cancel))
        return await value

    try:
        if loop is None or not loop.is_running():
            return asyncio.run(finish_here())
        on_its_way = asyncio.run_coroutine_threadsafe(finish(), loop)
        withdraw_by(on_its_way.cancel)
        try:
            return _result_of(on_its_way, loop)
        except BaseException:
            on_its_way.cancel()  # nobody waits for it any more
            raise
    finally:
        withdraw_by(None)


def _result_of(on_its_way: Future[Any], loop: asyncio.AbstractEventLoop) -> Any:
    """Wait for what goes on on a loop; CancelledError if that was closed before it had begun, which nobody says."""
    while True:
        try:
            return on_its_way.result(_LOOK)
        except TimeoutError:
            if on_its_way.done():
                raise  # its own
            if loop.is_closed():
                raise asyncio.CancelledError from None


class Job:
    """One job that was given to a pool.

    It is finished or abandoned, never both: `_fate` holds one item, and whoever pops it decides. So a worker that
    has gone on to somebody else's job is never detached for this one.
    """

    __slots__ = ("_fate", "_pool", "abandoned", "worker")

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._fate = [True]
        self.worker: Address[Worker] | None = None
        self.abandoned = False

    def finish(self) -> bool:
        """Note that it has ended; False if it was abandoned before, and its worker is about to be detached."""
        return self._decide()

    def abandon(self) -> None:
        """Detach whoever works on it; the asker gets ActorKilled. Never waits. Nothing if it has ended already."""
        if not self._decide():
            return
        self.abandoned = True
        if self.worker is not None:
            self._pool.detach(self.worker)

    def _decide(self) -> bool:
        try:
            self._fate.pop()
        except IndexError:
            return False
        return True


class WorkerPool:
    """Hands jobs to workers under a DynamicSupervisor. Safe from any thread; `submit` never waits.

    Args:
        directory: Where the DynamicSupervisor is found, whose `max_children` is the pool's size.
        name: Its name there.
        make_spec: Gives the child spec of a worker of this pool: temporary, BRUTAL_KILL. (Child specs are the
            supervisors' business; this room does not know them.)
    """

    def __init__(self, directory: Directory, name: str, make_spec: Callable[[WorkerPool], Any]) -> None:
        self._directory = directory
        self._name = name
        self._spec = make_spec(self)
        self._idle: deque[Address[Worker]] = deque()

    def submit(
        self,
        function: Callable[[], Any],
        reply: Answer,
        *,
        context: Context | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        job: Job | None = None,
    ) -> Job:
        """Have a worker run `function`; the outcome goes to `reply`, exactly once.

        Args:
            function: Called without arguments in the worker's thread.
            reply: Gets the value; or JobFailed, ActorKilled, MaxChildren (all workers busy), ActorStopped.
            context: Context variables to run it in; the caller's by default.
            loop: See `run_to_end`.
            job: What `job()` gave, for whoever must know the job before it is on its way.
        """
        job = Job(self) if job is None else job
        message = Run(job, function, copy_context() if context is None else context, loop)
        # An idle worker that was taken is known to nobody else until it has the job.
        with shielded():
            if self._handed_over(job, message, reply):
                return job
        self._supervisor().send(
            ProxyCall(attr_path=("start_child",), args=(self._spec,), kwargs={}), _Started(job, message, reply)
        )
        return job

    def _handed_over(self, job: Job, message: Run, reply: Answer) -> bool:
        """Give a job to an idle worker; False if there is none."""
        while True:
            try:
                worker = self._idle.pop()
            except IndexError:
                return False
            if worker.is_alive():
                job.worker = worker
                worker.send(message, reply)
                return True

    def job(self) -> Job:
        """Return a handle for a job that is about to be submitted."""
        return Job(self)

    def _supervisor(self) -> Address[Any]:
        return self._directory[self._name]

    def is_idle(self, worker: Address[Any]) -> None:
        """Take a worker back; called by itself when a job is done."""
        if len(self._idle) < _MAX_IDLE:
            self._idle.append(worker)
        else:
            self.detach(worker, politely=True)

    def detach(self, worker: Address[Any], *, politely: bool = False) -> None:
        """Have the supervisor end a worker."""
        if politely:
            worker.stop(block=False)
            return
        self._supervisor().send_unbounded(ProxyCall(attr_path=("terminate_child",), args=(worker,), kwargs={}))


class _Started:
    """Gets the address of a new worker and passes the job on to it."""

    __slots__ = ("_job", "_message", "_reply")

    def __init__(self, job: Job, message: Run, reply: Answer) -> None:
        self._job = job
        self._message = message
        self._reply = reply

    def answer(self, worker: Address[Worker] | None) -> bool:
        if worker is None:
            return self.fail(ActorStopped("the worker declined to start"))
        self._job.worker = worker
        if self._job.abandoned:
            worker.stop(block=False)
            return self._reply.fail(ActorKilled("the job was abandoned before a worker had started"))
        worker.send(self._message, self._reply)
        return True

    def fail(self, error: BaseException) -> bool:
        return self._reply.fail(error)
