"""The engine that is Celery's broker, Redis or RabbitMQ, with a Redis for states and results. Here is who enqueues and asks; what
runs tasks is `_celery_tasks` (in any worker of Celery) and `_celery_worker` (in task workers of ours).
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import importlib
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from hostler.tasks._errors import NoSuchTask, QueueUnavailable, TaskError, Unsupported
from hostler.tasks._threaded import FINAL, LIMIT, ThreadedEngine

if TYPE_CHECKING:
    from hostler.tasks._celery_listen import Listener
    from hostler.tasks._celery_records import Records
    from hostler.tasks._publish import Publisher

#: How Celery's brokers count priorities.
PRIORITIES = range(10)


class CeleryEngine(ThreadedEngine):
    """Tasks in Celery's broker."""

    def __init__(self, broker: str | None, results: str | None, app: Any) -> None:
        if broker is None and app is None:
            raise ValueError("Celery needs a broker (--task-broker, HOSTLER_TASK_BROKER) or a Celery application (--task-celery-app)")
        self._broker, self._results, self._given = broker, results, app
        self._app: Any = None
        #: Tasks that the Celery application is still to learn of.
        self._declared: dict[str, Any] = {}
        super().__init__()

    def _forget(self) -> None:
        """A forked process has threads and connections of its own."""
        super()._forget()
        self._records: Records | None = None
        self._publisher: Publisher | None = None
        self._listener: Listener | None = None

    # The Celery application, and what belongs to this process.

    @property
    def app(self) -> Any:
        """Celery's application: the one that was given, or one of our own; it knows all tasks."""
        self._check_process()
        with self._lock:
            if self._app is None:
                self._app = self._load()
                for task in self._declared.values():
                    self._install(task)
            return self._app

    def _load(self) -> Any:
        try:
            from celery import Celery
        except ImportError as error:
            raise QueueUnavailable(f"--task-engine celery needs Celery: pip install 'celery[redis]' ({error})") from error
        if isinstance(self._given, str):
            module, _, name = self._given.partition(":")
            return getattr(importlib.import_module(module), name or "app")
        if self._given is not None:
            return self._given
        from hostler.tasks._celery_tasks import SETTINGS

        app = Celery("hostler", broker=self._broker, backend=self._results or self._broker, set_as_current=False)
        app.conf.update(SETTINGS)
        return app

    def _install(self, task: Any) -> None:
        from hostler.tasks import _celery_tasks

        _celery_tasks.install(self, task)

    @property
    def records(self) -> Records:
        from hostler.tasks._celery_records import Records

        return self._own("_records", lambda: Records(self.app))

    @property
    def publisher(self) -> Publisher:
        from hostler.tasks._publish import Publisher

        return self._own("_publisher", lambda: Publisher(self.app))

    @property
    def listener(self) -> Listener:
        from hostler.tasks._celery_listen import Listener

        return self._own("_listener", lambda: Listener(self.records.client))

    # What tasks and handles ask (`_engine.Engine`).

    def declare(self, task: Any, schedule: dict[str, Any] | None) -> None:
        self._check_priority(task.name, task.priority)
        if schedule is not None:
            from hostler.tasks._cron import Cron

            Cron(schedule["expression"], schedule["zone"])
        self._declared[task.name] = task
        if self._app is not None:
            self._install(task)

    def _check_priority(self, name: str, priority: int) -> None:
        if priority not in PRIORITIES:
            raise Unsupported(f"task {name} has the priority {priority}: Celery's brokers have 0 to 9; the embedded engine has all")

    def enqueue(self, task: Any, message: dict[str, Any], arguments: bytes) -> str:
        self._check_priority(task.name, message["priority"])
        given_up = threading.Event()
        return self._briefly(self._submit(self._send, task, message, arguments, given_up), task.name, message["id"], given_up)

    async def enqueue_async(self, task: Any, message: dict[str, Any], arguments: bytes) -> str:
        self._check_priority(task.name, message["priority"])
        given_up = threading.Event()
        return await self._ask(self._send, task, message, arguments, given_up, given_up=given_up)

    def result(self, id: str, *, wait: bool, timeout: float | None) -> tuple[dict[str, Any], bytes]:
        deadline = None if timeout is None else time.monotonic() + timeout
        answer = self._wait(self._submit(self._look, id), LIMIT)
        if not wait or answer[0]["state"] in FINAL:
            return answer
        channel, changed = self.records.channel(id), threading.Event()
        self._wait(self._submit(self._watch, channel, changed.set), LIMIT)
        try:
            while True:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(f"task {id} was not finished within {timeout} seconds")
                changed.wait(_unheard(answer[0], left))
                changed.clear()
                answer = self._wait(self._submit(self._look_patiently, id), None)
                if answer[0]["state"] in FINAL:
                    return answer
        finally:
            self.listener.forget(channel, changed.set)

    async def result_async(self, id: str, *, wait: bool) -> tuple[dict[str, Any], bytes]:
        answer = await self._ask(self._look, id)
        if not wait or answer[0]["state"] in FINAL:
            return answer
        loop, changed = asyncio.get_running_loop(), asyncio.Event()
        channel = self.records.channel(id)

        def notify() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(changed.set)

        await self._ask(self._watch, channel, notify)
        try:
            while True:
                try:
                    await asyncio.wait_for(changed.wait(), _unheard(answer[0], None))
                except (TimeoutError, asyncio.TimeoutError):
                    pass
                changed.clear()
                answer = await asyncio.wrap_future(self._submit(self._look_patiently, id))
                if answer[0]["state"] in FINAL:
                    return answer
        finally:
            with contextlib.suppress(QueueUnavailable):
                self._submit(self.listener.forget, channel, notify)

    def cancel(self, id: str) -> str:
        return self._wait(self._submit(self._cancel, id), LIMIT)

    async def cancel_async(self, id: str) -> str:
        return await self._ask(self._cancel, id)

    def serve(self, worker: Any, loop: Any, engine: Any, shutdown: Any, run: Any) -> tuple[str, str, str] | None:
        from hostler.tasks import _celery_worker

        return _celery_worker.serve(self, worker, loop, engine, shutdown, run)

    # What workers say.

    def report(self, id: str, fraction: float, text: str) -> None:
        """How far a task is: said in the background, so that neither function nor loop waits for it."""
        try:
            said = self._submit(lambda: self.records.update(id, fraction=fraction, text=text))
        except QueueUnavailable as error:
            return _not_kept(error)
        said.add_done_callback(_tell)

    # How.

    def _translated(self, error: Exception) -> Exception:
        if isinstance(error, (TaskError, ImportError, AttributeError, TypeError, ValueError)):
            return error
        from kombu.utils.url import maybe_sanitize_url

        where = maybe_sanitize_url(str(self.app.conf.result_backend))
        return QueueUnavailable(f"the results of tasks, {where}, cannot be reached: {error}")

    def _send(self, task: Any, message: dict[str, Any], arguments: bytes, given_up: threading.Event) -> str:
        from hostler.tasks import _celery_tasks

        id: str = message["id"]
        args, kwargs = _celery_tasks.travelling(arguments, task.serializer)
        holder = self.records.accept(message)
        if holder != id:
            return holder
        try:
            if given_up.is_set():
                raise self._silent()
            self.send(task, id, args, kwargs, message)
        except BaseException:
            self.records.forget(message)
            raise
        try:
            self.records.sent(message)
        except Exception as error:
            logging.getLogger("hostler.tasks").warning("the key of task %s (%s) is held for a minute only: %s", id, task.name, error)
        return id

    def send(self, task: Any, id: str, args: Any, kwargs: Any, message: dict[str, Any]) -> None:
        options: dict[str, Any] = {"priority": self._priority(message["priority"])}
        for name, celerys in (("due", "eta"), ("expires", "expires")):
            if name in message:
                options[celerys] = datetime.datetime.fromtimestamp(message[name] / 1000, datetime.timezone.utc)
        if timeout := task._options["timeout"]:
            # For Celery's own workers: what does not heed the timeout that we raise ends with its process.
            options["time_limit"] = timeout / 1000 + 30
        self.publisher.send(task.name, id, args, kwargs, queue=self.queue(message["queue"]), **options)

    def queue(self, name: str) -> str:
        return str(self.app.conf.task_default_queue) if name == "default" else name

    def _priority(self, priority: int) -> int:
        """RabbitMQ has higher ones first, kombu's Redis lower ones."""
        return priority if self.publisher.is_amqp else PRIORITIES[-1] - priority

    def _watch(self, channel: str, notify: Callable[[], None]) -> None:
        self.listener.watch(channel, notify)

    def _look(self, id: str) -> tuple[dict[str, Any], bytes]:
        return self.records.look(id)

    def _look_patiently(self, id: str) -> tuple[dict[str, Any], bytes]:
        """As those do who wait: results that cannot be reached for a moment are waited for."""
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                return self.records.look(id)
            except NoSuchTask:
                raise
            except Exception:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    def _cancel(self, id: str) -> str:
        task, _ = self.records.look(id)
        if task["state"] in FINAL:
            return str(task["state"])
        if task["state"] == "running":
            self.records.update(id, cancel=1)
            self.publisher.tell("hostler_cancel", {"id": id})
            return "running"
        self.records.cancelled(id)
        return "cancelled"


def _tell(said: Future[Any]) -> None:
    if (error := said.exception()) is not None:
        _not_kept(error)


def _not_kept(error: BaseException) -> None:
    logging.getLogger("hostler.tasks").warning("the progress of a task was not kept: %s", error)


def _unheard(task: dict[str, Any], left: float | None) -> float:
    """How long to wait before looking without being told: nobody tells that a task has expired."""
    limits = [60.0] if left is None else [60.0, left]
    if task["expires"]:
        limits.append(max(task["expires"] / 1000 - time.time(), 0.0) + 0.05)
    return min(limits)
