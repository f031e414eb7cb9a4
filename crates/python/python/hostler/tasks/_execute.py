"""Running a task's function in workers of other systems (Celery, Ray): in the thread that calls, with its timeout, and so that it
can be interrupted.
"""

from __future__ import annotations

import asyncio
import ctypes
import inspect
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError as FutureCancelled
from contextvars import copy_context
from typing import Any

from hostler.tasks._context import CurrentTask, _current
from hostler.tasks._errors import GRACE, TaskCancelled, TaskTimeout


class GivenBack(BaseException):
    """Raised in a task whose worker stops: another one is to run it."""


class Execution:
    """One run of a function."""

    def __init__(self, function: Callable[..., Any], context: CurrentTask, *, timeout: float | None = None) -> None:
        self.context = context
        self._function = function
        self._timeout = timeout
        self._lock = threading.Lock()
        #: The thread in which the function runs, while it does.
        self._thread: int | None = None
        self._inner: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None
        #: What was raised in it.
        self.cause: type[BaseException] | None = None
        #: Called if it does not end after its timeout.
        self.overdue: Callable[[], None] = lambda: None

    def run(self, args: Any, kwargs: Any, loop: asyncio.AbstractEventLoop | None = None) -> Any:
        """Its result, or what it raises. A coroutine runs on this loop of another thread, or on one of its own."""
        timers = self._limit()
        try:
            return copy_context().run(self._run, args, kwargs, loop)
        finally:
            for timer in timers:
                timer.cancel()

    def interrupt(self, error: type[BaseException]) -> None:
        """Raises it in the function, from another thread."""
        with self._lock:
            if self._thread is None and self._inner is None:
                return
            self.cause = self.cause or error
            self.context.is_cancelled = self.context.is_cancelled or error is TaskCancelled
            if self._inner is not None:
                loop, inner = self._inner
                loop.call_soon_threadsafe(inner.cancel)
            else:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread or 0), ctypes.py_object(error))

    def _limit(self) -> list[threading.Timer]:
        if not self._timeout:
            return []
        timers = [
            threading.Timer(self._timeout, self.interrupt, [TaskTimeout]),
            threading.Timer(self._timeout + GRACE, lambda: self.overdue()),
        ]
        for timer in timers:
            timer.daemon = True
            timer.start()
        return timers

    def _run(self, args: Any, kwargs: Any, loop: asyncio.AbstractEventLoop | None) -> Any:
        _current.set(self.context)
        if inspect.iscoroutinefunction(self._function):
            return self._run_asynchronous(args, kwargs, loop)
        try:
            with self._lock:
                self._thread = threading.get_ident()
            return self._function(*args, **kwargs)
        finally:
            # After this nothing is raised here any more.
            with self._lock:
                self._thread = None

    def _run_asynchronous(self, args: Any, kwargs: Any, loop: asyncio.AbstractEventLoop | None) -> Any:
        try:
            if loop is None:
                return asyncio.run(self._coroutine(args, kwargs))
            return asyncio.run_coroutine_threadsafe(self._coroutine(args, kwargs), loop).result()
        except (asyncio.CancelledError, FutureCancelled):
            if self.cause is not None:
                raise self.cause() from None
            raise

    async def _coroutine(self, args: Any, kwargs: Any) -> Any:
        task = asyncio.current_task()
        assert task is not None
        _current.set(self.context)
        with self._lock:
            self._inner = (asyncio.get_running_loop(), task)
        try:
            return await self._function(*args, **kwargs)
        finally:
            with self._lock:
                self._inner = None
