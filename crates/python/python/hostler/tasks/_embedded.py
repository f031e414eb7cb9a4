"""The engine that needs nothing but a file: a client of its keeper, for threads and for event loops."""

from __future__ import annotations

import asyncio
import atexit
import os
import socket
import time
import uuid
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from hostler.tasks._asynchronous import AsyncConnection
from hostler.tasks._connect import LIMIT, Breaks, Place
from hostler.tasks._context import runs_task
from hostler.tasks._errors import NoSuchTask, QueueFull, QueueUnavailable, TaskTimeout
from hostler.tasks._frames import Frame, Frames, encode
from hostler.tasks._late import Enqueue, Late

#: How long `delay` may hold an event loop up; what takes longer goes on in a thread.
_BRIEFLY = 0.001
#: How long the keeper may take to answer what it can answer at once. A disk may be slow.
_PATIENCE = 30.0
#: How long a task that waits for an answer hears no interruption: its timeout, or that it is cancelled.
_SLICE = 0.2
#: Connections that are kept for the next question.
_MOST_KEPT = 8

_engines: weakref.WeakSet[EmbeddedEngine] = weakref.WeakSet()


class Connection:
    """A connection on which one question is asked at a time."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._frames = Frames()
        self._answers: deque[Frame] = deque()

    def ask(self, frame: bytes, timeout: float | None) -> Frame:
        """Raises NoAnswer."""
        self.socket.settimeout(timeout or None)
        try:
            self.socket.sendall(frame)
        except TimeoutError as error:
            if isinstance(error, TaskTimeout):
                raise
            raise NoAnswer from None
        return self.answer(timeout)

    def answer(self, timeout: float | None) -> Frame:
        """Raises NoAnswer."""
        deadline = None if timeout is None else time.monotonic() + timeout
        slice = _SLICE if runs_task() else None
        while not self._answers:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise NoAnswer
            self.socket.settimeout(min((it for it in (left, slice) if it is not None), default=None))
            try:
                data = self.socket.recv(65536)
            except TimeoutError as error:
                if isinstance(error, TaskTimeout):
                    raise
                continue
            if not data:
                raise ConnectionResetError("the keeper has closed the connection")
            self._answers += self._frames.feed(data)
        return self._answers.popleft()


class NoAnswer(Exception):
    """There was no answer in time."""


class EmbeddedEngine:
    """Tasks in a file."""

    def __init__(self, path: str) -> None:
        self.place = Place(path)
        self._forget()
        _engines.add(self)

    def _forget(self) -> None:
        """A forked process has connections of its own."""
        self._kept: deque[Connection] = deque()
        self._pid = os.getpid()
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncConnection] = weakref.WeakKeyDictionary()
        self._late = Late(self)

    # What tasks and handles ask (`_engine.Engine`).

    def declare(self, task: Any, schedule: dict[str, Any] | None) -> None:
        """It can do all that there is."""

    def serve(self, worker: Any, loop: Any, engine: Any, shutdown: Any, run: Any) -> tuple[str, str, str] | None:
        from hostler.tasks import _serve

        return _serve.serve(self.place.file, worker, loop, engine, shutdown, run)

    def enqueue(self, task: Any, message: dict[str, Any], arguments: bytes) -> str:
        if asyncio._get_running_loop() is not None:
            return self._enqueue_briefly(message, arguments)
        return str(accepted(self._ask(Enqueue(message, arguments).frame(0))[0])["id"])

    async def enqueue_async(self, task: Any, message: dict[str, Any], arguments: bytes) -> str:
        answer, _ = await self._asynchronous().ask({"do": "enqueue", "task": message}, arguments)
        return str(accepted(answer)["id"])

    def result(self, id: str, *, wait: bool, timeout: float | None) -> tuple[dict[str, Any], bytes]:
        frame = encode({"do": "result", "n": 0, "id": checked(id), "wait": wait})
        try:
            answer, body = self._ask(frame, timeout, waits=wait)
        except NoAnswer:
            raise TimeoutError(f"task {id} was not finished within {timeout} seconds") from None
        return accepted(answer)["task"], body

    async def result_async(self, id: str, *, wait: bool) -> tuple[dict[str, Any], bytes]:
        answer, body = await self._asynchronous().ask({"do": "result", "id": checked(id), "wait": wait})
        return accepted(answer)["task"], body

    def cancel(self, id: str) -> str:
        return str(accepted(self._ask(encode({"do": "cancel", "n": 0, "id": checked(id)}))[0])["state"])

    async def cancel_async(self, id: str) -> str:
        answer, _ = await self._asynchronous().ask({"do": "cancel", "id": checked(id)})
        return str(accepted(answer)["state"])

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Anything else."""
        return accepted(self._ask(encode({**message, "n": 0}))[0])

    # How.

    def _ask(self, frame: bytes, timeout: float | None = None, *, waits: bool = False) -> Frame:
        """Asks, again on another connection if one breaks: every question may be asked twice. One that does not wait for a task has a limit
        in any case. Raises NoAnswer, QueueUnavailable.
        """
        if timeout is None and not waits:
            try:
                return self._ask(frame, _PATIENCE)
            except NoAnswer:
                text = f"the task queue {self.place.file} does not answer: nothing has come from its keeper for {_PATIENCE:g} s"
                raise QueueUnavailable(f"{text} (a disk that hangs, or a process that is stopped)") from None
        until = None if timeout is None else time.monotonic() + timeout
        breaks = Breaks(self.place)
        while True:
            connection = self._borrow()
            breaks.connected()
            try:
                answer = connection.ask(frame, None if until is None else max(until - time.monotonic(), 0.0))
            except OSError as error:
                connection.socket.close()
                if isinstance(error, TaskTimeout):
                    raise
                time.sleep(breaks.pause(error))
                continue
            except BaseException:
                # The keeper forgets who is gone.
                connection.socket.close()
                raise
            self.give_back(connection)
            return answer

    def ask_many(self, questions: dict[int, Enqueue], told: Callable[[Enqueue, dict[str, Any]], None]) -> None:
        """Asks all of them at once, by their numbers; each goes when it is answered. Raises QueueUnavailable."""
        breaks = Breaks(self.place)
        while questions:
            connection = self._borrow()
            breaks.connected()
            try:
                connection.socket.settimeout(None)
                connection.socket.sendall(b"".join(question.frame(n) for n, question in questions.items()))
                while questions:
                    answer, _ = connection.answer(None)
                    told(questions.pop(answer["n"]), answer)
            except OSError as error:
                connection.socket.close()
                time.sleep(breaks.pause(error))
            else:
                self.give_back(connection)

    def _borrow(self) -> Connection:
        self._check_process()
        try:
            return self._kept.pop()
        except IndexError:
            return Connection(self.place.connect())

    def give_back(self, connection: Connection) -> None:
        if len(self._kept) < _MOST_KEPT and self._pid == os.getpid():
            self._kept.append(connection)
        else:
            connection.socket.close()

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            self._forget()

    def _asynchronous(self) -> AsyncConnection:
        self._check_process()
        loop = asyncio.get_running_loop()
        connection = self._loops.get(loop)
        if connection is None:
            self._leave_closed_loops()
            connection = self._loops[loop] = AsyncConnection(self.place)
        return connection

    def _leave_closed_loops(self) -> None:
        """A connection keeps its loop alive, and nobody else closes it: some programs make a loop for each request."""
        for loop in [loop for loop in self._loops if loop.is_closed()]:
            connection = self._loops.pop(loop, None)
            if connection is not None:
                connection.close()

    def _enqueue_briefly(self, message: dict[str, Any], arguments: bytes) -> str:
        """In an event loop that must not be held up: what is not accepted at once is seen to by a thread."""
        self._check_process()
        id, enqueue = str(message["id"]), Enqueue(message, arguments)
        if self._late.is_busy:
            self._late.add(enqueue)
            return id
        deadline = time.monotonic() + _BRIEFLY
        rest = memoryview(enqueue.frame(0))
        connection = None
        try:
            connection = self._kept.pop() if self._kept else Connection(self.place.connect_at_once())
            while rest:
                connection.socket.settimeout(max(deadline - time.monotonic(), 0.0))
                rest = rest[connection.socket.send(rest) :]
            answer, _ = connection.answer(max(deadline - time.monotonic(), 0.0))
        except (TimeoutError, BlockingIOError, NoAnswer):
            enqueue.begun = None if connection is None else (connection, rest)
        except OSError:
            if connection is not None:
                connection.socket.close()
        else:
            self.give_back(connection)
            return str(accepted(answer)["id"])
        self._late.add(enqueue)
        return id

    def flush(self, timeout: float) -> None:
        """Waits until what `delay` has left to a thread is accepted."""
        if self._pid == os.getpid():
            self._late.flush(timeout)


def accepted(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer, or what was refused as an exception."""
    if answer["is"] != "refused":
        return answer
    text = answer["text"]
    if answer["why"] == "no_such_task":
        raise NoSuchTask(text)
    if answer["why"] in ("full", "too_many"):
        raise QueueFull(f"the task queue has no room: {text}")
    if answer["why"] == "malformed":
        raise ValueError(text)
    raise QueueUnavailable(f"the task queue failed: {text}")


def checked(id: str) -> str:
    """The id, if it is one: the keeper takes nothing else. Anything may come out of a URL."""
    try:
        return str(uuid.UUID(id))
    except (ValueError, AttributeError, TypeError):
        raise NoSuchTask(f"there is no task {id!r}: that is no id of a task") from None


def flush(timeout: float = LIMIT) -> None:
    for engine in list(_engines):
        engine.flush(timeout)


atexit.register(flush)
