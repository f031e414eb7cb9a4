"""What tasks and handles ask of an engine: what keeps tasks and hands them to workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from hostler.tasks._task import Task

#: A task as it stands, and its result as it is written. Its `state` is a value of `Status`, `error` a JSON document with `type`,
#: `message` and `traceback`, times are milliseconds since 1970.
Answer = tuple[dict[str, Any], bytes]


class Engine(Protocol):
    """Each is for all threads and event loops of a process, and for the processes that it forks."""

    def declare(self, task: Task[..., Any], schedule: dict[str, Any] | None) -> None:
        """A task was declared, with a schedule if the clock is to enqueue it. Raises Unsupported if the engine cannot do what it asks for."""

    def enqueue(self, task: Task[..., Any], message: dict[str, Any], arguments: bytes) -> str:
        """Its id; with a key that of the task that has it. In an event loop it blocks for a millisecond at most."""

    async def enqueue_async(self, task: Task[..., Any], message: dict[str, Any], arguments: bytes) -> str: ...

    def result(self, id: str, *, wait: bool, timeout: float | None) -> Answer:
        """Raises NoSuchTask, and TimeoutError if it waits for longer."""

    async def result_async(self, id: str, *, wait: bool) -> Answer: ...

    def cancel(self, id: str) -> str:
        """The task's state now."""

    async def cancel_async(self, id: str) -> str: ...

    def flush(self, timeout: float) -> None:
        """Waits until what `enqueue` has left to a thread is accepted."""

    def serve(self, worker: Any, loop: Any, engine: Any, shutdown: Any, run: Callable[..., bool]) -> tuple[str, str, str] | None:
        """Runs tasks in a task worker of a server until that is told to stop; why it could not, if so: message, cause, hint."""
