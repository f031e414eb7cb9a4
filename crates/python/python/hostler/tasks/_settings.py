"""Where tasks go."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hostler.tasks._embedded import EmbeddedEngine

#: The most bytes that arguments may have, unless configured otherwise.
MOST_ARGUMENTS = 1 << 20
DEFAULT_FILE = "hostler-tasks.db"

_engine: Any = None
max_arguments = MOST_ARGUMENTS


def configure(queue: str | os.PathLike[str] | None = None, *, max_arguments_bytes: int = MOST_ARGUMENTS) -> None:
    """Names the queue's file for a program that is no server of hostler's: a shell, a script, a test. A server's is its
    `--task-queue`; without either it is HOSTLER_TASK_QUEUE, or `hostler-tasks.db` in the current directory.
    """
    global _engine, max_arguments
    from hostler.tasks._embedded import EmbeddedEngine

    max_arguments = max_arguments_bytes
    _engine = EmbeddedEngine(os.fspath(queue)) if queue is not None else None


def use(engine: Any) -> Any:
    """Has tasks go to this engine; returns the one before."""
    global _engine
    before, _engine = _engine, engine
    return before


def engine() -> EmbeddedEngine:
    global _engine
    if _engine is None:
        from hostler.tasks._embedded import EmbeddedEngine

        _engine = EmbeddedEngine(os.environ.get("HOSTLER_TASK_QUEUE") or DEFAULT_FILE)
    engine: EmbeddedEngine = _engine
    return engine
