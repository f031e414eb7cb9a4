"""The engine that needs nothing but a file: a client of its keeper, for threads and for event loops."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import socket
import threading
import time
import uuid
import weakref
from collections import deque
from typing import Any

from hostler.tasks._asynchronous import AsyncConnection
from hostler.tasks._connect import LIMIT, Place
from hostler.tasks._errors import NoSuchTask, QueueFull, QueueUnavailable
from hostler.tasks._frames import Frame, Frames, encode

#: How long `delay` may hold an event loop up; what takes longer goes on in a thread.
_BRIEFLY = 0.001
#: Connections that are kept for the next question.
_MOST_KEPT = 8

_engines: weakref.WeakSet[EmbeddedEngine] = weakref.WeakSet()


class _Connection:
    """A connection on which one question is asked at a time."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._frames = Frames()
        self._answers: deque[Frame] = deque()

    def ask(self, frame: bytes, timeout: float | None) -> tuple[dict[str, Any], bytes]:
        self.socket.settimeout(None)
        self.socket.sendall(frame)
        return self.answer(timeout)

    def answer(self, timeout: float | None) -> tuple[dict[str, Any], bytes]:
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._answers:
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                self.socket.settimeout(left)
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionResetError("the keeper has closed the connection")
            self._answers += self._frames.feed(data)
        return self._answers.popleft()


class EmbeddedEngine:
    """Tasks in a file."""

    def __init__(self, path: str) -> None:
        self.place = Place(path)
        self._forget()
        _engines.add(self)

    def _forget(self) -> None:
        """A forked process has connections of its own."""
        self._kept: deque[_Connection] = deque()
        self._pid = os.getpid()
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncConnection] = weakref.WeakKeyDictionary()
        self._late = _Late()

    # What tasks and handles ask (`_engine.Engine`).

    def declare(self, task: Any, schedule: dict[str, Any] | None) -> None:
        """It can do all that there is."""

    def serve(self, worker: Any, loop: Any, engine: Any, shutdown: Any, run: Any) -> tuple[str, str, str] | None:
        from hostler.tasks import _serve

        return _serve.serve(self.place.file, worker, loop, engine, shutdown, run)

    def enqueue(self, task: Any, message: dict[str, Any], arguments: bytes) -> str:
        frame = encode({"do": "enqueue", "n": 0, "task": message}, arguments)
        if asyncio._get_running_loop() is not None:
            return self._enqueue_briefly(task.name, message["id"], frame)
        return str(accepted(self._ask(frame)[0])["id"])

    async def enqueue_async(self, task: Any, message: dict[str, Any], arguments: bytes) -> str:
        answer, _ = await self._asynchronous().ask({"do": "enqueue", "task": message}, arguments)
        return str(accepted(answer)["id"])

    def result(self, id: str, *, wait: bool, timeout: float | None) -> tuple[dict[str, Any], bytes]:
        frame = encode({"do": "result", "n": 0, "id": checked(id), "wait": wait})
        try:
            answer, body = self._ask(frame, timeout)
        except TimeoutError:
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

    def _ask(self, frame: bytes, timeout: float | None = None) -> tuple[dict[str, Any], bytes]:
        """Asks, again on another connection if one breaks: every question may be asked twice."""
        deadline = time.monotonic() + LIMIT
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            connection = self._borrow()
            try:
                answer = connection.ask(frame, None if until is None else max(until - time.monotonic(), 0.0))
            except TimeoutError:
                # The keeper forgets who is gone.
                connection.socket.close()
                raise
            except OSError as error:
                connection.socket.close()
                if time.monotonic() > deadline and until is None:
                    raise QueueUnavailable(f"the task queue {self.place.file} does not answer: {error}") from error
                continue
            except BaseException:
                connection.socket.close()
                raise
            self._give_back(connection)
            return answer

    def _borrow(self) -> _Connection:
        self._check_process()
        try:
            return self._kept.pop()
        except IndexError:
            return _Connection(self.place.connect())

    def _give_back(self, connection: _Connection) -> None:
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
            connection = self._loops[loop] = AsyncConnection(self.place)
        return connection

    def _enqueue_briefly(self, name: str, id: str, frame: bytes) -> str:
        """In an event loop that must not be held up: what is not accepted at once is seen to by a thread."""
        self._check_process()
        connection = None
        try:
            connection = self._kept.pop() if self._kept else _Connection(self.place._connect())
            answer, _ = connection.ask(frame, _BRIEFLY)
        except OSError:
            if connection is not None:
                connection.socket.close()
            self._late.add(lambda: self._enqueue_late(name, id, frame))
            return id
        self._give_back(connection)
        return str(accepted(answer)["id"])

    def _enqueue_late(self, name: str, id: str, frame: bytes) -> None:
        try:
            accepted(self._ask(frame)[0])
        except Exception as error:
            logging.getLogger("hostler.tasks").error("task %s (%s) was not accepted: %s", id, name, error)

    def flush(self, timeout: float) -> None:
        """Waits until what `delay` has left to a thread is accepted."""
        if self._pid == os.getpid():
            self._late.flush(timeout)


class _Late:
    """A thread that does what an event loop must not wait for; it ends when there is nothing to do."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._work: deque[Any] = deque()
        self._runs = False

    def add(self, work: Any) -> None:
        with self._changed:
            self._work.append(work)
            if self._runs:
                return
            self._runs = True
        threading.Thread(target=self._run, name="hostler-tasks", daemon=True).start()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._work:
                    self._runs = False
                    self._changed.notify_all()
                    return
                work = self._work.popleft()
            work()

    def flush(self, timeout: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._runs, timeout)


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
