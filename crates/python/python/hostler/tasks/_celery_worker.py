"""A task worker of ours that takes tasks from Celery's broker: Celery's own worker in a thread, which runs functions in threads, with
the server's supervision around it. Coroutines run on the worker's loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hostler.tasks import _task
from hostler.tasks._clock import Clock
from hostler.tasks._errors import GRACE, QueueUnavailable
from hostler.tasks._execute import GivenBack
from hostler.tasks._supervise import lower_priority, supervise

if TYPE_CHECKING:
    from hostler.tasks._celery import CeleryEngine

#: How long Celery's worker may take to end, when nothing runs any more.
_LEAVES = 3.0

logger = logging.getLogger("hostler.tasks")


def serve(tasks: CeleryEngine, worker: Any, loop: Any, engine: Any, shutdown: Any, run: Any) -> tuple[str, str, str] | None:
    queues, slots, nice, _ = worker.task_options
    lower_priority(nice)
    try:
        host = Host(tasks, loop, queues, slots)
    except (QueueUnavailable, ImportError, AttributeError) as error:
        return "a task worker cannot use Celery", str(error), "correct --task-broker, --task-results or --task-celery-app"

    def drain(seconds: float) -> None:
        loop.create_task(host.drain(seconds))

    def leave() -> None:
        # It is replaced at once, and drained then.
        host.supervised.finished()

    supervise(host, host.start, drain, leave, worker=worker, loop=loop, engine=engine, shutdown=shutdown, run=run)
    return None


class Host:
    """What Celery's worker runs in: this process, its loop, and what the server is told."""

    def __init__(self, engine: CeleryEngine, loop: Any, queues: list[str], slots: int) -> None:
        from celery._state import _set_task_join_will_block
        from celery.signals import task_received
        from celery.worker import WorkController

        from hostler.tasks import _celery_tasks
        from hostler.tasks._celery_consumer import Consumer, hear
        from hostler.tasks._celery_pool import Pool

        self.engine, self.loop = engine, loop
        #: The server's supervision.
        self.supervised: Any = None
        self.running = _celery_tasks.running
        app = engine.app
        # Its tasks of today, before it is asked for what it does not know.
        engine.records  # noqa: B018
        # Of an application that was given, too: a task is not done before its result is stored.
        app.conf.update({name: value for name, value in _celery_tasks.SETTINGS.items() if name.startswith("result_backend_")})
        app.finalize()
        app.set_current()
        app.set_default()
        _set_task_join_will_block(True)
        _celery_tasks.host = self
        task_received.connect(self._received, weak=False)
        wanted = queues or sorted({task.queue for task in _task.registry.values()} | {"default"})
        controller = WorkController(
            app=app,
            hostname=f"hostler-{os.getpid()}@{os.uname().nodename}",
            pool_cls=Pool,
            consumer_cls=Consumer,
            concurrency=slots,
            prefetch_multiplier=1,
            queues=[engine.queue(name) for name in wanted],
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
        )
        hear()
        self._controller: Any = controller
        self._thread = threading.Thread(target=self._work, name="hostler-celery", daemon=True)
        self._ticking: asyncio.Task[None] | None = None
        self._clock = Clock(engine.records, self._enqueue)

    def start(self) -> None:
        self._thread.start()
        self._ticking = self.loop.create_task(self._clock.run())

    def _work(self) -> None:
        try:
            self._controller.start()
        except BaseException:
            logger.exception("Celery's worker failed")
        if not self._leaves:
            logger.error("Celery's worker ended by itself: so does this process")
            os._exit(1)

    _leaves = False

    def _enqueue(self, name: str) -> None:
        _task.registry[name].delay()

    # What tasks tell, in threads.

    def _received(self, request: Any = None, **_: Any) -> None:
        """A task that is due later does not count as one of those that Celery has at a time: it says so to the broker after its next
        wait, which is ended here from another thread.
        """
        if request is not None and request.eta:
            self.received_for_later()

    def received_for_later(self) -> None:
        self.loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        # Again, as before its first wait it cannot be woken.
        for pause in (0.0, 0.1, 0.5):
            self.loop.call_later(pause, self._call, int)

    def began(self, name: str) -> Any:
        return self.supervised.began(name, None)

    def ended(self, entry: Any) -> None:
        self.supervised.ended(entry)
        self.loop.call_soon_threadsafe(self.supervised.served, 1)

    def stuck(self, name: str, id: str) -> None:
        """A task bears being interrupted: its process ends. The broker is told that it need not be run again."""
        frames = sys._current_frames()
        stacks = [
            "".join(traceback.format_stack(frames[thread.ident]))
            for thread in threading.enumerate()
            if thread.ident in frames and thread.name.startswith("ThreadPoolExecutor")
        ]
        logger.error("task %s did not end after its timeout: its worker exits, where it is:\n%s", name, "\n".join(stacks), extra={"task": name, "id": id})
        os._exit(1)

    # The end.

    async def drain(self, grace: float) -> None:
        """Takes nothing new, waits so many seconds for what runs, and gives back what does not end."""
        try:
            if self._ticking is None:
                # It has not begun.
                return
            self._ticking.cancel()
            self._call(self._take_no_more)
            if not await self._finished(grace):
                for execution in list(self.running.values()):
                    logger.warning("task %s is given back: it did not end within %g s", execution.context.name, grace)
                    execution.interrupt(GivenBack)
                told = self.loop.run_in_executor(None, self._abandon)
                await self._finished(GRACE)
                await told
            self._leaves = True
            await self._end()
        finally:
            self.supervised.drained()

    def _abandon(self) -> None:
        """What bears being interrupted cannot say so itself: it ends with this process."""
        for id in list(self.running):
            try:
                self.engine.records.given_back(id)
            except Exception as error:
                logger.warning("that task %s is given back could not be kept: %s", id, error)

    async def _finished(self, limit: float) -> bool:
        """Waits until nothing runs, and Celery's worker knows."""
        pool = self._controller.pool
        futures = list(pool.futures) if pool is not None else []
        return not futures or not (await asyncio.wait([asyncio.wrap_future(future) for future in futures], timeout=limit))[1]

    async def _end(self) -> None:
        """Ends Celery's worker, once it has acknowledged what was reported last."""
        from celery.worker import state

        acknowledged = asyncio.Event()
        if self._call(lambda: self.loop.call_soon_threadsafe(acknowledged.set)):
            with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(acknowledged.wait(), _LEAVES)
        state.should_stop = os.EX_OK
        self._call(int)
        await self.loop.run_in_executor(None, self._thread.join, _LEAVES)

    def _call(self, what: Callable[[], Any]) -> bool:
        """Calls it in the thread of Celery's worker, and wakes that."""
        hub = getattr(getattr(self._controller, "consumer", None), "hub", None)
        if hub is not None:
            hub.call_soon(what)
        return hub is not None

    def _take_no_more(self) -> None:
        consumer = self._controller.consumer.task_consumer
        if consumer is not None:
            consumer.cancel()
