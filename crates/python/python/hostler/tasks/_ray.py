"""The engine that is a Ray cluster: an actor of the cluster, which outlives this server, has the tasks (`_ray_keeper`), and Ray's own
workers run them, as many as there is work. No process of the application joins the cluster: a process that has does not survive a
fork, and ends with its cluster. A gateway joins in its place (`_ray_link`).
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError as FutureCancelled
from concurrent.futures import Future
from typing import Any

from hostler.tasks import _task
from hostler.tasks._errors import NoSuchTask, QueueUnavailable, TaskError, Unsupported
from hostler.tasks._ray_code import where
from hostler.tasks._ray_link import JOINS, Link, LinkLost
from hostler.tasks._supervise import supervise
from hostler.tasks._threaded import LIMIT, TIMEOUTS, ThreadedEngine

#: How long after a failure to join nobody tries again.
_PAUSE = 1.0

#: In Ray's workers, which have joined: what asks the cluster without a gateway.
inside: Callable[[], Any] | None = None


class RayEngine(ThreadedEngine):
    """Tasks in a Ray cluster."""

    #: Before the first answer the cluster is joined.
    limit = JOINS + LIMIT

    def __init__(self, address: str) -> None:
        self.address = address
        #: In a task worker: whose schedules the cluster is told.
        self._site: str | None = None
        super().__init__()

    def _forget(self) -> None:
        super()._forget()
        self._joining = threading.Lock()
        self._link: Any = None
        self._failure: tuple[float, str] = (-_PAUSE, "")

    # What tasks and handles ask (`_engine.Engine`).

    def declare(self, task: Any, schedule: dict[str, Any] | None) -> None:
        _check(task.name, task.priority)
        if schedule is not None:
            from hostler.tasks._cron import Cron

            Cron(schedule["expression"], schedule["zone"])

    def enqueue(self, task: Any, message: dict[str, Any], arguments: bytes) -> str:
        _check(task.name, message["priority"])
        return self._briefly(self._submit(self._send, task, message, arguments), task.name, message["id"])

    async def enqueue_async(self, task: Any, message: dict[str, Any], arguments: bytes) -> str:
        _check(task.name, message["priority"])
        return await self._ask(self._send, task, message, arguments)

    def result(self, id: str, *, wait: bool, timeout: float | None) -> tuple[dict[str, Any], bytes]:
        if not wait:
            return _as_told(id, self._wait(self._submit(self._answer, "result", id, False), self.limit))
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            asked = self._wait(self._submit(self._asked, "result", id, True), self.limit)
            try:
                return _as_told(id, asked.result(None if deadline is None else max(deadline - time.monotonic(), 0)))
            except LinkLost:
                continue
            except TIMEOUTS:
                raise TimeoutError(f"task {id} was not finished within {timeout} seconds") from None

    async def result_async(self, id: str, *, wait: bool) -> tuple[dict[str, Any], bytes]:
        if not wait:
            return _as_told(id, await self._ask(self._answer, "result", id, False))
        while True:
            asked = await self._ask(self._asked, "result", id, True)
            try:
                return _as_told(id, await asyncio.wrap_future(asked))
            except LinkLost:
                continue

    def cancel(self, id: str) -> str:
        return str(_found(id, self._wait(self._submit(self._answer, "cancel", id), self.limit)))

    async def cancel_async(self, id: str) -> str:
        return str(_found(id, await self._ask(self._answer, "cancel", id)))

    def serve(self, worker: Any, loop: Any, engine: Any, shutdown: Any, run: Any) -> tuple[str, str, str] | None:
        """Ray's workers run tasks: a task worker of ours only tells the cluster of the application's schedules, as long as it runs."""
        teller = _Teller(self, loop)
        self._site = f"{worker.target} in {os.getcwd()}"
        try:
            self._wait(self._submit(self._answer, "hello"), self.limit)
        except TaskError as error:
            return "a task worker cannot join the Ray cluster", str(error), "correct --task-ray-address, or start the cluster; it is tried again"
        supervise(teller, teller.take, teller.drain, teller.leave, worker=worker, loop=loop, engine=engine, shutdown=shutdown, run=run)
        return None

    # How.

    def _translated(self, error: Exception) -> Exception:
        if isinstance(error, LinkLost) or type(error).__module__.startswith("ray."):
            return QueueUnavailable(f"the Ray cluster {self.address} cannot be used: {error}")
        return error

    def _joined(self) -> Any:
        """What asks the cluster; joins it first."""
        self._check_process()
        with self._joining:
            if self._link is not None and not self._link.is_lost:
                return self._link
            since, failure = self._failure
            if time.monotonic() - since < _PAUSE:
                raise QueueUnavailable(failure)
            try:
                self._link = inside() if inside is not None else Link(self.address)
            except QueueUnavailable as error:
                self._failure = time.monotonic(), str(error)
                raise
            if self._site is not None:
                entries = [{**entry, **where(_task.registry[name])} for name, entry in _task.schedules.items()]
                self._link.ask("schedule", self._site, entries)
            return self._link

    def _asked(self, method: str, *args: Any) -> Future[Any]:
        future: Future[Any] = self._joined().ask(method, *args)
        return future

    def _answer(self, method: str, *args: Any) -> Any:
        """Whatever is asked may be asked twice: tasks have their ids before."""
        for is_last in (False, True):
            link = self._joined()
            try:
                return link.ask(method, *args).result(LIMIT)
            except (LinkLost, FutureCancelled):
                if is_last:
                    raise
            except TIMEOUTS:
                # The next call joins anew: this cluster, or the one that is there by then.
                link.close()
                raise QueueUnavailable(f"the Ray cluster {self.address} has not answered within {LIMIT:g} s") from None

    def _send(self, task: Any, message: dict[str, Any], arguments: bytes) -> str:
        return str(self._answer("enqueue", {**message, **where(task)}, arguments))


class _Teller:
    """A task worker with Ray: it stays joined, so that a new cluster is told of the schedules, too."""

    def __init__(self, engine: RayEngine, loop: Any) -> None:
        self.supervised: Any = None
        self._engine, self._loop = engine, loop
        self._watches: asyncio.Task[None] | None = None

    def take(self) -> None:
        self._watches = self._loop.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            try:
                await asyncio.wrap_future(await self._engine._ask(self._engine._asked, "stay"))
            except (TaskError, LinkLost):
                await asyncio.sleep(_PAUSE)

    def drain(self, seconds: float) -> None:
        self._loop.call_soon(self._end, "drained")

    def leave(self) -> None:
        self._loop.call_soon(self._end, "finished")

    def _end(self, how: str) -> None:
        if self._watches is not None:
            self._watches.cancel()
        getattr(self.supervised, how)()


def _found(id: str, answer: Any) -> Any:
    if answer is None:
        raise NoSuchTask(f"there is no task {id}: it was never accepted, its result was kept for long enough, or its cluster has ended")
    return answer


def _as_told(id: str, answer: Any) -> tuple[dict[str, Any], bytes]:
    task, result = _found(id, answer)
    return task, result


def _check(name: str, priority: int) -> None:
    if priority != 0:
        raise Unsupported(f"task {name} has the priority {priority}: Ray has none; the embedded engine has all, Celery 0 to 9")
