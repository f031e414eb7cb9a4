"""Applications that are not done when their requests are: what the tests of leaving ask for."""

import asyncio
import concurrent.futures
import multiprocessing
import os
import sys
import threading
import time

POOL = concurrent.futures.ThreadPoolExecutor(1)
PROCESSES = []
GO = os.environ.get("GO", "")
HANG = os.environ.get("HANG", "")


def tell(text):
    print(text, file=sys.stderr, flush=True)


def work(name, longer=0):
    limit = time.monotonic() + 20
    while not os.path.exists(GO) and time.monotonic() < limit:
        time.sleep(0.005)
    time.sleep(longer)
    tell(f"finished {name}")


def double(number):
    return 2 * number


def begin(path):
    """Begins work in the background, and returns at once."""
    if path == "/thread":
        # A worker that waits only for executors exits without it.
        threading.Thread(target=work, args=("thread", 0.3)).start()
    elif path == "/pool":
        POOL.submit(work, "pool")
    elif path == "/daemon":
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    elif path == "/processes":
        PROCESSES.append(concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("fork")))
        return repr(list(PROCESSES[0].map(double, [1, 2])))
    return "begun"


def hang_in_thread():
    time.sleep(1000)


def wsgi(environ, start_response):
    body = begin(environ["PATH_INFO"]).encode()
    start_response("200 OK", [("content-length", str(len(body)))])
    return [body]


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    path = scope["path"]
    if path == "/executor":
        asyncio.get_running_loop().run_in_executor(None, work, "executor")
    if path == "/hang":
        threading.Thread(target=hang_in_thread).start()
    body = begin(path).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def lifespan(receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    if HANG:
        await hang_in_shutdown()
    await send({"type": "lifespan.shutdown.complete"})


async def hang_in_shutdown():
    await asyncio.Event().wait()
