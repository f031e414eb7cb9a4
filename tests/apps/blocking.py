"""Blocks the serving thread in every way: in C code with and without the GIL, in Python code, in system calls."""

import asyncio
import atexit
import ctypes
import faulthandler
import logging.config
import os
import signal
import sys
import threading
import time

free = ctypes.CDLL(None, use_errno=True)
holding = ctypes.PyDLL(None, use_errno=True)


def timed(call):
    """How long it took, in seconds, and what it returned."""
    began = time.monotonic()
    returned = call()
    return f"{time.monotonic() - began:.3f} {returned}"


def poll(seconds):
    return timed(lambda: free.poll(None, 0, int(seconds * 1000)))  # line of poll


def sleep(seconds):
    return timed(lambda: free.sleep(int(seconds)))  # line of sleep


def poll_with_the_gil(seconds):
    return timed(lambda: holding.poll(None, 0, int(seconds * 1000)))  # line of poll with the GIL


def spin(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    return "spun"


def wait(seconds):
    """For another thread, which is busy in Python."""
    thread = threading.Thread(target=spin, args=(seconds,))
    thread.start()
    thread.join()
    return "waited"


def fork_and_wait(seconds):
    child = os.fork()
    if child == 0:
        time.sleep(seconds)
        os._exit(0)
    os.waitpid(child, 0)
    return "waited for a process"


def lock(seconds):
    lock = threading.Lock()
    lock.acquire()
    lock.acquire(timeout=seconds)
    return "locked out"


def crash(number):
    os.kill(os.getpid(), int(number))
    time.sleep(30)


def answer(path):
    name, _, argument = path.strip("/").partition("/")
    return globals()[name](float(argument or 0))


def pid(_):
    return os.getpid()


def segfault(_):
    free.memset(None, 0, 1)


def abort(_):
    free.abort()


def exit(code):
    raise SystemExit(int(code))


def own_faulthandler(_):
    faulthandler.enable(file=open(os.environ["FAULTS"], "w"))
    return "enabled"


def leave(code):
    os._exit(int(code))


def close_all(_):
    os.closerange(3, 200)
    return "closed"


def quiet(_):
    """Configures logging as most applications do, which silences the loggers that exist."""
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": True, "root": {"level": "WARNING"}})
    return "configured"


def mute(_):
    """Prints to a standard output that is closed."""
    sys.stdout.close()
    os.close(1)
    try:
        print("to nobody")
    except ValueError as error:
        return error


def own_loop(_):
    """Runs a loop of its own in a thread."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(asyncio.run(asyncio.sleep(0.01, "slept"))))
    thread.start()
    thread.join()
    return answers[0]


def linger(_):
    """Starts a daemon thread that is not ended."""
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    return "started"


def soon(seconds):
    """Blocks the loop after the response."""
    asyncio.get_running_loop().call_later(0.1, time.sleep, float(seconds))
    return "soon"


def at_exit(seconds):
    atexit.register(time.sleep, seconds)
    return "registered"


def broken_exit(_):
    atexit.register(lambda: 1 / 0)
    return "registered"


def signals(_):
    """Which threads take the signals that an application may wait for."""
    masks = []
    for thread in os.listdir("/proc/self/task"):
        status = open(f"/proc/self/task/{thread}/status").read()
        blocked = int(status.split("SigBlk:")[1].split()[0], 16)
        masks.append(bool(blocked & 1 << (signal.SIGUSR1 - 1)))
    return sorted(masks)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    path = scope["path"]
    if path.startswith("/later/"):
        await asyncio.sleep(0.001)
        path = path.removeprefix("/later")
    body = str(answer(path)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def lifespan(receive, send):
    await receive()
    if os.environ.get("HANG") == "startup":
        await prepare()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    if os.environ.get("HANG") == "shutdown":
        await prepare()
    if os.environ.get("FAIL") == "shutdown":
        raise ValueError("failed in shutdown")
    await send({"type": "lifespan.shutdown.complete"})


if os.environ.get("HANG") == "import":
    threading.Event().wait()  # the import's line


async def prepare():
    await reach_the_database()


async def reach_the_database():
    await asyncio.sleep(3600)  # the application's await


def wsgi(environ, start_response):
    body = str(answer(environ["PATH_INFO"])).encode()
    start_response("200 OK", [("content-length", str(len(body)))])
    return [body]


class Rsgi:
    async def __rsgi__(self, scope, protocol):
        protocol.response_str(200, [], str(answer(scope.path)))


rsgi = Rsgi()
