"""A task worker: takes tasks from the keeper, runs them, and reports. Runs on an event loop."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import random
import socket
import struct
import time
from collections import deque
from typing import Any

from hostler.tasks import _forked, _task
from hostler.tasks._ahead import Ahead
from hostler.tasks._connect import Place, in_a_thread
from hostler.tasks._errors import GRACE, TaskCancelled, TaskTimeout, outlived
from hostler.tasks._frames import Frames, encode
from hostler.tasks._run import Report, Run, Thread, run_asynchronous

#: The pause before connecting again.
_PAUSE = 0.2
#: `struct flock` (fcntl(2)): kind, from where, start, length, process.
_FLOCK = struct.Struct("hhqqi0q")
#: How long what was taken ahead waits for one task, in seconds: then others may begin it.
_PATIENCE = 0.02

#: At a stop, tasks that were told to end have this part of the grace for it.
_LAST = 10

logger = logging.getLogger("hostler.tasks")


class Worker(asyncio.Protocol):
    """Runs `slots` tasks at once; synchronous ones one after the other."""

    def __init__(self, file: str, *, source: str, queues: list[str] | None = None, slots: int = 1, timeout: float = 0) -> None:
        self.place = Place(file)
        self.source = source
        self.queues = queues or []
        self.slots = slots
        #: How long tasks may take that set no timeout, in seconds; 0 is for ever.
        self.timeout = timeout
        self.loop = asyncio.get_running_loop()
        self.thread = Thread(self.loop, self._ended)
        #: What was given to this worker, and is not reported.
        self.runs: dict[tuple[str, int], Run] = {}
        #: What is not known to have arrived.
        self.reports: dict[tuple[str, int], Report] = {}
        #: The server's supervision, if there is one: told when a task begins and ends.
        self.supervised: Any = None
        #: A task did not end: the process has to.
        self.stuck: asyncio.Future[Run] = self.loop.create_future()
        #: How many tasks may begin here, if there is a limit.
        self._left: int | None = None
        self._takes = False
        self._leaves = False
        self._ahead = Ahead()
        #: What has no place yet, in this order; what runs on the loop; how many the thread has.
        self._pending: deque[Run] = deque()
        self._on_loop: set[Run] = set()
        self._in_thread = 0
        self._finished = 0
        self._watches = False
        self._changed = asyncio.Event()
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        #: The connection's.
        self._descriptor = -1
        self._tasks: set[asyncio.Task[None]] = set()
        self._connecting: asyncio.Task[None] | None = None
        self.owner = 0
        self._lock = self._own()

    def _own(self) -> int:
        """A lock that tells the keeper that this process lives (fcntl(2)): it ends with its descriptor, which is never closed, and which
        processes that are forked do not keep. It is of the kind that bears that a task opens and closes the file, as a backup does.
        """
        descriptor = os.open(self.place.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _forked.keep(descriptor)
        while True:
            self.owner = self.owner or random.SystemRandom().randrange(1, 1 << 60)
            try:
                fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, self.owner, 1, 0))
            except BlockingIOError:
                self.owner = 0
                continue
            return descriptor

    async def start(self) -> None:
        """Connects. Raises QueueUnavailable."""
        await self._connect()

    def take(self) -> None:
        """Takes tasks from now on."""
        if self.supervised is not None:
            self.thread.supervised = self.supervised
            self._left = self.supervised.most()
        self._takes = True
        self._ready()

    # The keeper.

    def _reach(self) -> socket.socket:
        """A connection. If the lock's file was removed, the keeper has another one, where the lock is taken again."""
        connection = self.place.connect()
        try:
            ours, there = os.fstat(self._lock), os.stat(self.place.lock)
        except FileNotFoundError:
            self._lock = self._own()
        else:
            if (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino):
                self._lock = self._own()
        return connection

    async def _connect(self) -> None:
        connection = await in_a_thread(self._reach)
        connection.setblocking(False)
        self._frames = Frames()
        self._descriptor = connection.fileno()
        _forked.keep(self._descriptor)
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
        running = [list(key) for key in (*self.reports, *self.runs)]
        self._say({"do": "work", "owner": self.owner, "queues": self.queues, "names": list(_task.registry), "running": running, "pid": os.getpid(), "timeout": round(self.timeout * 1000)})
        # Also when there are none: what an earlier version had is removed.
        self._say({"do": "crons", "n": 1, "source": self.source, "entries": list(_task.schedules.values())})
        for message, body in self.reports.values():
            self._say(message, body)
        self._ready()

    def data_received(self, data: bytes) -> None:
        for frame in self._frames.feed(data):
            self._heard(*frame)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        _forked.leave(self._descriptor)
        self._transport = None
        if not self.loop.is_closed():
            self._connecting = self.loop.create_task(self._connect_again())

    def _say(self, message: dict[str, Any], body: bytes = b"") -> None:
        if self._transport is not None:
            self._transport.write(encode(message, body))

    def _ready(self) -> None:
        if self._takes and not self._leaves and self._left != 0:
            self._say({"do": "ready", "slots": self.slots, "ahead": self._ahead.count})

    def _heard(self, message: dict[str, Any], body: bytes) -> None:
        kind = message["is"]
        if kind == "task":
            self._given(message, body)
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

    # Tasks.

    def _given(self, message: dict[str, Any], arguments: bytes) -> None:
        id, attempt = message["id"], message["attempt"]
        run = Run(_task.registry[message["name"]], message, arguments, lambda *progress: self._progress(id, *progress))
        run.timeout = run.timeout or self.timeout or None
        self.runs[id, attempt] = run
        self._pending.append(run)
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                self._give_back(run)
                return
            if self._left == 0:
                self._say({"do": "leave"})
        if run.timeout is not None:
            run.timer = self.loop.call_later(run.timeout, self._check_time, run)
        if len(self.runs) > self.slots and not self._watches:
            self._watches = True
            self.loop.call_later(_PATIENCE, self._check_waiting, self._finished)

    def _begin(self) -> None:
        """Begins what there is a place for, in order."""
        while self._pending:
            run = self._pending[0]
            if len(self._on_loop) + bool(self._in_thread and run.task.is_asynchronous) >= self.slots:
                return
            self._pending.popleft()
            if run.task.is_asynchronous:
                self._on_loop.add(run)
                task = self.loop.create_task(self._run(run))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                self._in_thread += 1
                self.thread.add(run)

    async def _run(self, run: Run) -> None:
        entry = self.supervised.began(run.task.name, run.limit) if self.supervised is not None else None
        try:
            report = await run_asynchronous(run)
        finally:
            if self.supervised is not None:
                self.supervised.ended(entry)
            self._on_loop.discard(run)
        self._told([(run, report)])

    def _ended(self, ended: list[tuple[Run, Report]]) -> None:
        """The thread's."""
        self._in_thread -= len(ended)
        self._told(ended)

    def _told(self, ended: list[tuple[Run, Report]]) -> None:
        self._finished += len(ended)
        if self.supervised is not None:
            self.supervised.served(len(ended))
        changed = False
        for run, _ in ended:
            changed |= self._ahead.learn(run.seconds)
        self._report(ended)
        if changed:
            self._ready()
        self._begin()

    def _report(self, ended: list[tuple[Run, Report]]) -> None:
        frames = []
        for run, report in ended:
            if self.runs.pop((run.id, run.attempt), None) is None:
                continue
            if run.timer is not None:
                run.timer.cancel()
            self.reports[run.id, run.attempt] = report
            frames.append(encode(*report))
        if self._transport is not None and frames:
            self._transport.write(b"".join(frames))
        self._changed.set()

    def _withdraw(self, run: Run) -> bool:
        """Whether it had not begun; then it never does."""
        if run in self._pending:
            self._pending.remove(run)
            return True
        if not run.task.is_asynchronous and self.thread.drop(run):
            self._in_thread -= 1
            return True
        return False

    def _give_back(self, run: Run) -> None:
        if not self._withdraw(run):
            return
        self._report([(run, run.given_back())])
        if self._left is not None:
            self._left += 1
            if self._left == 1:
                self._ready()

    def _end(self, id: str, error: type[BaseException]) -> None:
        for run in [run for run in self.runs.values() if run.id == id]:
            run.context.is_cancelled = True
            if self._withdraw(run):
                self._report([(run, run.failed(error()))])
            else:
                run.interrupt(error)

    def _check_waiting(self, finished: int) -> None:
        """What was taken ahead waits: for others that end soon, or for one that does not."""
        surplus = list(self.runs.values())[self.slots :]
        self._watches = bool(surplus)
        if not surplus:
            return
        if finished == self._finished:
            if self._ahead.none():
                self._ready()
            for run in reversed(surplus):
                self._give_back(run)
        self.loop.call_later(_PATIENCE, self._check_waiting, self._finished)

    def _check_time(self, run: Run) -> None:
        assert run.timeout is not None
        left = run.timeout if run.began is None else run.began + run.timeout - time.monotonic()
        if left > 0:
            run.timer = self.loop.call_later(left, self._check_time, run)
        else:
            run.interrupt(TaskTimeout)
            run.timer = self.loop.call_later(GRACE, self._overdue, run)

    def _overdue(self, run: Run) -> None:
        """It bears being interrupted: it is reported, and the process is to end."""
        self._report([(run, run.failed(outlived()))])
        if not self.stuck.done():
            self.stuck.set_result(run)

    def _progress(self, id: str, fraction: float, text: str) -> None:
        message = {"do": "progress", "id": id, "fraction": fraction, "text": text}
        if asyncio._get_running_loop() is self.loop:
            self._say(message)
        else:
            self.loop.call_soon_threadsafe(self._say, message)

    def _take_no_more(self) -> None:
        """Gives back what has not begun."""
        self._leaves = True
        self._say({"do": "leave"})
        for run in list(self.runs.values()):
            self._give_back(run)

    async def finish(self) -> None:
        """Takes nothing new, and returns when what runs has ended, however long that takes."""
        self._take_no_more()
        while self.runs:
            self._changed.clear()
            await self._changed.wait()

    async def drain(self, grace: float) -> None:
        """Takes nothing new, waits so many seconds for what runs, and gives back what does not end."""
        self._take_no_more()
        await self._until(lambda: not self.runs, grace)
        for run in list(self.runs.values()):
            logger.warning("task %s is given back: it did not end within %g s", run.task.name, grace)
            run.is_given_back = True
            run.interrupt(TaskCancelled)
        # Another worker begins it when it is given back: it has a moment to end before.
        await self._until(lambda: not self.runs, grace / _LAST)
        self._report([(run, run.given_back()) for run in self.runs.values()])
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
