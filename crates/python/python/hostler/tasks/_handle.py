"""A task that was enqueued."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from typing import Any, Generic, TypeVar

from hostler.tasks import _coding, _options, _settings
from hostler.tasks._errors import TaskCancelled, TaskExpired, TaskFailed, TaskTimeout
from hostler.tasks._options import Duration

R = TypeVar("R")


class Status(str, Enum):
    """Where a task is."""

    #: Waits for a worker.
    READY = "ready"
    #: Waits for its time: a countdown, the pause before a retry, its turn at a rate.
    SCHEDULED = "scheduled"
    #: Waits for a worker that knows it: none of those that run has such a task.
    UNKNOWN = "unknown"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    #: Has failed, and is not tried again.
    FAILED = "failed"
    CANCELLED = "cancelled"
    #: Was not started in time.
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        return self in (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.EXPIRED)

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Info:
    """A task as it stands."""

    id: str
    name: str
    queue: str
    status: Status
    #: How many times it was started.
    attempts: int
    enqueued: datetime
    started: datetime | None
    finished: datetime | None
    #: From 0 to 1, and in words.
    progress: float | None
    progress_text: str
    #: Its last error: `type`, `message`, `traceback`.
    error: dict[str, str] | None


class Handle(Generic[R]):
    """A task that was enqueued. It is no more than the id: another process, or this one after a restart, makes it again with
    `hostler.tasks.handle(id)`.
    """

    __slots__ = ("_engine", "id")

    def __init__(self, id: str, engine: Any) -> None:
        self.id = id
        self._engine = engine

    def __repr__(self) -> str:
        return f"<Handle {self.id}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return handle, (self.id,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def info(self) -> Info:
        """How it stands. Raises NoSuchTask if its result was kept for long enough."""
        return _info(self._engine.result(self.id, wait=False, timeout=None)[0])

    async def info_async(self) -> Info:
        return _info((await self._engine.result_async(self.id, wait=False))[0])

    def status(self) -> Status:
        return self.info().status

    async def status_async(self) -> Status:
        return (await self.info_async()).status

    def get(self, timeout: Duration | None = None) -> R:
        """Its result, for which it waits so long: seconds, a text such as `"5m"`, a timedelta; 0 is not at all.

        Raises TimeoutError, TaskFailed (also TaskTimeout), TaskCancelled, TaskExpired, NoSuchTask, QueueUnavailable.
        """
        limit = None if timeout is None or timeout == math.inf else _options.seconds(timeout, "timeout")
        task, result = self._engine.result(self.id, wait=limit != 0, timeout=limit or None)
        if limit == 0 and not Status(task["state"]).is_final:
            raise TimeoutError(f"task {self.id} is not finished")
        outcome: R = _outcome(task, result)
        return outcome

    async def result(self) -> R:
        """Its result; the same as `await handle`."""
        outcome: R = _outcome(*await self._engine.result_async(self.id, wait=True))
        return outcome

    def __await__(self) -> Generator[Any, None, R]:
        return self.result().__await__()

    def cancel(self) -> Status:
        """Cancels it: one that waits at once, one that runs by raising in it. Where it is now."""
        return Status(self._engine.cancel(self.id))

    async def cancel_async(self) -> Status:
        return Status(await self._engine.cancel_async(self.id))


def handle(id: str | uuid.UUID) -> Handle[Any]:
    """The task with this id."""
    return Handle(str(id), _settings.engine())


def _time(millis: int | None) -> datetime | None:
    return None if millis is None else datetime.fromtimestamp(millis / 1000, timezone.utc)


def _info(task: dict[str, Any]) -> Info:
    fraction, text = task["progress"] or (None, "")
    enqueued = _time(task["enqueued"])
    assert enqueued is not None
    return Info(
        id=task["id"],
        name=task["name"],
        queue=task["queue"],
        status=Status(task["state"]),
        attempts=task["attempts"],
        enqueued=enqueued,
        started=_time(task["started"]),
        finished=_time(task["finished"]),
        progress=fraction,
        progress_text=text,
        error=_error(task["error"]),
    )


def _error(text: str | None) -> dict[str, str] | None:
    if not text:
        return None
    try:
        error = json.loads(text)
    except ValueError:
        return {"type": "Error", "message": text, "traceback": ""}
    return {name: str(error.get(name, "")) for name in ("type", "message", "traceback")}


def _outcome(task: dict[str, Any], result: bytes) -> Any:
    state, error = Status(task["state"]), _error(task["error"]) or {"type": "Error", "message": "", "traceback": ""}
    if state is Status.SUCCEEDED:
        return _coding.load(result, task.get("coding") or _coding.JSON)
    if state is Status.CANCELLED:
        raise TaskCancelled(f"task {task['id']} ({task['name']}) was cancelled")
    if state is Status.EXPIRED:
        raise TaskExpired(f"task {task['id']} ({task['name']}) was not started in time")
    if error["type"] == "hostler.tasks.TaskTimeout":
        raise TaskTimeout(error["message"], error["traceback"])
    raise TaskFailed(error["type"], error["message"], error["traceback"])
