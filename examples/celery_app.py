"""A Flask site with Celery and Redis, as it is anywhere: hostler celery_app:app --preload, and beside it celery -A celery_app:celery worker

/set/N answers at once, a worker of Celery computes the Fibonacci number, /current shows the latest one.
"""

import os

from celery import Celery
from flask import Flask

redis = os.environ.get("REDIS", "redis://127.0.0.1:6379/0")
celery = Celery("celery_app", broker=redis, backend=redis)
app = Flask(__name__)


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


@celery.task
def fibonacci(n):
    return fib(n)


@app.get("/set/<int:n>")
def set_(n):
    task = fibonacci.delay(n)
    celery.backend.client.set("current", task.id)
    return {"task": task.id}, 202


@app.get("/current")
def current():
    id = celery.backend.client.get("current")
    if id is None:
        return {"current": None}
    result = celery.AsyncResult(id.decode())
    return {"current": result.result if result.successful() else None, "state": result.state}
