"""Running one task: its function, its limits, and what is reported of it."""

from __future__ import annotations

import asyncio
import ctypes
import inspect
import json
import logging
import sys
import threading
import traceback
from collections.abc import Callable
from contextvars import copy_context
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from hostler.tasks import _coding
from hostler.tasks._context import CurrentTask, _current
from hostler.tasks._errors import NotSerializable, Retry, TaskCancelled, TaskFailed
from hostler.tasks._task import Task

#: The longest traceback that is kept, in characters; its end matters most.
_LONGEST = 16_000

logger = logging.getLogger("hostler.tasks")

#: What a task has come to: a report for the keeper, and the result.
Report = tuple[dict[str, Any], bytes]


class Run:
    """A task that runs."""

    def __init__(self, task: Task[..., Any], message: dict[str, Any], arguments: bytes, report: Callable[[float, str], Any]) -> None:
        self.task = task
        self.id: str = message["id"]
        self.attempt: int = message["attempt"]
        self.options: dict[str, Any] = message["options"]
        self.context = CurrentTask(self.id, task.name, message["queue"], self.attempt, report)
        self._arguments = arguments
        self._coding = self.options.get("coding") or _coding.JSON
        #: Ends it: raises this in it.
        self.interrupt: Callable[[type[BaseException]], None] = lambda error: None

    @property
    def timeout(self) -> float | None:
        """In seconds."""
        return self.options["timeout"] / 1000 or None

    @property
    def is_asynchronous(self) -> bool:
        return inspect.iscoroutinefunction(self.task.function)

    def call(self) -> Any:
        """Calls the function."""
        _current.set(self.context)
        args, kwargs = _coding.read_arguments(self._arguments, self._coding)
        return self.task.function(*args, **kwargs)

    def succeeded(self, result: Any) -> Report:
        try:
            body = _coding.dump(result, self._coding, f"the result of {self.task.name}")
        except NotSerializable as error:
            return self.failed(error)
        return {"do": "done", "id": self.id, "attempt": self.attempt}, body

    def failed(self, error: BaseException) -> Report:
        if isinstance(error, (TaskCancelled, asyncio.CancelledError)) and self.context.is_cancelled:
            return {"do": "cancelled", "id": self.id, "attempt": self.attempt}, b""
        again = not isinstance(error, NotSerializable)
        report: dict[str, Any] = {"do": "failed", "id": self.id, "attempt": self.attempt, "error": describe(error), "again": again}
        if isinstance(error, Retry) and error.after is not None:
            report["after"] = max(0, round(error.after * 1000))
        details = {"task": self.task.name, "id": self.id, "attempt": self.attempt}
        shown = (type(error), error, _users_frames(error))
        if isinstance(error, Retry):
            logger.info("task %s asks to be tried again: %s", self.task.name, error, extra=details)
        elif again and self.attempt <= self.options["retries"]:
            logger.warning("task %s failed, and is tried again", self.task.name, exc_info=shown, extra=details)
        else:
            logger.error("task %s failed", self.task.name, exc_info=shown, extra=details)
        return report, b""

    def given_back(self) -> Report:
        return {"do": "give_back", "id": self.id, "attempt": self.attempt}, b""


def describe(error: BaseException) -> str:
    kind = type(error)
    module = "" if kind.__module__ == "builtins" else kind.__module__ + "."
    message = error.message if isinstance(error, TaskFailed) else str(error)
    lines = "".join(traceback.format_exception(kind, error, _users_frames(error)))
    return json.dumps({"type": module + kind.__qualname__, "message": message[:_LONGEST], "traceback": lines[-_LONGEST:]})


def _users_frames(error: BaseException) -> TracebackType | None:
    """The traceback from the task's function on."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith("hostler.tasks."):
        frames = frames.tb_next
    return frames


async def run_asynchronous(run: Run) -> Report:
    """Runs it on the loop."""
    inner = asyncio.ensure_future(_coroutine(run))
    cause: list[type[BaseException]] = []

    def interrupt(error: type[BaseException]) -> None:
        cause.append(error)
        inner.cancel()

    run.interrupt = interrupt
    try:
        return run.succeeded(await inner)
    except asyncio.CancelledError as error:
        if not inner.cancelled():
            raise
        return run.failed(cause[0]() if cause else error)
    except BaseException as error:
        return run.failed(error)


async def _coroutine(run: Run) -> Any:
    return await run.call()


class Thread:
    """The thread in which synchronous tasks run, one after the other, so that the loop lives while they work."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._work: SimpleQueue[tuple[Run, asyncio.Future[Report]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        #: Whose function runs now.
        self._now: Run | None = None
        self._thread = threading.Thread(target=self._main, name="hostler-task", daemon=True)
        self._thread.start()

    async def run(self, run: Run) -> Report:
        future: asyncio.Future[Report] = self._loop.create_future()
        run.interrupt = lambda error: self._raise_in(run, error)
        self._work.put((run, future))
        return await future

    def end(self) -> None:
        self._work.put(None)

    def stack(self) -> str:
        """Where it is."""
        frame = sys._current_frames().get(self._thread.ident or 0)
        return "".join(traceback.format_stack(frame)) if frame is not None else ""

    def _main(self) -> None:
        while (work := self._work.get()) is not None:
            run, future = work
            report = copy_context().run(self._one, run)
            try:
                self._loop.call_soon_threadsafe(_resolve, future, report)
            except RuntimeError:
                return

    def _one(self, run: Run) -> Report:
        try:
            try:
                with self._lock:
                    self._now = run
                result = run.call()
            finally:
                # After this nothing is raised here any more.
                with self._lock:
                    self._now = None
        except BaseException as error:
            return run.failed(error)
        return run.succeeded(result)

    def _raise_in(self, run: Run, error: type[BaseException]) -> None:
        with self._lock:
            if self._now is run and self._thread.ident is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread.ident), ctypes.py_object(error))


def _resolve(future: asyncio.Future[Report], report: Report) -> None:
    if not future.done():
        future.set_result(report)
