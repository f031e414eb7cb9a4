"""What can go wrong."""

from __future__ import annotations

from hostler.tasks._options import Duration, seconds

#: How long a task has, after its timeout was raised in it, to end.
GRACE = 5.0


class TaskError(Exception):
    """What can go wrong with tasks."""


class NotSerializable(TaskError, TypeError):
    """An argument or a result that cannot be written down; the task was not accepted."""


class ArgumentsTooLarge(TaskError, ValueError):
    """Arguments longer than the limit; the task was not accepted."""


class QueueUnavailable(TaskError, ConnectionError):
    """The queue could not be reached, or cannot be written. A task that was about to be enqueued may or may not be accepted."""


class QueueFull(QueueUnavailable):
    """There is no room for the task, on the disk or by a limit; it was not accepted."""


class NoSuchTask(TaskError, LookupError):
    """There is no such task: it was never accepted, or its result was kept for long enough."""


class Unsupported(TaskError, ValueError):
    """The engine of tasks cannot do what is asked for; the text says which one can."""


class TaskFailed(TaskError):
    """The task has failed, and is not tried again. `type`, `message` and `traceback` are those of its exception."""

    def __init__(self, type: str, message: str, traceback: str = "") -> None:
        # An OSError, which TaskTimeout is, would take arguments for errno and its text.
        super().__init__()
        self.args = (type, message, traceback)
        self.type = type
        self.message = message
        self.traceback = traceback

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


class TaskTimeout(TaskFailed, TimeoutError):
    """The task ran for longer than its timeout; raised in it, and by its handle if it did not bear it."""

    def __init__(self, message: str = "the task ran for longer than its timeout", traceback: str = "") -> None:
        super().__init__("hostler.tasks.TaskTimeout", message, traceback)
        self.args = (message, traceback)

    def __str__(self) -> str:
        return self.message


class TaskCancelled(TaskError):
    """The task was cancelled."""


class TaskExpired(TaskError):
    """The task was not started in time."""


class Retry(Exception):
    """Raised by a task to be tried again: after a pause (seconds, a text such as `"5m"`, a timedelta), or its back-off. It counts as one of
    its retries.
    """

    def __init__(self, message: str = "the task asked to be tried again", *, after: Duration | None = None) -> None:
        super().__init__(message)
        #: In seconds.
        self.after = None if after is None else seconds(after, "after")


class WorkerLost(TaskError):
    """The worker died while it ran the task, again and again."""


for _each in list(vars().values()):
    if isinstance(_each, type) and issubclass(_each, Exception):
        # As users know them, in tracebacks, too.
        _each.__module__ = "hostler.tasks"


def outlived() -> TaskTimeout:
    """Of a task that bears being interrupted."""
    return TaskTimeout(f"the task did not end {GRACE:g} s after its timeout: its worker was ended")
