"""What a worker of Ray does with a task of ours."""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

import ray

from hostler.tasks import _coding, _ray, _task
from hostler.tasks._context import CurrentTask
from hostler.tasks._errors import GRACE, NotSerializable, Retry, TaskTimeout, outlived
from hostler.tasks._execute import Execution
from hostler.tasks._ray_cluster import Cluster
from hostler.tasks._run import describe

__all__ = ["GRACE", "described", "died", "remote"]


# Ray tries nothing again by itself: the keeper does.
@ray.remote(max_retries=0)
def remote(message: dict[str, Any], arguments: bytes, attempt: int) -> dict[str, Any]:
    """Runs a task; what it has come to."""
    try:
        return _run(message, arguments, attempt)
    except KeyboardInterrupt:
        # Ray's way to cancel.
        return {"is": "cancelled"}


def _run(message: dict[str, Any], arguments: bytes, attempt: int) -> dict[str, Any]:
    keeper = ray.get_actor("hostler-tasks", namespace="hostler")
    if not ray.get(keeper.started.remote(message["id"], attempt)):
        return {"is": "cancelled"}
    try:
        task = _found(message)
    except Exception as error:
        return {"is": "failed", "again": True, "error": describe(error)}
    id, coding = message["id"], message["options"].get("coding", _coding.JSON)
    context = CurrentTask(id, message["name"], message["queue"], attempt, lambda *said: keeper.progress.remote(id, *said))
    execution = Execution(task.function, context, timeout=message["options"]["timeout"] / 1000 or None)

    def overdue() -> None:
        ray.get(keeper.overdue.remote(id, describe(outlived())))
        os._exit(1)

    execution.overdue = overdue
    try:
        args, kwargs = _coding.read_arguments(arguments, coding)
        return {"is": "done", "result": _coding.dump(execution.run(args, kwargs), coding, f"the result of {task.name}")}
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if execution.cause is TaskTimeout and not isinstance(error, TaskTimeout):
            error = TaskTimeout()
        failed = {"is": "failed", "again": not isinstance(error, NotSerializable), "error": describe(error)}
        if isinstance(error, Retry) and error.after is not None:
            failed["after"] = max(0, round(error.after * 1000))
        return failed


def _found(message: dict[str, Any]) -> Any:
    """The task, by the module that declares it."""
    # Tasks that enqueue tasks do so in this cluster, which this process has joined.
    os.environ.update(HOSTLER_TASK_ENGINE="ray", HOSTLER_TASK_RAY_ADDRESS="auto")
    _ray.inside = Cluster.inside
    for path in message["paths"]:
        if path not in sys.path:
            sys.path.append(path)
    importlib.import_module(message["module"])
    return _task.registry[message["name"]]


def died(times: int) -> str:
    return _as_error("WorkerDied", f"its worker died {times} times while it ran")


def described(error: BaseException) -> str:
    return _as_error(type(error).__name__, str(error))


def _as_error(kind: str, message: str) -> str:
    return json.dumps({"type": kind, "message": message, "traceback": ""})
