"""A process's way to a Ray cluster: a gateway of its own, a child that has joined the cluster in its place (`_ray_gateway`)."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import threading
from concurrent.futures import Future, InvalidStateError
from typing import Any

from hostler.tasks._errors import QueueUnavailable

#: How long it may take to join a cluster.
JOINS = 60.0
#: The length before each message.
HEAD = struct.Struct("!I")
#: The number of what the gateway says of itself.
ITSELF = 0

#: Gateways that have ended, or are about to: they are waited for, so that no zombies remain.
_ended: list[subprocess.Popen[bytes]] = []


class LinkLost(Exception):
    """The gateway has ended, and with it what was asked."""


class Link:
    """A gateway that has joined. Raises QueueUnavailable if that fails."""

    def __init__(self, address: str) -> None:
        _ended[:] = [process for process in _ended if process.poll() is None]
        self.is_lost = False
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._asked: dict[int, Future[Any]] = {}
        self._number = ITSELF
        self._why = "its gateway has ended"
        ours, theirs = socket.socketpair()
        self._socket = ours
        try:
            with theirs:
                self._process = _start(address, theirs)
            ours.settimeout(JOINS)
            self._await_joined(address)
            ours.settimeout(None)
        except BaseException:
            ours.close()
            raise
        threading.Thread(target=self._read, name="hostler-ray", daemon=True).start()

    def _await_joined(self, address: str) -> None:
        try:
            said = receive(self._socket)
        except TimeoutError:
            self._kill()
            raise QueueUnavailable(f"the Ray cluster {address} could not be joined within {JOINS:g} s") from None
        except OSError as error:
            raise QueueUnavailable(f"the gateway to the Ray cluster {address} has failed: {error}") from error
        if said is None:
            _ended.append(self._process)
            raise QueueUnavailable(f"the gateway to the Ray cluster {address} has ended before it had joined: its errors are in the log")
        if said[1] is not None:
            _ended.append(self._process)
            raise QueueUnavailable(said[1])

    def ask(self, method: str, *args: Any) -> Future[Any]:
        """What a method of the keeper answers, or LinkLost."""
        future: Future[Any] = Future()
        with self._lock:
            self._number += 1
            number = self._number
            self._asked[number] = future
            try:
                if self.is_lost:
                    raise OSError
                send(self._socket, (number, method, args))
            except OSError:
                self._asked.pop(number, None)
                future.set_exception(LinkLost(self._why))
        return future

    def close(self) -> None:
        """Ends the gateway: what it was asked is lost."""
        self.is_lost = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._kill()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
        _ended.append(self._process)

    def _read(self) -> None:
        try:
            while (said := receive(self._socket)) is not None:
                number, failure, answer = said
                if number == ITSELF:
                    self._why = failure
                    continue
                future = self._asked.pop(number, None)
                if future is None:
                    continue
                # Who has asked may have gone.
                with contextlib.suppress(InvalidStateError):
                    if failure is None:
                        future.set_result(answer)
                    else:
                        future.set_exception(QueueUnavailable(failure))
        except (OSError, EOFError, pickle.UnpicklingError):
            pass
        with self._lock:
            self.is_lost = True
            lost, self._asked = self._asked, {}
        self._socket.close()
        _ended.append(self._process)
        for future in lost.values():
            with contextlib.suppress(InvalidStateError):
                future.set_exception(LinkLost(self._why))


def _start(address: str, theirs: socket.socket) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "hostler.tasks._ray_gateway", address, str(theirs.fileno())]
    # Ends with its socket: a session of its own, so that no Ctrl-C ends it before the process that it is for.
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    except OSError as error:
        raise QueueUnavailable(f"a gateway to the Ray cluster {address} cannot be started: {error}") from error


def send(connection: socket.socket, message: Any) -> None:
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    connection.sendall(HEAD.pack(len(data)) + data)


def receive(connection: socket.socket) -> Any:
    """The next message; None at the end."""
    head = _exactly(connection, HEAD.size)
    if head is None:
        return None
    data = _exactly(connection, HEAD.unpack(head)[0])
    return None if data is None else pickle.loads(data)


def _exactly(connection: socket.socket, length: int) -> bytes | None:
    parts = []
    while length:
        part = connection.recv(min(length, 1 << 20))
        if not part:
            return None
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
