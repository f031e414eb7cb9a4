"""Work beyond the request: functions that run later, in other processes, and whose results can be asked for.

    from hostler.tasks import task

    @task(retries=3, timeout=60)
    def thumbnail(path: str, width: int) -> str: ...

    handle = thumbnail.delay("cat.png", width=200)     # on disk when this returns
    handle.id                                          # to ask for it later: hostler.tasks.handle(id)
    handle.get(timeout=30)                             # blocks; in asynchronous code: await handle

A task runs at least once: if its worker or the machine dies while it runs, it is started again, so it has to bear that.
docs/TASKS.md has the rest.
"""

from hostler.tasks._context import CurrentTask, current_task
from hostler.tasks._errors import (
    ArgumentsTooLarge,
    NoSuchTask,
    NotSerializable,
    QueueFull,
    QueueUnavailable,
    Retry,
    TaskCancelled,
    TaskError,
    TaskExpired,
    TaskFailed,
    TaskTimeout,
    Unsupported,
)
from hostler.tasks._handle import Handle, Info, Status, handle
from hostler.tasks._options import Backoff
from hostler.tasks._settings import configure
from hostler.tasks._task import Task, cron, task

__all__ = [
    "ArgumentsTooLarge",
    "Backoff",
    "CurrentTask",
    "Handle",
    "Info",
    "NoSuchTask",
    "NotSerializable",
    "QueueFull",
    "QueueUnavailable",
    "Retry",
    "Status",
    "Task",
    "TaskCancelled",
    "TaskError",
    "TaskExpired",
    "TaskFailed",
    "TaskTimeout",
    "Unsupported",
    "configure",
    "cron",
    "current_task",
    "handle",
    "task",
]
