"""Finding the keeper of a queue, and starting one where no server does."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from hostler import _launch
from hostler.tasks._errors import QueueUnavailable, TaskTimeout

#: How long a keeper may be away: one that was killed is there again in some milliseconds.
LIMIT = 10.0
#: The longest pause before connecting again to a keeper that closes connections, in seconds.
_PAUSE = 0.1
#: The longest path of a Unix socket (unix(7)).
_LONGEST = 107
T = TypeVar("T")

logger = logging.getLogger("hostler.tasks")

#: Keepers that this process has started, so that they are waited for when they end.
_started: list[subprocess.Popen[bytes]] = []


class Place:
    """A queue's file, and where its keeper listens."""

    def __init__(self, path: str) -> None:
        self.file = os.path.realpath(path)
        self.socket = self.file + ".sock"
        self.lock = self.file + ".lock"

    def connect(self) -> socket.socket:
        """Raises QueueUnavailable if there is no keeper, and none can be started."""
        deadline, pause, tried = time.monotonic() + LIMIT, 0.002, False
        while True:
            try:
                return self._connect()
            except (FileNotFoundError, ConnectionRefusedError) as error:
                failure: OSError = error
            except OSError as error:
                if isinstance(error, TaskTimeout):
                    raise
                raise QueueUnavailable(f"cannot connect to the task queue {self.file}: {error}") from error
            if not tried and not _server_keeps():
                tried = True
                self._start()
                continue
            if time.monotonic() > deadline:
                raise QueueUnavailable(f"nobody keeps the task queue {self.file}: {failure}") from failure
            time.sleep(pause)
            pause = min(pause * 2, 0.1)

    def connect_at_once(self) -> socket.socket:
        """Without waiting for anything. Raises an OSError."""
        return self._connect(0.0)

    def _connect(self, timeout: float | None = None) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        try:
            with self._reachable() as path:
                connection.connect(path)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextlib.contextmanager
    def _reachable(self):  # type: ignore[no-untyped-def]
        """A path that the kernel takes: a long one leads through the descriptor of its directory."""
        if len(os.fsencode(self.socket)) <= _LONGEST:
            yield self.socket
            return
        directory = os.open(os.path.dirname(self.socket), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{directory}/{os.path.basename(self.socket)}"
        finally:
            os.close(directory)

    def _start(self) -> None:
        """Starts a keeper that ends when nobody is connected. If another process has become it meanwhile, this one just ends."""
        _started[:] = [process for process in _started if process.poll() is None]
        try:
            command = [_launch.program(), "tasks", "keep", self.file, "--until-idle"]
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, cwd="/"
            )
        except OSError as error:
            raise QueueUnavailable(f"no server keeps the task queue {self.file}, and a keeper cannot be started: {error}") from error
        assert process.stdout is not None and process.stderr is not None
        with process.stdout, process.stderr:
            if process.stdout.read(1):
                _started.append(process)
                if _launch.is_within_server():
                    logger.warning("this server runs no tasks: those in %s wait for one with --task-workers", self.file)
                return
            text = process.stderr.read().decode(errors="replace").strip()
        if process.wait() != 0:
            raise QueueUnavailable(text or f"the keeper of the task queue {self.file} ended with {process.returncode}")


def _server_keeps() -> bool:
    """Whether the server of this worker keeps the queue. Programs that it starts may outlive it, and know this variable, too."""
    return bool(os.environ.get("HOSTLER_TASK_KEEPER")) and _launch.is_within_server()


class Breaks:
    """Connections that break before an answer comes, one after the other: for how long that is borne."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._since: float | None = None
        self._connected = 0.0

    def connected(self) -> None:
        self._connected = time.monotonic()

    def over(self) -> None:
        """An answer has come, or nobody waits for one: the next break is the first."""
        self._since = None

    def pause(self, error: object) -> float:
        """One has broken: how many seconds to wait before connecting again, more each time. Raises QueueUnavailable if they have for too long."""
        now = time.monotonic()
        if self._since is None or now > self._connected + LIMIT:
            self._since = now
        if now > self._since + LIMIT:
            raise QueueUnavailable(f"the task queue {self._place.file} does not answer: {error}")
        return min(now - self._since, _PAUSE)


async def in_a_thread(function: Callable[[], T]) -> T:
    """Calls what blocks in a thread of its own: the loop's executor is the application's, which may fill it or shut it down."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def call() -> None:
        tell: Callable[[], None]
        try:
            result = function()
        except BaseException as error:
            tell = functools.partial(_settle, future, None, error)
        else:
            tell = functools.partial(_settle, future, result, None)
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(tell)

    threading.Thread(target=call, name="hostler-tasks-connect", daemon=True).start()
    return await future


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        if isinstance(result, socket.socket):
            result.close()
    elif error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
