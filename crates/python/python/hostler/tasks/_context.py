"""The task that runs."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

from hostler.tasks._options import readable

#: The longest text of a progress, in characters.
_LONGEST = 1000

_current: contextvars.ContextVar[CurrentTask] = contextvars.ContextVar("hostler_task")


class CurrentTask:
    """The task that runs, as it sees itself."""

    def __init__(self, id: str, name: str, queue: str, attempt: int, report: Callable[[float, str], Any]) -> None:
        self.id = id
        self.name = name
        self.queue = queue
        #: 1 for the first.
        self.attempt = attempt
        #: Somebody has cancelled it: a function that loops may look, and return.
        self.is_cancelled = False
        self._report = report

    def progress(self, fraction: float, text: str = "") -> None:
        """Says how far it is, from 0 to 1, and in words; handles, `hostler ctl tasks` and the dashboard show it."""
        fraction = float(fraction)
        if not 0.0 <= fraction <= 1.0:
            raise ValueError(f"progress is from 0 to 1, not {fraction}")
        self._report(fraction, readable(str(text))[:_LONGEST])


def runs_task() -> bool:
    return _current.get(None) is not None


def current_task() -> CurrentTask:
    """The task that runs.

    Raises RuntimeError outside of one.
    """
    try:
        return _current.get()
    except LookupError:
        raise RuntimeError("current_task() is for the code of a task: none runs here") from None
