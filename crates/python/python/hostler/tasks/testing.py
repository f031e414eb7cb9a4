"""Tasks in tests: they run at once in the process that enqueues them, or when the test says so. No server, no file.

    from hostler.tasks import testing

    def test_thumbnail():
        with testing.at_once():
            assert thumbnail.delay("cat.png", width=200).get() == "cat-200.png"

    def test_signup_sends_mail(client):
        with testing.held() as queue:
            client.post("/signup", json={"mail": "ann@example.org"})
            assert [waiting.name for waiting in queue.waiting] == ["mails.welcome"]
            queue.run()

Arguments and results are written and read as they are in a queue, errors are tried again as often as the task says (without the
pauses), and handles tell what they tell of a real one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any

from hostler.tasks import _coding, _settings
from hostler.tasks._errors import NoSuchTask, TaskTimeout
from hostler.tasks._run import Exit, Run
from hostler.tasks._task import Task

__all__ = ["Queue", "Waiting", "at_once", "held"]


#: A result, or what was raised.
Outcome = tuple[Any, BaseException | None]


@dataclass
class Waiting:
    """A task that was enqueued."""

    id: str
    name: str
    queue: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    #: Not before this time, in seconds since 1970.
    due: float | None
    key: str | None
    priority: int


@dataclass
class _Kept:
    task: Task[..., Any]
    message: dict[str, Any]
    arguments: bytes
    order: int
    enqueued: int = field(default_factory=lambda: _now())
    state: str = "ready"
    attempts: int = 0
    started: int | None = None
    finished: int | None = None
    progress: tuple[float, str] | None = None
    error: str | None = None
    result: bytes = b""

    @property
    def waits(self) -> bool:
        return self.state in ("ready", "scheduled")


class Queue:
    """What was enqueued in a test, in memory."""

    def __init__(self, *, at_once: bool, raise_errors: bool) -> None:
        self._at_once = at_once
        self._raises = raise_errors
        self._kept: dict[str, _Kept] = {}

    @property
    def waiting(self) -> list[Waiting]:
        """What has not run, in the order in which it will."""
        return [_waiting(kept) for kept in self._in_order()]

    def run(self, *, count: int | None = None) -> int:
        """Runs what waits and what that enqueues (at most `count` tasks), whenever it is due; how many have run."""
        ran = 0
        while (count is None or ran < count) and (order := self._in_order()):
            self._run(order[0])
            ran += 1
        return ran

    async def run_async(self, *, count: int | None = None) -> int:
        """As `run`, with asynchronous tasks on the loop of the test."""
        ran = 0
        while (count is None or ran < count) and (order := self._in_order()):
            await self._run_async(order[0])
            ran += 1
        return ran

    def _in_order(self) -> list[_Kept]:
        waiting = (kept for kept in self._kept.values() if kept.waits)
        return sorted(waiting, key=lambda kept: (kept.message.get("due") or 0, -kept.message["priority"], kept.order))

    # What tasks and handles ask of an engine.

    def declare(self, task: Task[..., Any], schedule: dict[str, Any] | None) -> None:
        """Tests have all tasks."""

    def enqueue(self, task: Any, message: dict[str, Any], arguments: bytes) -> str:
        id, kept = self._keep(task, message, arguments)
        if kept is not None and self._at_once:
            self._run(kept)
        return id

    async def enqueue_async(self, task: Any, message: dict[str, Any], arguments: bytes) -> str:
        id, kept = self._keep(task, message, arguments)
        if kept is not None and self._at_once:
            await self._run_async(kept)
        return id

    def result(self, id: str, *, wait: bool, timeout: float | None) -> tuple[dict[str, Any], bytes]:
        kept = self._find(id)
        if wait and kept.waits:
            raise TimeoutError(f"task {id} ({kept.task.name}) has not run: this test holds it, and queue.run() runs it")
        return _shown(kept), kept.result

    async def result_async(self, id: str, *, wait: bool) -> tuple[dict[str, Any], bytes]:
        return self.result(id, wait=wait, timeout=None)

    def cancel(self, id: str) -> str:
        kept = self._find(id)
        if kept.waits:
            kept.state, kept.finished = "cancelled", _now()
        return kept.state

    async def cancel_async(self, id: str) -> str:
        return self.cancel(id)

    # How.

    def _find(self, id: str) -> _Kept:
        try:
            return self._kept[id]
        except KeyError:
            raise NoSuchTask(f"there is no task {id} in this test") from None

    def _keep(self, task: Task[..., Any], message: dict[str, Any], arguments: bytes) -> tuple[str, _Kept | None]:
        key = message.get("key")
        if key is not None:
            for id, kept in self._kept.items():
                if kept.task.name == task.name and kept.message.get("key") == key and (kept.waits or kept.state == "running"):
                    return id, None
        kept = _Kept(task, message, arguments, len(self._kept))
        if message.get("due") is not None:
            kept.state = "scheduled"
        self._kept[message["id"]] = kept
        return message["id"], kept

    def _run(self, kept: _Kept) -> None:
        while kept.waits and not _expired(kept):
            run = _begin(kept)
            self._ended(kept, run, _called(run, _in_a_loop))

    async def _run_async(self, kept: _Kept) -> None:
        while kept.waits and not _expired(kept):
            run = _begin(kept)
            outcome = await _awaited(run) if run.task.is_asynchronous else _called(run, _in_a_loop)
            self._ended(kept, run, outcome)

    def _ended(self, kept: _Kept, run: Run, outcome: Outcome) -> None:
        result, error = outcome
        message, body = run.succeeded(result) if error is None else run.failed(error)
        if message["do"] == "done":
            kept.state, kept.result = "succeeded", body
        elif message["do"] == "cancelled":
            kept.state = "cancelled"
        else:
            kept.error = message["error"]
            kept.state = "ready" if message["again"] and kept.attempts <= kept.message["options"]["retries"] else "failed"
        if kept.waits:
            return
        kept.finished = _now()
        if error is not None and self._raises:
            raise error


class _Progress:
    def __init__(self, kept: _Kept) -> None:
        self._kept = kept

    def __call__(self, fraction: float, text: str) -> None:
        self._kept.progress = fraction, text


@contextlib.contextmanager
def at_once(*, raise_errors: bool = False) -> Iterator[Queue]:
    """Tasks run within `delay` and `enqueue`, whatever their countdown. Errors are those of handles, as in a queue; with
    `raise_errors` the last one is raised where the task was enqueued.
    """
    with _use(Queue(at_once=True, raise_errors=raise_errors)) as queue:
        yield queue


@contextlib.contextmanager
def held(*, raise_errors: bool = False) -> Iterator[Queue]:
    """Tasks wait until the test runs them by `queue.run()`. With `raise_errors` that raises the last error of a task."""
    with _use(Queue(at_once=False, raise_errors=raise_errors)) as queue:
        yield queue


@contextlib.contextmanager
def _use(queue: Queue) -> Iterator[Queue]:
    before = _settings.use(queue)
    try:
        yield queue
    finally:
        _settings.use(before)


def _expired(kept: _Kept) -> bool:
    """Whether it is too late for it; then it has finished."""
    expires = kept.message.get("expires")
    if expires is None or _now() < expires:
        return False
    kept.state, kept.finished = "expired", _now()
    return True


def _begin(kept: _Kept) -> Run:
    kept.attempts += 1
    kept.state, kept.started, kept.progress = "running", _now(), None
    return Run(kept.task, {**kept.message, "name": kept.task.name, "attempt": kept.attempts}, kept.arguments, _Progress(kept))


def _called(run: Run, asynchronous: Callable[[Run], Outcome]) -> Outcome:
    if run.task.is_asynchronous:
        return asynchronous(run)
    # As in a worker, where no loop runs in the thread of such a task.
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        return copy_context().run(run.call), None
    except (Exception, SystemExit) as error:
        return None, error
    finally:
        asyncio._set_running_loop(loop)


def _in_a_loop(run: Run) -> Outcome:
    """In one of its own: in a thread, if one runs here."""
    if asyncio._get_running_loop() is None:
        return asyncio.run(_awaited(run))
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(copy_context().run, asyncio.run, _awaited(run)).result()


async def _awaited(run: Run) -> Outcome:
    try:
        result = await asyncio.wait_for(copy_context().run(asyncio.ensure_future, run.awaited()), run.timeout)
        return (None, result.error) if isinstance(result, Exit) else (result, None)
    except (TimeoutError, asyncio.TimeoutError) as error:
        limit = run.timeout
        return None, error if limit is None else TaskTimeout(f"the task did not end within {limit:g} s")
    except (Exception, asyncio.CancelledError) as error:
        return None, error


def _now() -> int:
    return round(time.time() * 1000)


def _waiting(kept: _Kept) -> Waiting:
    message = kept.message
    args, kwargs = _coding.read_arguments(kept.arguments, kept.task.serializer)
    due = message.get("due")
    seconds = None if due is None else due / 1000
    return Waiting(message["id"], kept.task.name, message["queue"], tuple(args), kwargs, seconds, message.get("key"), message["priority"])


def _shown(kept: _Kept) -> dict[str, Any]:
    return {
        "id": kept.message["id"],
        "name": kept.task.name,
        "queue": kept.message["queue"],
        "state": kept.state,
        "attempts": kept.attempts,
        "enqueued": kept.enqueued,
        "started": kept.started,
        "finished": kept.finished,
        "progress": kept.progress,
        "error": kept.error,
        "coding": kept.task.serializer,
    }
