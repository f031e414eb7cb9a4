"""Task workers of a server: what `_worker` does, with the server's supervision around it."""

from __future__ import annotations

import logging
import os
from typing import Any

from hostler.tasks._errors import QueueUnavailable
from hostler.tasks._run import Run
from hostler.tasks._supervise import lower_priority, supervise
from hostler.tasks._worker import Worker

logger = logging.getLogger("hostler.tasks")


def serve(file: str, worker: Any, loop: Any, engine: Any, shutdown: Any, run: Any) -> tuple[str, str, str] | None:
    """Runs tasks until the worker is told to stop; why it could not, if so: message, cause, hint."""
    queues, slots, nice, timeout = worker.task_options
    lower_priority(nice)
    try:
        tasks = loop.run_until_complete(_start(file, worker.target, queues, slots, timeout))
    except QueueUnavailable as error:
        return "a task worker cannot reach the task queue", str(error), "the log has why its keeper does not serve"

    def drain(seconds: float) -> None:
        loop.create_task(_drain(tasks, seconds))

    def leave() -> None:
        loop.create_task(_leave(tasks))

    tasks.stuck.add_done_callback(lambda stuck: loop.create_task(_end(tasks, stuck.result())))
    supervise(tasks, tasks.take, drain, leave, worker=worker, loop=loop, engine=engine, shutdown=shutdown, run=run)
    return None


async def _start(file: str, source: str, queues: list[str], slots: int, timeout: float) -> Worker:
    tasks = Worker(file, source=source, queues=queues, slots=slots, timeout=timeout)
    await tasks.start()
    return tasks


async def _drain(tasks: Worker, seconds: float) -> None:
    try:
        await tasks.drain(seconds)
    finally:
        tasks.supervised.drained()


async def _leave(tasks: Worker) -> None:
    await tasks.finish()
    tasks.supervised.finished()


async def _end(tasks: Worker, run: Run) -> None:
    """A task bears being interrupted: its worker ends, with what else runs there."""
    stack = "" if run.task.is_asynchronous else f", where it is:\n{tasks.thread.stack()}"
    logger.error("task %s did not end after its timeout: its worker exits%s", run.task.name, stack, extra={"task": run.task.name, "id": run.id})
    await tasks.drain(0)
    os._exit(1)
