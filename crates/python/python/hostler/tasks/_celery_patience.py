"""What a worker does while the Redis of the results is away: it waits. Celery would take the error for the task's own, and the task for done."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError, OutOfMemoryError, ReadOnlyError, TimeoutError

if TYPE_CHECKING:
    from hostler.tasks._celery_records import Records

#: What passes: it is away, is being started or replaced, or has no memory left.
AWAY = (ConnectionError, TimeoutError, ReadOnlyError, OutOfMemoryError)
#: How long a task that has not begun waits before it goes back to the broker.
BRIEFLY = 10.0
#: Until the next attempt.
_PAUSE = 0.5

logger = logging.getLogger("hostler.tasks")
_lock = threading.Lock()
#: The log has it.
_is_told = False


class Patient:
    """The records of tasks, which are waited for: for ever, or for so many seconds."""

    def __init__(self, records: Records, limit: float | None = None) -> None:
        self._records, self._limit = records, limit

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._records, name)

        def patiently(*args: Any, **fields: Any) -> Any:
            deadline = None if self._limit is None else time.monotonic() + self._limit
            while True:
                try:
                    answer = call(*args, **fields)
                except AWAY as error:
                    _tell(error)
                    if deadline is not None and time.monotonic() >= deadline:
                        raise
                    time.sleep(_PAUSE)
                else:
                    _tell(None)
                    return answer

        return patiently


def _tell(error: Exception | None) -> None:
    """Says so once, and when it is over."""
    global _is_told
    if _is_told == (error is not None):
        return
    with _lock:
        was, _is_told = _is_told, error is not None
    if was == _is_told:
        return
    if error is not None:
        logger.warning("the results of tasks cannot be reached: tasks wait for them: %s", error)
    else:
        logger.warning("the results of tasks can be reached again")
