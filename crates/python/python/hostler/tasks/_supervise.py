"""What all task workers of a server share, whatever their engine: how the server is told of them, and tells them to end."""

from __future__ import annotations

import contextvars
import logging
import os
from collections.abc import Callable
from typing import Any

from hostler.tasks import _task

logger = logging.getLogger("hostler.tasks")


def lower_priority(by: int) -> None:
    if by:
        os.nice(by)


def supervise(
    tasks: Any,
    take: Callable[[], Any],
    drain: Callable[[float], Any],
    leave: Callable[[], Any],
    *,
    worker: Any,
    loop: Any,
    engine: Any,
    shutdown: Any,
    run: Callable[..., bool],
) -> None:
    """Runs the loop until the server's worker ends. `take` is called on it when tasks may be taken, `drain` with the seconds that what runs
    may take, `leave` when what runs is to be the last. `tasks.supervised` is told what they do.
    """
    if not _task.registry:
        logger.warning("%s declares no tasks: its task workers have nothing to do", worker.target)
    done = loop.create_future()
    tasks.supervised = worker.serve_tasks(lambda: loop.call_soon_threadsafe(take), drain, leave, engine, done)
    shutdown.drained = run(contextvars.copy_context(), loop, engine, done)
