"""A task worker: takes tasks from the keeper, runs them, and reports. Runs on an event loop."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import random
from typing import Any

from hostler.tasks import _task
from hostler.tasks._connect import Place
from hostler.tasks._errors import TaskCancelled, TaskTimeout
from hostler.tasks._frames import Frames, encode
from hostler.tasks._run import Report, Run, Thread, run_asynchronous

#: How long a task has, after its timeout was raised in it, to end.
GRACE = 5.0
#: The pause before connecting again.
_PAUSE = 0.2

logger = logging.getLogger("hostler.tasks")


class Worker(asyncio.Protocol):
    """Runs `slots` tasks at once; synchronous ones one after the other."""

    def __init__(self, file: str, *, source: str, queues: list[str] | None = None, slots: int = 1) -> None:
        self.place = Place(file)
        self.source = source
        self.queues = queues or []
        self.slots = slots
        self.loop = asyncio.get_running_loop()
        self.thread = Thread(self.loop)
        self.runs: dict[tuple[str, int], Run] = {}
        #: What is not known to have arrived.
        self.reports: dict[tuple[str, int], Report] = {}
        #: The server's supervision, if there is one: told when a task begins and ends.
        self.supervised: Any = None
        self._takes = False
        self._leaves = False
        #: A task did not end: the process has to.
        self.stuck: asyncio.Future[Run] = self.loop.create_future()
        self._changed = asyncio.Event()
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._connecting: asyncio.Task[None] | None = None
        self._lock = self._own()

    def _own(self) -> int:
        """A lock that tells the keeper that this process lives (`fcntl(2)`): it ends with it. Its descriptor is never closed."""
        descriptor = os.open(self.place.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        while True:
            self.owner = random.SystemRandom().randrange(1, 1 << 60)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self.owner)
            except BlockingIOError:
                continue
            return descriptor

    async def start(self) -> None:
        """Connects. Raises QueueUnavailable."""
        await self._connect()

    def take(self) -> None:
        """Takes tasks from now on."""
        self._takes = True
        self._ready(self.slots - len(self.runs))

    async def _connect(self) -> None:
        connection = await self.loop.run_in_executor(None, self.place.connect)
        connection.setblocking(False)
        self._frames = Frames()
        await self.loop.create_unix_connection(lambda: self, sock=connection)

    async def _connect_again(self) -> None:
        while True:
            try:
                return await self._connect()
            except Exception as error:
                logger.warning("the task queue cannot be reached: %s", error)
                await asyncio.sleep(_PAUSE)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        running = [list(key) for key in (*self.runs, *self.reports)]
        self._say({"do": "work", "owner": self.owner, "queues": self.queues, "names": list(_task.registry), "running": running, "pid": os.getpid()})
        if _task.schedules:
            self._say({"do": "crons", "n": 1, "source": self.source, "entries": list(_task.schedules.values())})
        for message, body in self.reports.values():
            self._say(message, body)
        self._ready(self.slots - len(self.runs))

    def data_received(self, data: bytes) -> None:
        self._frames.feed(data)
        while (frame := self._frames.next()) is not None:
            self._heard(*frame)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.loop.is_closed():
            self._connecting = self.loop.create_task(self._connect_again())

    def _say(self, message: dict[str, Any], body: bytes = b"") -> None:
        if self._transport is not None:
            self._transport.write(encode(message, body))

    def _ready(self, more: int) -> None:
        if more > 0 and self._takes and not self._leaves:
            self._say({"do": "ready", "more": more})

    def _heard(self, message: dict[str, Any], body: bytes) -> None:
        kind = message["is"]
        if kind == "task":
            task = self.loop.create_task(self._run(message, body))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif kind == "noted":
            self.reports.pop((message["id"], message["attempt"]), None)
            self._changed.set()
        elif kind == "cancel":
            self._end(message["id"], TaskCancelled)
        elif kind == "lost":
            for key in [key for key in self.reports if key[0] == message["id"]]:
                del self.reports[key]
            self._changed.set()
            self._end(message["id"], TaskCancelled)
        elif kind == "refused":
            logger.error("the task queue refused: %s", message["text"])

    def _end(self, id: str, error: type[BaseException]) -> None:
        for run in self.runs.values():
            if run.id == id:
                run.context.is_cancelled = True
                run.interrupt(error)

    async def _run(self, message: dict[str, Any], arguments: bytes) -> None:
        key = message["id"], message["attempt"]
        run = Run(_task.registry[message["name"]], message, arguments, lambda *progress: self._progress(key[0], *progress))
        self.runs[key] = run
        entry = self.supervised.began(run.task.name) if self.supervised is not None else None
        timers = self._limit(run)
        try:
            report = await (run_asynchronous(run) if run.is_asynchronous else self.thread.run(run))
        finally:
            for timer in timers:
                timer.cancel()
            if self.supervised is not None:
                self.supervised.ended(entry)
        self._report(key, report)

    def _report(self, key: tuple[str, int], report: Report) -> None:
        if self.runs.pop(key, None) is None:
            return
        self.reports[key] = report
        self._say(*report)
        self._ready(1)
        self._changed.set()

    def _limit(self, run: Run) -> list[asyncio.TimerHandle]:
        if run.timeout is None:
            return []
        return [
            self.loop.call_later(run.timeout, lambda: run.interrupt(TaskTimeout)),
            self.loop.call_later(run.timeout + GRACE, self._overdue, run),
        ]

    def _overdue(self, run: Run) -> None:
        """It bears being interrupted: it is reported, and the process is to end."""
        self._report((run.id, run.attempt), run.failed(TaskTimeout(f"the task did not end {GRACE:g} s after its timeout: its worker was ended")))
        if not self.stuck.done():
            self.stuck.set_result(run)

    def _progress(self, id: str, fraction: float, text: str) -> None:
        message = {"do": "progress", "id": id, "fraction": fraction, "text": text}
        if asyncio._get_running_loop() is self.loop:
            self._say(message)
        else:
            self.loop.call_soon_threadsafe(self._say, message)

    async def drain(self, grace: float) -> None:
        """Takes nothing new, waits so many seconds for what runs, and gives back what does not end."""
        self._leaves = True
        self._say({"do": "leave"})
        await self._until(lambda: not self.runs, grace)
        for key, run in list(self.runs.items()):
            logger.warning("task %s is given back: it did not end within %g s", run.task.name, grace)
            self._report(key, run.given_back())
            run.interrupt(TaskCancelled)
        await self._until(lambda: not self.reports, GRACE)
        self.thread.end()

    async def _until(self, condition: Any, limit: float) -> None:
        deadline = self.loop.time() + limit
        while not condition():
            self._changed.clear()
            left = deadline - self.loop.time()
            if left <= 0:
                return
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except (TimeoutError, asyncio.TimeoutError):
                return
