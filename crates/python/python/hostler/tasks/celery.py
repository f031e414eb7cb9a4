"""The Celery application of `--task-engine celery`, for Celery's own programs: `celery -A hostler.tasks.celery worker --include main`.

The broker is HOSTLER_TASK_BROKER, HOSTLER_TASK_RESULTS the Redis of the results, or HOSTLER_TASK_CELERY_APP an application that exists.
"""

from __future__ import annotations

from typing import Any

from hostler.tasks import _settings
from hostler.tasks._celery import CeleryEngine


def _application() -> Any:
    engine = _settings.engine()
    if not isinstance(engine, CeleryEngine):
        engine = _settings._make(None, "celery", None, None, None, None)
        _settings.use(engine)
        _settings._declare_all(engine)
    assert isinstance(engine, CeleryEngine)
    return engine.app


app = _application()
