"""What Celery's worker takes from the broker, where ours differs: a task that it does not know is not thrown away, and what goes wrong is in
the log.
"""

from __future__ import annotations

import logging
from typing import Any

from celery.worker.consumer import Consumer as CelerysConsumer

from hostler.tasks import _celery_tasks

#: How long a task of another version of the application is held before the broker has it for others.
_HELD = 5.0

logger = logging.getLogger("hostler.tasks")


class Consumer(CelerysConsumer):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unknown: set[str] = set()

    def on_unknown_task(self, body: Any, message: Any, exc: BaseException) -> None:
        """A newer version of the application has enqueued it, in the moments of a deployment or on another machine: it waits for workers that know it."""
        name = str((message.headers or {}).get("task", ""))
        if not name:
            return super().on_unknown_task(body, message, exc)
        if name not in self._unknown:
            self._unknown.add(name)
            logger.warning("task %s is not known to this worker: it stays in its queue, for workers that know it", name)
        # It does not count as one of those that this worker has at a time, as with tasks that are due later.
        self.qos.increment_eventually()
        self.timer.call_after(_HELD, self._give_back, (message,))
        if _celery_tasks.host is not None:
            _celery_tasks.host.received_for_later()

    def _give_back(self, message: Any) -> None:
        try:
            message.requeue()
        except self.connection_errors as error:
            # The broker has it anyway: who had it is gone.
            logger.debug("a task is not given back: %s", error)
        else:
            self.qos.decrement_eventually()


def hear() -> None:
    """Celery and kombu say what goes wrong to loggers that throw it away unless Celery sets logging up, which the server does here."""
    for name, found in list(logging.root.manager.loggerDict.items()):
        if isinstance(found, logging.Logger) and name.partition(".")[0] in ("celery", "kombu"):
            found.handlers = [handler for handler in found.handlers if not isinstance(handler, logging.NullHandler)]
