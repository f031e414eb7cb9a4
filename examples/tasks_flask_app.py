"""A Flask site with tasks, on any engine: hostler tasks_flask_app:app --task-workers 1:8

/set/N answers at once, a task worker computes the Fibonacci number, /current shows the latest one.
"""

import os
from pathlib import Path

from flask import Flask

from hostler.tasks import handle, task

app = Flask(__name__)
#: The latest task's id, for all web workers.
latest = Path(os.environ.get("LATEST", "latest.txt"))


def fib(n: int) -> int:
    return n if n < 2 else fib(n - 1) + fib(n - 2)


@task(retries=3, timeout="1m")
def fibonacci(n: int) -> int:
    return fib(n)


@app.get("/set/<int:n>")
def set_(n):
    task = fibonacci.delay(n)
    latest.write_text(task.id)
    return {"task": task.id}, 202


@app.get("/current")
def current():
    if not latest.exists():
        return {"current": None}
    task = handle(latest.read_text())
    status = task.status()
    return {"current": task.get() if status == "succeeded" else None, "state": status}
