"""Calls in threads of this process: no more wait for one than can be kept, and what nobody waits for any more is not begun."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from hostler.tasks._errors import QueueUnavailable

T = TypeVar("T")

#: Threads for a process, each with connections of its own.
_THREADS = 4
#: How many calls may wait for one of them: while the other side is silent, each takes seconds.
_WAITING = 10_000


class Calls:
    def __init__(self, threads: int = _THREADS, waiting: int = _WAITING) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="hostler-tasks")
        self._room = threading.BoundedSemaphore(threads + waiting)
        self._waiting = waiting

    def submit(self, call: Callable[..., T], *args: Any) -> Future[T]:
        """Raises QueueUnavailable where too many wait."""
        if not self._room.acquire(blocking=False):
            raise QueueUnavailable(f"what keeps the tasks does not answer, and {self._waiting} calls wait for it already")
        try:
            future = self._pool.submit(call, *args)
        except BaseException:
            self._room.release()
            raise
        future.add_done_callback(lambda _: self._room.release())
        return future
