"""Our tasks as tasks of Celery: what any worker of Celery runs, one of ours or `celery worker`."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import random
import threading
import time
from typing import TYPE_CHECKING, Any

from celery import Task as CeleryTask
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from celery.worker.control import control_command

from hostler.tasks import _coding
from hostler.tasks._celery_patience import AWAY, BRIEFLY, Patient
from hostler.tasks._celery_records import PICKLED
from hostler.tasks._context import CurrentTask
from hostler.tasks._errors import NotSerializable, Retry, TaskCancelled, TaskFailed, TaskTimeout, WorkerLost, outlived
from hostler.tasks._execute import Execution, GivenBack
from hostler.tasks._run import describe

if TYPE_CHECKING:
    from hostler.tasks._celery import CeleryEngine

#: How a Celery application of ours is set up: nothing is lost with a worker, nobody hoards, brokers that are down are waited for.
SETTINGS: dict[str, Any] = {
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "worker_prefetch_multiplier": 1,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    "worker_send_task_events": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_transport_options": {"queue_order_strategy": "priority", "priority_steps": list(range(10))},
    "task_queue_max_priority": 9,
    "task_default_queue": "default",
    "task_serializer": "json",
    "result_serializer": "json",
    "accept_content": ["json"],
    # What ends is expired by itself, as the task has it.
    "result_expires": 30 * 86400,
    # A result that cannot be stored is no task that has failed.
    "result_backend_always_retry": True,
    "result_backend_base_sleep_between_retries_ms": 500,
    "result_backend_max_sleep_between_retries_ms": 5000,
    "enable_utc": True,
}

#: A task whose worker died this many times while it ran is the reason, most likely.
_MOST_DEATHS = 5

#: What runs in this process, by its id.
running: dict[str, Execution] = {}
#: A task worker of ours, if this process is one: its loop, and what is told when a task begins and ends.
host: Any = None

logger = logging.getLogger("hostler.tasks")


class Base(CeleryTask):  # type: ignore[misc]
    """A task of ours as Celery knows it."""

    abstract = True
    #: The engine, and the task as it was declared.
    hostler: Any = None

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Its result is stored: from now on it is kept as the task has it."""
        if status in ("SUCCESS", "FAILURE"):
            engine, task = self.hostler
            records = Patient(engine.records)
            records.settle(task_id, records.read(task_id), task._options["keep"] / 1000)


def install(engine: CeleryEngine, task: Any) -> None:
    """Has the engine's Celery application know a task."""

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            this = Run(engine, task, self, args, kwargs)
            this.begin()
        except AWAY as error:
            raise Reject(error, requeue=True) from error
        return this.run()

    run.__doc__ = task.function.__doc__
    run.__module__ = task.function.__module__
    options = {"base": Base, "hostler": (engine, task), "acks_late": True, "reject_on_worker_lost": True, "ignore_result": False, "serializer": "json"}
    engine.app.task(run, name=task.name, bind=True, max_retries=None, typing=False, lazy=True, **options)


def travelling(arguments: bytes, coding: str) -> tuple[Any, dict[str, Any]]:
    """Arguments as they are sent: what is pickled is a text, so that workers unpickle it for tasks that ask for it alone."""
    if coding == _coding.JSON:
        return _coding.read_arguments(arguments, coding)
    return [], {PICKLED: base64.b64encode(arguments).decode()}


class Run:
    """One run of a task, in a thread or process of Celery's."""

    def __init__(self, engine: CeleryEngine, task: Any, celerys: Any, args: Any, kwargs: Any) -> None:
        self.engine, self.task, self.celerys, self.args, self.kwargs = engine, task, celerys, args, kwargs
        self.id: str = celerys.request.id
        self.attempt = int(celerys.request.retries or 0) + 1
        self.options: dict[str, Any] = task._options
        self.records = Patient(engine.records, BRIEFLY)
        self.record = self.records.read(self.id)

    def begin(self) -> None:
        """Whether and when it runs. Where that cannot be known, it goes back to the broker."""
        if self._is_over():
            raise Ignore
        if self._deaths() >= _MOST_DEATHS:
            self._ends_as_failed(WorkerLost("the worker died while it ran the task"))
            raise Ignore
        self._await_turn()
        if not self.records.update(self.id, **self._begun()):
            raise Ignore

    def run(self) -> Any:
        self.records = Patient(self.engine.records)
        context = CurrentTask(self.id, self.task.name, self.record.get("queue", self.task.queue), self.attempt, self._progress)
        execution = Execution(self.task.function, context, timeout=self.options["timeout"] / 1000 or None)
        execution.overdue = lambda: self._overdue(execution)
        running[self.id] = execution
        entry = host.began(self.task.name) if host is not None else None
        try:
            return self._written(execution.run(*self._arguments(), loop=host.loop if host is not None else None))
        except BaseException as error:
            return self._failed(execution, error)
        finally:
            del running[self.id]
            if host is not None:
                host.ended(entry)

    def _is_over(self) -> bool:
        """It was cancelled while it waited, or comes again after its end: its worker died before it could say so to the broker."""
        if self.record.get("state") in ("cancelled", "failed", "succeeded"):
            return True
        if "cancel" not in self.record:
            return False
        # That was asked of a worker that had it no more: it was given back, or the worker was killed.
        self.records.cancelled(self.id)
        self.records.settle(self.id, self.record, self._keep())
        return True

    def _deaths(self) -> int:
        """How often it was begun last without an end that a worker could tell."""
        return int(self.record.get("unfinished") or 0)

    def _begun(self) -> dict[str, Any]:
        now = round(time.time() * 1000)
        begun = {"state": "running", "attempts": self.attempt, "started": now, "turn": "", "unfinished": self._deaths() + 1}
        if "name" not in self.record:
            # Sent by another program than ours.
            begun.update(name=self.task.name, queue=self.task.queue)
        if self.task.serializer != _coding.JSON:
            begun["coding"] = self.task.serializer
        return begun

    def _await_turn(self) -> None:
        """With a rate: it goes back to the broker until its turn."""
        rate = self.options.get("rate")
        if rate is None or self.record.get("turn"):
            return
        wait = self.records.turn(self.task.name, rate["period"] / rate["count"])
        if wait <= 0:
            return
        due = round(time.time() * 1000 + wait)
        self.records.update(self.id, state="ready", due=due, turn="1")
        message = {"due": due, "priority": int(self.record.get("priority", self.task.priority)), "queue": self.record.get("queue", self.task.queue)}
        try:
            self.engine.send(self.task, self.id, self.args, self.kwargs, message)
        except Exception as error:
            raise Reject(error, requeue=True) from error
        raise Ignore

    def _arguments(self) -> tuple[Any, dict[str, Any]]:
        if self.task.serializer == _coding.PICKLE and PICKLED in self.kwargs:
            return _coding.read_arguments(base64.b64decode(self.kwargs[PICKLED]), _coding.PICKLE)
        return self.args, self.kwargs

    def _written(self, result: Any) -> Any:
        body = _coding.dump(result, self.task.serializer, f"the result of {self.task.name}")
        if self.task.serializer == _coding.PICKLE:
            return {PICKLED: base64.b64encode(body).decode()}
        return json.loads(body)

    def _progress(self, fraction: float, text: str) -> None:
        self.engine.report(self.id, fraction, text)

    def _failed(self, execution: Execution, error: BaseException) -> Any:
        if isinstance(error, GivenBack) or execution.cause is GivenBack:
            with contextlib.suppress(*AWAY):
                self.engine.records.given_back(self.id)
            raise Reject("its worker stops", requeue=True) from None
        if isinstance(error, SoftTimeLimitExceeded):
            # The signal by which `celery worker` is told to cancel, or its own limit.
            error = TaskCancelled() if self._is_cancelled() else TaskTimeout()
        if isinstance(error, TaskCancelled) and (execution.context.is_cancelled or self._is_cancelled()):
            self.records.cancelled(self.id)
            self.records.settle(self.id, self.record, self._keep())
            raise Ignore from None
        self.records.update(self.id, error=describe(error))
        again = not isinstance(error, NotSerializable) and self.attempt <= self.options["retries"]
        if again and isinstance(error, Exception):
            self._again(error)
        self.records.update(self.id, state="failed")
        if not isinstance(error, Exception):
            # SystemExit and its like would end Celery's worker.
            raise TaskFailed(type(error).__name__, str(error)) from error
        raise error

    def _is_cancelled(self) -> bool:
        return "cancel" in self.records.read(self.id)

    def _again(self, error: Exception) -> None:
        pause = error.after if isinstance(error, Retry) and error.after is not None else self._backoff()
        logger.warning("task %s is tried again in %.3g s: %s: %s", self.task.name, pause, type(error).__name__, error)
        self.records.update(self.id, state="ready", due=round((time.time() + pause) * 1000), unfinished=0)
        try:
            raise self.celerys.retry(exc=error, countdown=pause)
        except Reject as reject:
            # The broker does not take the next attempt: this one stays.
            raise Reject(reject.reason, requeue=True) from error

    def _backoff(self) -> float:
        how = self.options["backoff"]
        pause: float = min(how["base"] * how["factor"] ** min(self.attempt - 1, 60), how["most"]) / 1000
        return pause * (1 - float(how["jitter"]) * random.random())

    def _keep(self) -> float:
        return float(self.options["keep"] / 1000)

    def _ends_as_failed(self, error: Exception) -> None:
        """Its process cannot, or must not, come to its end."""
        self.records.update(self.id, error=describe(error), state="failed")
        self.celerys.backend.mark_as_failure(self.id, error, traceback=None)
        self.records.settle(self.id, self.record, self._keep())

    def _overdue(self, execution: Execution) -> None:
        """It bears being interrupted: it has failed, and its process ends."""
        self._ends_as_failed(outlived())
        if host is not None:
            host.stuck(self.task.name, self.id)


@control_command(args=[("id", str)], signature="<id>")
def hostler_cancel(state: Any, id: str, **_: Any) -> None:
    """Cancels a task that runs here."""
    execution = running.get(id)
    if execution is not None:
        threading.Thread(target=execution.interrupt, args=[TaskCancelled], daemon=True).start()
        return
    from celery.worker import state as worker_state

    request = worker_state.requests.get(id)
    if request is not None and getattr(request, "worker_pid", None):
        # A process of a prefork pool: SoftTimeLimitExceeded is raised there.
        state.consumer.pool.terminate_job(request.worker_pid, "USR1")
