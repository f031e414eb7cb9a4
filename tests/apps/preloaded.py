"""Tells what happens around forks, and has a thread that makes them unsafe."""

import random
import sys
import threading
import time

from hostler import hooks

print("imported", file=sys.stderr, flush=True)
threading.Thread(target=time.sleep, args=(3600,), name="ticker", daemon=True).start()


@hooks.before_fork
def before():
    print("before fork", file=sys.stderr, flush=True)


@hooks.after_fork_parent
def parent():
    print("after fork in the parent", file=sys.stderr, flush=True)


@hooks.after_fork_child
def child():
    print("after fork in the child", file=sys.stderr, flush=True)


@hooks.worker_ready
def ready():
    print("ready to serve", file=sys.stderr, flush=True)


async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(random.random()).encode()})
