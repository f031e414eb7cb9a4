"""Kills the process that forks workers in the middle of a fork, once, when a file asks for it. That worker hangs."""

import os
import signal
import time

import hostler.hooks

FILE = os.environ["KILL_FILE"]
MOLD = os.getpid()
doomed = False


def choose():
    global doomed
    if os.getpid() == MOLD and os.path.exists(FILE):
        os.unlink(FILE)
        doomed = True


def kill_the_mold():
    if os.getpid() == MOLD and doomed:
        os.kill(MOLD, signal.SIGKILL)


os.register_at_fork(before=choose, after_in_parent=kill_the_mold)


@hostler.hooks.after_fork_child
def hang():
    if doomed:
        time.sleep(1_000_000)


async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
