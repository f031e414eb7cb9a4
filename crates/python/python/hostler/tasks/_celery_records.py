"""What is known of each task beside Celery's own result: a hash in the Redis of the results, `hostler-task-ID`."""

from __future__ import annotations

import base64
import datetime
import json
import time
from typing import Any

from hostler.tasks._errors import NoSuchTask, QueueUnavailable

#: The name under which arguments and results travel that are pickled.
PICKLED = "hostler_pickled"
#: How long a task that never ends is remembered, after it was due: 30 days.
_REMEMBERED = 30 * 86400
#: How long a key is held for a task that is on its way to the broker, in seconds: if it does not get there, nobody may be told so.
_ON_ITS_WAY = 60
#: How long Redis may take to connect and to answer.
PATIENCE = 5.0

#: Takes a key for a task, or says which has it: unless that one is over (ARGV[2]), which the caller has seen.
_CLAIM = """
local holder = redis.call('get', KEYS[1])
if holder and holder ~= ARGV[2] then return holder end
redis.call('set', KEYS[1], ARGV[1], 'ex', ARGV[3])
return ARGV[1]
"""
#: The task is with the broker: its key is held for as long as it is remembered.
_HOLD = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('expire', KEYS[1], ARGV[2]) end"
_RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end"
#: Says how a task is unless it is over by cancelling: a worker's word does not undo that.
_UPDATE = """
if redis.call('hget', KEYS[1], 'state') == 'cancelled' then return 0 end
redis.call('hset', KEYS[1], unpack(ARGV))
return 1
"""
#: At most so many starts in a period, spread evenly: takes the next turn; how long it is until then, in milliseconds.
_TURN = """
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local turn = math.max(now, tonumber(redis.call('get', KEYS[1]) or 0))
redis.call('set', KEYS[1], math.ceil(turn + ARGV[1]), 'px', math.ceil(turn - now + ARGV[1]) + 60000)
return turn - now
"""
_KNOWN = ("name", "queue", "priority", "due", "expires", "key")
_ENDS = {"SUCCESS": "succeeded", "FAILURE": "failed", "REVOKED": "cancelled"}


class Records:
    """For all threads of a process."""

    def __init__(self, app: Any) -> None:
        self.backend = app.backend
        if not hasattr(self.backend, "connparams") or not hasattr(self.backend, "_create_client"):
            raise QueueUnavailable(
                f"Celery's result backend {_shown(app)} is no Redis, in which handles, progress and keys of hostler.tasks are kept: "
                "name one with --task-results redis://HOST:PORT/0, or as result_backend of the Celery application"
            )
        parameters = dict(self.backend.connparams, socket_connect_timeout=PATIENCE, socket_timeout=PATIENCE, health_check_interval=30)
        #: Of redis-py.
        self.client: Any = self.backend._create_client(**parameters)
        self._claim, self._release = self.client.register_script(_CLAIM), self.client.register_script(_RELEASE)
        self._hold_on = self.client.register_script(_HOLD)
        self._update, self._turn = self.client.register_script(_UPDATE), self.client.register_script(_TURN)

    def channel(self, id: str) -> str:
        """Where the results of a task are, and where Celery's workers tell of them."""
        key = self.backend.get_key_for_task(id)
        return str(key.decode() if isinstance(key, bytes) else key)

    # What who enqueues does.

    def accept(self, message: dict[str, Any]) -> str:
        """Remembers a task that is about to be sent; another's id if that has its key."""
        id, now, ttl = message["id"], time.time(), _ttl(message)
        holder = self._hold(message) if "key" in message else id
        if holder == id:
            known = {name: message[name] for name in _KNOWN if name in message}
            if coding := message["options"].get("coding"):
                known["coding"] = coding
            record = {"state": "ready", "enqueued": round(now * 1000), **known}
            with self.client.pipeline(transaction=False) as pipe:
                pipe.hset(_key(id), mapping=record)
                pipe.expire(_key(id), ttl)
                pipe.execute()
        return holder

    def _hold(self, message: dict[str, Any]) -> str:
        key, id, over = _holding(message["name"], message["key"]), message["id"], ""
        while True:
            holder = _text(self._claim(keys=[key], args=[id, over, _ON_ITS_WAY]))
            if holder == id or not self._is_over(holder):
                return holder
            over = holder

    def _is_over(self, id: str) -> bool:
        try:
            return self.look(id)[0]["state"] in ("succeeded", "failed", "cancelled", "expired")
        except NoSuchTask:
            return True

    def sent(self, message: dict[str, Any]) -> None:
        """The broker has it."""
        if "key" in message:
            self._hold_on(keys=[_holding(message["name"], message["key"])], args=[message["id"], _ttl(message)])

    def forget(self, message: dict[str, Any]) -> None:
        """It was not sent."""
        self.client.delete(_key(message["id"]))
        self._let_go(message["id"], message["name"], message.get("key"))

    def _let_go(self, id: str, name: str, key: str | None) -> None:
        if key:
            self._release(keys=[_holding(name, key)], args=[id])

    # What workers do.

    def read(self, id: str) -> dict[str, str]:
        return {_text(name): _text(value) for name, value in self.client.hgetall(_key(id)).items()}

    def update(self, id: str, **fields: Any) -> bool:
        """False if it was cancelled meanwhile."""
        flat = [part for name, value in fields.items() for part in (name, value)]
        return bool(self._update(keys=[_key(id)], args=flat))

    def given_back(self, id: str) -> None:
        """Its worker stops: it waits again, and has done nothing wrong."""
        self.update(id, state="ready", due=0, unfinished=0)

    def settle(self, id: str, record: dict[str, str], keep: float) -> None:
        """It is over: its result is kept for so many seconds."""
        self.client.hsetnx(_key(id), "finished", round(time.time() * 1000))
        for key in (_key(id), self.channel(id)):
            if keep > 0:
                self.client.pexpire(key, round(keep * 1000))
            else:
                self.client.delete(key)
        self._let_go(id, record.get("name", ""), record.get("key"))

    def turn(self, name: str, interval: float) -> float:
        """Takes the next turn of tasks of this name, which have one each so many milliseconds; in how many it is."""
        return float(self._turn(keys=[f"hostler-rate-{name}"], args=[interval]))

    def cancelled(self, id: str) -> None:
        """Says so to who waits, also by Celery's own means."""
        self.client.hset(_key(id), mapping={"state": "cancelled", "finished": round(time.time() * 1000)})
        self.backend.mark_as_revoked(id, "cancelled", None, store_result=True)

    def tick(self, name: str, tick: float) -> bool:
        """Whether this process is to enqueue what the clock asks for at this time: one of all that ask."""
        first = self.client.set(f"hostler-tick-{name}-{tick:.0f}", 1, nx=True, ex=86400)
        if first:
            self.client.set(f"hostler-clock-{name}", f"{tick:.0f}")
        return bool(first)

    def untick(self, name: str, tick: float) -> None:
        """It was not enqueued."""
        self.client.delete(f"hostler-tick-{name}-{tick:.0f}")

    def last_tick(self, name: str) -> float | None:
        said = self.client.get(f"hostler-clock-{name}")
        return float(said) if said else None

    # What handles ask.

    def look(self, id: str) -> tuple[dict[str, Any], bytes]:
        """The task as it stands, and its result. Raises NoSuchTask."""
        with self.client.pipeline(transaction=False) as pipe:
            pipe.hgetall(_key(id))
            pipe.get(self.channel(id))
            found, written = pipe.execute()
        record = {_text(name): _text(value) for name, value in found.items()}
        meta: dict[str, Any] = self.backend.decode(written) if written else {}
        if not record and not meta:
            raise NoSuchTask(f"there is no task {id}: it was never accepted, or its result was kept for long enough")
        return _task(id, record, meta), _result(meta)


def _task(id: str, record: dict[str, str], meta: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": id,
        "name": record.get("name") or str(meta.get("name") or ""),
        "queue": record.get("queue") or str(meta.get("queue") or ""),
        "state": _state(record, meta),
        "attempts": int(record.get("attempts", 0)),
        # The id has the time.
        "enqueued": _millis(record.get("enqueued")) or _time_of(id),
        "started": _millis(record.get("started")),
        "finished": _millis(record.get("finished")) or _done(meta),
        "progress": (float(record["fraction"]), record.get("text", "")) if "fraction" in record else None,
        "error": record.get("error") or _error(meta),
        "expires": _millis(record.get("expires")),
        # Pickled ones travel in JSON.
        "coding": record.get("coding") or "json",
    }


def _state(record: dict[str, str], meta: dict[str, Any]) -> str:
    end = _ENDS.get(meta.get("status", ""))
    if end == "cancelled":
        return "expired" if record.get("state") != "cancelled" and "expired" in str(meta.get("result")) else "cancelled"
    if end is not None:
        return end
    state, now = record.get("state", "ready"), time.time() * 1000
    if state == "ready" and int(record.get("due", 0)) > now:
        return "scheduled"
    if state in ("ready", "scheduled") and 0 < int(record.get("expires", 0)) < now:
        return "expired"
    return "running" if meta.get("status") == "STARTED" else state


def _result(meta: dict[str, Any]) -> bytes:
    if meta.get("status") != "SUCCESS":
        return b""
    result = meta.get("result")
    if isinstance(result, dict) and PICKLED in result:
        return base64.b64decode(result[PICKLED])
    return json.dumps(result).encode()


def _error(meta: dict[str, Any]) -> str | None:
    """A failure as Celery has it, of a task that is none of ours."""
    if meta.get("status") != "FAILURE":
        return None
    result = meta.get("result")
    if isinstance(result, dict):
        module, said = result.get("exc_module"), result.get("exc_message")
        kind = str(result.get("exc_type"))
        message = " ".join(map(str, said)) if isinstance(said, (list, tuple)) else str(said or "")
    else:
        module, kind, message = type(result).__module__, type(result).__qualname__, str(result)
    prefix = f"{module}." if module and module != "builtins" else ""
    return json.dumps({"type": prefix + kind, "message": message, "traceback": str(meta.get("traceback") or "")})


def _ttl(message: dict[str, Any]) -> int:
    return int(max(message.get("due", 0) / 1000 - time.time(), 0)) + _REMEMBERED


def _key(id: str) -> str:
    return f"hostler-task-{id}"


def _holding(name: str, key: str) -> str:
    return f"hostler-key-{name}-{key}"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _millis(text: str | None) -> int | None:
    return int(text) if text else None


def _done(meta: dict[str, Any]) -> int | None:
    """When Celery stored the result."""
    if meta.get("status") not in _ENDS:
        return None
    done = meta.get("date_done")
    try:
        moment = datetime.datetime.fromisoformat(done) if isinstance(done, str) else done
    except ValueError:
        return None
    if not isinstance(moment, datetime.datetime):
        return None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)).timestamp() * 1000)


def _time_of(id: str) -> int:
    digits = id.replace("-", "")[:12]
    try:
        return int(digits, 16) if id[14:15] == "7" else 0
    except ValueError:
        return 0


def _shown(app: Any) -> str:
    from kombu.utils.url import maybe_sanitize_url

    backend = app.conf.result_backend
    return str(maybe_sanitize_url(backend)) if isinstance(backend, str) else "(none)"
