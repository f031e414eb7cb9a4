"""What engines have in common that speak with their servers in threads: calls end in a bounded time, and hold no event loop up."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import logging
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from hostler.tasks._calls import Calls
from hostler.tasks._errors import QueueUnavailable

T = TypeVar("T")

#: How long a call may take that does not wait for a result.
LIMIT = 10.0
#: How long `delay` may hold an event loop up; what takes longer goes on in its thread.
_BRIEFLY = 0.0005
#: What a future raises that is waited for too long.
TIMEOUTS = (TimeoutError, concurrent.futures.TimeoutError)
#: States in which a task ends.
FINAL = ("succeeded", "failed", "cancelled", "expired")

_engines: weakref.WeakSet[ThreadedEngine] = weakref.WeakSet()


class ThreadedEngine:
    """Threads of this process, and what a forked one forgets."""

    #: How long a call may take that does not wait for a result.
    limit = LIMIT

    def __init__(self) -> None:
        self._forget()
        _engines.add(self)

    def _forget(self) -> None:
        """A forked process has threads and connections of its own."""
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._pool: Calls | None = None
        self._late: set[Future[Any]] = set()

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            self._forget()

    def _own(self, name: str, make: Callable[[], T]) -> T:
        """What this process has of its own, made when it is needed."""
        self._check_process()
        with self._lock:
            made: T | None = getattr(self, name)
            if made is None:
                made = make()
                setattr(self, name, made)
            return made

    def _translated(self, error: Exception) -> Exception:
        """What went wrong, in our terms."""
        return error

    def _submit(self, call: Callable[..., T], *args: Any) -> Future[T]:
        return self._own("_pool", Calls).submit(self._told, call, *args)

    def _told(self, call: Callable[..., T], *args: Any) -> T:
        try:
            return call(*args)
        except Exception as error:
            told = self._translated(error)
            if told is error:
                raise
            raise told from error

    def _wait(self, future: Future[T], limit: float | None, given_up: threading.Event | None = None) -> T:
        try:
            return future.result(limit)
        except TIMEOUTS as error:
            if future.done():
                raise
            self._give_up(future, given_up)
            raise self._silent() from error

    async def _ask(self, call: Callable[..., T], *args: Any, given_up: threading.Event | None = None) -> T:
        future = asyncio.wrap_future(self._submit(call, *args))
        done, _ = await asyncio.wait([future], timeout=self.limit)
        if not done:
            self._give_up(future, given_up)
            raise self._silent()
        return future.result()

    def _give_up(self, future: Future[T] | asyncio.Future[T], given_up: threading.Event | None) -> None:
        """Who waited is told that it has failed: what has not begun never does, and what has begun goes no further."""
        if given_up is not None:
            given_up.set()
        future.cancel()

    def _briefly(self, sent: Future[str], name: str, id: str, given_up: threading.Event | None = None) -> str:
        """What `delay` says: in an event loop, it does not wait for long."""
        if asyncio._get_running_loop() is None:
            return self._wait(sent, self.limit, given_up)
        try:
            return sent.result(_BRIEFLY)
        except TIMEOUTS:
            if sent.done():
                raise
        self._late.add(sent)

        def finished(done: Future[Any]) -> None:
            self._late.discard(done)
            if (error := done.exception()) is not None:
                logging.getLogger("hostler.tasks").error("task %s (%s) was not accepted: %s", id, name, error)

        sent.add_done_callback(finished)
        return id

    def _silent(self) -> QueueUnavailable:
        return QueueUnavailable(f"what keeps the tasks has not answered within {self.limit:g} s")

    def flush(self, timeout: float) -> None:
        """Waits until what `delay` has left to a thread is accepted."""
        if self._pid == os.getpid():
            concurrent.futures.wait(list(self._late), timeout)


def flush(timeout: float = LIMIT) -> None:
    for engine in list(_engines):
        engine.flush(timeout)


atexit.register(flush)
