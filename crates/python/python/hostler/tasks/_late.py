"""Enqueues that an event loop must not wait for: a thread sees to them, many at a time over one connection."""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hostler.tasks._errors import QueueFull
from hostler.tasks._frames import encode

if TYPE_CHECKING:
    from hostler.tasks._embedded import Connection, EmbeddedEngine

#: How many may wait to be accepted. A keeper that stands still must not fill the memory.
_MOST = 10_000
#: How many are asked before an answer is read.
_AT_ONCE = 500

logger = logging.getLogger("hostler.tasks")


@dataclass
class Enqueue:
    """A task that is to be accepted."""

    message: dict[str, Any]
    arguments: bytes
    #: Where it was asked already, and what of that has not been sent.
    begun: tuple[Connection, memoryview] | None = None

    def frame(self, n: int) -> bytes:
        return encode({"do": "enqueue", "n": n, "task": self.message}, self.arguments)


class Late:
    """A thread that ends when there is nothing to do."""

    def __init__(self, engine: EmbeddedEngine) -> None:
        self._engine = engine
        self._changed = threading.Condition()
        self._work: deque[Enqueue] = deque()
        self._runs = False

    @property
    def is_busy(self) -> bool:
        """Whether there are some that came before."""
        return self._runs

    def add(self, enqueue: Enqueue) -> None:
        """Raises QueueFull if too many wait."""
        with self._changed:
            if len(self._work) >= _MOST:
                raise QueueFull(f"the task queue {self._engine.place.file} does not answer, and {_MOST} tasks wait to be accepted by it")
            self._work.append(enqueue)
            if self._runs:
                return
            self._runs = True
        threading.Thread(target=self._run, name="hostler-tasks", daemon=True).start()

    def flush(self, timeout: float) -> None:
        """Waits until all are accepted."""
        with self._changed:
            self._changed.wait_for(lambda: not self._runs, timeout)

    def _take(self) -> list[Enqueue]:
        """The next ones; none ends the thread."""
        with self._changed:
            taken = [self._work.popleft() for _ in range(min(len(self._work), _AT_ONCE))]
            if not taken:
                self._runs = False
                self._changed.notify_all()
            return taken

    def _run(self) -> None:
        while taken := self._take():
            asked = {n: enqueue for n, enqueue in enumerate(taken) if not self._finish(enqueue)}
            if not asked:
                continue
            try:
                self._engine.ask_many(asked, _tell)
            except Exception as error:
                for enqueue in asked.values():
                    _failed(enqueue, str(error))

    def _finish(self, enqueue: Enqueue) -> bool:
        """Whether it was answered where it was asked first. Asked again elsewhere, one whose result is not kept could run twice."""
        if enqueue.begun is None:
            return False
        connection, rest = enqueue.begun
        enqueue.begun = None
        try:
            connection.socket.settimeout(None)
            connection.socket.sendall(rest)
            answer, _ = connection.answer(None)
        except OSError:
            connection.socket.close()
            return False
        self._engine.give_back(connection)
        _tell(enqueue, answer)
        return True


def _tell(enqueue: Enqueue, answer: dict[str, Any]) -> None:
    if answer["is"] == "refused":
        _failed(enqueue, str(answer["text"]))


def _failed(enqueue: Enqueue, why: str) -> None:
    id, name = enqueue.message["id"], enqueue.message["name"]
    logger.error("task %s (%s) was not accepted: %s", id, name, why, extra={"task": name, "id": id})
