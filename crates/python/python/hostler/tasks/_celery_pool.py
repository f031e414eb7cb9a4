"""The threads in which Celery's worker runs functions in a task worker of ours."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from celery.concurrency.thread import TaskPool


class Pool(TaskPool):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: What runs: done when its end was reported, too.
        self.futures: set[Future[Any]] = set()

    def on_apply(self, *args: Any, **kwargs: Any) -> Any:
        result = super().on_apply(*args, **kwargs)
        self.futures.add(result.f)
        result.f.add_done_callback(self.futures.discard)
        return result
