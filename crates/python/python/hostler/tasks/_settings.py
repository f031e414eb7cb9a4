"""Where tasks go."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hostler.tasks._engine import Engine

#: The most bytes that arguments may have, unless configured otherwise.
MOST_ARGUMENTS = 1 << 20
#: What may be configured: with its result a task is one message.
LARGEST_ARGUMENTS = 16 << 20
DEFAULT_FILE = "hostler-tasks.db"
ENGINES = ("embedded", "celery", "ray")

_engine: Engine | None = None
max_arguments = MOST_ARGUMENTS


def configure(
    queue: str | os.PathLike[str] | None = None,
    *,
    engine: str | None = None,
    broker: str | None = None,
    results: str | None = None,
    celery_app: Any = None,
    ray_address: str | None = None,
    max_arguments_bytes: int = MOST_ARGUMENTS,
) -> None:
    """Says where tasks go in a program that is no server of hostler's: a shell, a script, a test. The parameters are the options of a
    server: `queue` is `--task-queue`, the others `--task-engine`, `--task-broker`, `--task-results`, `--task-celery-app` (also a Celery
    application itself) and `--task-ray-address`. What is not given is HOSTLER_TASK_QUEUE and so on; without these it is the embedded
    engine with `hostler-tasks.db` in the current directory.
    """
    global _engine, max_arguments
    if not 0 < max_arguments_bytes <= LARGEST_ARGUMENTS:
        raise ValueError(f"max_arguments_bytes={max_arguments_bytes!r} is out of range: 1 to {LARGEST_ARGUMENTS}")
    given = (queue, engine, broker, results, celery_app, ray_address)
    made = None if all(value is None for value in given) else _make(*given)
    max_arguments = max_arguments_bytes
    _engine = made
    if made is not None:
        _declare_all(made)


def use(engine: Any) -> Any:
    """Has tasks go to this engine; returns the one before."""
    global _engine
    before, _engine = _engine, engine
    return before


def engine() -> Engine:
    global _engine
    if _engine is None:
        _engine = _make(None, None, None, None, None, None)
        _declare_all(_engine)
    return _engine


def declared(task: Any, schedule: dict[str, Any] | None = None) -> None:
    """A task was declared: the engine, if it is known, says whether it can do that."""
    if _engine is not None:
        _engine.declare(task, schedule)
    elif os.environ.get("HOSTLER_TASK_ENGINE", "embedded") != "embedded":
        # Declares what there is, this task too.
        engine()
        if schedule is not None:
            engine().declare(task, schedule)


def _declare_all(engine: Engine) -> None:
    from hostler.tasks import _task

    for task in list(_task.registry.values()):
        engine.declare(task, _task.schedules.get(task.name))


def _make(queue: Any, engine: str | None, broker: str | None, results: str | None, celery_app: Any, ray_address: str | None) -> Engine:
    kind = engine or _implied(queue, broker, results, celery_app, ray_address) or os.environ.get("HOSTLER_TASK_ENGINE") or "embedded"
    if kind == "celery":
        from hostler.tasks._celery import CeleryEngine

        if broker is None and celery_app is None:
            broker, celery_app = os.environ.get("HOSTLER_TASK_BROKER"), os.environ.get("HOSTLER_TASK_CELERY_APP")
            results = results or os.environ.get("HOSTLER_TASK_RESULTS")
        return CeleryEngine(broker, results, celery_app)
    if kind == "ray":
        from hostler.tasks._ray import RayEngine

        return RayEngine(ray_address or os.environ.get("HOSTLER_TASK_RAY_ADDRESS") or "auto")
    if kind != "embedded":
        raise ValueError(f"engine={kind!r} is none of {', '.join(ENGINES)}")
    from hostler.tasks._embedded import EmbeddedEngine

    return EmbeddedEngine(os.fspath(queue or os.environ.get("HOSTLER_TASK_QUEUE") or DEFAULT_FILE))


def _implied(queue: Any, broker: Any, results: Any, celery_app: Any, ray_address: Any) -> str | None:
    """The engine that parameters are for."""
    if queue is not None:
        return "embedded"
    if broker is not None or results is not None or celery_app is not None:
        return "celery"
    return "ray" if ray_address is not None else None
