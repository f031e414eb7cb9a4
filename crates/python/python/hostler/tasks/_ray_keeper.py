"""The actor of a Ray cluster that has the tasks: it waits for their times, has Ray's workers run them, tries them again, and keeps
their results. It is detached: it outlives the programs that use it, and ends with the cluster. If its process dies, Ray starts it again,
and it goes on with what it has stored.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import ray

from hostler.tasks import _ray_run, _ray_store
from hostler.tasks._cron import Cron
from hostler.tasks._threaded import FINAL

NAME, NAMESPACE = "hostler-tasks", "hostler"
#: After so many deaths of its worker a task is given up.
_DEATHS = 5
#: How many calls it answers at once: each who waits for a result is one.
_CALLS = 100_000
#: How long a failed task is kept at least: 30 days.
_KEEPS_FAILED = 30 * 86400


class Entry:
    """A task."""

    def __init__(self, message: dict[str, Any], arguments: bytes) -> None:
        self.message, self.arguments = message, arguments
        self.options: dict[str, Any] = message["options"]
        self.task: dict[str, Any] = {
            "id": message["id"],
            "name": message["name"],
            "queue": message["queue"],
            "state": "ready",
            "attempts": 0,
            "enqueued": _now(),
            "started": None,
            "finished": None,
            "progress": None,
            "error": None,
            "coding": self.options.get("coding", "json"),
        }
        self.result = b""
        self.due: float = message.get("due", 0)
        self.is_over = asyncio.Event()
        self.reference: Any = None
        self.drives: asyncio.Task[None] | None = None
        self.is_cancelled: bool = message.get("cancelled", False)

    def store(self) -> None:
        _ray_store.put("task/" + self.message["id"], (self.message, self.arguments, self.task, self.result, self.due))

    @classmethod
    def stored(cls, message: dict[str, Any], arguments: bytes, task: dict[str, Any], result: bytes, due: float) -> Entry:
        entry = cls(message, arguments)
        entry.task, entry.result, entry.due = task, result, due
        if task["state"] in FINAL:
            entry.is_over.set()
        return entry

    def seen(self) -> tuple[dict[str, Any], bytes]:
        task = dict(self.task)
        if task["state"] == "ready" and self.due > _now():
            task["state"] = "scheduled"
        return task, self.result


class Keeper:
    """What the actor does; all of it on its event loop."""

    def __init__(self) -> None:
        self._tasks: dict[str, Entry] = {}
        self._keys: dict[tuple[str, str], Entry] = {}
        #: When the next task of a name may be handed to Ray, and when it may start: a worker of Ray may be there late.
        self._turns: dict[str, float] = {}
        self._starts: dict[str, float] = {}
        self._clocks: dict[str, tuple[dict[str, Any], asyncio.Task[None]]] = {}
        self._is_resumed = False
        # A call of its own, for nobody else may call soon.
        ray.get_runtime_context().current_actor.hello.remote()

    def _resume(self) -> None:
        """With the first call, which is on the loop: what a keeper before has stored."""
        if self._is_resumed:
            return
        self._is_resumed = True
        for stored in _ray_store.read("task/"):
            entry = Entry.stored(*stored)
            self._tasks[entry.task["id"]] = entry
            if entry.is_over.is_set():
                self._keep(entry)
            else:
                self._begin(entry)
        for clock in _ray_store.read("clock/"):
            self._clocks[clock["name"]] = clock, asyncio.ensure_future(self._tick(clock))

    async def hello(self) -> str:
        self._resume()
        return "here"

    async def stay(self) -> None:
        """Never answers: who asks learns when the cluster is gone."""
        self._resume()
        await asyncio.Event().wait()

    # What programs ask.

    async def enqueue(self, message: dict[str, Any], arguments: bytes) -> str:
        """The id; that of the task which has its key. Who was not answered asks again."""
        self._resume()
        id: str = message["id"]
        if id in self._tasks:
            return id
        if "key" in message:
            holder = self._keys.get((message["name"], message["key"]))
            if holder is not None and not holder.is_over.is_set():
                return str(holder.task["id"])
        entry = Entry(message, arguments)
        entry.store()
        self._tasks[id] = entry
        self._begin(entry)
        return id

    def _begin(self, entry: Entry) -> None:
        if "key" in entry.message:
            self._keys[entry.message["name"], entry.message["key"]] = entry
        entry.drives = asyncio.ensure_future(self._drive(entry))

    async def result(self, id: str, wait: bool) -> tuple[dict[str, Any], bytes] | None:
        self._resume()
        entry = self._tasks.get(id)
        if entry is not None and wait:
            await entry.is_over.wait()
        return None if entry is None else entry.seen()

    async def cancel(self, id: str) -> str | None:
        self._resume()
        entry = self._tasks.get(id)
        if entry is None:
            return None
        state = entry.task["state"]
        if state in FINAL:
            return str(state)
        entry.is_cancelled = True
        entry.message["cancelled"] = True
        if state == "running":
            entry.store()
            self._interrupt(entry)
            return "running"
        if entry.drives is not None:
            entry.drives.cancel()
        if entry.reference is not None:
            self._interrupt(entry)
        self._end(entry, "cancelled")
        return "cancelled"

    async def schedule(self, site: str, entries: list[dict[str, Any]]) -> None:
        """What the clock enqueues for a site: these, and no others."""
        self._resume()
        told = {entry["name"]: {**entry, "site": site} for entry in entries}
        for name, (known, ticks) in list(self._clocks.items()):
            if known["site"] == site and told.get(name) != known:
                ticks.cancel()
                del self._clocks[name]
                if name not in told:
                    _ray_store.delete("clock/" + name)
        for name, entry in told.items():
            if name in self._clocks and self._clocks[name][0] == entry:
                continue
            if name in self._clocks:
                # Another site had a task of this name: the last one counts.
                self._clocks[name][1].cancel()
            _ray_store.put("clock/" + name, entry)
            self._clocks[name] = entry, asyncio.ensure_future(self._tick(entry))

    # What workers tell.

    async def started(self, id: str, attempt: int) -> bool:
        """Whether the task is to be run."""
        entry = self._tasks.get(id)
        if entry is not None:
            await self._turn(entry, self._starts)
        if entry is None or entry.is_over.is_set() or entry.is_cancelled:
            return False
        entry.task.update(state="running", started=_now(), attempts=attempt)
        return True

    async def overdue(self, id: str, error: str) -> None:
        """It bears its timeout: its worker ends."""
        if (entry := self._tasks.get(id)) is not None and not entry.is_over.is_set():
            entry.task["error"] = error
            self._end(entry, "failed")

    async def progress(self, id: str, fraction: float, text: str) -> None:
        if (entry := self._tasks.get(id)) is not None:
            entry.task["progress"] = fraction, text

    # How.

    async def _drive(self, entry: Entry) -> None:
        """Takes a task to its end."""
        attempt, deaths = entry.message.get("attempt", 1), 0
        if entry.is_cancelled:
            # It ran when the keeper before died: Ray ends what nobody owns.
            return self._end(entry, "cancelled")
        entry.task["state"] = "ready"
        while True:
            await asyncio.sleep(max(entry.due - _now(), 0) / 1000)
            expires = entry.message.get("expires")
            if expires is not None and expires <= _now():
                self._end(entry, "expired")
                return
            await self._turn(entry, self._turns)
            outcome = await self._run(entry, attempt)
            if entry.is_over.is_set():
                return
            if outcome is None:
                deaths += 1
                if deaths < _DEATHS:
                    entry.task["state"] = "ready"
                    continue
                outcome = {"is": "failed", "again": False, "error": _ray_run.died(deaths)}
            kind = outcome["is"]
            if kind == "cancelled" or (entry.is_cancelled and kind != "done"):
                return self._end(entry, "cancelled")
            if kind == "done":
                entry.result = outcome["result"]
                return self._end(entry, "succeeded")
            entry.task["error"] = outcome["error"]
            if not outcome["again"] or attempt > entry.options["retries"]:
                return self._end(entry, "failed")
            after = outcome.get("after")
            entry.due = _now() + (_backoff(entry.options["backoff"], attempt) if after is None else after)
            entry.task["state"] = "ready"
            attempt += 1
            entry.message["attempt"] = attempt
            entry.store()

    async def _turn(self, entry: Entry, turns: dict[str, float]) -> None:
        """Waits until it may start, after the others of its name."""
        rate = entry.options.get("rate")
        if rate is not None:
            name, now = entry.task["name"], _now()
            turn = max(now, turns.get(name, 0.0))
            turns[name] = turn + rate["period"] / rate["count"]
            await asyncio.sleep((turn - now) / 1000)

    async def _run(self, entry: Entry, attempt: int) -> dict[str, Any] | None:
        """What the task has come to; None if its worker died."""
        # Workers that have loaded another version of the code are others.
        code = {"env_vars": {"HOSTLER_TASK_CODE": entry.message["code"]}}
        entry.reference = _ray_run.remote.options(runtime_env=code, name=entry.task["name"]).remote(entry.message, entry.arguments, attempt)
        try:
            outcome: dict[str, Any] = await entry.reference
            return outcome
        except ray.exceptions.TaskCancelledError:
            return {"is": "cancelled"}
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.RayActorError, ray.exceptions.NodeDiedError):
            return None
        except ray.exceptions.RayError as error:
            return {"is": "failed", "again": False, "error": _ray_run.described(error)}
        finally:
            entry.reference = None

    def _interrupt(self, entry: Entry) -> None:
        reference = entry.reference
        if reference is None:
            return
        ray.cancel(reference, force=False)
        # What bears that ends with its process.
        asyncio.get_running_loop().call_later(_ray_run.GRACE, lambda: entry.is_over.is_set() or ray.cancel(reference, force=True))

    def _end(self, entry: Entry, state: str) -> None:
        entry.task.update(state=state, finished=_now())
        entry.arguments = b""
        entry.is_over.set()
        key = entry.message["name"], entry.message.get("key", "")
        if self._keys.get(key) is entry:
            del self._keys[key]
        entry.store()
        self._keep(entry)

    def _keep(self, entry: Entry) -> None:
        keep = entry.options["keep"] / 1000
        if entry.task["state"] == "failed":
            keep = max(keep, _KEEPS_FAILED)
        left = entry.task["finished"] / 1000 + keep - time.time()
        asyncio.get_running_loop().call_later(max(left, 0), self._drop, entry.task["id"])

    def _drop(self, id: str) -> None:
        self._tasks.pop(id, None)
        _ray_store.delete("task/" + id)

    async def _tick(self, entry: dict[str, Any]) -> None:
        from hostler.tasks._task import new_id

        cron, last = Cron(entry["expression"], entry["zone"]), time.time()
        while (tick := cron.after(last)) is not None:
            while (left := tick - time.time()) > 0:
                # The clock of the machine may be set.
                await asyncio.sleep(min(left, 30.0))
            message = {name: entry[name] for name in ("queue", "priority", "options", "module", "paths", "code")}
            await self.enqueue({**message, "id": new_id(time.time()), "name": entry["task"]}, b"")
            last = max(tick, time.time() - 1)


def keeper() -> Any:
    """The cluster's one, made by who comes first."""
    actor = ray.remote(Keeper).options(
        name=NAME, namespace=NAMESPACE, lifetime="detached", get_if_exists=True, num_cpus=0, max_concurrency=_CALLS,
        max_restarts=-1, max_task_retries=-1,
    )
    return actor.remote()


def _now() -> int:
    return round(time.time() * 1000)


def _backoff(how: dict[str, Any], attempt: int) -> float:
    """In milliseconds."""
    pause: float = min(how["base"] * how["factor"] ** min(attempt - 1, 60), how["most"])
    return pause * (1 - float(how["jitter"]) * random.random())
