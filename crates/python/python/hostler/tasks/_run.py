"""Running one task: its function, its limits, and what is reported of it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import logging
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from hostler.tasks import _coding, _options
from hostler.tasks._context import CurrentTask, _current
from hostler.tasks._errors import GRACE, NotSerializable, Retry, TaskCancelled, TaskFailed
from hostler.tasks._task import Task

#: The longest traceback that is kept, in characters; its end matters most.
_LONGEST = 16_000
#: The largest result, in bytes: with the arguments it is one message.
_LARGEST = 32 << 20

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
        #: When its function was called, and for how long it ran (`time.monotonic()`, seconds).
        self.began: float | None = None
        self.seconds = 0.0
        #: How long it may take, in seconds.
        self.timeout: float | None = self.options["timeout"] / 1000 or None
        #: Looks after its timeout.
        self.timer: asyncio.TimerHandle | None = None
        self._arguments = arguments
        self._coding = self.options.get("coding") or _coding.JSON
        #: Its worker stops: another one is to run it.
        self.is_given_back = False
        #: Ends it: raises this in it.
        self.interrupt: Callable[[type[BaseException]], None] = lambda error: None

    @property
    def limit(self) -> float | None:
        """How long its worker waits for it, in seconds."""
        return None if self.timeout is None else self.timeout + GRACE

    def call(self) -> Any:
        """Calls the function."""
        self.began = time.monotonic()
        _current.set(self.context)
        args, kwargs = _coding.read_arguments(self._arguments, self._coding)
        return self.task.function(*args, **kwargs)

    async def awaited(self) -> Any:
        """Calls an asynchronous one, to its end."""
        try:
            return await self.call()
        except (SystemExit, KeyboardInterrupt) as error:
            # Raised, it would end the loop and not the task.
            return Exit(error)

    def ended(self) -> None:
        """The function has returned."""
        if self.began is not None:
            self.seconds = time.monotonic() - self.began

    def succeeded(self, result: Any) -> Report:
        """Whatever the code of its result does."""
        try:
            body = _coding.dump(result, self._coding, f"the result of {self.task.name}")
            if len(body) > _LARGEST:
                raise NotSerializable(f"the result of {self.task.name} has {len(body)} bytes, and {_LARGEST} are the most: write it to a file, and return its name")
        except BaseException as error:
            return self.failed(error)
        return {"do": "done", "id": self.id, "attempt": self.attempt}, body

    def failed(self, error: BaseException) -> Report:
        """Whatever the code of its exception does, and that of the application's logging."""
        if self.is_given_back:
            return self.given_back()
        if isinstance(error, (TaskCancelled, asyncio.CancelledError)) and self.context.is_cancelled:
            return {"do": "cancelled", "id": self.id, "attempt": self.attempt}, b""
        try:
            report = self._failure(error)
        except Exception as fault:
            text = f"the task raised {type(error).__name__}, of which nothing can be told: {_coding.text_of(fault)}"
            report = self._failure(RuntimeError(text))
        with contextlib.suppress(Exception):
            self._log(error)
        return report, b""

    def _failure(self, error: BaseException) -> dict[str, Any]:
        again = not isinstance(error, NotSerializable)
        report: dict[str, Any] = {"do": "failed", "id": self.id, "attempt": self.attempt, "error": describe(error), "again": again}
        if isinstance(error, Retry) and error.after is not None:
            report["after"] = _options.millis(error.after, "after")
        return report

    def _log(self, error: BaseException) -> None:
        details = {"task": self.task.name, "id": self.id, "attempt": self.attempt}
        shown = (type(error), error, _users_frames(error))
        if isinstance(error, Retry):
            logger.info("task %s asks to be tried again: %s", self.task.name, _coding.text_of(error), extra=details)
        elif not isinstance(error, NotSerializable) and self.attempt <= self.options["retries"]:
            logger.warning("task %s failed, and is tried again", self.task.name, exc_info=shown, extra=details)
        else:
            logger.error("task %s failed", self.task.name, exc_info=shown, extra=details)

    def given_back(self) -> Report:
        return {"do": "give_back", "id": self.id, "attempt": self.attempt}, b""


@dataclass
class Exit:
    """What an asynchronous task has raised to end the process."""

    error: BaseException


def describe(error: BaseException) -> str:
    kind = type(error)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    message = str(error.message) if isinstance(error, TaskFailed) else _coding.text_of(error)
    lines = "".join(traceback.format_exception(kind, error, _users_frames(error)))
    texts = {"type": module + kind.__qualname__, "message": message[:_LONGEST], "traceback": lines[-_LONGEST:]}
    return json.dumps({name: _options.readable(text) for name, text in texts.items()})


def _users_frames(error: BaseException) -> TracebackType | None:
    """The traceback from the task's function on."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith("hostler.tasks."):
        frames = frames.tb_next
    return frames


async def run_asynchronous(run: Run) -> Report:
    """Runs it on the loop."""
    inner = asyncio.ensure_future(run.awaited())
    cause: list[type[BaseException]] = []

    def interrupt(error: type[BaseException]) -> None:
        cause.append(error)
        inner.cancel()

    run.interrupt = interrupt
    try:
        try:
            result = await inner
        finally:
            run.ended()
        return run.failed(result.error) if isinstance(result, Exit) else run.succeeded(result)
    except asyncio.CancelledError as error:
        if not inner.cancelled():
            raise
        return run.failed(cause[0]() if cause else error)
    except BaseException as error:
        return run.failed(error)


class Thread:
    """The thread in which synchronous tasks run, one after the other, so that the loop lives while they work."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ended: Callable[[list[tuple[Run, Report]]], None]) -> None:
        self._loop = loop
        #: Told on the loop what has ended.
        self._tell = ended
        #: The server's supervision, if there is one: told when a task begins and ends.
        self.supervised: Any = None
        self._runs: deque[Run] = deque()
        #: One for each that was added, and None at the end.
        self._added: SimpleQueue[bool | None] = SimpleQueue()
        self._ended: deque[tuple[Run, Report]] = deque()
        self._is_told = False
        self._lock = threading.Lock()
        #: Whose function runs now.
        self._now: Run | None = None
        self._thread = threading.Thread(target=self._main, name="hostler-task", daemon=True)
        self._thread.start()

    def add(self, run: Run) -> None:
        run.interrupt = lambda error: self._raise_in(run, error)
        self._runs.append(run)
        self._added.put(True)

    def drop(self, run: Run) -> bool:
        """Whether it had not begun; then it never does."""
        try:
            self._runs.remove(run)
        except ValueError:
            return False
        return True

    def end(self) -> None:
        self._added.put(None)

    def stack(self) -> str:
        """Where it is."""
        frame = sys._current_frames().get(self._thread.ident or 0)
        return "".join(traceback.format_stack(frame)) if frame is not None else ""

    def _main(self) -> None:
        while self._added.get() is not None:
            if not self._next():
                return

    def _next(self) -> bool:
        """Runs the next one, if it was not taken back; whether the loop is still there."""
        try:
            run = self._runs.popleft()
        except IndexError:
            return True
        entry = self.supervised.began(run.task.name, run.limit) if self.supervised is not None else None
        report = copy_context().run(self._one, run)
        if self.supervised is not None:
            self.supervised.ended(entry)
        self._ended.append((run, report))
        if not self._is_told:
            self._is_told = True
            try:
                self._loop.call_soon_threadsafe(self._collect)
            except RuntimeError:
                return False
        return True

    def _collect(self) -> None:
        """On the loop."""
        self._is_told = False
        ended = []
        while self._ended:
            ended.append(self._ended.popleft())
        self._tell(ended)

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
                run.ended()
        except BaseException as error:
            return run.failed(error)
        return run.succeeded(result)

    def _raise_in(self, run: Run, error: type[BaseException]) -> None:
        with self._lock:
            if self._now is run and self._thread.ident is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread.ident), ctypes.py_object(error))
