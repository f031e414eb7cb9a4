"""The example with Celery, imported so that it has connections already: to its broker and to its results, with a result that is waited for."""

import celery_app
from celery_app import app

celery_app.fibonacci.delay(1).get(30)

__all__ = ["app"]
